"""Training of the transformer engine of reenactment, on several pictures of each person."""
