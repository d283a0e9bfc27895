"""Configuration of a training run: frozen records with defaults; the documentation of a key is at its field.

Values are checked when a record is made, and nothing changes afterwards. `smirk3d.train.config_file` reads the records
from YAML.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from smirk3d.datasets.config import AugmentConfig, DataConfig, Range
from smirk3d.datasets.config_checks import check, check_positive, check_within
from smirk3d.masking.photo import MaskingConfig
from smirk3d.networks.encoder import EncoderConfig
from smirk3d.train.loss_config import CycleConfig, LossWeights
from smirk3d.train.losses.losses import TargetWeights
from smirk3d.train.stages import FinishStage, RegressionStage, RendererStage, StageData, ValidationConfig

PACKAGED = Path("packaged")
"""Value of `TrainConfig.init` for the weights that come with the package."""
RANDOM = Path("random")
"""Value of `TrainConfig.init_neural_renderer` for random weights."""


NetworkName = Literal["pose", "shape", "expression", "neural_renderer"]
"""The networks as `StageConfig.trainable` names them."""


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam and its learning-rate schedule (docs/method.md, "Training").

    Raises:
        ValueError: A value is out of its range.
    """

    lr: float = 1e-3
    """Learning rate; 1e-4 to 1e-3 is usual."""
    neural_renderer_lr: float | None = None
    """Learning rate of the neural renderer; null: `lr` where its weights start random, 5e-5 where they are trained."""
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
        if self.neural_renderer_lr is not None:
            check_positive(self, "neural_renderer_lr")
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
    trainable: tuple[NetworkName, ...]
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
    frozen_batch_norm: tuple[NetworkName, ...] = ()
    """Networks whose batch norms keep their statistics and normalise by them, as in inference. For networks that start
    trained: those of small batches, of photos and renders in turn, would ruin them."""
    pairs: int = 0
    """Rendered people per step, whose true image with another expression is known: photo and perceptual loss on them
    keep a trained neural renderer's expressions. For heads with ARKit weights, with a loss `photo` or `perceptual`."""
    published_losses: bool = False
    """Losses in the form of the published code, for FLAME: the landmark loss is the mean over MediaPipe's points plus
    that over the 17 contour points, penalties are means of squares, the perceptual loss sums its four maps. Otherwise:
    one mean over all points, sums of squares, the mean of the maps."""
    optimizer: OptimizerConfig | None = None
    """Adam and its schedule in this stage; null: those of the run."""
    data: StageData = field(default_factory=StageData)
    """Faces and crops of this stage."""
    task: Literal["synthesis"] = "synthesis"
    """Kind of the stage."""

    def __post_init__(self) -> None:
        self._check_pairs()
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

    def _check_pairs(self) -> None:
        check_within(self, 0, math.inf, "pairs")
        if self.pairs > 0:
            is_core = self.name == "core" and (self.losses.photo > 0 or self.losses.perceptual > 0)
            check(self, "pairs", is_core, "0 without the stage core and a loss photo or perceptual")


AnyStage = StageConfig | RegressionStage | RendererStage | FinishStage
"""A stage of a recipe; the key `task` selects its kind."""


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
    gradients_every: int = 0
    """Steps between rows with the gradient norm of each loss in the metrics; 0: never. Such a step costs a backward
    pass for each loss."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "devices", "nodes", "save_every", "keep_last")
        check_within(self, 0, math.inf, "preview_every", "gradients_every")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run: one stage, or a recipe of several.

    Raises:
        ValueError: A value is out of its range, or two keys contradict each other.
    """

    head: str = "open"
    """Head model: open, or the path of a FLAME file or a head pack."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Architecture of the encoder: backbones, face window, test-time augmentation."""
    init: Path | None = None
    """Checkpoint of networks to start from; packaged: the encoder and the neural renderer of this installation; null:
    random weights."""
    init_neural_renderer: Path | None = None
    """Checkpoint of the neural renderer, where it is another file than `init`; random: none; null: the same."""
    backbone_init: Literal["random", "imagenet"] = "random"
    """Initial weights of the encoder's backbones without `init`. imagenet: EfficientNet-Lite0's from a pip package;
    others through timm, which downloads them."""
    neural_renderer_width: int = 32
    """Channels of the neural renderer's first level, at least 1; 32 as in the paper, 12 on a CPU."""
    neural_renderer_fills_colors: bool = False
    """Let a neural renderer that starts from random weights correct the colours interpolated between the known pixels;
    false as in the paper. A trained one is as its file says."""
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
    stage: AnyStage | None = None
    """Trainable networks, losses and length of a run of one stage."""
    stages: tuple[AnyStage, ...] = ()
    """The stages of a recipe, one after the other; empty where `stage` is given."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """Validation during training."""
    engine: EngineConfig = field(default_factory=EngineConfig)
    """Devices, precision and checkpoints."""
    seed: int = 0
    """Seed of everything random except the order of the faces (`data.seed`)."""

    def __post_init__(self) -> None:
        check(self, "head", bool(self.head), "open or a path")
        check(self, "perceptual", bool(self.perceptual), "lite0 or a path")
        check_within(self, 1, math.inf, "neural_renderer_width")
        check_within(self, 0, 2**32 - 1, "seed")
        if self.stage is None and not self.stages:
            raise ValueError("stage is missing; give it in the file or as an override")
        check(self, "stage", self.stage is None or not self.stages, "null where stages are given")
        names = [stage.name for stage in self.stages]
        repeated = [name for number, name in enumerate(names) if name in names[:number]]
        if repeated:
            raise ValueError(f"stages must have different names, and {repeated[0]} is there twice")
        is_last = not any(isinstance(stage, FinishStage) for stage in self.stages[:-1])
        check(self, "stages", is_last, "a list in which finish is the last one")
        for stage in self.all_stages:
            self._check_stage(stage)

    @property
    def all_stages(self) -> tuple[AnyStage, ...]:
        """The stages, whether given as `stages` or as `stage`; at least one."""
        return self.stages if self.stage is None else (self.stage,)

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.all_stages)

    @property
    def synthesis(self) -> StageConfig:
        """The stage of a run of analysis by synthesis.

        Raises:
            TypeError: The run has several stages, or one of another kind.
        """
        if not isinstance(self.stage, StageConfig):
            raise TypeError("the run is no single stage of analysis by synthesis")
        return self.stage

    def for_stage(self, stage: AnyStage) -> TrainConfig:
        """Return the configuration as a stage has it: `stage` alone, with its data, augmentation and optimiser."""
        changes: dict = {"stage": stage, "stages": ()}
        if not isinstance(stage, FinishStage):
            changes["data"] = _stage_data(self, stage)
            changes["augment"] = stage.data.augment or self.augment
        if isinstance(stage, StageConfig):
            changes["optimizer"] = stage.optimizer or self.optimizer
            stage = replace(stage, optimizer=None)
        if not isinstance(stage, FinishStage):
            changes["stage"] = replace(stage, data=StageData())
        return replace(self, **changes)

    def _check_stage(self, stage: AnyStage) -> None:
        """Raise `ValueError` where the run lacks what a stage needs."""
        if isinstance(stage, FinishStage):
            return
        data, processes = _stage_data(self, stage), self.engine.devices * self.engine.nodes
        if data.batch_size % processes:
            raise ValueError(f"engine.devices must, times nodes, divide data.batch_size, {data.batch_size}")
        if isinstance(stage, RegressionStage):
            check(self, "encoder.window", self.encoder.window is not None, f"given for the stage {stage.name}")
            is_coded = self.encoder.iterative_pose or stage.branch != "shape"
            check(self, "encoder.iterative_pose", is_coded, f"true for the stage {stage.name}")
        if isinstance(stage, StageConfig):
            if stage.losses.emotion > 0 and self.emotion is None:
                raise ValueError("stage.losses.emotion must be 0 where the key emotion names no checkpoint")
            if stage.losses.target > 0 and not data.has_targets:
                raise ValueError("stage.losses.target must be 0 where no source is rendered or has targets")
        elif not data.has_targets:
            raise ValueError(f"data must have targets, or fit_targets be true, for the stage {stage.name}")


def _stage_data(config: TrainConfig, stage: StageConfig | RegressionStage | RendererStage) -> DataConfig:
    """Return the data of a stage: sources of run and stage by their shares, crops of the stage where it has its own."""
    data, own = config.data, stage.data
    changes: dict = {
        name: getattr(own, name) for name in ("size", "crop_scale", "batch_size") if getattr(own, name) is not None
    }
    if own.sources:
        both = [(data.all_sources, own.run_share), (own.sources, 1 - own.run_share)]
        changes["sources"] = tuple(
            replace(source, weight=source.weight * share / sum(each.weight for each in sources))
            for sources, share in both
            for source in sources
            if share > 0
        )
        changes["root"] = None
    is_paired = data.person_pairs or _compares_persons(stage, config.mica is not None)
    return replace(data, **changes, person_pairs=is_paired)


def _compares_persons(stage: AnyStage, has_mica: bool) -> bool:
    """Return whether a loss of a stage compares photos of one person; MICA's shapes replace that comparison."""
    if isinstance(stage, StageConfig):
        return stage.losses.identity > 0 and not has_mica
    return isinstance(stage, RegressionStage) and stage.identity_weight > 0
