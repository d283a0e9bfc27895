"""Tables and arrays of expressions."""
