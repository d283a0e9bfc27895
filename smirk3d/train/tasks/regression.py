"""The task of a regression stage: one branch of the encoder learns from targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smirk3d.datasets.shards import DataError
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.networks.backbones import Backbone
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.train.freeze import freeze, freeze_statistics
from smirk3d.train.initialization import load_imagenet
from smirk3d.train.losses.losses import LossTerms, shape_consistency
from smirk3d.train.recipes.branch_data import BranchBatch, BranchOptions, BranchSampler
from smirk3d.train.recipes.branch_losses import BranchLoss
from smirk3d.train.recipes.repainted_photos import RepaintedPhotos
from smirk3d.train.schedule import warm_cosine
from smirk3d.train.stages import RegressionStage
from smirk3d.train.tasks.emotion_aux import EmotionAux
from smirk3d.train.tasks.output_calibration import tie_face_frame_to_shape
from smirk3d.train.tasks.regression_network import RegressionNetwork
from smirk3d.train.tasks.ridge_init import ridge_init, ridge_regression, set_linear
from smirk3d.train.tasks.run_sampler import open_sampler
from smirk3d.train.tasks.task import Clip, Criterion, ParameterGroup, Update, Workbench
from smirk3d.train.validation import RenderedValidation

LINEAR_LR_SCALE = 0.02
"""Learning rate of the linear layers over that of the rest: each reads thousands of features at once."""
WEIGHT_DECAY = 0.02
WARM_UP_FACES = 6400
LARGEST_GRADIENT = 5.0


class RegressionTask:
    """Trains one branch as `RegressionStage` says.

    Batch, labelled photos and augmented frames pass the network together, so that batch norms see one mixture.

    Args:
        bench: The run and its networks.
    """

    def __init__(self, bench: Workbench) -> None:
        config, stage = bench.config, bench.config.stage
        assert isinstance(stage, RegressionStage) and config.encoder.window is not None  # checked by TrainConfig
        self.bench, self.stage, self.device = bench, stage, bench.fabric.device
        self.encoder: Encoder = bench.networks.encoder  # type: ignore[assignment]
        crops = open_sampler(bench)
        self.sampler = BranchSampler(_options(bench), bench.head, crops, config.encoder.window)
        with torch.random.fork_rng(devices=[]):  # random layers, which `initialise` or a checkpoint overwrites
            self.network = RegressionNetwork(getattr(self.encoder, f"{stage.branch}_encoder")).to(self.device)
            self.emotion = None if stage.labels is None else EmotionAux(self.sampler, stage.labels, self.device)
        self._validation = RenderedValidation(config, bench.head, self.device)
        self._set_modes()

    @cached_property
    def loss(self) -> BranchLoss:
        """The loss, with weights measured on the first batches; these may need the neural renderer's weights."""
        if self.stage.repainted_weight > 0:
            renderer = self.bench.networks.neural_renderer
            assert isinstance(renderer, NeuralRenderer)
            self.sampler.repainted = RepaintedPhotos(self.bench.head, renderer)
        return BranchLoss.for_sampler(self.sampler)

    @property
    def criterion(self) -> Criterion:
        """The correlation of expressions; of other branches the error."""
        return Criterion("correlation") if self._reads_expression else Criterion("error", is_error=True)

    @property
    def faults(self) -> tuple[DataError, ...]:
        """Faces that could not be read."""
        return self.sampler.sampler.faults

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the auxiliary layers."""
        layers: dict[str, nn.Module] = {"landmark_layer": self.network.landmarks}
        return layers if self.emotion is None else layers | {"emotion_probe": self.emotion.probe}

    def initialise(self) -> None:
        """Start from ImageNet weights and ridge regression, or from the present weights with new auxiliary layers."""
        stage, batch_of, _ = self.stage, self.sampler.batch, self.loss
        if stage.start == "imagenet":
            load_imagenet(self.encoder, self.bench.config.encoder, [stage.branch])
            ridge_init(self.network, batch_of, stage.regression_steps)
        else:
            self.network.train(False)
            with torch.no_grad():
                coefficients = ridge_regression(self.network, batch_of, stage.regression_steps)
                set_linear(self.network.landmarks, coefficients[self.network.branch.linear.out_features :])
        if self.emotion is not None:
            self.network.train(False)
            self.emotion.fit(lambda windows: self.network(windows.to(self.device))[0].cpu())
        self._set_modes()

    def groups(self) -> list[ParameterGroup]:
        """Return the backbone, the linear layers, and the emotion probe where there is one."""
        linear = [*self.network.branch.linear.parameters(), *self.network.landmarks.parameters()]
        known = {id(parameter) for parameter in linear}
        rest = [each for each in self.network.parameters() if id(each) not in known and each.requires_grad]
        lr, decay = self.stage.lr, WEIGHT_DECAY
        groups = [
            ParameterGroup("encoder", rest, lr, weight_decay=decay),
            ParameterGroup("linear", linear, lr * LINEAR_LR_SCALE, weight_decay=decay),
        ]
        if self.emotion is not None:
            groups.append(ParameterGroup("probe", list(self.emotion.probe.parameters()), lr, weight_decay=decay))
        return groups

    def rate_factor(self, step: int) -> float:
        """Return a linear warm-up times half a cosine down to 2 %."""
        return warm_cosine(step, self.stage.steps, WARM_UP_FACES / self.bench.config.data.batch_size)

    def batches(self, start: int, stop: int) -> Iterator[TrainingBatch]:
        """Yield crops with targets."""
        return self.sampler.sampler.batches(start, stop, self.bench.fabric.global_rank, self.bench.fabric.world_size)

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        """Yield the losses of a step, in one update."""
        loss = self.loss
        made = self.sampler.batch_of(batch, self.sampler.generator(step, self.bench.fabric.global_rank))
        label, images = None, [made.images]
        if self.emotion is not None:
            labelled, label = self.emotion.draw(step)
            images.append(labelled)
        pairs = None if self.sampler.pairs is None else self.sampler.pair_batch(step, self.bench.fabric.global_rank)
        first_pair = sum(map(len, images))
        if pairs is not None:
            images.append(pairs.images)
        prediction, landmarks = self._forward(torch.cat([*images, made.augmented]))
        values, weights = self._regression_losses(loss, made, prediction, landmarks)
        if pairs is not None:
            rows = slice(first_pair, first_pair + len(pairs.images))
            values |= _pair_losses(loss, pairs, prediction[rows], landmarks[rows])
            weights |= {
                "change": self.stage.change_weight,
                "pair_error": 1.0,
                "pair_landmarks": self.stage.landmark_weight / 2,
            }
        if self.emotion is not None:
            count = len(made.weight)
            values["emotion"] = self.emotion.loss(prediction[count : count + self.stage.labelled], label)
            weights["emotion"] = self.stage.emotion_weight
        if self.stage.identity_weight > 0:
            shapes = prediction[: len(batch), : self.bench.head.n_shape]
            values["identity"] = shape_consistency(shapes, batch.person)
            weights["identity"] = self.stage.identity_weight
        yield Update("regression", LossTerms(values), weights, {}, Clip(("encoder", "linear"), LARGEST_GRADIENT))

    def validate(self) -> dict[str, float]:
        """Measure the branch on rendered faces of other people, in windows of the ground truth."""
        with freeze(self.network):
            if self._reads_expression:
                return self._validation.expressions(self._expressions)
            return {"error": self._mean_error()}

    def complete(self) -> None:
        """Make all parameters learn again; the face frame of a shape branch follows from its shape."""
        self.network.requires_grad_(True)
        if self.stage.branch == "shape" and self.bench.config.encoder.iterative_pose:
            tie_face_frame_to_shape(self.encoder, self.sampler.face)

    @property
    def _reads_expression(self) -> bool:
        return self.stage.branch == "expression" and tuple(self.bench.head.expression_names) == ARKIT_NAMES

    def _set_modes(self) -> None:
        """Train the branch, except for its frozen stages."""
        self.network.train()
        backbone = self.network.branch.encoder
        if self.stage.frozen_stages:
            if not isinstance(backbone, Backbone):
                raise Smirk3dError(f"stage {self.stage.name}: frozen_stages must be 0 for backbones of timm; set it so")
            stages = list(backbone.blocks.children())[: self.stage.frozen_stages]
            for module in (backbone.conv_stem, backbone.bn1, *stages):
                module.train(False).requires_grad_(False)
        if self.stage.frozen_batch_norm:
            freeze_statistics(self.network)

    def _forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return raw outputs and landmarks on the CPU, where the losses are computed, in float32."""
        with self.bench.fabric.autocast():
            prediction, landmarks = self.network(images.to(self.device))
        return prediction.float().cpu(), landmarks.float().cpu()

    def _regression_losses(
        self, loss: BranchLoss, made: BranchBatch, prediction: Tensor, landmarks: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Return losses and weights of targets, landmarks and augmented frames; the latter are the last predictions."""
        count, paired = len(made.weight), len(made.augmented)
        values = {
            "error": loss.regression(prediction[:count], made.target, made.known) * made.weight,
            "landmarks": (landmarks[:count] - made.landmarks).square().sum(2).mean(),
        }
        weights = {"error": 1.0, "landmarks": self.stage.landmark_weight}
        if paired:
            augmented = prediction[-paired:]
            error = loss.regression(augmented, made.target[:paired], made.known[:paired])
            values["augmented_error"] = error * made.weight[:paired]
            values["consistency"] = loss.consistency(prediction[:paired], augmented)
            weights |= {"error": 0.5, "augmented_error": 0.5, "consistency": self.stage.consistency_weight}
        return values, weights

    def _expressions(self, batch: TrainingBatch) -> Tensor:
        return self._forward(self.sampler.exact_windows(batch))[0].clamp(0, 1)

    @torch.no_grad()
    def _mean_error(self) -> float:
        """Return the mean loss against the targets of rendered faces of other people."""
        generator, errors = torch.Generator().manual_seed(0), []
        for crops in self._validation.batches(0.0):
            made = self.sampler.batch_of(crops, generator)
            errors.append(self.loss.regression(self._forward(made.images)[0], made.target))
        return float(torch.cat(errors).mean())


def _pair_losses(loss: BranchLoss, pairs: BranchBatch, prediction: Tensor, landmarks: Tensor) -> dict[str, Tensor]:
    """Return the losses of photos and, after them, the same photos with changed expressions."""
    (before, after), (target_before, target_after) = prediction.chunk(2), pairs.target.chunk(2)
    return {
        "change": loss.change(before, after, target_after - target_before),
        "pair_error": loss.regression(prediction, pairs.target, pairs.known) * pairs.weight,
        "pair_landmarks": (landmarks - pairs.landmarks).square().sum(2).mean(),
    }


def _options(bench: Workbench) -> BranchOptions:
    """Return the settings of a stage as the sampler of batches has them."""
    stage = bench.config.stage
    assert isinstance(stage, RegressionStage)
    return BranchOptions(
        branch=stage.branch,
        photos=Path(),
        targets=Path(),
        out=Path(),
        batch_size=bench.config.data.batch_size,
        photo_weight=stage.photo_weight,
        seed=bench.config.seed,
        whiten_sides=stage.whiten_sides,
        repainted_weight=stage.repainted_weight,
        labelled=stage.labelled,
        consistency_weight=stage.consistency_weight,
        pairs=stage.pairs,
        pair_count=stage.pair_count,
    )
