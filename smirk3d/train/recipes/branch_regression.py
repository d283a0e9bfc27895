"""Train one branch of the windowed encoder on rendered heads and on photos with pseudo-targets.

    python -m smirk3d.train.recipes.branch_regression pose --photos shards/ --targets targets.npz \\
        --out out/branches --steps 1000
    python -m smirk3d.train.recipes.branch_regression shape --photos shards/ --targets targets.npz \\
        --out out/branches --steps 1000
    python -m smirk3d.train.recipes.branch_regression expression --photos shards/ --targets targets.npz \\
        --out out/branches --steps 4000

The targets come from `smirk3d data targets`. A branch starts from ImageNet weights; its linear layer is initialised by
the ridge regression of the targets on its features, which saves the thousands of steps in which a random one learns
little. An auxiliary layer, dropped afterwards, predicts the landmarks. `smirk3d.train.recipes.assemble_encoder` makes
one encoder of three branches.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.assets import atomic_path, cache_dir
from smirk3d.authoring.load import load_head
from smirk3d.datasets.sources import PhotoSource
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.metrics.correlation import mean_of_known
from smirk3d.metrics.expression import ExpressionMetrics, expression_metrics
from smirk3d.networks.backbones import Backbone
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.torch_file import read_own_state
from smirk3d.train.initialization import load_imagenet
from smirk3d.train.recipes.branch_data import CONFIG, SIZE_PX, STEP_SEED_STRIDE, BranchOptions, BranchSampler
from smirk3d.train.recipes.branch_losses import BranchLoss
from smirk3d.train.recipes.command import run_recipe
from smirk3d.train.recipes.labelled_photos import EmotionProbe, LabelledPhotos
from smirk3d.train.tasks.regression_network import RegressionNetwork
from smirk3d.train.tasks.ridge_init import ridge_init, ridge_regression, set_linear

VALIDATION_SEED = 1011
"""Seed of rendered people that no branch was trained on."""
LINEAR_LR_SCALE = 0.02
"""Learning rate of the linear layers over that of the rest: each reads thousands of features at once."""
WARM_UP_FACES = 6400
PROBE_STEPS = 160
"""Batches of labelled photos that the emotion probe is initialised from."""
LOG_EVERY = 100
_log = logging.getLogger(__name__)


class BranchNetwork(RegressionNetwork):
    """A branch of an encoder of its own.

    Args:
        branch: "pose", "shape" or "expression".
        head: The open head.
    """

    def __init__(self, branch: str, head: HeadModel) -> None:
        encoder = Encoder(head.spec, CONFIG, SIZE_PX)
        load_imagenet(encoder, CONFIG, [branch])
        super().__init__(getattr(encoder, f"{branch}_encoder"))


@torch.no_grad()
def warm_start(path: Path, network: BranchNetwork, sampler: BranchSampler, steps: int) -> None:
    """Load a trained branch; the auxiliary layer, which was dropped, is initialised by ridge regression again.

    Args:
        path: State dict that this recipe wrote.
        network: Changed in place.
        sampler: Its first batches are used.
        steps: Number of batches of the regression.
    """
    network.branch.load_state_dict(read_own_state(path))
    network.train(False)
    set_linear(network.landmarks, ridge_regression(network, sampler.batch, steps)[network.branch.linear.out_features :])


def learning_rate(options: BranchOptions, step: int) -> float:
    """Return the learning rate of a step: a linear warm-up, times half a cosine down to 2 %."""
    rise = min(1.0, (step + 1) * options.batch_size / WARM_UP_FACES)
    return options.lr * rise * (0.5 * (1 + math.cos(math.pi * step / options.steps)) * 0.98 + 0.02)


def train(network: BranchNetwork, sampler: BranchSampler, loss: BranchLoss, options: BranchOptions) -> None:
    """Train a network for `options.steps` steps with AdamW."""
    emotion = None if options.labels is None else EmotionAuxLoss(network, sampler, options.labels)
    linear = [*network.branch.linear.parameters(), *network.landmarks.parameters()]
    rest = [parameter for parameter in network.parameters() if all(parameter is not each for each in linear)]
    if emotion is not None:
        rest += emotion.probe.parameters()
    optimizer = torch.optim.AdamW([{"params": rest}, {"params": linear}], options.lr, weight_decay=0.02)
    _set_train_mode(network, options.frozen_stages)
    for step in range(options.steps):
        for group, factor in zip(optimizer.param_groups, (1.0, LINEAR_LR_SCALE)):
            group["lr"] = learning_rate(options, step) * factor
        total, terms = _step_loss(network, sampler, loss, emotion, step)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        if (step + 1) % LOG_EVERY == 0:
            _log.info("step %d: %s", step + 1, ", ".join(f"{name} {term:.4g}" for name, term in terms.items()))


def _step_loss(
    network: BranchNetwork, sampler: BranchSampler, loss: BranchLoss, emotion: EmotionAuxLoss | None, step: int
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of a step, (), and its unweighted terms for the log.

    Batch, labelled photos and augmented frames pass the network together, so that batch norms see one mixture.
    """
    options, batch, label = sampler.options, sampler.batch(step), None
    images = batch.images
    if emotion is not None:
        labelled, label = emotion.draw(step)
        images = torch.cat([images, labelled])
    first_augmented, count = len(images), len(batch.weight)
    prediction, landmarks = network(torch.cat([images, batch.augmented]))
    error = (loss.regression(prediction[:count], batch.target, batch.known) * batch.weight).mean()
    landmark = (landmarks[:count] - batch.landmarks).square().sum(2).mean()
    total, terms = error + options.landmark_weight * landmark, {"error": error.item(), "landmarks": landmark.item()}
    if emotion is not None:
        total = total + options.emotion_weight * emotion.probe(prediction[count:first_augmented], label)
    if len(batch.augmented):
        paired, augmented = slice(len(batch.augmented)), prediction[first_augmented:]
        error_augmented = (loss.regression(augmented, batch.target[paired]) * batch.weight[paired]).mean()
        consistency = loss.consistency(prediction[paired], augmented).mean()
        total = total + (error_augmented - error) / 2 + options.consistency_weight * consistency
        terms["consistency"] = consistency.item()
    return total, terms


class EmotionAuxLoss:
    """Labelled photos, and an emotion probe that is fitted to the branch's predictions before training.

    Args:
        network: The branch.
        sampler: Its last source is the photos.
        folder: Shards with emotion labels, see `smirk3d.train.recipes.labelled_photos`.
    """

    def __init__(self, network: BranchNetwork, sampler: BranchSampler, folder: Path) -> None:
        source = sampler.sampler.sources[-1]
        assert isinstance(source, PhotoSource)
        self.photos, self.sampler = LabelledPhotos(folder, source, sampler.head), sampler
        network.train(False)
        with torch.no_grad():
            windows, labels = zip(*(self.draw(step) for step in range(PROBE_STEPS)))
            prediction = torch.cat([network(each)[0] for each in windows])
        self.probe = EmotionProbe(prediction.shape[1], self.photos.share)
        self.probe.fit(prediction, torch.cat(labels))

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Return windows (K, 3, P, P) of a step's labelled photos, and their emotions (K,) int64."""
        options = self.sampler.options
        photos, label = self.photos.draw(options.labelled, options.seed * STEP_SEED_STRIDE + step)
        return self.sampler.windows(photos, torch.Generator().manual_seed(step)), label


def _set_train_mode(network: BranchNetwork, frozen_stages: int) -> None:
    network.train()
    backbone = network.branch.encoder
    assert isinstance(backbone, Backbone)
    stages = list(backbone.blocks.children())[:frozen_stages]
    for module in [backbone.conv_stem, backbone.bn1, *stages] if frozen_stages else []:
        module.train(False).requires_grad_(False)


@torch.no_grad()
def validate(
    network: BranchNetwork, sampler: BranchSampler, count: int, domain_randomization: float
) -> ExpressionMetrics:
    """Compare predicted expressions of rendered faces of other people with the ground truth, in ground-truth windows.

    Args:
        network: With the expression branch.
        sampler: Supplies head and window.
        count: Number of faces; a few hundred or more.
        domain_randomization: Strength in [0, 1], 0 for the open head.
    """
    network.train(False)
    variation = RenderAugmentation(strength=0.0, weak=0.0, domain_randomization=domain_randomization)
    folder = cache_dir() / "rendered"
    faces = RenderedFaces(sampler.head, count, VALIDATION_SEED, SIZE_PX, folder=folder, variation=variation)
    prediction, truth = [], []
    for index in torch.arange(count).split(64):
        batch = faces.batch(index)
        target = batch.target
        assert target is not None and target.pose is not None and target.camera is not None
        assert target.expression is not None
        windows = sampler.window.extract(batch.image, sampler.window.affine_from_pose(target.pose, target.camera))
        prediction.append(network(windows)[0].clamp(0, 1))
        truth.append(target.expression)
    is_neutral = np.array(faces.kinds) == "neutral"
    return expression_metrics(torch.cat(prediction).numpy(), torch.cat(truth).numpy(), is_neutral, ARKIT_NAMES)


def main(options: BranchOptions) -> None:
    """Train the branch and write its state dict."""
    expression_only = options.neural_renderer or options.labels or options.consistency_weight
    if options.branch != "expression" and expression_only:
        raise SystemExit(
            "--neural-renderer, --labels and --consistency-weight are for the expression branch; leave them out"
        )
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    head = load_head()
    network = BranchNetwork(options.branch, head)
    sampler = BranchSampler(options, head)
    loss = BranchLoss.for_sampler(sampler)
    if options.init is None:
        ridge_init(network, sampler.batch, options.regression_steps)
    else:
        warm_start(options.init, network, sampler, options.regression_steps)
    train(network, sampler, loss, options)
    options.out.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out / f"{options.branch}.pt") as temporary:
        torch.save(network.branch.state_dict(), temporary)
    if options.validation_count and options.branch == "expression":
        _log_validation(network, sampler, options.validation_count)


def _log_validation(network: BranchNetwork, sampler: BranchSampler, count: int) -> None:
    for heads, strength in (("open head", 0.0), ("randomized heads", 1.0)):
        found = validate(network, sampler, count, strength)
        _log.info(
            "%s: mean correlation %.3f, asymmetry slope %.2f, neutral faces %.4f, mean error %.4f",
            heads,
            mean_of_known(found.correlation),
            found.asymmetry_slope,
            found.neutral_mean,
            found.error.mean(),
        )


if __name__ == "__main__":
    run_recipe(BranchOptions, main)
