"""Train one branch of the window encoder on rendered heads and on photos with pseudo-targets.

    python smirk3d/train/recipes/branch_regression.py pose --photos shards/ --targets targets.npz --out out/branches --steps 1000
    python smirk3d/train/recipes/branch_regression.py shape --photos shards/ --targets targets.npz --out out/branches --steps 1000
    python smirk3d/train/recipes/branch_regression.py expression --photos shards/ --targets targets.npz --out out/branches --steps 4000

The targets come from `smirk3d data targets`. A branch starts from ImageNet's weights; its linear layer starts as the
ridge regression of the truth on its features, which saves the thousands of steps in which a random one learns little.
An auxiliary layer, dropped afterwards, predicts the landmarks. `smirk3d/train/recipes/assemble_encoder.py` makes one encoder of three.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from smirk3d.assets import atomic_path, cache_dir
from smirk3d.authoring.load import load_head
from smirk3d.datasets.sources import PhotoSource
from smirk3d.datasets.synthetic.rendered_faces import N_LANDMARKS, RenderAugmentation, RenderedFaces
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.metrics.correlation import mean_of_known
from smirk3d.metrics.expression import ExpressionMetrics, expression_metrics
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.imagenet import pretrained_efficientnet_lite0
from smirk3d.train.recipes.branch_tasks import CONFIG, SIZE_PX, Options, TargetGenerator
from smirk3d.train.recipes.labelled_photos import EmotionProbe, LabelledPhotos

HELD_OUT_SEED = 1011
RIDGE = 0.3
"""Penalty of the first linear layer, times the mean square of a feature."""
LINEAR_RATE = 0.02
"""Learning rate of the linear layers over that of the rest: each reads thousands of features at once."""
PROBE_STEPS = 160
"""Batches of labelled photos that the probe of emotions starts from."""


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


@torch.no_grad()
def ridge_init(learner: Learner, teacher: TargetGenerator, steps: int) -> None:
    """Make the last map's channels its principal components, and the linear layers the ridge regression on them."""
    learner.train(False)
    _squeeze_to_principal(learner, teacher)
    solved, count = _regression(learner, teacher, steps), learner.branch.linear.out_features
    _set_linear(learner.branch.linear, solved[:count])
    _set_linear(learner.points, solved[count:])


@torch.no_grad()
def warm_start(path: Path, learner: Learner, teacher: TargetGenerator, steps: int) -> None:
    """Take a branch as it was written; the auxiliary layer, which was dropped, is a ridge regression again."""
    learner.branch.load_state_dict(torch.load(path, weights_only=True))
    learner.train(False)
    _set_linear(learner.points, _regression(learner, teacher, steps)[learner.branch.linear.out_features :])


def _set_linear(linear: nn.Linear, solved: Tensor) -> None:
    linear.weight.copy_(solved[:, :-1])
    linear.bias.copy_(solved[:, -1])


def _squeeze_to_principal(learner: Learner, teacher: TargetGenerator) -> None:
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


def _regression(learner: Learner, teacher: TargetGenerator, steps: int) -> Tensor:
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


def train(learner: Learner, teacher: TargetGenerator, options: Options) -> None:
    """Train from what the layers are to the last step."""
    emotions = None if options.labels is None else EmotionAuxLoss(learner, teacher, options.labels)
    linear = [*learner.branch.linear.parameters(), *learner.points.parameters()]
    rest = [parameter for parameter in learner.parameters() if all(parameter is not each for each in linear)]
    if emotions is not None:
        rest += emotions.probe.parameters()
    optimizer = torch.optim.AdamW([{"params": rest}, {"params": linear}], options.lr, weight_decay=0.02)
    _set_training(learner, options.held_stages)
    for step in range(options.steps):
        for group, factor in zip(optimizer.param_groups, (1.0, LINEAR_RATE)):
            group["lr"] = rate(options, step) * factor
        loss, told = _loss(learner, teacher, emotions, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 5.0)
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: {told}", flush=True)


def _loss(learner: Learner, teacher: TargetGenerator, emotions: EmotionAuxLoss | None, step: int) -> tuple[Tensor, str]:
    """Return the loss of a step, and its parts in words."""
    options, task, label = teacher.options, teacher.task(step), None
    pictures = task.pictures
    if emotions is not None:
        more, label = emotions.draw(step)
        pictures = torch.cat([pictures, more])
    shown, count = len(pictures), len(task.weight)
    said, points = learner(torch.cat([pictures, task.again]))
    error = (teacher.error(said[:count], task.wanted) * task.weight).mean()
    miss = (points[:count] - task.points).square().sum(2).mean()
    loss, told = error + options.guide * miss, f"error {error.item():.4f}, landmarks {miss.item():.5f}"
    if emotions is not None:
        loss = loss + options.emotion_weight * emotions.probe(said[count:shown], label)
    if len(task.again):
        seen = slice(len(task.again))
        error_again = (teacher.error(said[shown:], task.wanted[seen]) * task.weight[seen]).mean()
        strays = teacher.strays(said[seen], said[shown:]).mean()
        loss = loss + (error_again - error) / 2 + options.steady * strays
        told += f", strays {strays.item():.4f}"
    return loss, told


class EmotionAuxLoss:
    """Labelled photos as the branch sees them, and a probe that starts from what the branch says of them already."""

    def __init__(self, learner: Learner, teacher: TargetGenerator, folder: Path) -> None:
        source = teacher.stream.sources[-1]
        assert isinstance(source, PhotoSource)
        self.photos = LabelledPhotos(folder, source, teacher.head)
        self.teacher = teacher
        learner.train(False)
        with torch.no_grad():
            views, labels = zip(*(self.draw(step) for step in range(PROBE_STEPS)))
            said = torch.cat([learner(each)[0] for each in views])
        self.probe = EmotionProbe(said, torch.cat(labels), self.photos.share)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Return windows (K, 3, P, P) of a step's labelled photos, and their emotions (K,)."""
        options = self.teacher.options
        photos, label = self.photos.draw(options.labelled, options.seed * 1_000_003 + step)
        random = torch.Generator().manual_seed(step)
        return self.teacher.views(photos, random), label


def _set_training(learner: Learner, held_stages: int) -> None:
    learner.train()
    backbone = learner.branch.encoder
    for module in [backbone.conv_stem, backbone.bn1, *backbone.blocks[:held_stages]] if held_stages else []:
        module.train(False).requires_grad_(False)


@torch.no_grad()
def validate(learner: Learner, teacher: TargetGenerator, count: int, unlike: float) -> ExpressionMetrics:
    """Compare the expressions of rendered faces of other people with the truth, in windows at their places."""
    learner.train(False)
    variation = RenderAugmentation(strength=0.0, weak=0.0, domain_randomization=unlike)
    folder = cache_dir() / "rendered"
    faces = RenderedFaces(teacher.head, count, HELD_OUT_SEED, SIZE_PX, folder=folder, variation=variation)
    said, truth = [], []
    for index in torch.arange(count).split(64):
        batch = faces.batch(index)
        target = batch.target
        assert target is not None and target.pose is not None and target.camera is not None
        assert target.expression is not None
        views = teacher.window.extract(batch.image, teacher.window.affine_from_pose(target.pose, target.camera))
        said.append(learner(views)[0].clamp(0, 1))
        truth.append(target.expression)
    is_neutral = np.array(faces.kinds) == "neutral"
    return expression_metrics(torch.cat(said).numpy(), torch.cat(truth).numpy(), is_neutral, ARKIT_NAMES)


def main(options: Options) -> None:
    """Train the branch and write its state dict."""
    if options.branch != "expression" and (options.painter or options.labels or options.steady):
        raise SystemExit("--painter, --labels and --steady are for the expression branch; leave them out")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    head = load_head()
    learner = Learner(options.branch, head)
    teacher = TargetGenerator(options, head)
    if options.init is None:
        ridge_init(learner, teacher, options.regression_steps)
    else:
        warm_start(options.init, learner, teacher, options.regression_steps)
    train(learner, teacher, options)
    options.out.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out / f"{options.branch}.pt") as temporary:
        torch.save(learner.branch.state_dict(), temporary)
    if options.judged and options.branch == "expression":
        for heads, unlike in (("open head", 0.0), ("unlike heads", 1.0)):
            found = validate(learner, teacher, options.judged, unlike)
            print(
                f"{heads}: mean correlation {mean_of_known(found.correlation):.3f}, asymmetry gain {found.asymmetry_slope:.2f}, "
                f"calm faces {found.neutral_mean:.4f}, mean error {found.error.mean():.4f}"
            )


if __name__ == "__main__":
    main(tyro.cli(Options))
