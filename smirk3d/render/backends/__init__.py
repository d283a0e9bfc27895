"""Rasterisers."""
