"""Pairs of rendered images of a person that differ only in the expression, for training a neural renderer.

Photos show each face once, without ground truth for another expression; rendered heads provide it.
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

APPEARANCE_COUNT = 12
"""Baked variants of brows, lips and irises."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """B people.

    Attributes:
        before: Images with one expression; `target` has all parameters, the camera is scaled orthographic and exact.
        after: (B, 3, S, S) in [0, 1], the same with another expression.
        params: Parameters of `after`, fields (B, ...).
    """

    before: TrainingBatch
    after: Tensor
    params: FaceParams


class RenderedPairs:
    """Renders random pairs.

    Args:
        head: The open head, or one with ARKit's 52 actions and MediaPipe's landmarks.
        size: S, side of the images in pixels.
        crop_scale: Range of the side of the crop over the size of the landmark box.
    """

    def __init__(self, head: HeadModel, size: int, crop_scale: tuple[float, float] = (1.3, 1.5)) -> None:
        self.head, self.size, self.crop_scale = head, size, crop_scale
        self.ranges = SampleRanges()
        self._cuts = random_cuts(APPEARANCE_COUNT)
        self._renderer = BakedFaceRenderer(head, self._cuts)

    @torch.no_grad()
    def batch(self, expression: Tensor, generator: torch.Generator) -> Pairs:
        """Render pairs with given second expressions; everything else is random.

        Args:
            expression: (B, 52) ARKit weights of the second images.
            generator: All randomness, on the CPU.
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
            appearance, tint, light, background = self._scene(generator)
            for images, each in ((before, mesh), (after, other)):
                ndc = project_orthographic(each.vertices[k], camera[k])
                ndc[:, 2] += 2 - ndc[:, 2].min()  # depths as of a distant camera
                color, alpha = self._renderer.render(ndc, each.vertices[k], self.size, appearance, light, tint)
                images[k] = (color + (1 - alpha) * background).clamp(0, 1)
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
        """Return cameras (B, 3), scale, tx, ty, with which the landmark boxes fill their share of the crops."""
        points = mesh.landmarks("mediapipe")[..., :2]
        low, high = points.amin(1), points.amax(1)
        share = torch.empty(len(points)).uniform_(*self.crop_scale, generator=generator)
        scale = 2 / (share * (high - low).mean(1))
        return torch.cat([scale[:, None], -(low + high) / 2], dim=1)

    def _scene(self, generator: torch.Generator) -> tuple[Appearance, Tensor | None, Light, Tensor]:
        """Draw what both images share: appearance, skin texture, light and background."""
        appearance = randomization.random_appearance(generator)
        cut = self._cuts[int(torch.randint(APPEARANCE_COUNT, (), generator=generator))]
        appearance = randomize_appearance(appearance, cut, generator)
        appearance = replace(appearance, brow_strength=uniform(0.5, 0.95, generator))
        tint = randomize_skin_texture(self.head, appearance.hair, uniform(0, 1, generator), generator)
        return (
            appearance,
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
