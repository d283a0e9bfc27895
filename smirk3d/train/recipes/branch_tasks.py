"""What the branches of the window encoder are shown in training, and how their answers are judged."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import roma
import torch
import tyro
from torch import Tensor, nn

from smirk3d.datasets.config import AugmentConfig, DataConfig, SourceConfig
from smirk3d.datasets.frame_augmentation import frame_augmentation
from smirk3d.datasets.sampler import BatchSampler
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.landmark_indices import SKIN_COUNT
from smirk3d.head.model import HeadModel
from smirk3d.networks.encoder import EncoderConfig
from smirk3d.networks.face_window import MEAN_POSE_CODE, FaceFrame, FaceWindow
from smirk3d.params import FaceParams
from smirk3d.train.recipes.repainted_photos import RepaintedPhotos

BACKBONE = "tf_efficientnet_lite0_stride16"
CONFIG = EncoderConfig(BACKBONE, BACKBONE, BACKBONE, FaceWindow(), flip_tta=True, iterative_pose=True, zoom_tta=0.93)
SIZE_PX = 160
N_LOOK = len(MEAN_POSE_CODE)
JITTER_ROLL_RAD, JITTER_SCALE, JITTER_SHIFT = 0.07, 0.08, 0.06
"""How far a window may be from where the truth would put it, because the pose branch errs too."""
FIRST_LOOK_JITTER = 1.4
"""The same for what is read at the first look, times that for what the second one placed."""


@dataclass(frozen=True)
class Options:
    """What is trained, on what, and for how long."""

    branch: tyro.conf.Positional[Literal["pose", "shape", "expression"]]
    photos: Path
    """Folder of shards."""
    targets: Path
    """Pseudo-targets of the photos."""
    out: Path
    """Folder for the result."""
    renders: int = 20_480
    """Pictures of the open head."""
    unlike: int = 40_960
    """Pictures of heads, skins and actions unlike it."""
    steps: int = 4000
    batch_size: int = 32
    photo_share: float = 0.25
    """Share of photos in a batch; the rest is rendered."""
    photo_weight: float = 0.25
    """Weight of the photos' pseudo-targets over that of exact truth."""
    lr: float = 5e-4
    init: Path | None = None
    """A branch that this script wrote, to go on from with a new learning rate."""
    held_stages: int = 0
    """First stages of the backbone, of 5, that are left as they are, which saves their part of the backward pass."""
    regression_steps: int = 80
    """Batches for the first linear layer."""
    seed: int = 11
    threads: int = 2
    sides: bool = True
    """Let sums and differences of the two sides count by how little they vary, instead of each weight alike."""
    painter: Path | None = None
    """Checkpoint of a neural renderer that paints the photos of a batch with other expressions, which are learned
    too."""
    painted_weight: float = 0.6
    """Weight of what it paints over that of exact truth."""
    labels: Path | None = None
    """Folder of shards with emotion labels, and `labels.csv`, that the photos were prepared from; a linear map of the
    expressions should tell the emotions of labelled photos, too."""
    labelled: int = 8
    """How many of them a step shows."""
    emotion_weight: float = 0.1
    steady: float = 0.0
    """Weight of how much answers differ between a face and the same one in another frame, see `frame_augmentation`; what moves
    when nothing but the picture does is told less of."""
    guide: float = 5.0
    """Weight of the landmarks that the auxiliary layer tells."""
    judged: int = 0
    """Rendered faces of other people, of the open head and unlike it, on which expressions are judged in the end."""


@dataclass(frozen=True, eq=False)
class LinearFaceFrame:
    """Where the face is on the head, linear in the shape.

    Attributes:
        mean: (7,) of the mean face: middle and root in metres, and the size 1. slopes: (S, 7) per coefficient.
    """

    mean: Tensor
    slopes: Tensor

    @staticmethod
    @torch.no_grad()
    def measured(head: HeadModel) -> LinearFaceFrame:
        """Measure the landmarks of the skin: their mean, and their root mean square distance from it."""
        shapes = head(FaceParams(shape=torch.cat([torch.zeros(1, head.n_shape), torch.eye(head.n_shape)])))
        points = shapes.landmarks("mediapipe")[:, :SKIN_COUNT]
        middle, root = points.mean(1), shapes.joints[:, 0]
        spread = points - middle[:, None]
        size = (spread[1:] - spread[0]).mul(spread[0]).sum((1, 2)) / spread[0].square().sum()
        mean = torch.cat([middle[0], root[0], root.new_ones(1)])
        return LinearFaceFrame(mean, torch.cat([middle[1:] - middle[0], root[1:] - root[0], size[:, None]], dim=1))

    def of(self, shape: Tensor) -> FaceFrame:
        """Return where the faces of shapes (B, S) are."""
        return FaceFrame(*(self.mean + shape @ self.slopes).split((3, 3, 1), dim=1))


@dataclass(frozen=True)
class BranchBatch:
    """What a branch sees and should say.

    Attributes:
        pictures: (B, 3, P, P). points: (B, 478, 2) landmarks in them. wanted: (B, N). weight: (B,) trust.
        again: (K, 3, P, P) the first K of them in another frame; K is 0 where that is not asked for.
    """

    pictures: Tensor
    points: Tensor
    wanted: Tensor
    weight: Tensor
    again: Tensor

    def and_more(self, other: BranchBatch) -> BranchBatch:
        """Return both in one."""
        return BranchBatch(
            *(torch.cat([getattr(each, field.name) for each in (self, other)]) for field in fields(BranchBatch))
        )


class TargetGenerator:
    """Makes tasks of a stream's batches, and judges answers."""

    def __init__(self, options: Options, head: HeadModel) -> None:
        self.options, self.head, self.window = options, head, FaceWindow()
        share = (1 - options.photo_share) / max(options.renders + options.unlike, 1)
        rendered = ((options.renders, options.seed + 1, 0.0), (options.unlike, options.seed, 1.0))
        sources = (
            *(
                SourceConfig(kind="rendered", count=count, seed=seed, domain_randomization=unlike, weight=share * count)
                for count, seed, unlike in rendered
                if count
            ),
            SourceConfig(options.photos, "shards", weight=options.photo_share, targets=options.targets),
        )
        data = DataConfig(sources, size=SIZE_PX, crop_scale=(1.3, 1.55), batch_size=options.batch_size)
        self.stream = BatchSampler(data, AugmentConfig(), options.seed, head)
        self.painted = None if options.painter is None else RepaintedPhotos(head, options.painter)
        embedding = head.landmark_embedding("mediapipe")
        self.neutral = embedding.points(head.v_template, head.faces)
        with torch.no_grad():
            shapes = head(FaceParams(shape=torch.eye(head.n_shape))).landmarks("mediapipe")
        self.shape_points = (shapes - self.neutral).flatten(1)
        self.face = LinearFaceFrame.measured(head)
        self.basis, self.scale = _sides(), torch.ones(len(ARKIT_MIRROR))
        if options.branch == "expression" and not options.sides:
            self.basis = torch.eye(len(ARKIT_MIRROR))
        elif options.branch == "expression":
            said = torch.cat([self.task(step).wanted for step in range(20)])
            both = torch.cat([said, said[:, list(ARKIT_MIRROR)]])
            variance = (both @ self.basis.T).var(0) + 0.003
            self.scale = (1 / variance) / (1 / variance).mean()

    def task(self, step: int) -> BranchBatch:
        """Return the task of a step; it depends on the step alone."""
        batch = self.stream.batch(step)
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + step)
        target = batch.target
        assert target is not None and target.pose is not None and target.camera is not None
        if self.options.branch == "pose":
            side_px = self.window.size_px
            pictures = nn.functional.interpolate(batch.image, (side_px, side_px), mode="bilinear")
            wanted = torch.cat([target.pose, target.camera], dim=1)
            return BranchBatch(pictures, batch.landmarks_ndc, wanted, self._trust(batch), pictures[:0])
        is_first = self.options.branch == "shape"
        exact = self.window.affine_from_pose(target.pose, target.camera)
        place = _jittered(exact, FIRST_LOOK_JITTER if is_first else 1.0, generator)
        points = torch.linalg.solve(place[:, :, :2], (batch.landmarks_ndc - place[:, None, :, 2]).mT).mT
        wanted = target.expression
        if is_first and target.shape is not None:
            look = self.window.encode_pose(target.pose, target.camera, place, self.face.of(target.shape))
            wanted = torch.cat([target.shape, look], dim=1)
        assert wanted is not None
        pictures = self.window.extract(batch.image, place)
        again = pictures[:0]
        if self.options.steady and not is_first:
            crops, moved = frame_augmentation(batch.image, exact, generator)
            again = self.window.extract(crops, _jittered(moved, 1.0, generator))
        task = BranchBatch(pictures, points, wanted, self._trust(batch), again)
        is_photo = batch.target_weight < 1
        if self.painted is None or is_first or not is_photo.any():
            return task
        return task.and_more(self._painted_task(self.painted, batch.take(is_photo), generator))

    def views(self, photos: TrainingBatch, generator: torch.Generator) -> Tensor:
        """Return the windows (B, 3, P, P) of photos, about where their targets are."""
        target = photos.target
        assert target is not None and target.pose is not None and target.camera is not None
        return self.window.extract(
            photos.image, _jittered(self.window.affine_from_pose(target.pose, target.camera), 1.0, generator)
        )

    def _painted_task(self, painted: RepaintedPhotos, photos: TrainingBatch, generator: torch.Generator) -> BranchBatch:
        pictures, params = painted(photos, generator)
        assert params.pose is not None and params.camera is not None and params.expression is not None
        place = _jittered(self.window.affine_from_pose(params.pose, params.camera), 1.0, generator)
        with torch.no_grad():
            landmarks = project_orthographic(self.head(params).landmarks("mediapipe"), params.camera)[..., :2]
        points = torch.linalg.solve(place[:, :, :2], (landmarks - place[:, None, :, 2]).mT).mT
        weight = torch.full((len(photos),), self.options.painted_weight)
        windows = self.window.extract(pictures, place)
        return BranchBatch(windows, points, params.expression, weight, windows[:0])

    def _trust(self, batch: TrainingBatch) -> Tensor:
        is_photo = batch.target_weight < 1
        return batch.target_weight * torch.where(is_photo, self.options.photo_weight, 1.0)

    def error(self, said: Tensor, wanted: Tensor) -> Tensor:
        """Return the error (B,) of a branch's raw answers."""
        if self.options.branch == "pose":
            return self._pose_error(said, wanted)
        if self.options.branch == "shape":
            off = said[:, :-N_LOOK] - wanted[:, :-N_LOOK]
            shape = 0.3 * ((off @ self.shape_points * 1000).square().mean(1) + 0.02 * off.square().mean(1))
            return shape + self._look_error(said[:, -N_LOOK:], wanted[:, -N_LOOK:])
        # Beyond a bound that is the truth there is no error: `bounded` cuts it off.
        is_cut = ((said < 0) & (wanted <= 0)) | ((said > 1) & (wanted >= 1))
        off = torch.where(is_cut, 0.0, said - wanted)
        return 20 * ((off @ self.basis.T).square() * self.scale).mean(1)

    @staticmethod
    def strays(said: Tensor, again: Tensor) -> Tensor:
        """Return how much raw expressions (B, 52) of the same faces differ, (B,)."""
        # Each weight alike: on the basis of the sides, the differences between them would be unlearned first.
        return 20 * (said - again).square().mean(1)

    def _look_error(self, said: Tensor, wanted: Tensor) -> Tensor:
        """Return the error (B,) of looks (B, 13), as if the face were the mean one; what it is the shape tells."""
        mean = torch.tensor(MEAN_POSE_CODE)[6:].expand(len(said), -1)
        upright = torch.eye(2, 3).expand(len(said), -1, -1)
        poses = [
            torch.cat(self.window.decode_pose(torch.cat([each[:, :6].clamp(-3, 3), mean], 1), upright), 1)
            for each in (said, wanted)
        ]
        return self._pose_error(*poses) + 200 * (said[:, 4:6] - wanted[:, 4:6]).square().sum(1)

    def _pose_error(self, said: Tensor, wanted: Tensor) -> Tensor:
        """Return the error (B,) of poses and cameras (B, 6): of rotations, and of where the mean face is seen."""
        seen = [self._seen(each) for each in (said, wanted)]
        pixels = (seen[0] - seen[1]).square().sum(2).mean(1)
        return 100 * pixels + 10 * (said[:, :3] - wanted[:, :3]).square().sum(1)

    def _seen(self, pose_camera: Tensor) -> Tensor:
        """Return where points of the mean face are seen, (B, 80, 2), for raw answers of the pose branch."""
        root = pose_camera.new_tensor(self.window.root_m)
        posed = (self.neutral[::6] - root) @ roma.rotvec_to_rotmat(pose_camera[:, :3]).mT + root
        return project_orthographic(posed, pose_camera[:, 3:])[..., :2]


def _sides() -> Tensor:
    """Return the basis (52, 52) of sums and differences of the two sides, so that differences count in their own right.

    One-sided faces are rare: an error in the difference would otherwise hardly weigh.
    """
    basis = torch.eye(len(ARKIT_MIRROR))
    for k, partner in enumerate(ARKIT_MIRROR):
        if k < partner:
            basis[k, k] = basis[k, partner] = basis[partner, k] = math.sqrt(0.5)
            basis[partner, partner] = -math.sqrt(0.5)
    return basis


def _jittered(place: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Return windows (B, 2, 3) a little rolled, shifted and of other sizes."""

    def uniform(limit: float, *size: int) -> Tensor:
        return (2 * torch.rand(len(place), *size, generator=generator) - 1) * limit * amount

    roll, size = uniform(JITTER_ROLL_RAD), 1 + uniform(JITTER_SCALE)
    turn = torch.stack([torch.stack([roll.cos(), -roll.sin()], 1), torch.stack([roll.sin(), roll.cos()], 1)], 1)
    shift = (place[:, :, :2] @ uniform(JITTER_SHIFT, 2, 1))[..., 0]
    return torch.cat([place[:, :, :2] @ turn * size[:, None, None], (place[:, :, 2] + shift)[..., None]], dim=2)
