"""Configuration of the training of the transformer engine; the documentation of a key is at its field."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from smirk3d.datasets.config_checks import check, check_within
from smirk3d.train.small_network.config import NetworkEngineConfig, check_optimizer


@dataclass(frozen=True)
class ViewsConfig:
    """Rendered people in several views with exact truth; `smirk3d.datasets.synthetic.rendered_views`.

    Raises:
        ValueError: A value is out of its range.
    """

    count: int = 4096
    """Number of people."""
    seed: int = 25
    """Seed of the people; those of the validation have the next one."""
    path: Path | None = None
    """Folder in which the pictures are kept between runs; null: in the cache."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "count")


@dataclass(frozen=True)
class PhotosConfig:
    """Photos of named people with their fits: changed photos with known changes, and pairs of photos of one person.

    Raises:
        ValueError: A value is out of its range.
    """

    faces: Path
    """Folder of shards with the splits train and val."""
    targets: Path
    """Their fits, of smirk3d data targets, of both splits."""
    changed: int = 8192
    """Number of photos with a known change; `smirk3d.datasets.synthetic.photo_textured`."""
    seed: int = 31
    """Seed of the changes."""
    path: Path | None = None
    """Folder in which the changed photos are kept between runs; null: in the cache."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "changed")


@dataclass(frozen=True)
class ReenactmentDataConfig:
    """Where the people are."""

    views: ViewsConfig = field(default_factory=ViewsConfig)
    """Rendered people."""
    photos: PhotosConfig | None = None
    """Photos; null: rendered people alone."""


@dataclass(frozen=True)
class LayoutConfig:
    """Sizes of the network, see `NetworkLayout`.

    Raises:
        ValueError: A value is out of its range.
    """

    size_px: int = 96
    """Side of the pictures; a multiple of 8."""
    width: int = 160
    """Numbers of a latent; a multiple of `heads`."""
    heads: int = 5
    """Heads of the attention."""
    hidden: int = 320
    """Width inside of the layers' perceptrons."""
    encoder_layers: int = 3
    """Layers of the set."""
    decoder_layers: int = 2
    """Layers of the queries."""
    code_size: int = 16
    """Length of an expression code, which stands beside the 52 weights."""

    def __post_init__(self) -> None:
        check_within(self, 1, 1024, "width", "heads", "encoder_layers", "decoder_layers", "code_size")
        check_within(self, 1, 4096, "hidden")
        check_within(self, 32, 512, "size_px")
        check(self, "size_px", self.size_px % 8 == 0, "a multiple of 8")
        check(self, "width", self.width % self.heads == 0, "a multiple of heads")


@dataclass(frozen=True)
class BatchConfig:
    """Faces of a step.

    Raises:
        ValueError: A value is out of its range.
    """

    rendered: int = 8
    """Rendered people with one source."""
    changed: int = 5
    """Changed photos."""
    people: int = 3
    """Pairs of photos of one person."""
    several: float = 0.3
    """Share of steps with rendered people and two or three sources each instead."""
    several_people: int = 8
    """People of such a step."""
    known_expression: float = 0.5
    """Share of faces whose expression code comes from the driving picture; for the others it is 0."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "rendered", "several_people")
        check_within(self, 0, math.inf, "changed", "people")
        check_within(self, 0, 1, "several", "known_expression")


@dataclass(frozen=True)
class ReenactmentLossConfig:
    """Weights of the losses.

    Raises:
        ValueError: A value is out of its range.
    """

    color: float = 0.5
    """Of the colours alone, relative to that of the pictures."""
    edges: float = 0.5
    """Of the differences between neighbouring pixels."""
    correction: float = 0.05
    """Of squared corrections of the motion."""
    details: float = 2.0
    """Additional weight of pixels near eyes and mouth."""
    background: float = 0.3
    """Weight of pixels far from the face, where they are known."""
    regularisation: float = 0.02
    """Of the terms that keep the expression codes apart from identity and place."""

    def __post_init__(self) -> None:
        check_within(self, 0, math.inf, "color", "edges", "correction", "details", "background", "regularisation")


@dataclass(frozen=True, kw_only=True)
class ReenactmentEngineConfig(NetworkEngineConfig):
    """Threads, device and checkpoints; does not change what is learned, except for rounding."""

    device: str = "cpu"
    """cpu or cuda."""
    save_every: int = 200
    """Steps between checkpoints."""


@dataclass(frozen=True, kw_only=True)
class ReenactmentTrainConfig:
    """A training run of the transformer engine.

    Raises:
        ValueError: A value is out of its range.
    """

    data: ReenactmentDataConfig = field(default_factory=ReenactmentDataConfig)
    """Where the people are."""
    out_dir: Path = Path("out/fsrt")
    """Folder of the run."""
    seed: int = 0
    """Seed of all that is random."""
    layout: LayoutConfig = field(default_factory=LayoutConfig)
    """Sizes of the network."""
    steps: int = 4000
    """Optimiser steps."""
    batch: BatchConfig = field(default_factory=BatchConfig)
    """Faces of a step."""
    lr: float = 1.0e-3
    """Largest learning rate of AdamW: a warm-up over 5 % of the steps, then half a cosine."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    ema: float = 0.998
    """Decay of the exponential moving average of the weights, which is what is validated and kept."""
    validate_every: int = 500
    """Steps between validations."""
    loss: ReenactmentLossConfig = field(default_factory=ReenactmentLossConfig)
    """Losses."""
    engine: ReenactmentEngineConfig = field(default_factory=ReenactmentEngineConfig)
    """Threads and checkpoints."""

    def __post_init__(self) -> None:
        check_within(self, 1, math.inf, "steps", "validate_every")
        check_optimizer(self)
