"""Reenactment: a photo of a person with another expression."""
