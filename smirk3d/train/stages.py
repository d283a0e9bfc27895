"""Settings of the stages of a recipe; the tasks in `smirk3d.train.tasks` carry them out.

A recipe is a list of such records (`TrainConfig.stages`). The key `task` of an item selects its record.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from smirk3d.datasets.config import AugmentConfig, Range, SourceConfig
from smirk3d.datasets.config_checks import check, check_positive, check_ranges, check_within


@dataclass(frozen=True)
class StageData:
    """The faces of a stage: those of the run (`data`), further ones of its own, and how they are cropped.

    Raises:
        ValueError: A value is out of its range.
    """

    sources: tuple[SourceConfig, ...] = ()
    """Further sources, such as rendered faces; their weights are relative to each other."""
    run_share: float = 1.0
    """Share of the run's own sources in a batch, in [0, 1]; the rest comes from `sources`. 0 leaves them out."""
    size: int | None = None
    """Side of the crops in pixels; null: that of the run."""
    crop_scale: Range | None = None
    """Side of the crop over the size of the landmark box; null: that of the run."""
    batch_size: int | None = None
    """Faces per step, summed over all processes; null: that of the run."""
    augment: AugmentConfig | None = None
    """Random augmentation; null: that of the run."""

    def __post_init__(self) -> None:
        check_within(self, 0, 1, "run_share")
        check(self, "sources", bool(self.sources) or self.run_share == 1, "a list where run_share is below 1")
        check(self, "run_share", not self.sources or self.run_share < 1, "below 1 where the stage has sources")
        if self.size is not None:
            check(self, "size", self.size > 0 and self.size % 16 == 0, "a positive multiple of 16")
        if self.crop_scale is not None:
            check_ranges(self, 0.1, 10, "crop_scale")
        if self.batch_size is not None:
            check_within(self, 1, math.inf, "batch_size")


@dataclass(frozen=True, kw_only=True)
class RegressionStage:
    """Regression of one branch of the encoder from targets: exact ones of rendered faces, fitted ones of photos.

    Raises:
        ValueError: A value is out of its range, or a loss is not one of the branch.
    """

    name: str
    """Name of the stage, in messages and metrics."""
    task: Literal["regression"] = "regression"
    """Kind of the stage."""
    branch: Literal["pose", "shape", "expression"]
    """Branch of the encoder that learns. It reads the face window: `encoder.window` is needed."""
    steps: int
    """Number of batches, at least 1; 1000 for pose and shape, 4000 for expression."""
    data: StageData = field(default_factory=StageData)
    """Faces and crops."""
    start: Literal["imagenet", "present"] = "imagenet"
    """imagenet: ImageNet weights, and linear layers by ridge regression; present: the weights of the stage before."""
    lr: float = 5e-4
    """Peak learning rate; 1e-4 to 5e-4 to continue."""
    frozen_stages: int = 0
    """Leading stages of the backbone, of 5, that are frozen, which saves their backward pass."""
    frozen_batch_norm: bool = False
    """Keep the statistics of the batch norms; for stages that start from trained weights."""
    regression_steps: int = 80
    """Batches of the ridge regression that initialises the linear layers."""
    whiten_sides: bool = True
    """Weight sums and differences of left and right by their inverse variance; otherwise each blendshape alike."""
    photo_weight: float = 0.25
    """Loss weight of a photo's pseudo-target relative to that of rendered ground truth."""
    landmark_weight: float = 5.0
    """Weight of the auxiliary landmark loss."""
    consistency_weight: float = 0.0
    """Weight of the temporal consistency loss between a face and the same face in an augmented frame (see
    `smirk3d.datasets.frame_augmentation`); 0: no such frames. 0.5 to 2 steadies video. Expression branch only."""
    identity_weight: float = 0.0
    """Weight of the shape consistency over the photos of a person, which are then drawn in pairs; shape branch only."""
    repainted_weight: float = 0.0
    """Loss weight of photos that the neural renderer repaints with other, known expressions, relative to that of
    rendered ground truth; 0: none. 0.6 is usual. Needs a trained neural renderer. Expression branch only."""
    pairs: int = 0
    """Photo-textured pairs per step: a photo, and the same photo with a known change of the expression (see
    `smirk3d.datasets.synthetic.photo_textured`); 0: none. 8 to 16 are usual. Expression branch only."""
    pair_count: int = 16_384
    """Number of different pairs, made at the first use, about fifteen a second, and kept in the cache."""
    change_weight: float = 1.0
    """Weight of the error of the change within a pair."""
    labels: Path | None = None
    """Folder of shards with emotion labels, and `labels.csv`, from which the photos were prepared; adds the loss of a
    linear emotion probe on the expression. Expression branch only."""
    labelled: int = 8
    """Labelled photos per step."""
    emotion_weight: float = 0.1
    """Weight of the emotion loss."""

    def __post_init__(self) -> None:
        check(self, "name", bool(self.name), "a name")
        check_within(self, 1, math.inf, "steps", "regression_steps", "labelled", "pair_count")
        check_within(self, 0, math.inf, "pairs")
        check_within(self, 0, 5, "frozen_stages")
        check_positive(self, "lr")
        weights = [each.name for each in fields(self) if each.name.endswith("_weight")]
        check_within(self, 0, sys.float_info.max, *weights)
        if self.branch != "expression":
            for name in ("consistency_weight", "repainted_weight"):
                check(self, name, getattr(self, name) == 0, f"0 for the branch {self.branch}")
            check(self, "pairs", self.pairs == 0, f"0 for the branch {self.branch}")
            check(self, "labels", self.labels is None, f"null for the branch {self.branch}")
        if self.branch != "shape":
            check(self, "identity_weight", self.identity_weight == 0, f"0 for the branch {self.branch}")


@dataclass(frozen=True, kw_only=True)
class RendererStage:
    """Training of the neural renderer alone: photos with targets, the same photos edited, and rendered pairs.

    The encoder is frozen and must recover the expressions of edited photos.

    Raises:
        ValueError: A value is out of its range.
    """

    name: str
    """Name of the stage, in messages and metrics."""
    task: Literal["neural_renderer"] = "neural_renderer"
    """Kind of the stage."""
    steps: int
    """Number of batches, at least 1."""
    data: StageData = field(default_factory=StageData)
    """Photos and crops; a small batch, 6 on a CPU."""
    edited: int = 4
    """Photos of a step that are rendered with another expression too, at most the batch size."""
    pairs: int = 4
    """Rendered people per step, whose true image with another expression is known."""
    photo_pairs: int = 0
    """Photo-textured pairs per step: photos whose image with another expression is known (see
    `smirk3d.datasets.synthetic.photo_textured`); 0: none."""
    photo_pair_count: int = 4096
    """Number of different pairs, made at the first use, about fifteen a second, and kept in the cache."""
    lr: float | None = None
    """Peak learning rate; null: 1e-3 where the neural renderer starts from random weights, 5e-5 where it is trained."""
    batch_norm_share: float = 0.8
    """Share of the steps, in [0, 1], in which batch norms use batch statistics; afterwards they are frozen, as in
    inference."""
    photo_weight: float = 10.0
    """Weight of the absolute difference from the photo."""
    perceptual_weight: float = 0.5
    """Weight of the perceptual loss on EfficientNet-Lite0's features."""
    cycle_weight: float = 60.0
    """Weight of the expressions that the encoder recovers from edited photos."""

    def __post_init__(self) -> None:
        check(self, "name", bool(self.name), "a name")
        check_within(self, 1, math.inf, "steps", "edited", "pairs", "photo_pair_count")
        check_within(self, 0, math.inf, "photo_pairs")
        check_within(self, 0, 1, "batch_norm_share")
        check_within(self, 0, sys.float_info.max, "photo_weight", "perceptual_weight", "cycle_weight")
        if self.lr is not None:
            check_positive(self, "lr")


@dataclass(frozen=True, kw_only=True)
class FinishStage:
    """The last stage: weights are averaged over checkpoints, the output is calibrated, and its errors are measured.

    It has one step, after which the networks of the run are the finished ones.

    Raises:
        ValueError: A value is out of its range.
    """

    name: str = "finish"
    """Name of the stage, in messages."""
    task: Literal["finish"] = "finish"
    """Kind of the stage."""
    average: int = 1
    """Number of checkpoints of the stage before whose mean the weights become, the last ones; 1: the last alone. They
    are `engine.save_every` steps apart, and at most `engine.keep_last`."""
    calibrate: bool = True
    """Match range, asymmetry and neutral faces of the expressions to the ground truth of rendered faces."""
    calibration_faces: int = 768
    """Rendered faces for the calibration."""
    error_faces: int = 768
    """Rendered faces on which `expression_std`, the error of each weight, is measured; 0: not measured."""
    domain_randomization: float = 0.5
    """Strength, in [0, 1], of the domain randomisation of these faces."""
    photo_error: float = 0.05
    """Standard deviation of the weights' additional error on photos, in [0, 1]."""
    half: bool = False
    """Export floats as float16, which halves the file; they compute in float32 all the same."""

    def __post_init__(self) -> None:
        check(self, "name", bool(self.name), "a name")
        check_within(self, 1, math.inf, "average", "calibration_faces")
        check_within(self, 0, math.inf, "error_faces")
        check_within(self, 0, 1, "domain_randomization", "photo_error")

    @property
    def steps(self) -> int:
        """One."""
        return 1


@dataclass(frozen=True)
class ValidationConfig:
    """Validation during training, on rendered faces of people that no source of training has.

    Raises:
        ValueError: A value is out of its range.
    """

    every: int = 0
    """Steps between validations; 0: none. A stage is also validated at its end."""
    faces: int = 256
    """Rendered faces; 256 take a second or two."""
    seed: int = 1011
    """Their seed; use another one than that of any source."""
    keep_best: bool = False
    """At its end, a stage returns to the weights of its best validation, its start included: nothing that is learned
    is worse than what it starts from, by that measure."""

    def __post_init__(self) -> None:
        check_within(self, 0, math.inf, "every")
        check_within(self, 16, math.inf, "faces")
        check_within(self, 0, 2**32 - 1, "seed")
        check(self, "keep_best", self.every > 0 or not self.keep_best, "false without validation (every: 0)")
