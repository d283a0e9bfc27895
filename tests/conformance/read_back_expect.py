"""How `read_back.py` and its parts say that something is not as it should be."""

from __future__ import annotations


class ReadBackError(Exception):
    """A file does not hold what it should."""


def expect(fulfilled: object, otherwise: str) -> None:
    """Raise ReadBackError with the sentence `otherwise` unless a condition is true."""
    if not fulfilled:
        raise ReadBackError(otherwise)
