"""Configuration of the training of the expression network; the documentation of a key is at its field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from smirk3d.datasets.config_checks import check, check_within
from smirk3d.train.small_network.config import NetworkEngineConfig, check_optimizer
from smirk3d.train.small_network.rendered_crops import RenderedConfig

_SIDES_PX = range(32, 257, 16)


@dataclass(frozen=True)
class FerDataConfig:
    """Where the faces are."""

    ferplus: Path
    """Folder of FERPlus with the splits train and val, or fer2013.csv; see `smirk3d.fer.datasets`."""
    rendered: RenderedConfig = field(default_factory=RenderedConfig)
    """Rendered heads."""
    unlabelled: Path | None = None
    """Folder of prepared photos; its split train is used without labels, and only with a teacher. null: none."""
    max_faces: int | None = None
    """At most so many faces of each split; null: all."""

    def __post_init__(self) -> None:
        if self.max_faces is not None:
            check_within(self, 1, math.inf, "max_faces")


@dataclass(frozen=True)
class FerAugmentConfig:
    """Random changes of the windows; standard deviations and ranges.

    Raises:
        ValueError: A value is out of its range.
    """

    turn_deg: float = 12.0
    """Largest rotation."""
    scale: float = 0.08
    """Standard deviation of the logarithm of the scale."""
    shift: float = 0.05
    """Standard deviation of the shift in half sides."""
    gamma: float = 0.35
    """Largest logarithm of the gamma."""
    contrast: float = 0.3
    """Largest relative change of the contrast."""
    brightness: float = 0.15
    """Largest change of the brightness, of 1."""
    blur: float = 0.25
    """Share of windows that are reduced to 20 to 36 pixels and enlarged again."""
    noise: float = 0.05
    """Largest standard deviation of the noise, of 1."""
    jpeg: float = 0.1
    """Share of windows that are compressed."""
    erased: float = 0.3
    """Share of windows of which a rectangle is hidden (Zhong et al., "Random Erasing Data Augmentation", 2020)."""

    def __post_init__(self) -> None:
        check_within(self, 0, 45, "turn_deg")
        check_within(self, 0, 1, "scale", "shift", "gamma", "contrast", "brightness", "blur", "noise", "jpeg", "erased")


@dataclass(frozen=True, kw_only=True)
class FerTrainConfig:
    """A training run of the expression network.

    Raises:
        ValueError: A value is out of its range.
    """

    data: FerDataConfig
    """Where the faces are."""
    out_dir: Path = Path("out/fer_vector")
    """Folder of the run."""
    seed: int = 0
    """Seed of all that is random."""
    init: Path | None = None
    """Weights of an earlier run from which this one starts (a warm restart); null: `backbone_init`."""
    backbone_init: Literal["imagenet", "random"] = "imagenet"
    """Weights from which the trunk starts."""
    steps: int = 3000
    """Optimiser steps."""
    batch_size: int = 64
    """Photographed faces of a step."""
    renders: int = 16
    """Rendered faces of a step."""
    lr: float = 1.5e-3
    """Largest learning rate of AdamW: a warm-up over 5 % of the steps, then half a cosine."""
    weight_decay: float = 0.02
    """Weight decay of AdamW."""
    arkit_weight: float = 1.0
    """Weight of the loss of the ARKit weights, relative to that of the votes."""
    triplet_weight: float = 0.0
    """Weight of the triplet loss of the expression vectors, relative to that of the votes."""
    teacher_steps: int = 0
    """Steps of a first network, trained like this one but without a teacher; 0: there is no teacher."""
    teacher_share: float = 0.5
    """Share of the teacher's probabilities in the target of a labelled face, in [0, 1]."""
    input_px: int = 64
    """Side in pixels to which windows are enlarged; a multiple of 16."""
    fine_px: int = 96
    """The same in the last steps, and of the trained network."""
    fine_share: float = 0.0
    """Share of the steps with `fine_px`."""
    balance: float = 0.35
    """Exponent of the inverse frequency by which faces of an emotion weigh; 0: all alike, 1: all emotions alike."""
    ema: float = 0.998
    """Decay of the exponential moving average of the weights, which is what is validated and kept."""
    validate_every: int = 500
    """Steps between validations."""
    augment: FerAugmentConfig = field(default_factory=FerAugmentConfig)
    """Augmentation."""
    engine: NetworkEngineConfig = field(default_factory=NetworkEngineConfig)
    """Threads and checkpoints."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "steps", "batch_size", "validate_every")
        check_within(self, 0, math.inf, "renders", "arkit_weight", "triplet_weight", "teacher_steps")
        check_within(self, 0, 1, "balance", "teacher_share", "fine_share")
        check(self, "input_px", self.input_px in _SIDES_PX, "a multiple of 16 from 32 to 256")
        check(self, "fine_px", self.fine_px in _SIDES_PX, "a multiple of 16 from 32 to 256")
        check(self, "data.unlabelled", self.data.unlabelled is None or self.teacher_steps > 0, "null without a teacher")
        check_optimizer(self)
        check(self, "batch_size", self.batch_size + self.renders > 1, "at least 2 with renders")
