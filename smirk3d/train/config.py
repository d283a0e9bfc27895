"""What a training run is told: frozen records that own the defaults and say what every key means.

Nothing is changed after it was checked; `smirk3d.train.config_file` reads them from YAML.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from smirk3d.datasets.config import AugmentConfig, DataConfig, Range
from smirk3d.datasets.config_checks import check, check_positive, check_ranges, check_within
from smirk3d.masking.photo import MaskingConfig
from smirk3d.networks.encoder import EncoderConfig
from smirk3d.train.expression_augmentation import PerturbConfig
from smirk3d.train.losses.losses import TargetWeights


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
    """Faces of one person have one shape; where the key mica names a file, it is MICA's for the picture."""
    emotion: float = 0.0
    """Squared distance of its features in an emotion network; teaches the encoder only."""
    expression: float = 0.0
    """Squared norm of the expression."""
    jaw: float = 0.0
    """Squared norm of the jaw's rotation."""
    target: float = 0.0
    """Distance from parameters that are known (`TrainingBatch.target`)."""

    def __post_init__(self) -> None:
        check_within(self, 0, sys.float_info.max, *(f.name for f in fields(self)))

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
        check_within(self, 0, sys.float_info.max, *(f.name for f in fields(self)))


@dataclass(frozen=True)
class CycleConfig:
    """The cycle path: expressions are changed, drawn, and must be recovered. Source: METHOD section 7, stage 2."""

    copies: int = 1
    """Changed copies of every face."""
    perturb: PerturbConfig = field(default_factory=PerturbConfig)
    """How the expressions are changed."""
    losses: CycleWeights = field(default_factory=CycleWeights)
    """Factors of the errors."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "copies")
        shares = ("jaw_probability", "arkit_active", "arkit_stray", "one_sided")
        check_within(self, 0, 1, *(f"perturb.{name}" for name in shares))
        check_within(self, 0, 100, "perturb.arkit_jaw_std")
        check_positive(self, "perturb.limit")
        check_ranges(self, 0, 100, *(f"perturb.{name}" for name in ("noise", "scale", "little_noise")))
        check_ranges(self, 0, 1, "perturb.arkit_pull", "perturb.arkit_little_noise")
        check_ranges(self, -math.pi, math.pi, "perturb.jaw_open_rad", "perturb.jaw_side_rad")
        check_ranges(self, -1, 1, "perturb.eyelids")
        stds = self.perturb.jaw_std_rad
        check(self, "perturb.jaw_std_rad", all(0 <= std <= math.pi for std in stds), "in [0, pi]")


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
    cosine_samples: int | None = 50_000
    """Faces over which the rate falls to its floor, before it starts anew; null: it falls once, over the stage."""
    clip_norm: float = 0.1
    """Largest norm of the generator's gradient in the cycle path."""

    def __post_init__(self) -> None:
        check_positive(self, "lr", "encoder_lr_scale", "clip_norm")
        check(self, "generator_betas", all(0 <= beta < 1 for beta in self.generator_betas), "in [0, 1)")
        check_within(self, 0, 1, "cosine_floor")
        if self.cosine_samples is not None:
            check_within(self, 1, math.inf, "cosine_samples")


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
    target_fields: TargetWeights = field(default_factory=TargetWeights)
    """Factors of the parameters within the loss `target`."""
    templates: Path | None = None
    """Folder of expression templates for the cycle path; null: those that come with the package."""

    def __post_init__(self) -> None:
        check(self, "trainable", 0 < len(self.trainable) == len(set(self.trainable)), "a list of different networks")
        check(self, "losses", bool(self.losses.in_use()), "weights of which one is above 0")
        check_within(self, 1, math.inf, "steps")
        names = [f"target_fields.{each.name}" for each in fields(self.target_fields)]
        check_within(self, 0, sys.float_info.max, *names)
        check(self, "templates", self.cycle is not None or self.templates is None, "null without the cycle path")
        if self.name == "pretrain":
            check(self, "trainable", "generator" not in self.trainable, "without generator in the stage pretrain")
            check(self, "cycle", self.cycle is None, "null in the stage pretrain")
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
        check_within(self, 1, math.inf, "devices", "nodes", "save_every", "keep_last")
        check_within(self, 0, math.inf, "preview_every")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run."""

    head: str = "open"
    """Head model: open, or the path of a FLAME file or a head pack."""
    backbones: EncoderConfig = field(default_factory=EncoderConfig)
    """Backbones of the three encoders."""
    init: Path | None = None
    """Checkpoint of networks to start from; null: random weights."""
    backbone_start: Literal["random", "imagenet"] = "random"
    """Weights of the encoder's backbones where there is no `init`; imagenet: for EfficientNet-Lite0 alone."""
    generator_width: int = 32
    """Channels of the neural renderer's first level."""
    perceptual: str = "lite0"
    """Network of the perceptual loss: lite0, or the path of a file with VGG16's weights."""
    emotion: Path | None = None
    """Network of the loss `emotion`: a checkpoint of networks, whose expression encoder gives its features, or EMOCA's
    ResNet-50 for emotion recognition."""
    mica: Path | None = None
    """File with MICA's networks (mica.tar), whose shapes the loss `identity` asks for; FLAME heads only."""
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
        check(self, "head", bool(self.head), "open or a path")
        check(self, "perceptual", bool(self.perceptual), "lite0 or a path")
        check_within(self, 1, math.inf, "generator_width")
        check_within(self, 0, 2**32 - 1, "seed")
        processes = self.engine.devices * self.engine.nodes
        if self.data.batch_size % processes:
            raise ValueError(f"engine.devices must, times nodes, divide data.batch_size, {self.data.batch_size}")
        losses, sources = self.stage.losses, self.data.all_sources
        if losses.emotion > 0 and self.emotion is None:
            raise ValueError("stage.losses.emotion must be 0 where the key emotion names no checkpoint")
        if losses.target > 0 and not any(source.kind == "rendered" or source.targets for source in sources):
            raise ValueError("stage.losses.target must be 0 where no source is rendered or has targets")
