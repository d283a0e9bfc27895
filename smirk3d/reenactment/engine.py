"""Engines: what computes the layers of a person's face with another expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np

from smirk3d.face import Face
from smirk3d.reenactment.face_layers import FaceLayers, face_layers
from smirk3d.reenactment.region import Region
from smirk3d.reenactment.source_photo import SourcePhoto

EngineName = Literal["mesh", "transformer"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


class ReenactmentEngine(Protocol):
    """Knows the photos of a person, prepared once."""

    @property
    def region(self) -> Region:
        """The part of the first photo that changes."""
        ...

    def layers(self, face: Face, rotation: np.ndarray) -> FaceLayers:
        """Return the layers of this part.

        Args:
            face: The face of the first photo with the wanted expression.
            rotation: (3, 3) the wanted rotation, head frame to camera frame.
        """
        ...


class MeshEngine:
    """Moves the first photo's pixels with the fitted head; see `smirk3d.reenactment.face_layers`.

    Args:
        sources: Photos of the person, at least one; the first one is shown.
    """

    def __init__(self, sources: Sequence[SourcePhoto]) -> None:
        self._source, *self._further = sources

    @property
    def region(self) -> Region:
        """The part of the first photo that changes."""
        return self._source.region

    def layers(self, face: Face, rotation: np.ndarray) -> FaceLayers:
        """Return the layers of this part; see `ReenactmentEngine.layers`."""
        return face_layers(self._source, self._source.placed(face, rotation), self._further)


def make_engine(name: EngineName, sources: Sequence[SourcePhoto]) -> ReenactmentEngine:
    """Return an engine for the photos of a person.

    Raises:
        Smirk3dError: The networks of the transformer engine cannot be read.
    """
    if name == "mesh":
        return MeshEngine(sources)
    from smirk3d.reenactment.transformer.engine import TransformerEngine

    return TransformerEngine(sources)
