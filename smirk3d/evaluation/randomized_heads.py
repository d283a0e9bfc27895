"""Pictures of heads as other artists make them, each acting out several known expressions.

Shape, resting face, skin and blendshapes are random. All pictures of a head have the same camera, pose, light and skin:
they differ in the expression alone. Their lids just meet at blinks of 1, as on every artist's head (see
`smirk3d.datasets.synthetic.blink_closure`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import roma
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.datasets.synthetic.blink_closure import BLINK_COLUMNS
from smirk3d.datasets.synthetic.domain_randomization import (
    DomainRandomization,
    randomize_geometry,
    randomize_skin_texture,
)
from smirk3d.datasets.synthetic.rendered_faces import PHOTO_PX, project_with_random_cameras
from smirk3d.datasets.synthetic.scene_sampling import SampleRanges, uniform
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadMesh, HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.baked_face import BakedFaceRenderer
from smirk3d.render.appearance.procedural_face import Appearance, Light
from smirk3d.render.appearance.random_face_appearance import random_face_appearance
from smirk3d.render.appearance.randomization import random_background

RANGES = SampleRanges(yaw_deg=15.0, pitch_deg=8.0, roll_deg=5.0, distance_m=(0.6, 1.5))
"""Frontal heads, from the distance of a telephone to that of a portrait."""
SUPERSAMPLING = 2
SKIN_SHARE = 0.3
"""Strength of random shades and make-up; at 1 they are no longer those of people."""
_SEED_STEP = 1_000_003
_MAX_SEED = 2**31


@dataclass(frozen=True, eq=False)
class RandomizedHead:
    """One random head before a camera.

    Attributes:
        head: The open head, of which it is a variation.
        shape: (n_shape,) identity coefficients.
        rotmat: (3, 3) rotation, head to camera.
        seed: Of what makes it another head than the open one, and of its camera.
    """

    head: HeadModel
    shape: Tensor
    rotmat: Tensor
    seed: int

    @staticmethod
    def random(head: HeadModel, generator: torch.Generator) -> RandomizedHead:
        """Draw a head.

        Args:
            head: The open head.
            generator: All randomness, on the CPU.
        """
        shape = RANGES.shape_std * torch.randn(head.n_shape, generator=generator)
        limits = (RANGES.yaw_deg, RANGES.pitch_deg, RANGES.roll_deg)
        angles = [uniform(-limit, limit, generator) for limit in limits]
        rotmat = torch.from_numpy(rotation_from_angles(*angles)).float()
        return RandomizedHead(head, shape, rotmat, int(torch.randint(_MAX_SEED, (), generator=generator)))

    def acting(self, expression: Tensor) -> HeadMesh:
        """Return the posed mesh of this head with an expression (52,)."""
        pose = roma.rotmat_to_rotvec(self.rotmat)
        params = FaceParams(shape=self.shape[None], expression=expression[None], pose=pose[None])
        # What is drawn does not depend on the expression: the same numbers make the same head.
        generator = torch.Generator().manual_seed(self.seed)
        return randomize_geometry(self.head, params, torch.ones(1), generator, DomainRandomization(wide_share=1.0))

    def project(self, mesh: HeadMesh) -> Tensor:
        """Return the vertices (V, 3) of a mesh in the image space of this head's camera, depths in metres."""
        generator = torch.Generator().manual_seed(self.seed)
        vertices_px, _, depth = project_with_random_cameras(mesh, RANGES, generator)
        return torch.cat([vertices_px[0] * (2 / PHOTO_PX) - 1, depth[0, :, None]], dim=1)


def blinking(weight: float) -> Tensor:
    """Return ARKit weights (52,) of both blinks alone."""
    expression = torch.zeros(len(ARKIT_NAMES))
    expression[BLINK_COLUMNS] = weight
    return expression


class RandomizedHeadPictures:
    """Pictures of random heads in soft light, with the packaged appearance model; heads do not depend on each other.

    Args:
        head: The open head.
        seed: Of everything random.
        size: Side of a picture, pixels.
    """

    def __init__(self, head: HeadModel, seed: int, size: int) -> None:
        self.head, self.seed, self.size = head, seed, size
        self._renderer, self._texels = BakedFaceRenderer(head), AppearanceTexels(head)

    def generator(self, number: int) -> torch.Generator:
        """Return a new generator on the CPU for one head."""
        return torch.Generator().manual_seed(self.seed * _SEED_STEP + number)

    @torch.no_grad()
    def render(
        self, actor: RandomizedHead, expressions: Sequence[Tensor], generator: torch.Generator
    ) -> list[np.ndarray]:
        """Render one head with several expressions.

        Args:
            actor: The head.
            expressions: ARKit weights (52,) of each picture.
            generator: Draws what all pictures share, on the CPU.

        Returns:
            Pictures (S, S, 3) uint8.
        """
        appearance = random_face_appearance(generator)
        albedo = self._texels.colors(appearance)
        tint = randomize_skin_texture(self.head, appearance.hair, SKIN_SHARE, generator)
        light = _soft_light(generator)
        background = random_background(self.size, generator)
        pictures = []
        for expression in expressions:
            mesh = actor.acting(expression)
            layers = self._renderer.render(
                actor.project(mesh), mesh.vertices[0], SUPERSAMPLING * self.size, Appearance(), light, tint, albedo
            )
            color, alpha = (functional.avg_pool2d(layer, SUPERSAMPLING) for layer in layers)
            image = (color + (1 - alpha) * background).permute(1, 2, 0)
            pictures.append((image * 255).round().clamp(0, 255).to(torch.uint8).contiguous().numpy())
        return pictures


def _soft_light(generator: torch.Generator) -> Light:
    """Draw light from about the camera that leaves no part of the face dark."""
    direction = torch.tensor([uniform(-0.5, 0.5, generator), uniform(0.1, 0.6, generator), 1.0])
    return Light(direction, direct=0.4, sky=0.1, ambient=0.6, highlight=0.05)
