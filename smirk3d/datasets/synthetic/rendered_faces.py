"""Synthetic faces with ground truth, rendered once and kept on disk.

Several times as fast as `smirk3d.datasets.synthetic.scene_sampling`: one sample per pixel, directly into the crop, and
the opacities of lips, brows, irises and so on baked once into an atlas of small squares, one per triangle. Image
degradations of photos follow: hard light, greyscale, blur, low resolution, JPEG, occlusion, the edge of the photo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor

from smirk3d.assets import printable
from smirk3d.datasets.fan_contour import CONTOUR_COUNT
from smirk3d.datasets.synthetic import scene_sampling
from smirk3d.datasets.synthetic.degradation import degraded
from smirk3d.datasets.synthetic.domain_randomization import (
    DomainRandomization,
    random_cuts,
    randomize_appearance,
    randomize_geometry,
    randomize_skin_texture,
)
from smirk3d.datasets.synthetic.scene_sampling import KIND_SHARES, Kind, SampleRanges, chance, uniform
from smirk3d.datasets.synthetic.shard_cache import GeneratedShard, ShardCache
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.detection.crop import Crop
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.model import HeadMesh, HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance import randomization
from smirk3d.render.appearance.appearance_model import supports
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.baked_face import BakedFaceRenderer
from smirk3d.render.appearance.procedural_face import Appearance, Light
from smirk3d.render.appearance.random_face_appearance import random_face_appearance
from smirk3d.render.appearance.randomization import random_background

SHARD = 256
"""Images per file; each shard has its own random numbers, so that a set can be extended later."""
PHOTO_PX = 512
"""Side of the virtual photo from which the crop is taken."""
N_LANDMARKS = 478
APPEARANCE_COUNT = 24
"""Baked variants of brows, lips and irises of randomised heads."""
_CACHE_VERSION = 6


@dataclass(frozen=True)
class RenderAugmentation:
    """Image degradations and their probabilities, and the ranges of crops.

    Attributes:
        kinds: Distributions of the expression, and how many of each in a cycle (see `random_expression`).
        weak: Probability of an expression scaled down by a random factor.
        strength: Standard deviation of the logarithm of the gain of each blendshape, because heads differ in it.
        domain_randomization: Largest strength, in [0, 1], of the randomisation of heads, skins and blendshapes (see
            `smirk3d.datasets.synthetic.domain_randomization`).
        wide_actions: Share of randomised heads whose blendshapes differ as those of other artists do.
        textured: Probability that the open head wears the packaged appearance model instead of procedural colours.
        hard_light: Probability of a strong directional light.
        grey: Probability of greyscale.
        coarse: Probability of a low resolution.
        jpeg: Probability of JPEG compression.
        occluded: Probability of an occluding object.
        cut: Probability of a crop that reaches beyond the photo.
        crop_scale: Range of the side of the crop over the size of the landmark box.
        crop_shift: Standard deviation of the crop's centre over the side of the crop.
    """

    kinds: tuple[tuple[Kind, int], ...] = KIND_SHARES
    weak: float = 0.3
    strength: float = 0.15
    domain_randomization: float = 0.0
    wide_actions: float = 0.5
    textured: float = 0.5
    hard_light: float = 0.35
    grey: float = 0.35
    coarse: float = 0.35
    jpeg: float = 0.5
    occluded: float = 0.2
    cut: float = 0.1
    crop_scale: tuple[float, float] = (1.25, 1.6)
    crop_shift: float = 0.03


class RenderedFaces:
    """Crops of random heads with ground truth.

    The same arguments give the same images on the same machine; a longer set starts with the shorter one.

    Args:
        head: The open head, or one with ARKit's 52 actions and MediaPipe's landmarks.
        count: Number of images.
        seed: Seed of everything random.
        size: Side of the images in pixels.
        folder: Folder in which the images are kept between runs; None: in memory.
        ranges: Ranges of poses, cameras and identities.
        variation: Degradations and crops.
        backgrounds: Folder of photos (.jpg, .png) behind half of the heads; None: soft colours only.

    Raises:
        Smirk3dError: `backgrounds` has no photos, or a file in `folder` is not what was written there.
        ValueError: `count` is not positive.
    """

    def __init__(  # noqa: PLR0913 - all that is optional is by keyword
        self,
        head: HeadModel,
        count: int,
        seed: int,
        size: int = 128,
        *,
        folder: Path | None = None,
        ranges: SampleRanges | None = None,
        variation: RenderAugmentation | None = None,
        backgrounds: Path | None = None,
    ) -> None:
        if count < 1:
            raise ValueError(f"count must be positive, not {count}")
        self.head, self.count, self.seed, self.size = head, count, seed, size
        self.ranges = SampleRanges() if ranges is None else ranges
        self.variation = RenderAugmentation() if variation is None else variation
        self._photos = [] if backgrounds is None else sorted(backgrounds.glob("*.[jp][pn]g"))
        if backgrounds is not None and not self._photos:
            raise Smirk3dError(f"{printable(backgrounds)}: no photos with .jpg or .png; name a folder that has some")
        self._renderer: BakedFaceRenderer | None = None  # baked for the first image
        self._texels: AppearanceTexels | None = None
        self._cuts = random_cuts(APPEARANCE_COUNT) if self.variation.domain_randomization else []
        names = [path.name for path in self._photos]
        # Values without the names of fields, so that a rename does not discard cached images.
        settings = [tuple(asdict(each).values()) for each in (self.ranges, self.variation, DomainRandomization())]
        about = (_CACHE_VERSION, seed, size, *settings, names)
        content = hashlib.sha256(repr(about).encode())
        for part in (head.v_template, head.shapedirs, head.landmark_embedding("mediapipe").barycentric):
            content.update(part.numpy().tobytes())
        numbers = head.n_shape + head.n_expression + 6 + 2 * N_LANDMARKS
        prefix, shapes = f"faces_{content.hexdigest()[:12]}", ((SHARD, 3, size, size), (SHARD, numbers))
        self._cache = ShardCache(folder, prefix, *shapes, self._make)

    def __len__(self) -> int:
        return self.count

    @property
    def fingerprint(self) -> str:
        """Digest of seed, settings and head, on which the images depend."""
        return self._cache.prefix

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Distribution of the expression of each image."""
        turn = _turn(self.variation)
        return tuple(turn[index % SHARD % len(turn)] for index in range(self.count))

    def prepare(self) -> Iterator[int]:
        """Render the missing images; yields their number after each shard."""
        return self._cache.prepare(self.count)

    def batch(self, index: Tensor) -> TrainingBatch:
        """Return the images `index` (K,) int64, rendered or read as needed.

        The target has shape, expression, pose (rotation vector about the root joint, from head to camera) and camera:
        the scaled orthographic one that fits the landmarks best, though the image is in perspective. `person` is the
        index: no two images show the same head.

        Raises:
            IndexError: An index is outside the set.
        """
        if ((index < 0) | (index >= self.count)).any():
            raise IndexError(f"images 0 to {self.count - 1}, not {int(index.min())} to {int(index.max())}")
        image, truth = self._cache.rows(index)
        sizes = [self.head.n_shape, self.head.n_expression, 3, 3, N_LANDMARKS * 2]
        shape, expression, pose, camera, points = truth.split(sizes, dim=1)
        return TrainingBatch(
            image=image,
            landmarks_ndc=points.unflatten(1, (N_LANDMARKS, 2)),
            landmark_weight=torch.ones(len(index), N_LANDMARKS),
            person=index.clone(),
            target=FaceParams(shape=shape, expression=expression, pose=pose, camera=camera),
            target_weight=torch.ones(len(index)),
            contour_ndc=torch.zeros(len(index), CONTOUR_COUNT, 2),  # FAN's outline is not that of the embedding
            contour_weight=torch.zeros(len(index)),
        )

    @torch.no_grad()
    def _make(self, number: int) -> GeneratedShard:
        """Render one shard."""
        strength = self.variation.domain_randomization
        if self._renderer is None:
            self._renderer = BakedFaceRenderer(self.head, self._cuts)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        params = _random_heads(self.head, self.ranges, self.variation, generator)
        varied = _with_random_gains(params, self.variation.strength, generator)
        share = strength * torch.rand(SHARD, generator=generator) if strength else torch.zeros(SHARD)
        stds = DomainRandomization(wide_share=self.variation.wide_actions)
        mesh = randomize_geometry(self.head, varied, share, generator, stds) if strength else self.head(varied)
        vertices_px, points_px, depth = project_with_random_cameras(mesh, self.ranges, generator)
        crops = _random_crops(points_px, self.size, self.variation, generator)
        ndc = torch.cat([_in_crops(vertices_px, crops), depth[..., None]], dim=-1)
        points_ndc = _in_crops(points_px, crops)
        pixels = np.empty((SHARD, 3, self.size, self.size), np.uint8)
        for k in range(SHARD):
            appearance, tint = self._appearance(float(share[k]), generator)
            light = _random_light(self.variation.hard_light, generator)
            albedo = self._albedo(generator)
            color, alpha = self._renderer.render(ndc[k], mesh.vertices[k], self.size, appearance, light, tint, albedo)
            image = color + (1 - alpha) * self._background(generator)
            landmarks_px = ((points_ndc[k] + 1) * (self.size / 2)).numpy()
            pixels[k] = degraded(image, landmarks_px, self.variation, generator)
        camera = fit_camera(mesh.landmarks("mediapipe"), points_ndc)
        truth = torch.cat([*(values for _, values in params.items()), camera, points_ndc.flatten(1)], dim=1)
        return GeneratedShard(pixels, truth.numpy())

    def _appearance(self, share: float, generator: torch.Generator) -> tuple[Appearance, Tensor | None]:
        """Draw an appearance, and factors (V, 3) on the skin colour."""
        appearance = randomization.random_appearance(generator)
        if not share:
            return appearance, None
        cut = self._cuts[int(torch.randint(APPEARANCE_COUNT, (), generator=generator))]
        if chance(0.8, generator):
            appearance = randomize_appearance(appearance, cut, generator)
        return appearance, randomize_skin_texture(self.head, appearance.hair, share, generator)

    def _albedo(self, generator: torch.Generator) -> Tensor | None:
        """Draw the texels of the appearance model, or None for procedural colours."""
        if not supports(self.head) or not chance(self.variation.textured, generator):
            return None
        if self._texels is None:
            self._texels = AppearanceTexels(self.head)
        return self._texels.colors(random_face_appearance(generator))

    def _background(self, generator: torch.Generator) -> Tensor:
        """Draw a piece of a photo or soft colours, (3, S, S) in [0, 1]."""
        if not self._photos or chance(0.5, generator):
            return random_background(self.size, generator)
        from PIL import Image

        path = self._photos[int(torch.randint(len(self._photos), (), generator=generator))]
        with Image.open(path) as photo:
            side = max(int(min(photo.size) * uniform(0.3, 1.0, generator)), 1)
            x, y = (int(uniform(0, length - side, generator)) for length in photo.size)
            piece = photo.convert("RGB").resize((self.size, self.size), box=(x, y, x + side, y + side))
        return torch.from_numpy(np.array(piece)).permute(2, 0, 1).float() / 255


def _random_heads(
    head: HeadModel, ranges: SampleRanges, variation: RenderAugmentation, generator: torch.Generator
) -> FaceParams:
    """Draw the identities, expressions and poses of a shard, cycling through the kinds of expressions."""
    turn = _turn(variation)
    shape = ranges.shape_std * torch.randn(SHARD, head.n_shape, generator=generator)
    expression = torch.stack([scene_sampling.random_expression(turn[k % len(turn)], generator) for k in range(SHARD)])
    factor = 0.2 + 0.8 * torch.rand(SHARD, 1, generator=generator)
    is_weak = torch.rand(SHARD, 1, generator=generator) < variation.weak
    limits = torch.tensor([ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg])
    angles = (2 * torch.rand(SHARD, 3, generator=generator) - 1) * limits
    rotmat = torch.from_numpy(np.stack([rotation_from_angles(*row) for row in angles.tolist()])).float()
    expression = torch.where(is_weak, factor * expression, expression)
    return FaceParams(shape=shape, expression=expression, pose=roma.rotmat_to_rotvec(rotmat))


def _turn(variation: RenderAugmentation) -> tuple[Kind, ...]:
    return tuple(kind for kind, share in variation.kinds for _ in range(share))


def _with_random_gains(params: FaceParams, spread: float, generator: torch.Generator) -> FaceParams:
    """Scale each blendshape of each face by a random gain; gaze is an angle and keeps its scale."""
    assert params.expression is not None
    factor = (spread * torch.randn(params.expression.shape, generator=generator)).exp()
    factor[:, [ARKIT_NAMES.index(name) for name in GAZE_NAMES]] = 1.0
    factor[:, ARKIT_NAMES.index("mouthClose")] = factor[:, ARKIT_NAMES.index("jawOpen")]  # the lips still meet
    return replace(params, expression=params.expression * factor)


def project_with_random_cameras(
    mesh: HeadMesh, ranges: SampleRanges, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return vertices (B, V, 2) and landmarks (B, 478, 2) in pixels of random cameras, and depths (B, V) in metres.

    Args:
        mesh: B posed heads.
        ranges: Range of the distance of the cameras.
        generator: All randomness, on the CPU.
    """
    count = len(mesh.vertices)
    distance = torch.empty(count, 1).uniform_(*ranges.distance_m, generator=generator)
    zoom = torch.empty(count, 1).uniform_(0.8, 1.15, generator=generator)
    focal_px = scene_sampling.FACE_SHARE * zoom * distance / scene_sampling.FACE_HEIGHT_M * PHOTO_PX
    middle = mesh.vertices[:, mesh.head.region_mask("face")].mean(1, keepdim=True)
    shift = 0.015 * torch.randn(count, 1, 3, generator=generator)
    placed = [points - middle + shift for points in (mesh.vertices, mesh.landmarks("mediapipe"))]
    depths = [distance - points[..., 2] for points in placed]
    per_m = [(focal_px / depth)[..., None] * torch.tensor([1.0, -1.0]) for depth in depths]
    vertices_px, points_px = (PHOTO_PX / 2 + points[..., :2] * factor for points, factor in zip(placed, per_m))
    return vertices_px, points_px, depths[0]


def _random_crops(
    points_px: Tensor, size: int, variation: RenderAugmentation, generator: torch.Generator
) -> list[Crop]:
    """Return crops around landmarks (B, 478, 2), shifted like those of a detector."""
    crops = []
    for points in points_px.numpy():
        crop = Crop.from_landmarks(points, uniform(*variation.crop_scale, generator), size)
        x, y = (variation.crop_shift * crop.side_px * torch.randn(2, generator=generator)).tolist()
        crops.append(replace(crop, x0=crop.x0 + x, y0=crop.y0 + y))
    return crops


def _in_crops(photo_px: Tensor, crops: list[Crop]) -> Tensor:
    """Convert points (B, N, 2) from pixels of the photo to NDC of B crops."""
    inside = [crop.to_ndc(crop.to_crop(points)) for crop, points in zip(crops, photo_px.numpy())]
    return torch.from_numpy(np.stack(inside)).float()


def fit_camera(points: Tensor, points_ndc: Tensor) -> Tensor:
    """Fit the scaled orthographic camera to point correspondences by linear least squares.

    With the camera `x' = s (x + tx)`, `y' = -s (y + ty)` the centroids map to each other, and s is the ratio of the
    covariance of both point sets to the variance of the points.

    Args:
        points: (B, L, 3) metres, camera axes (+Y up).
        points_ndc: (B, L, 2) their projections, x right and y down in [-1, 1].

    Returns:
        (B, 3) scale, tx, ty.
    """
    flipped = points_ndc * points_ndc.new_tensor([1.0, -1.0])
    mean, mean_ndc = points[..., :2].mean(1, keepdim=True), flipped.mean(1, keepdim=True)
    spread = points[..., :2] - mean
    scale = (spread * (flipped - mean_ndc)).sum((1, 2)) / (spread**2).sum((1, 2))
    return torch.cat([scale[:, None], (mean_ndc / scale[:, None, None] - mean)[:, 0]], dim=1)


def _random_light(hard_share: float, generator: torch.Generator) -> Light:
    """Draw a soft light, or with a probability a hard one with little ambient light."""
    light = randomization.random_light(generator)
    if not chance(hard_share, generator):
        return light
    direct, ambient = uniform(0.8, 1.3, generator), uniform(0.02, 0.2, generator)
    return replace(light, direction=light.direction * torch.tensor([1.6, 1.3, 1.0]), direct=direct, ambient=ambient)
