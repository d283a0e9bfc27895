"""Runs over many photos: naming of outputs, prefetching and writing."""
