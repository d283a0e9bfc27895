"""Pairs of pictures of real people: a photo, and the same photo with a known change of the expression.

Photos of nearly neutral faces are chosen, so that what changes is known exactly; see
`smirk3d.render.photo_warp` for how they are changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.datasets.face_dataset import FaceSet, collate
from smirk3d.datasets.fan_contour import CONTOUR_COUNT
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.datasets.synthetic.expression_templates import template_tensor
from smirk3d.datasets.synthetic.rendered_faces import N_LANDMARKS, fit_camera
from smirk3d.datasets.synthetic.scene_sampling import Kind, chance, random_expression, uniform
from smirk3d.datasets.synthetic.shard_cache import GeneratedShard, ShardCache
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES, resolve_antagonists
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.random_face_appearance import random_face_appearance
from smirk3d.render.photo_warp.placed_mesh import fit_residual, place
from smirk3d.render.photo_warp.warped_photo import warp_photo

SHARD = 128
"""Pairs per file."""
PHOTO_PX = 256
"""Side of the crop that pixels are read from; about the resolution of the photos."""
CROP_SCALE = (1.3, 1.55)
MAX_WEIGHT, MAX_JAW_OPEN, MAX_BLINK = 0.45, 0.22, 0.4
"""Largest fitted weights of a photo: beyond them it is not nearly neutral."""
MAX_YAW_DEG, MAX_PITCH_DEG = 30.0, 25.0
MAX_RESIDUAL = 0.022
"""Largest root mean square of the landmarks' residuals over the distance of the eyes."""
_KINDS: tuple[Kind, ...] = ("single", "single", "one_sided", "combination", "combination")
_TEMPLATE_SHARE = 0.4
_CACHE_VERSION = 3


class PhotoTexturedFaces:
    """Pairs of a photo and its change, made once and kept on disk.

    The same arguments make the same pairs on the same machine; a longer set starts with the shorter one.

    Args:
        head: The open head.
        faces: Photos.
        table: Fits of these photos to the head (`smirk3d data targets`).
        count: Number of pairs.
        seed: Seed of everything random.
        size: Side of the pictures in pixels.
        folder: Folder in which the pairs are kept between runs; None: in memory.

    Raises:
        Smirk3dError: No photo is nearly neutral and fitted well, or a file in `folder` is not what was written there.
    """

    def __init__(
        self,
        head: HeadModel,
        faces: FaceSet,
        table: TargetTable,
        count: int,
        seed: int,
        size: int = 160,
        *,
        folder: Path | None = None,
    ) -> None:
        self.head, self.count, self.seed, self.size = head, count, seed, size
        self._faces = faces
        self._params, _ = table.of(faces.keys)
        self.photos = nearly_neutral(table, faces.keys)
        if not len(self.photos):
            raise Smirk3dError("no photo is nearly neutral, frontal and fitted; use others, or make targets for them")
        self._texels: AppearanceTexels | None = None
        content = hashlib.sha256(repr((_CACHE_VERSION, seed, size, faces.keys)).encode())
        assert self._params.expression is not None
        for part in (head.v_template, head.shapedirs, head.expressiondirs, self._params.expression):
            content.update(part.numpy().tobytes())
        numbers = sum(self._sizes)
        prefix, shapes = f"pairs_{content.hexdigest()[:12]}", ((SHARD, 2, 3, size, size), (SHARD, numbers))
        self._cache = ShardCache(folder, prefix, *shapes, self._make)

    def __len__(self) -> int:
        return self.count

    @property
    def _sizes(self) -> list[int]:
        """Numbers of the truth: shape, pose, and of both pictures expressions, cameras and landmarks."""
        each = (len(ARKIT_NAMES), 3, 2 * N_LANDMARKS)
        return [self.head.n_shape, 3, *(size for size in each for _ in range(2))]

    def prepare(self) -> Iterator[int]:
        """Make the missing pairs; yields their number after each shard."""
        return self._cache.prepare(self.count)

    def pairs(self, index: Tensor) -> tuple[TrainingBatch, TrainingBatch]:
        """Return the photos `index` (K,) int64 and the changed ones; both have the pair's number as `person`.

        The targets of the photos are their fits, those of the changed ones these plus the known change.
        """
        pixels, truth = self._cache.rows(index)
        shape, pose, *rest = truth.split(self._sizes, dim=1)
        batches = []
        for k, (expression, camera, points) in enumerate(zip(rest[:2], rest[2:4], rest[4:])):
            target = FaceParams(shape=shape, pose=pose, expression=expression, camera=camera)
            batches.append(_batch(pixels[:, k], target, points, index))
        return batches[0], batches[1]

    @torch.no_grad()
    def _make(self, number: int) -> GeneratedShard:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        pixels, truth = np.empty((SHARD, 2, 3, self.size, self.size), np.uint8), []
        while len(truth) < SHARD:
            photo = int(self.photos[int(torch.randint(len(self.photos), (), generator=generator))])
            pair = self._pair(photo, generator)
            if pair is not None:
                pixels[len(truth)] = (pair[0] * 255).round().byte().numpy()
                truth.append(pair[1])
        return GeneratedShard(pixels, torch.stack(truth).numpy())

    def _pair(self, photo: int, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
        """Return the pictures (2, 3, S, S) and the truth (D,) of a photo; None where its fit is poor."""
        crop = collate(self._faces, np.array([photo]), uniform(*CROP_SCALE, generator), PHOTO_PX)
        params = FaceParams(**{name: value[photo : photo + 1] for name, value in self._params.items()})
        params = self._with_camera(params, crop.landmarks_ndc)
        residual = fit_residual(self.head, params, crop.landmarks_ndc[0])
        corners = crop.landmarks_ndc[0, list(OUTER_EYE_CORNERS)]
        if residual.square().sum(1).mean().sqrt() > MAX_RESIDUAL * (corners[0] - corners[1]).norm():
            return None
        assert params.expression is not None and params.shape is not None and params.pose is not None
        expression = changed_expression(params.expression[0], generator)[None]
        fitted = place(self.head, params, residual)
        changed = place(self.head, params.replace(expression=expression), residual)
        if self._texels is None:
            self._texels = AppearanceTexels(self.head)
        texels = self._texels.colors(random_face_appearance(generator))
        after = warp_photo(crop.image[0], self.head, fitted, changed, texels, self.size)
        before = functional.interpolate(crop.image, (self.size,) * 2, mode="bilinear", antialias=True)[0]
        points = [mesh.landmarks_ndc[None] for mesh in (fitted, changed)]
        cameras = [
            self._with_camera(params.replace(expression=each), at).camera
            for each, at in zip((params.expression, expression), points)
        ]
        values = [params.shape, params.pose, params.expression, expression, *cameras, *(at.flatten(1) for at in points)]
        return torch.stack([before, after]), torch.cat(values, dim=1)[0]  # type: ignore[arg-type]

    def _with_camera(self, params: FaceParams, points_ndc: Tensor) -> FaceParams:
        return params.replace(camera=fit_camera(self.head(params).landmarks("mediapipe"), points_ndc))


def nearly_neutral(table: TargetTable, keys: tuple[str, ...]) -> np.ndarray:
    """Return the positions among `keys` of photos with a fitted, nearly neutral and frontal face, (N,) int64."""
    params, weight = table.of(keys)
    assert params.expression is not None and params.pose is not None
    limit = torch.full((len(ARKIT_NAMES),), MAX_WEIGHT)
    for k, name in enumerate(ARKIT_NAMES):
        if name in GAZE_NAMES:
            limit[k] = 1.0
        elif name == "jawOpen" or name.startswith("eyeBlink"):
            limit[k] = MAX_JAW_OPEN if name == "jawOpen" else MAX_BLINK
    angles = np.array([angles_from_rotation(rotmat)[:2] for rotmat in roma.rotvec_to_rotmat(params.pose).numpy()])
    frontal = (np.abs(angles) < (MAX_YAW_DEG, MAX_PITCH_DEG)).all(axis=1)
    is_neutral = (params.expression < limit).all(1) & (weight > 0)
    return np.flatnonzero(is_neutral.numpy() & frontal)


def changed_expression(expression: Tensor, generator: torch.Generator) -> Tensor:
    """Return a nearly neutral expression (52,) plus a random one, within [0, 1].

    Args:
        expression: (52,) weights of the photo.
        generator: All randomness, on the CPU.
    """
    if chance(_TEMPLATE_SHARE, generator):
        templates = template_tensor()
        added = templates[int(torch.randint(len(templates), (), generator=generator))] * uniform(0.4, 1.0, generator)
    else:
        added = random_expression(_KINDS[int(torch.randint(len(_KINDS), (), generator=generator))], generator)
    if chance(0.3, generator):
        added = added * uniform(0.2, 0.8, generator)
    return resolve_antagonists((expression + added).clamp(0, 1)[None])[0]


def _batch(image: Tensor, target: FaceParams, points: Tensor, person: Tensor) -> TrainingBatch:
    count = len(image)
    return TrainingBatch(
        image=image,
        landmarks_ndc=points.unflatten(1, (N_LANDMARKS, 2)),
        landmark_weight=torch.ones(count, N_LANDMARKS),
        person=person.clone(),
        target=target,
        target_weight=torch.ones(count),
        contour_ndc=torch.zeros(count, CONTOUR_COUNT, 2),
        contour_weight=torch.zeros(count),
    )
