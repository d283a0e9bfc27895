"""Cameras, rotations and alignments."""
