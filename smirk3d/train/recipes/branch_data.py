"""Batches from which a branch of the windowed encoder is trained: rendered faces, photos, repainted photos."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from tyro.conf import Positional, arg

from smirk3d.datasets.augment import augment, mirrored
from smirk3d.datasets.config import AugmentConfig, DataConfig, SourceConfig
from smirk3d.datasets.frame_augmentation import frame_augmentation
from smirk3d.datasets.sampler import BatchSampler
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.landmark_indices import SKIN_COUNT
from smirk3d.head.model import HeadModel
from smirk3d.networks.encoder import EncoderConfig
from smirk3d.networks.face_window import FaceFrame, FaceWindow
from smirk3d.params import FaceParams
from smirk3d.train.recipes.photo_pairs import open_photo_pairs
from smirk3d.train.recipes.repainted_photos import RepaintedPhotos

BACKBONE = "tf_efficientnet_lite0_stride16"
CONFIG = EncoderConfig(BACKBONE, BACKBONE, BACKBONE, FaceWindow(), flip_tta=True, iterative_pose=True, zoom_tta=0.93)
SIZE_PX = 160
JITTER_ROLL_RAD, JITTER_SCALE, JITTER_SHIFT = 0.07, 0.08, 0.06
"""Largest differences between a training window and that of the ground truth: the error of the pose branch."""
LANDMARK_OBSERVABLE = frozenset(
    ["jawOpen", "mouthSmile", "eyeBlink", "browInnerUp", "browOuterUp", "mouthPucker", "mouthFunnel", "mouthClose"]
    + [name.removesuffix("Left") for name in GAZE_NAMES if name.endswith("Left")]
)
"""Blendshapes, without their side, whose weight in a photo landmarks tell; the fit's other weights are no targets."""
_PAIR_AUGMENT = AugmentConfig(mirror=0.0, color=0.0, tint=0.3)
_PAIR_STEP = 500_000
"""Offset that keeps the random numbers of pairs apart from those of other pictures."""
COARSE_JITTER = 1.4
"""Factor on them for the shape branch, whose window comes from the coarse pose."""
STEP_SEED_STRIDE = 1_000_003
"""Keeps the random numbers of the steps of two seeds apart."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BranchOptions:
    """Data, loss weights and length of one training run of a branch."""

    branch: Positional[Literal["pose", "shape", "expression"]]
    """Branch to train."""
    photos: Path
    """Folder of shards of photos."""
    targets: Path
    """Pseudo-targets of the photos, from `smirk3d data targets`."""
    out: Path
    """Folder for the result, BRANCH.pt."""
    renders: int = 20_480
    """Rendered images of the open head; 0: none."""
    randomized_renders: Annotated[int, arg(aliases=("--unlike",))] = 40_960
    """Rendered images with full domain randomisation of heads, skins and blendshapes; 0: none."""
    steps: int = 4000
    """Number of batches; 1000 for pose and shape, 4000 for expression."""
    batch_size: int = 32
    """Faces per step."""
    photo_share: float = 0.25
    """Share of photos in a batch, in [0, 1]; the rest is rendered."""
    photo_weight: float = 0.25
    """Loss weight of a photo's pseudo-target relative to that of rendered ground truth."""
    lr: float = 5e-4
    """Peak learning rate; 1e-4 to 5e-4 for continued runs."""
    init: Path | None = None
    """State dict of this branch to continue from, with a new learning-rate schedule; without: ImageNet weights."""
    frozen_stages: Annotated[int, arg(aliases=("--held-stages",))] = 0
    """Leading stages of the backbone, of 5, that are frozen, which saves their backward pass."""
    regression_steps: int = 80
    """Batches of the ridge regression that initialises the linear layers."""
    seed: int = 11
    """Seed of everything random."""
    threads: int = 2
    """CPU threads of torch."""
    whiten_sides: Annotated[bool, arg(aliases=("--sides",))] = True
    """Weight sums and differences of left and right by their inverse variance; otherwise each blendshape alike."""
    neural_renderer: Annotated[Path | None, arg(aliases=("--painter",))] = None
    """Checkpoint of a neural renderer that repaints the photos of a batch with other, known expressions."""
    repainted_weight: Annotated[float, arg(aliases=("--painted-weight",))] = 0.6
    """Loss weight of a repainted photo relative to that of rendered ground truth."""
    pairs: int = 0
    """Photo-textured pairs per step, see `smirk3d.datasets.synthetic.photo_textured`; 0: none. 8 to 16 are usual."""
    pair_count: int = 16_384
    """Number of different pairs."""
    labels: Path | None = None
    """Folder of shards with emotion labels, and `labels.csv`, from which the photos were prepared; adds the loss of a
    linear emotion probe on the expression."""
    labelled: int = 8
    """Labelled photos per step."""
    emotion_weight: float = 0.1
    """Weight of the emotion loss."""
    consistency_weight: Annotated[float, arg(aliases=("--steady",))] = 0.0
    """Weight of the temporal consistency loss between a face and the same face in an augmented frame (see
    `smirk3d.datasets.frame_augmentation`); 0: no such frames. 0.5 to 2 steadies video."""
    landmark_weight: Annotated[float, arg(aliases=("--guide",))] = 5.0
    """Weight of the auxiliary landmark loss."""
    validation_count: Annotated[int, arg(aliases=("--judged",))] = 0
    """Rendered faces of other people on which an expression branch is validated at the end; 0: none."""


@dataclass(frozen=True, eq=False)
class LinearFaceFrame:
    """Centre, root joint and size of the face on the unposed head as a linear function of the shape.

    Attributes:
        mean: (7,) of the mean face: centre and root in metres, and the size 1.
        slopes: (S, 7) change per shape coefficient.
    """

    mean: Tensor
    slopes: Tensor

    @staticmethod
    @torch.no_grad()
    def measured(head: HeadModel) -> LinearFaceFrame:
        """Measure the landmarks of the skin: their mean, and their root mean square distance from it."""
        shapes = head(FaceParams(shape=torch.cat([torch.zeros(1, head.n_shape), torch.eye(head.n_shape)])))
        points = shapes.landmarks("mediapipe")[:, :SKIN_COUNT]
        center, root = points.mean(1), shapes.joints[:, 0]
        spread = points - center[:, None]
        # The size is a root mean square; its slope at the mean face is the projection on the mean face's points.
        size = (spread[1:] - spread[0]).mul(spread[0]).sum((1, 2)) / spread[0].square().sum()
        mean = torch.cat([center[0], root[0], root.new_ones(1)])
        return LinearFaceFrame(mean, torch.cat([center[1:] - center[0], root[1:] - root[0], size[:, None]], dim=1))

    def of(self, shape: Tensor) -> FaceFrame:
        """Return the face frames of shapes (B, S)."""
        return FaceFrame(*(self.mean + shape @ self.slopes).split((3, 3, 1), dim=1))


@dataclass(frozen=True)
class BranchBatch:
    """Inputs and targets of a branch.

    Attributes:
        images: (B, 3, P, P) in [0, 1], P the side of the window.
        landmarks: (B, 478, 2) MediaPipe's points in them, [-1, 1].
        target: (B, N) raw outputs of the branch.
        weight: (B,) loss weight.
        augmented: (K, 3, P, P) the first K images again, as in another frame; K is 0 without the consistency loss.
        known: (B, N) bool, outputs whose target counts.
    """

    images: Tensor
    landmarks: Tensor
    target: Tensor
    weight: Tensor
    augmented: Tensor
    known: Tensor

    def extended(self, other: BranchBatch) -> BranchBatch:
        """Return this batch followed by another one."""
        return BranchBatch(
            *(torch.cat([getattr(each, field.name) for each in (self, other)]) for field in fields(BranchBatch))
        )


class BranchSampler:
    """Makes the batches of a branch.

    Args:
        options: Training run.
        head: The open head.
        sampler: Batches of crops; None: those of the options.
        window: The window that shape and expression are read from; None: the default one.

    Attributes:
        sampler: Batches of crops; its last source is the photos.
        window: The window that shape and expression are read from.
        face: Face frames of the head's shapes.
        repainted: Repaints photos; None: none are repainted.
    """

    def __init__(
        self,
        options: BranchOptions,
        head: HeadModel,
        sampler: BatchSampler | None = None,
        window: FaceWindow | None = None,
    ) -> None:
        self.options, self.head, self.window = options, head, FaceWindow() if window is None else window
        if sampler is None:
            data = DataConfig(
                branch_sources(options), size=SIZE_PX, crop_scale=(1.25, 1.6), batch_size=options.batch_size
            )
            # Rendered heads have random colours already, and most photos are grey.
            sampler = BatchSampler(data, AugmentConfig(color=0.0), options.seed, head)
        self.sampler = sampler
        renderer = options.neural_renderer
        self.repainted = None if renderer is None else RepaintedPhotos(head, renderer)
        self.face = LinearFaceFrame.measured(head)
        self.pairs = open_photo_pairs(self.sampler, head, options.pair_count, options.seed) if options.pairs else None

    def batch(self, step: int) -> BranchBatch:
        """Return the batch of a step; it depends on the seed and the step alone."""
        return self.batch_of(self.sampler.batch(step), self.generator(step))

    def generator(self, step: int, rank: int = 0) -> torch.Generator:
        """Return the random generator of a step in one of the processes."""
        return torch.Generator().manual_seed(self.options.seed * STEP_SEED_STRIDE + step + (rank << 48))

    def batch_of(self, crops: TrainingBatch, generator: torch.Generator) -> BranchBatch:
        """Return inputs and targets for crops with targets; the generator draws all randomness."""
        if self.options.branch == "pose":
            return self._pose_batch(crops)
        if self.options.branch == "shape":
            return self._shape_batch(crops, generator)
        return self._expression_batch(crops, generator)

    def windows(self, photos: TrainingBatch, generator: torch.Generator) -> Tensor:
        """Return jittered windows (B, 3, P, P) of photos with targets."""
        return self.window.extract(photos.image, _jittered(self._exact(photos.target), 1.0, generator))

    def exact_windows(self, crops: TrainingBatch) -> Tensor:
        """Return the windows (B, 3, P, P) of crops that the ground-truth pose and camera place."""
        return self.window.extract(crops.image, self._exact(crops.target))

    def _pose_batch(self, crops: TrainingBatch) -> BranchBatch:
        pose, camera = _pose_and_camera(crops.target)
        side_px = self.window.size_px
        images = nn.functional.interpolate(crops.image, (side_px, side_px), mode="bilinear")
        target = torch.cat([pose, camera], dim=1)
        return BranchBatch(images, crops.landmarks_ndc, target, self._weight(crops), images[:0], _all(target))

    def _shape_batch(self, crops: TrainingBatch, generator: torch.Generator) -> BranchBatch:
        pose, camera = _pose_and_camera(crops.target)
        assert crops.target is not None and crops.target.shape is not None
        affine = _jittered(self._exact(crops.target), COARSE_JITTER, generator)
        code = self.window.encode_pose(pose, camera, affine, self.face.of(crops.target.shape))
        target = torch.cat([crops.target.shape, code], dim=1)
        images = self.window.extract(crops.image, affine)
        return BranchBatch(
            images, _in_window(crops.landmarks_ndc, affine), target, self._weight(crops), images[:0], _all(target)
        )

    def _expression_batch(self, crops: TrainingBatch, generator: torch.Generator) -> BranchBatch:
        exact = self._exact(crops.target)
        affine = _jittered(exact, 1.0, generator)
        assert crops.target is not None and crops.target.expression is not None
        images = self.window.extract(crops.image, affine)
        augmented = images[:0]
        if self.options.consistency_weight:
            frames, moved = frame_augmentation(crops.image, exact, generator)
            augmented = self.window.extract(frames, _jittered(moved, 1.0, generator))
        landmarks = _in_window(crops.landmarks_ndc, affine)
        is_photo = crops.target_weight < 1
        known = _all(crops.target.expression) & (~is_photo[:, None] | _landmark_observable())
        batch = BranchBatch(images, landmarks, crops.target.expression, self._weight(crops), augmented, known)
        if self.repainted is None or not is_photo.any():
            return batch
        return batch.extended(self._repainted_batch(self.repainted, crops.take(is_photo), generator))

    def _repainted_batch(
        self, repainted: RepaintedPhotos, photos: TrainingBatch, generator: torch.Generator
    ) -> BranchBatch:
        images, params = repainted(photos, generator)
        affine = _jittered(self._exact(params), 1.0, generator)
        assert params.camera is not None and params.expression is not None
        with torch.no_grad():
            landmarks = project_orthographic(self.head(params).landmarks("mediapipe"), params.camera)[..., :2]
        weight = torch.full((len(photos),), self.options.repainted_weight)
        windows = self.window.extract(images, affine)
        landmarks = _in_window(landmarks, affine)
        return BranchBatch(windows, landmarks, params.expression, weight, windows[:0], _all(params.expression))

    def pair_batch(self, step: int, rank: int = 0) -> BranchBatch:
        """Return K photos of a step, followed by the same photos with changed expressions.

        The photos are nearly neutral: their fits are targets where landmarks tell the weight, and 0 elsewhere.
        """
        assert self.pairs is not None
        generator = self.generator(step + _PAIR_STEP, rank)
        rows = torch.randint(len(self.pairs), (self.options.pairs,), generator=generator)
        is_flipped = torch.rand(len(rows), generator=generator) < 0.5
        crops = [mirrored(each, is_flipped, self.head) for each in self.pairs.pairs(rows)]
        fitted, changed = (_expression_of(each) for each in crops)
        neutral = torch.where(_landmark_observable(), fitted, 0.0)
        parts = []
        for each, target in zip(crops, (neutral, neutral + changed - fitted)):
            pictures = augment(each, _PAIR_AUGMENT, generator, self.head)
            affine = _jittered(self._exact(pictures.target), 1.0, generator)
            images, landmarks = self.window.extract(pictures.image, affine), _in_window(pictures.landmarks_ndc, affine)
            weight = torch.full((len(rows),), self.options.photo_weight)
            parts.append(BranchBatch(images, landmarks, target, weight, images[:0], _all(target)))
        return parts[0].extended(parts[1])

    def _exact(self, params: FaceParams | None) -> Tensor:
        """Return the windows (B, 2, 3) of the ground-truth pose and camera."""
        return self.window.affine_from_pose(*_pose_and_camera(params))

    def _weight(self, crops: TrainingBatch) -> Tensor:
        is_photo = crops.target_weight < 1
        return crops.target_weight * torch.where(is_photo, self.options.photo_weight, 1.0)


def _expression_of(crops: TrainingBatch) -> Tensor:
    assert crops.target is not None and crops.target.expression is not None
    return crops.target.expression


def _all(target: Tensor) -> Tensor:
    return torch.ones_like(target, dtype=torch.bool)


@functools.cache
def _landmark_observable() -> Tensor:
    """Return (52,) bool, blendshapes that a fit to landmarks can tell."""
    return torch.tensor(
        [name.removesuffix("Left").removesuffix("Right") in LANDMARK_OBSERVABLE for name in ARKIT_NAMES]
    )


def branch_sources(options: BranchOptions) -> tuple[SourceConfig, ...]:
    """Return the rendered sources, weighted by their size, and the photos."""
    share = (1 - options.photo_share) / max(options.renders + options.randomized_renders, 1)
    # The seeds of both differ, so that no person is in both.
    rendered = ((options.renders, options.seed + 1, 0.0), (options.randomized_renders, options.seed, 1.0))
    return (
        *(
            SourceConfig(kind="rendered", count=count, seed=seed, domain_randomization=strength, weight=share * count)
            for count, seed, strength in rendered
            if count
        ),
        SourceConfig(options.photos, "shards", weight=options.photo_share, targets=options.targets),
    )


def _pose_and_camera(params: FaceParams | None) -> tuple[Tensor, Tensor]:
    assert params is not None and params.pose is not None and params.camera is not None
    return params.pose, params.camera


def _in_window(points: Tensor, affine: Tensor) -> Tensor:
    """Return crop points (B, L, 2) in the coordinates of windows (B, 2, 3), both [-1, 1]."""
    return torch.linalg.solve(affine[:, :, :2], (points - affine[:, None, :, 2]).mT).mT


def _jittered(affine: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Return windows (B, 2, 3) randomly rolled, scaled and shifted by the error of a pose prediction."""

    def uniform(limit: float, *size: int) -> Tensor:
        return (2 * torch.rand(len(affine), *size, generator=generator) - 1) * limit * amount

    roll, size = uniform(JITTER_ROLL_RAD), 1 + uniform(JITTER_SCALE)
    turn = torch.stack([torch.stack([roll.cos(), -roll.sin()], 1), torch.stack([roll.sin(), roll.cos()], 1)], 1)
    shift = (affine[:, :, :2] @ uniform(JITTER_SHIFT, 2, 1))[..., 0]
    return torch.cat([affine[:, :, :2] @ turn * size[:, None, None], (affine[:, :, 2] + shift)[..., None]], dim=2)
