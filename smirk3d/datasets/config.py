"""Settings of the training data: sources, sampling, crops and random augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smirk3d.datasets.config_checks import check, check_positive, check_ranges, check_within

Range = tuple[float, float]
"""Lowest and highest value, both included."""


@dataclass(frozen=True)
class SourceConfig:
    """One collection of training faces. Raises `ValueError`, as all these records, for a value out of its range."""

    path: Path | None = None
    """Folder of photos, of videos or of tar shards; one video; or the cache of rendered faces, null for the usual."""
    kind: Literal["auto", "folder", "shards", "videos", "rendered"] = "auto"
    """What lies at the path; auto: look there. rendered: heads drawn at random, which need no files."""
    weight: float = 1.0
    """How often its faces are drawn, relative to the other sources."""
    targets: Path | None = None
    """Parameters of its faces estimated by other means, as `smirk3d data targets` writes them."""
    count: int = 10_000
    """Of rendered faces: how many there are."""
    seed: int = 0
    """Of rendered faces: decides what they show."""
    unlike: float = 0.0
    """Of rendered faces: how far heads, skins and actions stray from the open head's, at most; 1 is much."""

    def __post_init__(self) -> None:
        check_positive(self, "weight")
        check_within(self, 1, math.inf, "count")
        check_within(self, 0, 2**32 - 1, "seed")
        check_within(self, 0, 1, "unlike")
        if self.kind == "rendered":
            check(self, "targets", self.targets is None, "null for rendered faces, whose parameters are known")
        else:
            check(self, "path", self.path is not None, "given for every kind but rendered")


@dataclass(frozen=True)
class DataConfig:
    """Which faces are seen, and how they are cut out."""

    sources: tuple[SourceConfig, ...] = ()
    """Where the faces come from; empty where `root` says it."""
    root: Path | None = None
    """Short for one source at this path; excludes `sources`."""
    size: int = 224
    """Side of the crops in pixels; a multiple of 16, because the neural renderer halves it four times."""
    crop_scale: Range = (1.2, 1.8)
    """Side of the crop over the size of the landmark box; drawn uniformly."""
    batch_size: int = 32
    """Faces a step, over all processes."""
    workers: int = 0
    """Processes that prepare batches, for each training process; 0: it does so itself."""
    seed: int = 0
    """Decides which faces are drawn."""
    most_per_person: int | None = 20
    """At most so many faces of a person in an epoch, others in the next; null: no limit."""

    def __post_init__(self) -> None:
        check(self, "sources", bool(self.sources) or self.root is not None, "a list, or root be given for one source")
        check(self, "root", self.root is None or not self.sources, "null where sources are given")
        check(self, "size", self.size > 0 and self.size % 16 == 0, "a positive multiple of 16")
        check_ranges(self, 0.1, 10, "crop_scale")
        check_within(self, 1, math.inf, "batch_size")
        check_within(self, 0, math.inf, "workers")
        check_within(self, 0, 2**32 - 1, "seed")
        if self.most_per_person is not None:
            check_within(self, 1, math.inf, "most_per_person")

    @property
    def all_sources(self) -> tuple[SourceConfig, ...]:
        """The sources, be they given in full or as `root`; at least one."""
        return self.sources if self.root is None else (SourceConfig(self.root),)


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
    tint: float = 0.0
    """Probability that a grey crop is coloured, so that networks do not learn that the world is grey."""
    blur: float = 0.2
    """Probability of a blurred crop."""
    noise: float = 0.02
    """Largest standard deviation of noise on images in [0, 1]."""

    def __post_init__(self) -> None:
        check_within(self, 0, 0.9, "shift", "scale")
        check_within(self, 0, 180, "rotation_deg")
        check_within(self, 0, 1, "mirror", "colour", "tint", "blur", "noise")
