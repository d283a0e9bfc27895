"""What the clip network learns: emotions and key expressions of sub-clips, and which labels are wrong meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smirk3d.fer.clips.frame_features import ANGLES, WEIGHTS
from smirk3d.fer.clips.network import EXPRESSION_DIGEST, ClipNetwork, expression_digest
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.fer.clips.sampling import held_sub_clips, random_sub_clips
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.train.averaged_update import UpdateSettings
from smirk3d.train.checkpoint import Stateful
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.config import ClipTrainConfig
from smirk3d.train.clip_emotion.label_review import LabelReview
from smirk3d.train.clip_emotion.losses import ClipTargets, clip_losses
from smirk3d.train.clip_emotion.measures import calibrate, measure_clips, write_confusion
from smirk3d.train.schedule import step_generator
from smirk3d.train.small_network.batch_rows import batch_rows, steps_per_pass
from smirk3d.train.small_network.task import FinalNetwork, NetworkTask, StepLosses, TrainPlan

CONFUSION_NAME = "confusion.csv"
_WARM_UP_SHARE = 0.1
ClipWeights = Callable[[int, ClipNetwork], np.ndarray]
"""Number of an epoch and the averaged network so far -> weights (N,) float32 of the clips."""


class ClipTask(NetworkTask[ClipNetwork]):
    """The clip network, its clips, and the judgement of their labels.

    Args:
        clips: The clips to learn from, at least two.
        config: Settings.
        test: Clips that are measured; None: none.
        weights: Returns the weights (N,) of the clips in an epoch, instead of those by verdicts.
        network: The network that learns, with its first weights; None: a new one.

    Attributes:
        clips: As above.
        review: Judgement of the training clips.
    """

    def __init__(
        self,
        clips: ClipSet,
        config: ClipTrainConfig,
        *,
        test: ClipSet | None = None,
        weights: ClipWeights | None = None,
        network: ClipNetwork | None = None,
    ) -> None:
        self.clips, self._config, self._test, self._weights = clips, config, test, weights
        self._per_epoch = steps_per_pass(len(clips), config.batch_size)
        self._weight: Tensor | None = None
        self.review = LabelReview(clips.label.numpy(), config.review)
        self.network = _initial_network(config) if network is None else network
        self.network.set_scale(clips.features)
        self.network.train()
        update = UpdateSettings(
            config.lr, config.weight_decay, config.ema, warm_up_share=_WARM_UP_SHARE, decays_all=True
        )
        steps = self._per_epoch * config.epochs
        self.plan = TrainPlan(steps, steps, update)
        self.record: dict[str, Any] = {}

    def losses(self, step: int, average: ClipNetwork) -> StepLosses:
        """See `NetworkTask`."""
        epoch, place = divmod(step, self._per_epoch)
        if self._weight is None or place == 0:
            weights = self.review.weight if self._weights is None else self._weights(epoch, average)
            self._weight = torch.from_numpy(weights)
        config, generator = self._config, step_generator(self._config.seed, step, 0)
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))  # of the dropout
        rows = batch_rows(len(self.clips), config.batch_size, step, config.seed)
        features, positions = _sub_clips(self.clips, rows, config.held, generator)
        features = _augmented(features, self.network.std, config.feature_noise, generator)
        targets = self._targets(rows, self._weight[rows], positions)
        return StepLosses(clip_losses(self.network(features), targets, config), len(rows))

    def _targets(self, rows: Tensor, weight: Tensor, positions: Tensor) -> ClipTargets:
        index, review = rows.numpy(), self.review
        return ClipTargets(
            shares=torch.from_numpy(review.shares[index]),
            weight=weight,
            label=self.clips.label[rows],
            key=self.clips.key[rows],
            positions=positions,
            mean=torch.from_numpy(review.mean[index]),
            is_hard=torch.from_numpy(review.is_hard[index]),
        )

    def after_step(self, step: int, average: ClipNetwork) -> None:
        """Judge the labels after some epochs; see `NetworkTask`."""
        epochs, place = divmod(step + 1, self._per_epoch)
        is_last = step + 1 == self.plan.steps
        if place == 0 and (is_last or (self._weights is None and _is_judged(epochs, self._config))):
            self.review.update(sub_clip_predictions(average, self.clips.features).probabilities)

    def validate(self, average: ClipNetwork) -> dict[str, float]:
        """See `NetworkTask`."""
        if self._test is None:
            return {}
        found = measure_clips(average, self._test)
        return {"war": found.war, "uar": found.uar}

    def finish(self, average: ClipNetwork, measures: Mapping[str, float]) -> FinalNetwork:
        """Write the confusion of the measured clips, and calibrate the network by them; see `NetworkTask`."""
        if self._test is None:
            return FinalNetwork(average, measures)
        write_confusion(self._config.out_dir / CONFUSION_NAME, measure_clips(average, self._test))
        measures = {**measures, "temperature": calibrate(average, self._test)}
        return FinalNetwork(average, measures, {EXPRESSION_DIGEST: expression_digest(self._config.expression)})

    def stateful_parts(self) -> Mapping[str, Stateful]:
        """See `NetworkTask`."""
        return {"review": self.review}


def _is_judged(epochs: int, config: ClipTrainConfig) -> bool:
    """Return whether labels are judged after a number of epochs."""
    beyond = epochs - config.review.warm_up
    return config.review.enabled and beyond >= 0 and beyond % config.review.every == 0


def _initial_network(config: ClipTrainConfig) -> ClipNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return ClipNetwork(config.streams, config.resamples, config.dropout)


def _sub_clips(clips: ClipSet, rows: Tensor, held: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random sub-clip of each clip, or its key expression alone, and their frames."""
    features, positions = random_sub_clips(clips.features[rows], generator)
    has_key = clips.key[rows].isfinite().all(1)
    if held and bool(has_key.any()):
        is_held = has_key & (torch.rand(len(rows), generator=generator) < held)
        features[is_held], positions[is_held] = held_sub_clips(clips.features[rows][is_held], clips.key[rows][is_held])
    return features, positions


def _augmented(features: Tensor, std: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Mirror half of the sub-clips, and add noise: half of it alike in all frames of a clip."""
    count, length, size = features.shape
    flip = torch.rand(count, 1, 1, generator=generator) < 0.5
    reflected = features.clone()
    reflected[..., WEIGHTS] = features[..., WEIGHTS][..., list(ARKIT_MIRROR)]
    reflected[..., ANGLES] *= torch.tensor([-1.0, 1.0, -1.0])
    features = torch.where(flip, reflected, features)
    shift = torch.randn(count, 1, size, generator=generator) + torch.randn(count, length, size, generator=generator)
    return features + noise * std * shift
