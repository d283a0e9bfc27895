"""Video in, tracks of heads out."""
