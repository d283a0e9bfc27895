"""Training of the expression network: votes on photographed faces, ARKit weights on rendered ones."""
