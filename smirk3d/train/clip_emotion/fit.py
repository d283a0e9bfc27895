"""The training of a clip network in memory, without files."""

from __future__ import annotations

from dataclasses import dataclass

from smirk3d.fer.clips.network import ClipNetwork
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.config import ClipTrainConfig
from smirk3d.train.clip_emotion.label_review import LabelReview
from smirk3d.train.clip_emotion.task import ClipTask, ClipWeights
from smirk3d.train.small_network.run import NetworkRun


@dataclass(frozen=True, eq=False)
class FittedClips:
    """A trained network and its judgement of the labels.

    Attributes:
        network: The averaged weights.
        review: Judgement of the training clips.
    """

    network: ClipNetwork
    review: LabelReview


def fit_clip_network(
    clips: ClipSet, config: ClipTrainConfig, *, weights: ClipWeights | None = None, network: ClipNetwork | None = None
) -> FittedClips:
    """Train a clip network in memory.

    Args:
        clips: The clips to learn from, at least two.
        config: Settings; `data`, `engine` and `out_dir` do not count here.
        weights: Returns the weights (N,) of the clips in an epoch, instead of those by verdicts.
        network: The network that learns, with its first weights; None: a new one.

    Raises:
        Smirk3dError: The loss is not finite.
    """
    task = ClipTask(clips, config, weights=weights, network=network)
    run = NetworkRun.start(task)
    for step in range(task.plan.steps):
        run.take_step(step)
    return FittedClips(run.average, task.review)
