"""Faces and their landmarks in images."""
