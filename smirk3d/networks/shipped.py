"""The trained weights that come with the package, in installations that have them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

FILE_NAME = "encoder.safetensors"


def shipped_weights() -> Path | None:
    """Return the file of the encoder for the open head; None where this installation is without."""
    path = Path(str(resources.files("smirk3d") / "data" / FILE_NAME))
    return path if path.is_file() else None
