"""Train one branch of the window encoder on rendered heads and on photos with pseudo-targets.

    python scripts/train_branches.py pose --photos shards/ --targets targets.npz --out out/branches --steps 1000
    python scripts/train_branches.py shape --photos shards/ --targets targets.npz --out out/branches --steps 1000
    python scripts/train_branches.py expression --photos shards/ --targets targets.npz --out out/branches --steps 4000

The targets come from `smirk3d data targets`. A branch starts from ImageNet's weights; its linear layer starts as the
ridge regression of the truth on its features, which saves the thousands of steps in which a random one learns little.
An auxiliary layer, dropped afterwards, predicts the landmarks. `scripts/join_branches.py` makes one encoder of three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import roma
import torch
import tyro
from torch import Tensor, nn

from smirk3d.assets import atomic_path, cache_dir
from smirk3d.evaluation.statistics import mean_of_known
from smirk3d.evaluation.truth import TruthFigures, compare_with_truth
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.load import load_head
from smirk3d.head.mediapipe_points import SKIN_COUNT
from smirk3d.head.model import HeadModel
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.pretrained import pretrained_efficientnet_lite0
from smirk3d.networks.window import MEAN_LOOK, PlaceOnHead, Window
from smirk3d.train.batch import TrainingBatch
from smirk3d.train.config import DataConfig, LossWeights, SourceConfig, StageConfig, TrainConfig
from smirk3d.train.rendered import RenderedFaces, Variation
from smirk3d.train.stream import Stream
from smirk3d.types import FaceParams

BACKBONE = "tf_efficientnet_lite0_stride16"
CONFIG = EncoderConfig(BACKBONE, BACKBONE, BACKBONE, Window(), mirrored=True, second_look=True, zoom=0.93)
SIZE_PX = 160
N_LANDMARKS = 478
N_LOOK = len(MEAN_LOOK)
HELD_OUT_SEED = 1011
RIDGE = 0.3
"""Penalty of the first linear layer, times the mean square of a feature."""
JITTER_ROLL_RAD, JITTER_SCALE, JITTER_SHIFT = 0.07, 0.08, 0.06
"""How far a window may be from where the truth would put it, because the pose branch errs too."""
FIRST_LOOK_JITTER = 1.4
"""The same for what is read at the first look, times that for what the second one placed."""
LINEAR_RATE = 0.02
"""Learning rate of the linear layers over that of the rest: each reads thousands of features at once."""


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
    guide: float = 5.0
    """Weight of the landmarks that the auxiliary layer tells."""
    judged: int = 0
    """Rendered faces of other people, of the open head and unlike it, on which expressions are judged in the end."""


@dataclass(frozen=True, eq=False)
class FacePlace:
    """Where the face is on the head, linear in the shape.

    Attributes:
        mean: (7,) of the mean face: middle and root in metres, and the size 1. slopes: (S, 7) per coefficient.
    """

    mean: Tensor
    slopes: Tensor

    @staticmethod
    @torch.no_grad()
    def measured(head: HeadModel) -> FacePlace:
        """Measure the landmarks of the skin: their mean, and their root mean square distance from it."""
        shapes = head(FaceParams(shape=torch.cat([torch.zeros(1, head.n_shape), torch.eye(head.n_shape)])))
        points = shapes.landmarks("mediapipe")[:, :SKIN_COUNT]
        middle, root = points.mean(1), shapes.joints[:, 0]
        spread = points - middle[:, None]
        size = (spread[1:] - spread[0]).mul(spread[0]).sum((1, 2)) / spread[0].square().sum()
        mean = torch.cat([middle[0], root[0], root.new_ones(1)])
        return FacePlace(mean, torch.cat([middle[1:] - middle[0], root[1:] - root[0], size[:, None]], dim=1))

    def of(self, shape: Tensor) -> PlaceOnHead:
        """Return where the faces of shapes (B, S) are."""
        return PlaceOnHead(*(self.mean + shape @ self.slopes).split((3, 3, 1), dim=1))


class Learner(nn.Module):
    """A branch and the auxiliary layer: pictures to the branch's raw outputs and to landmarks (B, 478, 2)."""

    def __init__(self, branch: str, head: HeadModel) -> None:
        super().__init__()
        encoder = Encoder(head.spec, CONFIG, SIZE_PX)
        self.branch = getattr(encoder, f"{branch}_encoder")
        imagenet = pretrained_efficientnet_lite0()
        wanted = self.branch.encoder.state_dict()
        self.branch.encoder.load_state_dict({name: imagenet[name] for name in wanted})
        self.points = nn.Linear(self.branch.linear.in_features, 2 * N_LANDMARKS)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the branch's raw outputs (B, N) and landmarks (B, 478, 2) of pictures (B, 3, P, P)."""
        features = self.branch.features(pictures.contiguous(memory_format=torch.channels_last))
        return self.branch.linear(features), self.points(features).unflatten(1, (N_LANDMARKS, 2))


@dataclass(frozen=True)
class Task:
    """What a branch sees and should say.

    Attributes:
        pictures: (B, 3, P, P). points: (B, 478, 2) landmarks in them. wanted: (B, N). weight: (B,) trust.
    """

    pictures: Tensor
    points: Tensor
    wanted: Tensor
    weight: Tensor


class Teacher:
    """Makes tasks of a stream's batches, and judges answers."""

    def __init__(self, options: Options, head: HeadModel) -> None:
        self.options, self.head, self.window = options, head, Window()
        share = (1 - options.photo_share) / max(options.renders + options.unlike, 1)
        rendered = ((options.renders, options.seed + 1, 0.0), (options.unlike, options.seed, 1.0))
        sources = (
            *(
                SourceConfig(kind="rendered", count=count, seed=seed, unlike=unlike, weight=share * count)
                for count, seed, unlike in rendered
                if count
            ),
            SourceConfig(options.photos, "shards", weight=options.photo_share, targets=options.targets),
        )
        data = DataConfig(sources, size=SIZE_PX, crop_scale=(1.3, 1.55), batch_size=options.batch_size)
        stage = StageConfig("pretrain", ("expression",), LossWeights(target=1), options.steps)
        config = TrainConfig(backbones=CONFIG, data=data, stage=stage, seed=options.seed)
        self.stream = Stream(config, head)
        embedding = head.landmark_embedding("mediapipe")
        self.neutral = embedding.points(head.v_template, head.faces)
        with torch.no_grad():
            shapes = head(FaceParams(shape=torch.eye(head.n_shape))).landmarks("mediapipe")
        self.shape_points = (shapes - self.neutral).flatten(1)
        self.face = FacePlace.measured(head)
        self.basis, self.scale = _sides(), torch.ones(len(ARKIT_MIRROR))
        if options.branch == "expression" and not options.sides:
            self.basis = torch.eye(len(ARKIT_MIRROR))
        elif options.branch == "expression":
            said = torch.cat([self.task(step).wanted for step in range(20)])
            both = torch.cat([said, said[:, list(ARKIT_MIRROR)]])
            variance = (both @ self.basis.T).var(0) + 0.003
            self.scale = (1 / variance) / (1 / variance).mean()

    def task(self, step: int) -> Task:
        """Return the task of a step; it depends on the step alone."""
        batch = self.stream.batch(step)
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + step)
        target = batch.target
        assert target is not None and target.pose is not None and target.camera is not None
        if self.options.branch == "pose":
            side_px = self.window.size_px
            pictures = nn.functional.interpolate(batch.image, (side_px, side_px), mode="bilinear")
            wanted = torch.cat([target.pose, target.camera], dim=1)
            return Task(pictures, batch.landmarks_ndc, wanted, self._trust(batch))
        is_first = self.options.branch == "shape"
        exact = self.window.place(target.pose, target.camera)
        place = _jittered(exact, FIRST_LOOK_JITTER if is_first else 1.0, generator)
        points = torch.linalg.solve(place[:, :, :2], (batch.landmarks_ndc - place[:, None, :, 2]).mT).mT
        wanted = target.expression
        if is_first and target.shape is not None:
            look = self.window.look(target.pose, target.camera, place, self.face.of(target.shape))
            wanted = torch.cat([target.shape, look], dim=1)
        assert wanted is not None
        return Task(self.window.cut(batch.image, place), points, wanted, self._trust(batch))

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

    def _look_error(self, said: Tensor, wanted: Tensor) -> Tensor:
        """Return the error (B,) of looks (B, 13), as if the face were the mean one; what it is the shape tells."""
        mean = torch.tensor(MEAN_LOOK)[6:].expand(len(said), -1)
        upright = torch.eye(2, 3).expand(len(said), -1, -1)
        poses = [
            torch.cat(self.window.told(torch.cat([each[:, :6].clamp(-3, 3), mean], 1), upright), 1)
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


@torch.no_grad()
def start_with_regression(learner: Learner, teacher: Teacher, steps: int) -> None:
    """Make the last map's channels its principal components, and the linear layers the ridge regression on them."""
    learner.train(False)
    _squeeze_to_principal(learner, teacher)
    solved, count = _regression(learner, teacher, steps), learner.branch.linear.out_features
    _put(learner.branch.linear, solved[:count])
    _put(learner.points, solved[count:])


@torch.no_grad()
def go_on_from(path: Path, learner: Learner, teacher: Teacher, steps: int) -> None:
    """Take a branch as it was written; the auxiliary layer, which was dropped, is a ridge regression again."""
    learner.branch.load_state_dict(torch.load(path, weights_only=True))
    learner.train(False)
    _put(learner.points, _regression(learner, teacher, steps)[learner.branch.linear.out_features :])


def _put(linear: nn.Linear, solved: Tensor) -> None:
    linear.weight.copy_(solved[:, :-1])
    linear.bias.copy_(solved[:, -1])


def _squeeze_to_principal(learner: Learner, teacher: Teacher) -> None:
    branch = learner.branch
    maps = torch.cat([branch.encoder(teacher.task(step).pictures) for step in range(10)])
    values = maps.movedim(1, -1).flatten(0, 2)
    mean = values.mean(0)
    _, strength, directions = torch.linalg.svd((values - mean)[::4], full_matrices=False)
    conv, norm = branch.narrow
    deviation = strength[: conv.out_channels, None] / math.sqrt(len(values) / 4)
    conv.weight.copy_((directions[: conv.out_channels] / deviation)[:, :, None, None])
    norm.running_mean.copy_(conv.weight[:, :, 0, 0] @ mean)
    norm.running_var.fill_(1.0)


def _regression(learner: Learner, teacher: Teacher, steps: int) -> Tensor:
    """Return the ridge regression (N + 956, D + 1) of the truth and the landmarks on the features and 1."""
    branch = learner.branch
    gram = cross = torch.zeros((), dtype=torch.float64)
    for step in range(steps):
        task = teacher.task(step)
        features = torch.cat([branch.features(task.pictures), torch.ones(len(task.weight), 1)], 1).double()
        wanted = torch.cat([task.wanted, task.points.flatten(1)], 1).double()
        trusted = features * task.weight[:, None]
        gram, cross = gram + trusted.T @ features, cross + trusted.T @ wanted
    penalty = RIDGE * gram.diagonal()[:-1].mean() * torch.ones(len(gram), dtype=torch.float64)
    penalty[-1] = 0.0
    return torch.linalg.solve(gram + torch.diag(penalty), cross).float().T


def rate(options: Options, step: int) -> float:
    """Return the learning rate: a short rise, then half a cosine."""
    rise = min(1.0, (step + 1) * options.batch_size / 6400)
    return options.lr * rise * (0.5 * (1 + math.cos(math.pi * step / options.steps)) * 0.98 + 0.02)


def train(learner: Learner, teacher: Teacher, options: Options) -> None:
    """Train from what the layers are to the last step."""
    linear = [*learner.branch.linear.parameters(), *learner.points.parameters()]
    rest = [parameter for parameter in learner.parameters() if all(parameter is not each for each in linear)]
    optimizer = torch.optim.AdamW([{"params": rest}, {"params": linear}], options.lr, weight_decay=0.02)
    learner.train()
    backbone = learner.branch.encoder
    held = [backbone.conv_stem, backbone.bn1, *backbone.blocks[: options.held_stages]] if options.held_stages else []
    for module in held:
        module.train(False).requires_grad_(False)
    for step in range(options.steps):
        for group, factor in zip(optimizer.param_groups, (1.0, LINEAR_RATE)):
            group["lr"] = rate(options, step) * factor
        task = teacher.task(step)
        said, points = learner(task.pictures)
        error = (teacher.error(said, task.wanted) * task.weight).mean()
        miss = (points - task.points).square().sum(2).mean()
        optimizer.zero_grad(set_to_none=True)
        (error + options.guide * miss).backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 5.0)
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: error {error.item():.4f}, landmarks {miss.item():.5f}", flush=True)


@torch.no_grad()
def judge(learner: Learner, teacher: Teacher, count: int, unlike: float) -> TruthFigures:
    """Compare the expressions of rendered faces of other people with the truth, in windows at their places."""
    learner.train(False)
    variation = Variation(strength=0.0, weak=0.0, unlike=unlike)
    folder = cache_dir() / "rendered"
    faces = RenderedFaces(teacher.head, count, HELD_OUT_SEED, SIZE_PX, folder=folder, variation=variation)
    said, truth = [], []
    for index in torch.arange(count).split(64):
        batch = faces.batch(index)
        target = batch.target
        assert target is not None and target.pose is not None and target.camera is not None
        assert target.expression is not None
        views = teacher.window.cut(batch.image, teacher.window.place(target.pose, target.camera))
        said.append(learner(views)[0].clamp(0, 1))
        truth.append(target.expression)
    return compare_with_truth(torch.cat(said).numpy(), torch.cat(truth).numpy(), np.array(faces.kinds))


def main(options: Options) -> None:
    """Train the branch and write its state dict."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    head = load_head()
    learner = Learner(options.branch, head)
    teacher = Teacher(options, head)
    if options.init is None:
        start_with_regression(learner, teacher, options.regression_steps)
    else:
        go_on_from(options.init, learner, teacher, options.regression_steps)
    train(learner, teacher, options)
    options.out.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out / f"{options.branch}.pt") as temporary:
        torch.save(learner.branch.state_dict(), temporary)
    if options.judged and options.branch == "expression":
        for heads, unlike in (("open head", 0.0), ("unlike heads", 1.0)):
            found = judge(learner, teacher, options.judged, unlike)
            print(
                f"{heads}: mean correlation {mean_of_known(found.correlation):.3f}, asymmetry gain {found.gain:.2f}, "
                f"calm faces {found.neutral_mean:.4f}, mean error {found.error.mean():.4f}"
            )


if __name__ == "__main__":
    main(tyro.cli(Options))
