"""The emotion of a clip: its frames' expression vectors, ARKit weights and head angles, read by two sequence models."""
