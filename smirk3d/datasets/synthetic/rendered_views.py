"""Rendered people, each in several views: other expressions and head poses, with exact truth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.datasets.synthetic.domain_randomization import random_cuts, randomize_appearance, randomize_skin_texture
from smirk3d.datasets.synthetic.rendered_faces import N_LANDMARKS
from smirk3d.datasets.synthetic.scene_sampling import SampleRanges, chance, random_expression, uniform
from smirk3d.datasets.synthetic.shard_cache import GeneratedShard, ShardCache
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance import randomization
from smirk3d.render.appearance.baked_face import BakedFaceRenderer
from smirk3d.render.appearance.procedural_face import Appearance, Light, project_head_perspective

SHARD = 32
"""People per file."""
VIEWS = 4
"""Views of a person; the first two share camera, place and background, as two frames of a video."""
SUPERSAMPLE = 2
CROP_SCALE = (1.4, 1.9)
"""Side of the picture over the size of the landmarks' box in its first view."""
TURN_DEG = (20.0, 12.0, 12.0)
"""Largest turn, in yaw, pitch and roll, of the second view against the first one."""
STILL_SHARE = 0.35
"""Share of people whose first two views differ in the expression alone."""
PIVOT_M = (0.0, -0.05, 0.03)
"""Heads turn about this point of the head frame, between the ears and below them."""
DISTANCE_M = (0.6, 2.0)
APPEARANCE_COUNT = 12
_CACHE_VERSION = 2
_NUMBERS = 2 * N_LANDMARKS + len(ARKIT_NAMES) + 3


@dataclass(frozen=True, eq=False)
class Views:
    """B people in V views.

    Attributes:
        images: (B, V, 3, S, S) in [0, 1].
        points_ndc: (B, V, 478, 2) MediaPipe's landmarks, [-1, 1] from edge to edge, y down.
        weights: (B, V, 52) ARKit weights.
        pose: (B, V, 3) rotation vectors, head frame to camera frame.
    """

    images: Tensor
    points_ndc: Tensor
    weights: Tensor
    pose: Tensor

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class _Scene:
    """What all views of a person share."""

    shape: Tensor
    appearance: Appearance
    tint: Tensor | None
    light: Light
    distance_m: float


class RenderedViews:
    """Random people, rendered once and kept on disk.

    The same arguments make the same pictures on the same machine; a longer set starts with the shorter one.

    Args:
        head: The open head.
        count: Number of people.
        seed: Seed of everything random.
        size: S, side of the pictures in pixels.
        folder: Folder in which they are kept between runs; None: in memory.

    Raises:
        Smirk3dError: A file in `folder` is not what was written there.
    """

    def __init__(self, head: HeadModel, count: int, seed: int, size: int, *, folder: Path | None = None) -> None:
        self.head, self.count, self.seed, self.size = head, count, seed, size
        self._renderer: BakedFaceRenderer | None = None
        self._cuts = random_cuts(APPEARANCE_COUNT)
        content = hashlib.sha256(repr((_CACHE_VERSION, seed, size)).encode())
        for part in (head.v_template, head.shapedirs, head.expressiondirs):
            content.update(part.numpy().tobytes())
        self.fingerprint = content.hexdigest()[:12]
        shapes = (SHARD, VIEWS, 3, size, size), (SHARD, VIEWS * _NUMBERS)
        self._cache = ShardCache(folder, f"views_{self.fingerprint}", *shapes, self._make)

    def __len__(self) -> int:
        return self.count

    def prepare(self) -> Iterator[int]:
        """Render the missing people; yields their number after each shard."""
        return self._cache.prepare(self.count)

    def batch(self, index: Tensor) -> Views:
        """Return the people of an index (K,) int64."""
        images, truth = self._cache.rows(index)
        points, weights, pose = truth.view(len(index), VIEWS, _NUMBERS).split(
            [2 * N_LANDMARKS, len(ARKIT_NAMES), 3], dim=2
        )
        return Views(images, points.unflatten(2, (N_LANDMARKS, 2)), weights, pose)

    @torch.no_grad()
    def _make(self, number: int) -> GeneratedShard:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        self._renderer = self._renderer or BakedFaceRenderer(self.head, self._cuts)
        pixels = np.empty((SHARD, VIEWS, 3, self.size, self.size), np.uint8)
        truth = torch.empty(SHARD, VIEWS * _NUMBERS)
        for row in range(SHARD):
            images, numbers = self._person(self._renderer, generator)
            pixels[row] = (images * 255).round().byte().numpy()
            truth[row] = numbers.flatten()
        return GeneratedShard(pixels, truth.numpy())

    def _person(self, renderer: BakedFaceRenderer, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the pictures (V, 3, S, S) of one person and their numbers (V, D)."""
        scene, ranges = self._scene(generator), SampleRanges()
        limits = (ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg)
        images, numbers, frame = torch.empty(VIEWS, 3, self.size, self.size), [], None
        rotmat, background = torch.eye(3), torch.zeros(0)
        for view in range(VIEWS):
            if view != 1:
                rotmat = _random_rotation(limits, generator)
                background, frame = randomization.random_background(self.size, generator), None
            elif not chance(STILL_SHARE, generator):
                rotmat = _random_rotation(TURN_DEG, generator) @ rotmat
            expression = random_expression("neutral" if chance(0.15, generator) else "combination", generator)
            ndc, posed = self._projected(scene, expression, rotmat)
            if frame is None:
                frame = self._frame(ndc, generator)
            ndc = torch.cat([(ndc[:, :2] - frame[:2]) * frame[2], ndc[:, 2:]], dim=1)
            images[view] = self._picture(renderer, scene, ndc, posed, background)
            points = self.head.landmark_embedding("mediapipe").points(ndc[:, :2].contiguous(), self.head.faces)
            numbers.append(torch.cat([points.flatten(), expression, roma.rotmat_to_rotvec(rotmat)]))
        return images, torch.stack(numbers)

    def _scene(self, generator: torch.Generator) -> _Scene:
        appearance = randomization.random_appearance(generator)
        if chance(0.5, generator):
            appearance = randomize_appearance(
                appearance, self._cuts[int(torch.randint(APPEARANCE_COUNT, (), generator=generator))], generator
            )
        tint = randomize_skin_texture(self.head, appearance.hair, uniform(0, 1, generator), generator)
        shape = SampleRanges().shape_std * torch.randn(self.head.n_shape, generator=generator)
        return _Scene(shape, appearance, tint, randomization.random_light(generator), uniform(*DISTANCE_M, generator))

    def _projected(self, scene: _Scene, expression: Tensor, rotmat: Tensor) -> tuple[Tensor, Tensor]:
        """Return vertices in the image at focal length 1 with their depths, and posed ones, both (V, 3)."""
        vertices = self.head(FaceParams(shape=scene.shape, expression=expression)).vertices
        pivot = torch.tensor(PIVOT_M)
        place = pivot - rotmat @ pivot - torch.tensor([0.0, 0.0, scene.distance_m])
        projected = project_head_perspective(vertices, rotmat, place, 1.0)
        return projected.ndc, projected.vertices_camera

    def _frame(self, ndc: Tensor, generator: torch.Generator) -> Tensor:
        """Return centre and scale (3,) of a picture in which the face has about the usual size."""
        points = self.head.landmark_embedding("mediapipe").points(ndc[:, :2].contiguous(), self.head.faces)
        low, high = points.amin(0), points.amax(0)
        side = float((high - low).max())
        center = (low + high) / 2 + 0.06 * side * torch.randn(2, generator=generator)
        return torch.cat([center, torch.tensor([2 / (side * uniform(*CROP_SCALE, generator))])])

    def _picture(
        self, renderer: BakedFaceRenderer, scene: _Scene, ndc: Tensor, posed: Tensor, background: Tensor
    ) -> Tensor:
        color, alpha = renderer.render(ndc, posed, self.size * SUPERSAMPLE, scene.appearance, scene.light, scene.tint)
        layers = functional.avg_pool2d(torch.cat([color, alpha])[None], SUPERSAMPLE)[0]
        return (layers[:3] + (1 - layers[3:]) * background).clamp(0, 1)


def _random_rotation(limits_deg: tuple[float, float, float], generator: torch.Generator) -> Tensor:
    """Return a rotation (3, 3) of random yaw, pitch and roll."""
    angles = [uniform(-limit, limit, generator) for limit in limits_deg]
    return torch.from_numpy(rotation_from_angles(*angles)).float()
