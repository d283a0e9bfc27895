"""A photo and a rendered person that several tests move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from smirk3d import Reconstructor
from smirk3d.face import Face, ImageFit, assemble_face
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.reenactment.reenactor import Reenactor
from smirk3d.reenactment.region import Region
from smirk3d.reenactment.source_photo import SourcePhoto, place_face, prepare_source, shown_texels
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.render.photo_warp.mesh_parts import part_of_triangles
from smirk3d.render.rasterize import rasterize

SIDE = 160


@dataclass(frozen=True)
class RenderedPerson:
    """A head in even light before a grey wall, of which every expression and rotation is known."""

    face: Face
    texels: torch.Tensor

    def picture(self, weights: dict[str, float], rotation: np.ndarray | None = None) -> np.ndarray:
        """Return the truth, (SIDE, SIDE, 3) uint8."""
        face = self.face.with_arkit(weights)
        rotation = face.rotation if rotation is None else rotation
        mesh = place_face(face, rotation, Region(0, 0, SIDE, SIDE), torch.zeros(478, 2))
        fragments = rasterize(mesh.ndc[None], face.head.faces.to(torch.int32), SIDE)
        part = part_of_triangles(face.head)[fragments.face_index[0].clamp_min(0).long()]
        shown = shown_texels(fragments, self.texels, part)
        picture = torch.where(fragments.mask, 0.8 * shown, 0.5)
        return (picture.permute(1, 2, 0) * 255).round().byte().numpy()

    def source(self) -> SourcePhoto:
        """Return the neutral picture, prepared with the true fit."""
        return prepare_source(self.picture({}), self.face, self.face.landmarks("mediapipe"), self.texels)


@pytest.fixture(scope="session")
def person(open_head: HeadModel) -> RenderedPerson:
    neutral = open_head(FaceParams(shape=torch.zeros(1, open_head.n_shape))).vertices[0].numpy()
    arrays = {"shape": np.zeros(open_head.n_shape, np.float32), "expression": np.zeros(len(ARKIT_NAMES), np.float32)}
    camera = Camera(rotation_from_angles(4, 0, 2), np.zeros(3), np.array([SIDE / 2, SIDE / 2]), 420.0, None)
    fit = ImageFit(camera, 1.0, "fit", (SIDE, SIDE), np.array([40.0, 40.0, 120.0, 120.0]), 0.0)
    face = assemble_face(open_head, neutral, neutral, arrays, np.zeros(len(ARKIT_NAMES), np.float32), fit)
    return RenderedPerson(face, AppearanceTexels(open_head).colors(FaceAppearance()))


@pytest.fixture(scope="session")
def reenactor() -> Reenactor:
    with Reconstructor(method="fit") as reconstructor:
        return Reenactor(astronaut(), reconstructor)


@pytest.fixture
def scores() -> Callable[[np.ndarray], dict[str, float]]:
    """Read MediaPipe's blendshape scores of a picture: an independent judge of its expression."""
    from smirk3d.detection.detector import Detector

    def read(pixels: np.ndarray) -> dict[str, float]:
        with Detector(max_faces=1) as detector:
            found = detector.detect(pixels)[0]
        return dict(zip(ARKIT_NAMES, np.asarray(found.blendshape_scores).tolist()))

    return read
