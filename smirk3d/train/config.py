"""Configuration of a training run: frozen records with defaults; the documentation of a key is at its field.

Values are checked when a record is made, and nothing changes afterwards. `smirk3d.train.config_file` reads the records
from YAML.
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
    """Weights of the losses, each at least 0; a loss of weight 0 is not computed.

    The formulas are in `smirk3d.train.losses`. Values in parentheses are those of configs/.

    Raises:
        ValueError: A weight is negative or not finite.
    """

    landmark: float = 0.0
    """Landmark reprojection: mean squared distance in NDC, [-1, 1] over the crop (100)."""
    photo: float = 0.0
    """Photometric L1 between the neural rendering and the photo (10)."""
    perceptual: float = 0.0
    """L1 between feature maps of a pretrained network (10 for VGG16, 0.5 for EfficientNet-Lite0)."""
    identity: float = 0.0
    """Shape consistency over the faces of one person; with the key `mica`, distance from MICA's shape (10)."""
    emotion: float = 0.0
    """Squared distance of features of an emotion network; its gradient reaches the encoder only (1)."""
    expression: float = 0.0
    """L2 penalty on the expression coefficients (1e-3, in pretraining 1e-2)."""
    jaw: float = 0.0
    """L2 penalty on the jaw's rotation vector (1e-2)."""
    target: float = 0.0
    """Distance from known parameters, the target of rendered or pseudo-labelled faces (1)."""

    def __post_init__(self) -> None:
        check_within(self, 0, sys.float_info.max, *(f.name for f in fields(self)))

    def in_use(self) -> dict[str, float]:
        """Return the weights above 0 by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) > 0}


@dataclass(frozen=True)
class CycleWeights:
    """Weights of the cycle-consistency losses, mean squared errors of recovered parameters; each at least 0.

    Raises:
        ValueError: A weight is negative or not finite.
    """

    expression: float = 1.0
    """Of the expression coefficients."""
    jaw: float = 10.0
    """Of the jaw's rotation vector."""
    eyelids: float = 10.0
    """Of the eyelid parameters."""
    shape: float = 1.0
    """Of the shape coefficients; used in the steps that update the neural renderer."""

    def __post_init__(self) -> None:
        check_within(self, 0, sys.float_info.max, *(f.name for f in fields(self)))


@dataclass(frozen=True)
class CycleConfig:
    """The cycle path: augmented expressions are rendered and must be recovered (docs/method.md, "Cycle path").

    Raises:
        ValueError: A value is out of its range.
    """

    copies: int = 1
    """Augmented copies of each face in a step, at least 1; each costs as much as the face itself."""
    perturb: PerturbConfig = field(default_factory=PerturbConfig)
    """How expressions are augmented."""
    losses: CycleWeights = field(default_factory=CycleWeights)
    """Weights of the losses."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "copies")
        probabilities = ("jaw_probability", "arkit_active", "arkit_noise_probability", "one_sided")
        check_within(self, 0, 1, *(f"perturb.{name}" for name in probabilities))
        check_within(self, 0, 100, "perturb.arkit_jaw_std")
        check_positive(self, "perturb.limit")
        check_ranges(self, 0, 100, *(f"perturb.{name}" for name in ("noise", "scale", "small_noise")))
        check_ranges(self, 0, 1, "perturb.arkit_blend", "perturb.arkit_small_noise")
        check_ranges(self, -math.pi, math.pi, "perturb.jaw_open_rad", "perturb.jaw_side_rad")
        check_ranges(self, -1, 1, "perturb.eyelids")
        stds = self.perturb.jaw_std_rad
        check(self, "perturb.jaw_std_rad", all(0 <= std <= math.pi for std in stds), "in [0, pi]")


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam and its learning-rate schedule (docs/method.md, "Training").

    Raises:
        ValueError: A value is out of its range.
    """

    lr: float = 1e-3
    """Learning rate of the neural renderer; 1e-4 to 1e-3 is usual."""
    encoder_lr_scale: float = 0.25
    """Learning rate of the encoder over `lr`. 0.25 from pretrained weights, 0.02 for an encoder that is converged."""
    neural_renderer_betas: Range = (0.5, 0.999)
    """Adam's betas for the neural renderer, each in [0, 1); the encoder has Adam's defaults (0.9, 0.999)."""
    cosine_floor: float = 0.01
    """Share of the learning rate at the end of the cosine, in [0, 1]."""
    cosine_samples: int | None = 50_000
    """Faces in one cosine period, after which the rate restarts; null: one period over the whole stage."""
    clip_norm: float = 0.1
    """Largest gradient norm of the neural renderer in the cycle path."""

    def __post_init__(self) -> None:
        check_positive(self, "lr", "encoder_lr_scale", "clip_norm")
        betas = self.neural_renderer_betas
        check(self, "neural_renderer_betas", all(0 <= beta < 1 for beta in betas), "in [0, 1)")
        check_within(self, 0, 1, "cosine_floor")
        if self.cosine_samples is not None:
            check_within(self, 1, math.inf, "cosine_samples")


@dataclass(frozen=True)
class StageConfig:
    """One training stage: trainable networks, losses and length.

    Raises:
        ValueError: A value is out of its range, or a loss needs a network that the stage does not have.
    """

    name: Literal["pretrain", "core"]
    """pretrain: the encoder from landmarks, without a neural renderer; core: analysis by neural synthesis."""
    trainable: tuple[Literal["pose", "shape", "expression", "neural_renderer"], ...]
    """Networks that are updated; the others are frozen."""
    losses: LossWeights
    """Weights of the losses; at least one above 0."""
    steps: int
    """Number of batches, at least 1. The paper's stages see 20 epochs of about 50,000 faces."""
    cycle: CycleConfig | None = None
    """The cycle path; null: none."""
    target_fields: TargetWeights = field(default_factory=TargetWeights)
    """Weights of the parameters within the loss `target`."""
    templates: Path | None = None
    """Folder of expression templates (.npz, .csv) for the cycle path, added to the built-in ones; null: none."""

    def __post_init__(self) -> None:
        check(self, "trainable", 0 < len(self.trainable) == len(set(self.trainable)), "a list of different networks")
        check(self, "losses", bool(self.losses.in_use()), "weights of which one is above 0")
        check_within(self, 1, math.inf, "steps")
        names = [f"target_fields.{each.name}" for each in fields(self.target_fields)]
        check_within(self, 0, sys.float_info.max, *names)
        check(self, "templates", self.cycle is not None or self.templates is None, "null without the cycle path")
        if self.name == "pretrain":
            is_encoder_only = "neural_renderer" not in self.trainable
            check(self, "trainable", is_encoder_only, "without neural_renderer in the stage pretrain")
            check(self, "cycle", self.cycle is None, "null in the stage pretrain")
            for name in ("photo", "perceptual", "emotion"):
                if getattr(self.losses, name) > 0:
                    raise ValueError(f"losses.{name} must be 0 in the stage pretrain, which renders no photo")


@dataclass(frozen=True)
class EngineConfig:
    """Devices, precision and checkpoints; does not change what is learned, except for rounding.

    Raises:
        ValueError: A value is out of its range.
    """

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Type of device; auto: CUDA where available."""
    devices: int = 1
    """Devices per machine, at least 1."""
    nodes: int = 1
    """Machines, at least 1; devices × nodes must divide `data.batch_size`."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Precision of the networks; rendering and losses stay in 32 bits. 16-mixed needs CUDA."""
    save_every: int = 1000
    """Steps between checkpoints, at least 1."""
    keep_last: int = 3
    """Number of checkpoints that are kept, at least 1."""
    preview_every: int = 500
    """Steps between contact sheets of sample images; 0: never."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "devices", "nodes", "save_every", "keep_last")
        check_within(self, 0, math.inf, "preview_every")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run.

    Raises:
        ValueError: A value is out of its range, or two keys contradict each other.
    """

    head: str = "open"
    """Head model: open, or the path of a FLAME file or a head pack."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Architecture of the encoder: backbones, face window, test-time augmentation."""
    init: Path | None = None
    """Checkpoint of networks to start from; null: random weights."""
    backbone_init: Literal["random", "imagenet"] = "random"
    """Initial weights of the encoder's backbones without `init`; imagenet: only for EfficientNet-Lite0."""
    neural_renderer_width: int = 32
    """Channels of the neural renderer's first level, at least 1; 32 as in the paper, 12 on a CPU."""
    perceptual: str = "lite0"
    """Network of the perceptual loss: lite0, or the path of torchvision's VGG16 weights."""
    emotion: Path | None = None
    """Network of the loss `emotion`: EMOCA's ResNet-50 for emotion recognition, or a checkpoint of networks whose
    expression encoder supplies the features; null: none."""
    mica: Path | None = None
    """File with MICA's networks (mica.tar) for the loss `identity`; FLAME heads only; null: none."""
    out_dir: Path = Path("out/train")
    """Folder for checkpoints, previews and logs."""
    data: DataConfig
    """Training faces."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random augmentation of the crops."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """Which pixels of the photo the neural renderer receives."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Adam and its learning-rate schedule."""
    stage: StageConfig
    """Trainable networks, losses and length."""
    engine: EngineConfig = field(default_factory=EngineConfig)
    """Devices, precision and checkpoints."""
    seed: int = 0
    """Seed of everything random except the order of the faces (`data.seed`)."""

    def __post_init__(self) -> None:
        check(self, "head", bool(self.head), "open or a path")
        check(self, "perceptual", bool(self.perceptual), "lite0 or a path")
        check_within(self, 1, math.inf, "neural_renderer_width")
        check_within(self, 0, 2**32 - 1, "seed")
        processes = self.engine.devices * self.engine.nodes
        if self.data.batch_size % processes:
            raise ValueError(f"engine.devices must, times nodes, divide data.batch_size, {self.data.batch_size}")
        losses, sources = self.stage.losses, self.data.all_sources
        if losses.emotion > 0 and self.emotion is None:
            raise ValueError("stage.losses.emotion must be 0 where the key emotion names no checkpoint")
        if losses.target > 0 and not any(source.kind == "rendered" or source.targets for source in sources):
            raise ValueError("stage.losses.target must be 0 where no source is rendered or has targets")
