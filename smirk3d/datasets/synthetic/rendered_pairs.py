"""Two pictures each of a rendered person, alike but for the expression: what a neural renderer has to make of one.

Photos show each face once, so they cannot say how it looks with another expression; rendered heads can.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from torch import Tensor

from smirk3d.datasets.fan_contour import CONTOUR_COUNT
from smirk3d.datasets.synthetic.domain_randomization import random_cuts, randomize_appearance, randomize_skin_texture
from smirk3d.datasets.synthetic.scene_sampling import SampleRanges, chance, random_expression, uniform
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.geometry.camera import project_orthographic
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.model import HeadMesh, HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance import randomization
from smirk3d.render.appearance.baked_face import BakedFaceRenderer
from smirk3d.render.appearance.procedural_face import Appearance, Light

CUTS = 12
"""Cuts of brows, lips and irises."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """B people.

    Attributes:
        before: With one expression; `target` has all parameters, the camera is scaled orthographic and exact.
        after: (B, 3, S, S) in [0, 1], the same with another. params: Of these.
    """

    before: TrainingBatch
    after: Tensor
    params: FaceParams


class RenderedPairs:
    """Draws pairs of pictures.

    Args:
        head: The open head, or one with ARKit's 52 actions and MediaPipe's landmarks.
        size: S, pixels a side. crop_scale: side of the crop over the size of the landmarks' box, at random.
    """

    def __init__(self, head: HeadModel, size: int, crop_scale: tuple[float, float] = (1.3, 1.5)) -> None:
        self.head, self.size, self.crop_scale = head, size, crop_scale
        self.ranges = SampleRanges()
        self._cuts = random_cuts(CUTS)
        self._painter = BakedFaceRenderer(head, self._cuts)

    @torch.no_grad()
    def batch(self, expression: Tensor, generator: torch.Generator) -> Pairs:
        """Return pairs, all but the second expression at random.

        Args:
            expression: (B, 52) ARKit weights of the second pictures. generator: Of all else, on the CPU.
        """
        count = len(expression)
        params = self._people(count, generator)
        mesh = self.head(params)
        camera = self._cameras(mesh, generator)
        params = params.replace(camera=camera)
        changed = params.replace(expression=expression)
        before, after = torch.empty(2, count, 3, self.size, self.size)
        other = self.head(changed)
        for k in range(count):
            look, tint, light, background = self._surroundings(generator)
            for pictures, some in ((before, mesh), (after, other)):
                ndc = project_orthographic(some.vertices[k], camera[k])
                ndc[:, 2] += 2 - ndc[:, 2].min()  # a depth, as of a lens far away
                color, alpha = self._painter.render(ndc, some.vertices[k], self.size, look, light, tint)
                pictures[k] = (color + (1 - alpha) * background).clamp(0, 1)
        return Pairs(self._batch(before, params, mesh), after, changed)

    def _people(self, count: int, generator: torch.Generator) -> FaceParams:
        limits = torch.tensor([self.ranges.yaw_deg, self.ranges.pitch_deg, self.ranges.roll_deg])
        angles = (2 * torch.rand(count, 3, generator=generator) - 1) * limits
        rotmat = torch.from_numpy(np.stack([rotation_from_angles(*row) for row in angles.tolist()])).float()
        kinds = ["neutral" if chance(0.3, generator) else "combination" for _ in range(count)]
        return FaceParams(
            shape=self.ranges.shape_std * torch.randn(count, self.head.n_shape, generator=generator),
            expression=torch.stack([random_expression(kind, generator) for kind in kinds]),  # type: ignore[arg-type]
            pose=roma.rotmat_to_rotvec(rotmat),
        )

    def _cameras(self, mesh: HeadMesh, generator: torch.Generator) -> Tensor:
        """Return (B, 3) scale, tx, ty with which the landmarks' boxes fill their share of the crops."""
        points = mesh.landmarks("mediapipe")[..., :2]
        low, high = points.amin(1), points.amax(1)
        share = torch.empty(len(points)).uniform_(*self.crop_scale, generator=generator)
        scale = 2 / (share * (high - low).mean(1))
        return torch.cat([scale[:, None], -(low + high) / 2], dim=1)

    def _surroundings(self, generator: torch.Generator) -> tuple[Appearance, Tensor | None, Light, Tensor]:
        """Return what both pictures share: colours, spots, light and background."""
        look = randomization.random_appearance(generator)
        cut = self._cuts[int(torch.randint(CUTS, (), generator=generator))]
        look = replace(randomize_appearance(look, cut, generator), brow_strength=uniform(0.5, 0.95, generator))
        tint = randomize_skin_texture(self.head, look.hair, uniform(0, 1, generator), generator)
        return (
            look,
            tint,
            randomization.random_light(generator),
            randomization.random_background(self.size, generator),
        )

    def _batch(self, image: Tensor, params: FaceParams, mesh: HeadMesh) -> TrainingBatch:
        count, points = len(image), mesh.landmarks("mediapipe")
        assert params.camera is not None
        return TrainingBatch(
            image=image,
            landmarks_ndc=project_orthographic(points, params.camera)[..., :2],
            landmark_weight=torch.ones(points.shape[:2]),
            person=torch.arange(count),
            target=params,
            target_weight=torch.ones(count),
            contour_ndc=torch.zeros(count, CONTOUR_COUNT, 2),
            contour_weight=torch.zeros(count),
        )
