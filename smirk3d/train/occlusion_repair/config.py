"""Configuration of the training of the occlusion network; the documentation of a key is at its field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from smirk3d.datasets.config_checks import check, check_ranges, check_within
from smirk3d.train.expression_vector.config import FerAugmentConfig
from smirk3d.train.small_network.config import NetworkEngineConfig, check_optimizer

Span = tuple[float, float]


@dataclass(frozen=True)
class OcclusionDataConfig:
    """Where the faces are; only their pixels are used, no label.

    Raises:
        ValueError: A value is out of its range.
    """

    ferplus: Path
    """Folder of FERPlus with the splits train and val, or fer2013.csv; see `smirk3d.fer.datasets`."""
    photos: Path
    """Folder of shards of photos with the splits train and val; see `smirk3d.datasets.shards`."""
    photo_share: float = 0.4
    """Share of a batch that comes from the photos."""
    max_faces: int | None = None
    """At most so many faces of each data set and split; null: all."""

    def __post_init__(self) -> None:
        check_within(self, 0, 1, "photo_share")
        if self.max_faces is not None:
            check_within(self, 1, math.inf, "max_faces")


def _gentle() -> FerAugmentConfig:
    return FerAugmentConfig(
        turn_deg=8, scale=0.06, shift=0.03, gamma=0.3, contrast=0.2, brightness=0.1, blur=0.1, noise=0.02, jpeg=0,
        erased=0,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OcclusionTrainConfig:
    """A training run of the occlusion network.

    Raises:
        ValueError: A value is out of its range.
    """

    kind: Literal["occlusion"] = "occlusion"
    """What is trained."""
    data: OcclusionDataConfig
    """Where the faces are."""
    out_dir: Path = Path("out/fer_occlusion")
    """Folder of the run."""
    seed: int = 0
    """Seed of all that is random."""
    steps: int = 2400
    """Optimiser steps."""
    batch_size: int = 48
    """Faces of a step whose hidden patches are rebuilt."""
    occluded: int = 16
    """Faces of a step before which something is drawn, for the description of latents."""
    hidden_share: Span = (0.45, 0.75)
    """Range of the share of patches that are hidden; one number for all faces of a step."""
    block_share: float = 0.6
    """Share of the faces in which hidden patches form rectangles; in the others they are scattered."""
    visible_weight: float = 0.1
    """Weight of the error in visible patches, relative to that in hidden ones."""
    semantic_from: float = 0.5
    """Part of the run after which the frozen expression network judges rebuilt faces too; 1: never."""
    semantic_faces: int = 16
    """Faces of a step that it judges."""
    semantic_weight: float = 0.15
    """Weight of its loss."""
    description_weight: float = 0.15
    """Weight of the loss of the one-class description."""
    clean_share: float = 0.99
    """Share of the patches of clean validation faces that lie within the radius."""
    lr: float = 1.5e-3
    """Largest learning rate of AdamW: a warm-up over 5 % of the steps, then half a cosine."""
    weight_decay: float = 0.03
    """Weight decay of AdamW."""
    ema: float = 0.996
    """Decay of the exponential moving average of the weights, which is what is validated and kept."""
    validate_every: int = 400
    """Steps between validations."""
    augment: FerAugmentConfig = field(default_factory=_gentle)
    """Augmentation."""
    engine: NetworkEngineConfig = field(default_factory=NetworkEngineConfig)
    """Threads and checkpoints."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "steps", "batch_size", "occluded", "validate_every", "semantic_faces")
        check_within(self, 0, math.inf, "visible_weight", "semantic_weight", "description_weight")
        check_within(self, 0, 1, "block_share", "semantic_from", "clean_share")
        check_ranges(self, 0.05, 0.95, "hidden_share")
        check_optimizer(self)
        check(self, "semantic_faces", self.semantic_faces <= self.batch_size, "at most batch_size")
