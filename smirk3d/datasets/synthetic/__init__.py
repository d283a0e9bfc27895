"""Rendered training faces with exact ground truth."""
