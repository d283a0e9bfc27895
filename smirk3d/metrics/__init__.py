"""Figures of merit on NumPy arrays: no files, no models, no torch."""
