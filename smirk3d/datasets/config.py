"""Settings of the training data: sources, sampling, crops and random augmentation.

The records are frozen and check their values when they are made. `smirk3d.train.config_file` reads them from YAML.
"""

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
    """One collection of training faces.

    Raises:
        ValueError: A value is out of its range.
    """

    path: Path | None = None
    """Folder of photos, of videos or of tar shards, or one video file. For `kind: rendered` the folder in which the
    images are cached; null: the user's cache."""
    kind: Literal["auto", "folder", "shards", "videos", "rendered"] = "auto"
    """Type of the source. auto: decided by what lies at the path; folder: photos; shards: tar files written by
    `smirk3d data prepare`; videos: a video or a folder of videos; rendered: synthetic faces, no files needed."""
    weight: float = 1.0
    """Sampling weight relative to the other sources, above 0. The share of a batch is weight / sum of weights."""
    targets: Path | None = None
    """Pseudo-targets (.npz) written by `smirk3d data targets`; null: none. Rendered faces have ground truth."""
    count: int = 10_000
    """Number of images of a rendered source, at least 1. 10,000 to 100,000 are usual."""
    seed: int = 0
    """Seed of a rendered source; use another seed than that of any test set."""
    domain_randomization: float = 0.0
    """Largest strength, in [0, 1], by which rendered heads, skins and blendshapes differ from those of the open head
    (`smirk3d.datasets.synthetic.domain_randomization`). 0: never; 0.5 to 1 for encoders that must work on photos."""

    def __post_init__(self) -> None:
        check_positive(self, "weight")
        check_within(self, 1, math.inf, "count")
        check_within(self, 0, 2**32 - 1, "seed")
        check_within(self, 0, 1, "domain_randomization")
        if self.kind == "rendered":
            check(self, "targets", self.targets is None, "null for rendered faces, whose parameters are known")
        else:
            check(self, "path", self.path is not None, "given for every kind but rendered")


@dataclass(frozen=True)
class DataConfig:
    """Which faces are drawn and how they are cropped.

    Raises:
        ValueError: A value is out of its range.
    """

    sources: tuple[SourceConfig, ...] = ()
    """Where the faces come from; empty where `root` is given."""
    root: Path | None = None
    """Short form of one source at this path; excludes `sources`."""
    size: int = 224
    """Side of the crops in pixels, a multiple of 16 because the neural renderer halves it four times. 224 is that of
    the paper; 128 to 160 train several times faster on a CPU."""
    crop_scale: Range = (1.2, 1.8)
    """Side of the crop over the size of the landmark box, drawn uniformly. Within [0.1, 10]; 1.2 to 1.8 covers what
    detectors deliver."""
    batch_size: int = 32
    """Faces per step, summed over all processes; at least 1."""
    workers: int = 0
    """Loader processes of each training process; 0: batches are made in the training process. 4 to 8 with a GPU."""
    seed: int = 0
    """Seed of the order of the faces."""
    max_per_person: int | None = 20
    """Largest number of faces of one person in an epoch; others follow in the next. null: no limit."""
    person_pairs: bool = False
    """Draw the faces of a person in pairs, for losses that compare them; the identity loss sets it. Refused where no
    person is known to have two faces."""
    fit_targets: bool = False
    """Fit pseudo-targets to the faces of photo sources that name none, and keep them in the cache: seconds per hundred
    faces at the first use. The same as `smirk3d data targets`."""

    def __post_init__(self) -> None:
        check(self, "sources", bool(self.sources) or self.root is not None, "a list, or root be given for one source")
        check(self, "root", self.root is None or not self.sources, "null where sources are given")
        check(self, "size", self.size > 0 and self.size % 16 == 0, "a positive multiple of 16")
        check_ranges(self, 0.1, 10, "crop_scale")
        check_within(self, 1, math.inf, "batch_size")
        check_within(self, 0, math.inf, "workers")
        check_within(self, 0, 2**32 - 1, "seed")
        if self.max_per_person is not None:
            check_within(self, 1, math.inf, "max_per_person")

    @property
    def all_sources(self) -> tuple[SourceConfig, ...]:
        """The sources, whether given as `sources` or as `root`; at least one."""
        return self.sources if self.root is None else (SourceConfig(self.root),)

    @property
    def has_targets(self) -> bool:
        """Whether some source has ground truth or pseudo-targets."""
        return self.fit_targets or any(source.kind == "rendered" or source.targets for source in self.all_sources)


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of the random augmentation of crops; 0 switches a change off.

    Raises:
        ValueError: A value is out of its range.
    """

    shift: float = 0.05
    """Largest shift along either axis as a share of the side, in [0, 0.9]; 0.02 to 0.1 is usual."""
    scale: float = 0.1
    """Largest relative change of size: factors lie in [1 - scale, 1 + scale]. In [0, 0.9]; 0.05 to 0.2 is usual."""
    rotation_deg: float = 10.0
    """Largest in-plane rotation in degrees, in [0, 180]; 5 to 30 is usual."""
    mirror: float = 0.5
    """Probability of a left-right flip."""
    color: float = 0.2
    """Strength of the jitter of brightness, contrast, saturation and hue, in [0, 1]; 0.1 to 0.4 is usual."""
    tint: float = 0.0
    """Probability that a grey crop is tinted with skin colours. 0.8 where most photos are grey, or the neural renderer
    would learn grey skin."""
    blur: float = 0.2
    """Probability of Gaussian blur."""
    noise: float = 0.02
    """Largest standard deviation of Gaussian noise on images in [0, 1]; in [0, 1], 0 to 0.05 is usual."""
    gamma: float = 0.0
    """Probability of a gamma between 0.8 and 1.2, as in the published code."""
    clahe: float = 0.0
    """Probability of contrast-limited adaptive histogram equalisation, as in the published code."""

    def __post_init__(self) -> None:
        check_within(self, 0, 0.9, "shift", "scale")
        check_within(self, 0, 180, "rotation_deg")
        check_within(self, 0, 1, "mirror", "color", "tint", "blur", "noise", "gamma", "clahe")
