"""A photo in the viewer: its 52 sliders move the photo itself."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from smirk3d.reenactment.reenactor import Reenactor
    from smirk3d.viewer.scene import ViewScene

MAX_SIDE_PX = 720
"""Larger photos are reduced to this long side, so that they move while a slider does."""


def photo_scene(path: str) -> ViewScene:
    """Return the head of the largest face of a photo, with the photo moving beside it.

    Args:
        path: The photo.

    Raises:
        NoFaceError: There is no face.
        Smirk3dError: The photo cannot be read.
    """
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.reenactment.reenactor import Reenactor

    with Reconstructor() as reconstructor:
        return scene_of(Reenactor(path, reconstructor, max_side_px=MAX_SIDE_PX), Path(path).name)


def scene_of(reenactor: Reenactor, name: str) -> ViewScene:
    """Return the scene of a person whose photo is prepared.

    Args:
        reenactor: The person.
        name: Title of the scene.
    """
    from smirk3d.viewer.discovery import read_scene

    with tempfile.TemporaryDirectory() as folder:
        scene = read_scene(reenactor.source.face.save(Path(folder) / "face.glb"))

    def moved(weights: np.ndarray) -> np.ndarray:
        return reenactor(dict(zip(scene.names, np.asarray(weights, dtype=np.float64).clip(0, 1).tolist(), strict=True)))

    return replace(scene, name=name, moved_image=moved)
