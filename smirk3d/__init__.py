"""Photo in, expressive 3D head out."""
