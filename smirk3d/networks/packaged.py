"""Trained weights that come with the package, in installations that have them."""

from __future__ import annotations

from pathlib import Path

from smirk3d.zoo.registry import locate


def packaged_encoder() -> Path | None:
    """Return the file of the encoder for the open head; None where this installation lacks it."""
    return _if_present(locate("encoder"))


def packaged_neural_renderer() -> Path | None:
    """Return the file of the neural renderer for the open head; None where this installation lacks it."""
    return _if_present(locate("neural_renderer"))


def _if_present(path: Path) -> Path | None:
    return path if path.is_file() else None
