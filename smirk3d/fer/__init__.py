"""Facial expression recognition."""
