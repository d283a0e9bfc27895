"""Figures of merit on arrays."""
