"""Configuration of the training of the clip network; the documentation of a key is at its field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from smirk3d.datasets.config_checks import check_positive, check_within
from smirk3d.fer.clips.agreement import MAX_THRESHOLD
from smirk3d.train.small_network.config import NetworkEngineConfig, check_optimizer


@dataclass(frozen=True)
class SyntheticClipsConfig:
    """Rendered clips, see `smirk3d.datasets.synthetic.emotion_clips`.

    Raises:
        ValueError: A value is out of its range.
    """

    count: int = 256
    """Number of rendered clips to learn from; 0: none."""
    reanimated: int = 0
    """Number of further clips: the rendered people with new motions, see
    `smirk3d.train.clip_emotion.reanimated_clips`."""
    weights_only: int = 1280
    """Number of further clips that are not rendered; their expression vectors come from `photos`, or are missing."""
    photos: Path | None = None
    """Labelled faces with a split train, as FERPlus has; see `smirk3d.train.clip_emotion.photo_vectors`; null: none."""
    photo_people: Path | None = None
    """Photos in shards; in a quarter of the rendered clips nearly neutral ones of them are moved; null: none."""
    validation: int = 64
    """Number of clips for validation, of other people."""
    seed: int = 100
    """Seed of the clips; those for validation have the next one."""
    label_noise: float = 0.0
    """Share of the labels that are made wrong, for experiments."""
    key_truth: bool = True
    """The network learns from the true key expressions; otherwise from where the label has most support."""
    path: Path | None = None
    """Folder in which the clips are kept between runs; null: in the cache."""

    def __post_init__(self) -> None:
        check_within(self, 0, math.inf, "count", "seed", "reanimated", "weights_only")
        if self.reanimated and not self.count:
            raise ValueError("reanimated must be 0 where count is 0: only rendered people can be reanimated")
        check_within(self, 1, math.inf, "validation")
        check_within(self, 0, 1, "label_noise")


@dataclass(frozen=True)
class ClipDataConfig:
    """Where the clips are; several sources are joined. The layouts: `smirk3d.fer.clips.datasets`.

    Raises:
        ValueError: A value is out of its range.
    """

    synthetic: SyntheticClipsConfig = field(default_factory=SyntheticClipsConfig)
    """Rendered clips."""
    dfew: Path | None = None
    """Folder of DFEW."""
    ferv39k: Path | None = None
    """Folder of FERV39k."""
    mafw: Path | None = None
    """Folder of MAFW."""
    folder: Path | None = None
    """Folder with a folder of clips for each emotion, or a table with the columns path and label."""
    fold: int = 1
    """Fold of DFEW and MAFW whose test part is measured, 1 to 5; of `folder` every fifth clip is."""
    rate_fps: float = 25.0
    """Frames a second of clips that are folders of images."""
    max_clips: int | None = None
    """At most so many clips of each part of a data set; null: all."""

    def __post_init__(self) -> None:
        check_within(self, 1, 5, "fold")
        check_positive(self, "rate_fps")
        if self.max_clips is not None:
            check_within(self, 1, math.inf, "max_clips")


@dataclass(frozen=True)
class LabelReviewConfig:
    """How labels are judged by the agreement of sub-clips while the network learns.

    Raises:
        ValueError: A value is out of its range.
    """

    enabled: bool = True
    """Whether clips are weighted by the verdicts."""
    warm_up: int = 5
    """Epochs before the first verdicts."""
    every: int = 2
    """Epochs from one judgement to the next."""
    decay: float = 0.5
    """Decay of the exponential moving average of probabilities and agreement over judgements."""
    min_noise_score: float = 0.4
    """Smaller noise scores are not called noisy: the higher, the fewer hard clips are, and the fewer wrong labels."""
    noisy_weight: float = 0.2
    """Weight of the loss of clips that are probably mislabelled."""
    hard_weight: float = 1.5
    """Weight of the loss of hard clips."""
    relabel_after: int = 2
    """Successive verdicts "noisy" after which the target is half the label and half the prediction."""
    consistency: float = 0.3
    """Weight of the divergence from the mean prediction of the sub-clips, of hard clips."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "warm_up", "every", "relabel_after")
        check_within(self, 0, 1, "decay", "noisy_weight")
        check_within(self, 0, MAX_THRESHOLD, "min_noise_score")
        check_within(self, 0, math.inf, "hard_weight", "consistency")


@dataclass(frozen=True, kw_only=True)
class ClipTrainConfig:
    """A training run of the clip network.

    Raises:
        ValueError: A value is out of its range.
    """

    kind: Literal["clips"]
    """What is trained."""
    data: ClipDataConfig = field(default_factory=ClipDataConfig)
    """Where the clips are."""
    out_dir: Path = Path("out/rdfer")
    """Folder of the run."""
    seed: int = 0
    """Seed of all that is random."""
    expression: Path | None = None
    """Weights of the expression network that reads the frames, which stay as they are; null: the packaged ones."""
    epochs: int = 16
    """Passes over the clips."""
    batch_size: int = 64
    """Clips of a step."""
    lr: float = 2e-3
    """Largest learning rate of AdamW: a warm-up over 10 % of the steps, then half a cosine."""
    weight_decay: float = 0.05
    """Weight decay of AdamW."""
    dropout: float = 0.3
    """Dropout."""
    ema: float = 0.99
    """Decay of the exponential moving average of the weights, which is what is measured and kept."""
    streams: Literal["both", "long", "short"] = "both"
    """Sequence models that classify."""
    resamples: bool = True
    """The short-term stream reads frames about the key expression; otherwise of the whole sub-clip."""
    auxiliary: float = 0.3
    """Weight of the losses of the long-term stream and of single frames."""
    key_weight: float = 0.5
    """Weight of the loss of the key expression."""
    held: float = 0.3
    """Share of the clips with known key expressions of which only these are shown, as if they were held throughout."""
    feature_noise: float = 0.1
    """Standard deviation of noise on the features of frames, over theirs."""
    review: LabelReviewConfig = field(default_factory=LabelReviewConfig)
    """Judgement of labels."""
    engine: NetworkEngineConfig = field(default_factory=NetworkEngineConfig)
    """Threads and checkpoints."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "epochs", "batch_size")
        check_within(self, 0, math.inf, "auxiliary", "key_weight", "feature_noise")
        check_within(self, 0, 1, "dropout", "held")
        check_optimizer(self)
