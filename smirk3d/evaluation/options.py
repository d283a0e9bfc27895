"""Settings of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from smirk3d.errors import UsageError
from smirk3d.estimation.landmark_fit import Focal
from smirk3d.head.load import OPEN_HEAD
from smirk3d.head.model import HeadModel

DEFAULT_COUNT = 2000
"""Faces of a measure, at most."""


@dataclass(frozen=True)
class RendererTraining:
    """How a fresh neural renderer is trained.

    Attributes:
        width: Channels of the first level; 8 to 32.
        steps: Batches; 200 and more.
        batch_size: Faces in each.
        lr: Initial learning rate of Adam.

    Raises:
        ValueError: A number is out of its range.
    """

    width: int = 8
    steps: int = 200
    batch_size: int = 4
    lr: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.width, self.steps, self.batch_size) < 1 or not self.lr > 0:
            raise ValueError(f"a number is out of its range: {self}")

    @property
    def faces(self) -> int:
        """Number of faces over all steps."""
        return self.steps * self.batch_size


@dataclass(frozen=True)
class CharacterOptions:
    """Another artist's head.

    Attributes:
        path: A .glb or .gltf with ARKit's morph targets, not compressed.
        eyes: Names of the nodes of the two eyeballs, which gaze rotates; () leaves gaze out.
    """

    path: Path
    eyes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipOptions:
    """Clips that are made to measure tracking.

    Attributes:
        people: Clips of the measure; of a folder of photos at most so many.
        seconds: Length of a clip; 10 shows all movements.
        smooth: Strength of the smoother, as for `smirk3d video --smooth`; 0 switches it off.
    """

    people: int = 1
    seconds: float = 10.0
    smooth: float = 1.0

    def __post_init__(self) -> None:
        if self.people < 1 or not self.seconds > 0 or not self.smooth >= 0:
            raise UsageError("--people must be 1 or more, --seconds above 0, and --smooth 0 or more")


@dataclass(frozen=True)
class ProbeOptions:
    """The cross-validated probe.

    Attributes:
        repeats: How often the folds are drawn anew; 1 to 10.
        all_splits: Whether faces of the training split count, too; an encoder may have learned from their labels.
    """

    repeats: int = 4
    all_splits: bool = False


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured.

    Attributes:
        checkpoint: Path of a file of networks, or "packaged", "fit" or "detector".
        data: Folder of shards; None for none.
        split: Split of the folder that is the test set.
        only: Names of measures; empty for all defaults that apply.
        count: At most so many faces of a measure, and of each emotion.
        method: How the networks of a checkpoint are used.
        device: As for `Reconstructor`.
        head: As for `Reconstructor`.
        focal: Camera of "fit" and "refine": as for `Reconstructor`.
        use_scores: Whether the detector's scores guide "fit" and "refine".
        seed: Of everything random; the rendered heads of training sets must have another one.
        renderer: How a fresh neural renderer is trained.
        photos: Folder of photos without annotations, or a .tar with .jpg members; None for none.
        character: Another artist's head; None for none.
        clips: Clips for tracking.
        probe: The cross-validated probe.
        keep: Folder for the pictures and clips that measures make; None to discard them.

    Raises:
        UsageError: A number is out of its range.
    """

    checkpoint: str
    data: Path | None = None
    split: str = "val"
    only: tuple[str, ...] = ()
    count: int = DEFAULT_COUNT
    method: Literal["encoder", "refine"] = "encoder"
    device: str = "auto"
    head: str | Path | HeadModel = OPEN_HEAD
    focal: Focal = "auto"
    use_scores: bool = True
    seed: int = 7
    renderer: RendererTraining = field(default_factory=RendererTraining)
    photos: Path | None = None
    character: CharacterOptions | None = None
    clips: ClipOptions = field(default_factory=ClipOptions)
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    keep: Path | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"count {self.count} must be 1 or more")
