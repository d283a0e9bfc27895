"""Configuration of the training of the face autoencoder; the documentation of a key is at its field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from smirk3d.datasets.config_checks import check_positive, check_within
from smirk3d.train.small_network.config import NetworkEngineConfig, check_optimizer
from smirk3d.train.small_network.rendered_crops import RenderedConfig


@dataclass(frozen=True)
class VaeDataConfig:
    """Where the faces are.

    Raises:
        ValueError: A value is out of its range.
    """

    faces: Path
    """Folder of shards with the splits train and val, as `smirk3d data prepare` makes them; labels are not read."""
    rendered: RenderedConfig = field(default_factory=lambda: RenderedConfig(count=4096))
    """Rendered heads."""
    max_faces: int | None = None
    """At most so many photographed faces of each split; null: all."""
    max_per_person: int = 20
    """At most so many photographed faces of one person."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "max_per_person")
        if self.max_faces is not None:
            check_within(self, 2, math.inf, "max_faces")


@dataclass(frozen=True)
class VaeAugmentConfig:
    """Random changes of the windows, which are both the input and the target.

    Raises:
        ValueError: A value is out of its range.
    """

    tint: float = 0.6
    """Share of grey windows that are coloured like skin: most photos of the training faces are grey."""
    gamma: float = 0.2
    """Largest logarithm of the gamma."""

    def __post_init__(self) -> None:
        check_within(self, 0, 1, "tint", "gamma")


@dataclass(frozen=True)
class VaeObjectiveConfig:
    """The terms of the reconstruction loss, and the rate of the code.

    The weight of the divergence, beta, is adapted during the run until the code of a face has the wanted rate, so that
    networks with different losses are compared at the same rate. Source: Shao et al., "ControlVAE", ICML 2020, here
    with the integral term only, on the logarithm of beta.

    Raises:
        ValueError: A value is out of its range.
    """

    vgg19: Path | None = None
    """torchvision's weights of VGG19 as a local file; null: the packaged expression network."""
    pixel: float = 0.1
    """Weight of the absolute differences of pixels beside features."""
    gradient: float = 0.1
    """Weight of the absolute differences of image gradients beside features."""
    rate_nats: float = 100.0
    """Wanted mean divergence of the posteriors from the prior."""
    beta_start: float = 1e-4
    """Weight of the divergence, in nats, in the first step."""
    beta_gain: float = 0.02
    """Change of the logarithm of beta in a step in which the rate is twice the wanted one."""

    def __post_init__(self) -> None:
        check_within(self, 0, math.inf, "pixel", "gradient")
        check_positive(self, "rate_nats", "beta_start")
        check_within(self, 0, 1, "beta_gain")


@dataclass(frozen=True, kw_only=True)
class VaeTrainConfig:
    """A training run of the face autoencoder.

    Raises:
        ValueError: A value is out of its range.
    """

    kind: Literal["vae"] = "vae"
    """What `smirk3d fer train` trains."""
    data: VaeDataConfig
    """Where the faces are."""
    out_dir: Path = Path("out/fer_vae")
    """Folder of the run."""
    seed: int = 0
    """Seed of all that is random."""
    loss: Literal["features", "pixel"] = "features"
    """Reconstruction loss: squared differences of features of a frozen network, or of pixels."""
    objective: VaeObjectiveConfig = field(default_factory=VaeObjectiveConfig)
    """Terms of the loss, and the rate of the code."""
    steps: int = 1600
    """Optimiser steps."""
    batch_size: int = 26
    """Photographed faces of a step."""
    renders: int = 6
    """Rendered faces of a step."""
    lr: float = 1.5e-3
    """Largest learning rate of AdamW: a warm-up over 5 % of the steps, then half a cosine."""
    weight_decay: float = 1e-3
    """Weight decay of AdamW."""
    ema: float = 0.995
    """Decay of the exponential moving average of the weights, which is what is kept."""
    validate_every: int = 400
    """Steps between validations."""
    bfloat16: bool = True
    """Compute convolutions of the training in bfloat16."""
    augment: VaeAugmentConfig = field(default_factory=VaeAugmentConfig)
    """Augmentation."""
    engine: NetworkEngineConfig = field(default_factory=NetworkEngineConfig)
    """Threads and checkpoints."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "steps", "validate_every")
        check_within(self, 2, math.inf, "batch_size")
        check_within(self, 0, math.inf, "renders")
        check_optimizer(self)
