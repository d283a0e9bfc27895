"""The trained weights that come with the package, in installations that have them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

FILE_NAME, RENDERER_NAME = "encoder.safetensors", "renderer.safetensors"


def packaged_encoder() -> Path | None:
    """Return the file of the encoder for the open head; None where this installation is without."""
    return _shipped(FILE_NAME)


def packaged_neural_renderer() -> Path | None:
    """Return the file of the neural renderer for the open head; None where this installation is without."""
    return _shipped(RENDERER_NAME)


def _shipped(name: str) -> Path | None:
    path = Path(str(resources.files("smirk3d") / "zoo" / "files" / name))
    return path if path.is_file() else None
