"""Occluded faces: which patches of a window something hides, and what the face probably looks like there."""
