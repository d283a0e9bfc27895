"""What a training run is told: frozen records that own the defaults and say what every key means.

Nothing is changed after it was checked; `smirk3d.train.config_file` reads them from YAML.
"""

from __future__ import annotations

import math
import reprlib
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from smirk3d.masking.photo import MaskingConfig
from smirk3d.networks.encoder import EncoderConfig

Range = tuple[float, float]
"""Lowest and highest value, both included."""


@dataclass(frozen=True)
class SourceConfig:
    """One collection of training faces. Raises `ValueError`, as all these records, for a value out of its range."""

    path: Path
    """Folder of photos, or of tar shards."""
    weight: float = 1.0
    """How often its faces are drawn, relative to the other sources."""
    kind: Literal["folder", "shards"] = "folder"
    """What lies at the path."""

    def __post_init__(self) -> None:
        _check_positive(self, "weight")


@dataclass(frozen=True)
class DataConfig:
    """Which faces are seen, and how they are cut out."""

    sources: tuple[SourceConfig, ...]
    """Where the faces come from; at least one."""
    size: int = 224
    """Side of the crops in pixels; a multiple of 32, because the backbones halve it five times."""
    crop_scale: Range = (1.2, 1.8)
    """Side of the crop over the size of the landmark box; drawn uniformly."""
    batch_size: int = 32
    """Faces a step."""
    workers: int = 0
    """Processes that prepare batches; 0: the training process does."""
    seed: int = 0
    """Decides the order of the faces."""

    def __post_init__(self) -> None:
        _check(self, "sources", len(self.sources) > 0, "a list of at least one source")
        _check(self, "size", self.size > 0 and self.size % 32 == 0, "a positive multiple of 32")
        _check_ranges(self, 0.1, 10, "crop_scale")
        _check_within(self, 1, math.inf, "batch_size")
        _check_within(self, 0, math.inf, "workers")
        _check_within(self, 0, 2**32 - 1, "seed")


@dataclass(frozen=True)
class AugmentConfig:
    """How far crops are changed at random; 0 switches a change off."""

    shift: float = 0.05
    """Largest shift along either axis, as a share of the side."""
    scale: float = 0.1
    """Largest change of size: factors lie in [1 - scale, 1 + scale]."""
    rotation_deg: float = 10.0
    """Largest rotation in the image, degrees."""
    mirror: float = 0.5
    """Probability of a left-right mirror image."""
    colour: float = 0.2
    """Strength of the changes of brightness, contrast, saturation and hue, in [0, 1]."""
    blur: float = 0.2
    """Probability of a blurred crop."""
    noise: float = 0.02
    """Largest standard deviation of noise on images in [0, 1]."""

    def __post_init__(self) -> None:
        _check_within(self, 0, 0.9, "shift", "scale")
        _check_within(self, 0, 180, "rotation_deg")
        _check_within(self, 0, 1, "mirror", "colour", "blur", "noise")


@dataclass(frozen=True)
class LossWeights:
    """Factors of the named losses; a loss of weight 0 is not computed."""

    landmark: float = 0.0
    """Mean squared distance of landmarks, in units of [-1, 1] over the crop."""
    photo: float = 0.0
    """Mean absolute difference of the re-synthesised photo."""
    perceptual: float = 0.0
    """Mean absolute difference of its features in a pretrained network."""
    identity: float = 0.0
    """Faces of one person have one shape."""
    emotion: float = 0.0
    """Squared distance of its features in an emotion network; teaches the encoder only."""
    expression: float = 0.0
    """Squared norm of the expression."""
    jaw: float = 0.0
    """Squared norm of the jaw's rotation."""
    target: float = 0.0
    """Distance from parameters that are known (`TrainingBatch.target`)."""

    def __post_init__(self) -> None:
        _check_within(self, 0, sys.float_info.max, *(f.name for f in fields(self)))

    def in_use(self) -> dict[str, float]:
        """Return the weights above 0 by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) > 0}


@dataclass(frozen=True)
class CycleWeights:
    """Factors of what the encoder must recover in the cycle path: mean squared errors."""

    expression: float = 1.0
    """Of the expression."""
    jaw: float = 10.0
    """Of the jaw's rotation vector."""
    eyelids: float = 10.0
    """Of the eyelids."""
    shape: float = 1.0
    """Of the shape; counts in the steps in which the generator learns."""

    def __post_init__(self) -> None:
        _check_within(self, 0, sys.float_info.max, *(f.name for f in fields(self)))


@dataclass(frozen=True)
class CycleConfig:
    """The cycle path: the changes of expression that must be recovered. Source: METHOD section 7, stage 2."""

    copies: int = 1
    """Changed copies of every face."""
    noise_share: float = 0.5
    """Group 1: share of the coefficients that get noise."""
    noise_scale: Range = (1.0, 3.0)
    """Group 1: standard deviation of the noise; drawn uniformly."""
    noise_limit: float = 4.0
    """Group 1: coefficients stay within ± this."""
    permute_scale: Range = (0.25, 1.5)
    """Group 2: factor on expressions taken from another face; drawn uniformly."""
    template_scale: Range = (0.25, 1.5)
    """Group 3: factor on expression templates; drawn uniformly."""
    extra_noise: Range = (0.0, 0.2)
    """All groups: standard deviation of a little more noise; drawn uniformly."""
    jaw_probability: float = 0.5
    """Share of the faces whose jaw is changed."""
    jaw_noise_rad: tuple[float, float, float] = (0.2, 0.02, 0.02)
    """Standard deviations of the change of the jaw's rotation vector, radians."""
    jaw_opening_rad: Range = (0.0, 0.5)
    """The jaw's opening is kept in this range, radians."""
    eyelid_change: float = 0.25
    """Eyelids change by up to ± this."""
    losses: CycleWeights = field(default_factory=CycleWeights)
    """Factors of the errors."""

    def __post_init__(self) -> None:
        _check_within(self, 1, math.inf, "copies")
        _check_within(self, 0, 1, "noise_share", "jaw_probability", "eyelid_change")
        _check_ranges(self, 0, 100, "noise_scale", "permute_scale", "template_scale", "extra_noise")
        _check_positive(self, "noise_limit")
        _check(self, "jaw_noise_rad", all(0 <= std <= math.pi for std in self.jaw_noise_rad), "in [0, pi]")
        _check_ranges(self, 0, math.pi, "jaw_opening_rad")


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam and its schedule. Source: METHOD section 7."""

    lr: float = 1e-3
    """Learning rate of the generator."""
    encoder_lr_scale: float = 0.25
    """Learning rate of the encoders over `lr`."""
    generator_betas: Range = (0.5, 0.999)
    """Adam's averaging of the generator's gradients; the encoders have Adam's usual ones."""
    cosine_floor: float = 0.01
    """Share of the learning rate at which the cosine ends."""
    cosine_samples: int = 50_000
    """Faces over which the rate falls to its floor; then it starts anew."""
    clip_norm: float = 0.1
    """Largest norm of the generator's gradient in the cycle path."""

    def __post_init__(self) -> None:
        _check_positive(self, "lr", "encoder_lr_scale", "clip_norm")
        _check(self, "generator_betas", all(0 <= beta < 1 for beta in self.generator_betas), "in [0, 1)")
        _check_within(self, 0, 1, "cosine_floor")
        _check_within(self, 1, math.inf, "cosine_samples")


@dataclass(frozen=True)
class StageConfig:
    """What learns, from what, for how long."""

    name: Literal["pretrain", "core"]
    """pretrain: encoders from landmarks, without a neural renderer; core: analysis by neural synthesis."""
    trainable: tuple[Literal["pose", "shape", "expression", "generator"], ...]
    """The networks that learn; the others are frozen."""
    losses: LossWeights
    """Factors of the losses."""
    steps: int
    """Batches in all."""
    cycle: CycleConfig | None = None
    """The cycle path; null: there is none."""

    def __post_init__(self) -> None:
        _check(self, "trainable", 0 < len(self.trainable) == len(set(self.trainable)), "a list of different networks")
        _check(self, "losses", bool(self.losses.in_use()), "weights of which one is above 0")
        _check_within(self, 1, math.inf, "steps")
        if self.name == "pretrain":
            _check(self, "trainable", "generator" not in self.trainable, "without generator in the stage pretrain")
            _check(self, "cycle", self.cycle is None, "null in the stage pretrain")
            for name in ("photo", "perceptual", "emotion"):
                if getattr(self.losses, name) > 0:
                    raise ValueError(f"losses.{name} must be 0 in the stage pretrain, which draws no photo")


@dataclass(frozen=True)
class EngineConfig:
    """Where and how the run is computed; does not change what is learned, but for rounding."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Kind of device; auto: CUDA where there is one."""
    devices: int = 1
    """Devices a machine."""
    nodes: int = 1
    """Machines."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Of the networks' arithmetic."""
    save_every: int = 1000
    """Steps between checkpoints."""
    keep_last: int = 3
    """Checkpoints that are kept."""
    preview_every: int = 500
    """Steps between sheets of sample pictures; 0: never."""

    def __post_init__(self) -> None:
        _check_within(self, 1, math.inf, "devices", "nodes", "save_every", "keep_last")
        _check_within(self, 0, math.inf, "preview_every")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run."""

    head: str = "open"
    """Head model: open, or the path of a FLAME file or a head pack."""
    backbones: EncoderConfig = field(default_factory=EncoderConfig)
    """Backbones of the three encoders."""
    init: Path | None = None
    """Checkpoint of networks to start from; null: random weights."""
    out_dir: Path = Path("out/train")
    """Folder for checkpoints, previews and logs."""
    data: DataConfig
    """The faces."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes of the crops."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """What the neural renderer may see of the photo."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Adam and its schedule."""
    stage: StageConfig
    """What learns, from what, for how long."""
    engine: EngineConfig = field(default_factory=EngineConfig)
    """Device, precision, checkpoints."""
    seed: int = 0
    """Decides everything random but the order of the faces."""

    def __post_init__(self) -> None:
        _check(self, "head", bool(self.head), "open or a path")
        _check_within(self, 0, 2**32 - 1, "seed")


def _check(record: Any, name: str, fits: bool, wanted: str) -> None:
    if not fits:
        raise ValueError(f"{name} must be {wanted}, not {reprlib.repr(_shown(getattr(record, name)))}")


def _check_within(record: Any, low: float, high: float, *names: str) -> None:
    for name in names:
        wanted = f"at least {low}" if high >= sys.float_info.max else f"in [{low}, {high}]"
        _check(record, name, low <= getattr(record, name) <= high, wanted)


def _check_positive(record: Any, *names: str) -> None:
    for name in names:
        _check(record, name, 0 < getattr(record, name) < math.inf, "above 0")


def _check_ranges(record: Any, low: float, high: float, *names: str) -> None:
    for name in names:
        first, last = getattr(record, name)
        _check(record, name, low <= first <= last <= high, f"two rising numbers in [{low}, {high}]")


def _shown(value: Any) -> Any:
    """Return a value as a file would hold it: lists for tuples."""
    return [_shown(item) for item in value] if isinstance(value, tuple) else value
