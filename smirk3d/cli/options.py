"""Flags shared by several subcommands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_message
from smirk3d.errors import UsageError
from smirk3d.networks.packaged import packaged_encoder

if TYPE_CHECKING:
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.head.model import HeadModel


FocalFlag = Annotated[Literal["auto", "orthographic"] | float, arg(metavar="auto|orthographic|PIXELS")]
"""The flag --focal, see `smirk3d.estimation.landmark_fit.Focal`."""


def check_focal(focal: str | float) -> None:
    """Check the value of --focal.

    Raises:
        UsageError: It is a number out of the range of cameras.
    """
    if not isinstance(focal, str):
        from smirk3d.geometry.camera import MAX_FOCAL_PX, MIN_FOCAL_PX

        if not MIN_FOCAL_PX <= focal <= MAX_FOCAL_PX:
            raise UsageError(f"--focal {focal:g}: must be from {MIN_FOCAL_PX:g} to {MAX_FOCAL_PX:.0f} pixels")


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """A subcommand and its flags."""

    debug: bool = False
    """Show the traceback of an error."""

    @abstractmethod
    def run(self) -> int:
        """Run the subcommand and return the exit code."""


@dataclass(frozen=True, kw_only=True)
class EstimatorCommand(Command):
    """A subcommand that reconstructs faces."""

    head: Annotated[str, arg(metavar="open|PATH")] = "open"
    """Head model: the open head, a FLAME file or a head pack."""
    method: Literal["auto", "fit", "encoder", "refine"] = "auto"
    """fit: landmark optimisation; encoder: regression; refine: both, fused; auto: refine with weights, else fit."""
    weights: Annotated[str | None, arg(metavar="FILE")] = None
    """Checkpoint of the encoder, .safetensors or a released SMIRK .pt; by default the packaged one."""
    engine: Literal["torch", "onnx"] = "torch"
    """Library that runs the encoder; onnx runs on the CPU only."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda")] = "auto"
    """Device of the computation; auto: cuda where available."""
    focal: FocalFlag = "auto"
    """Camera of fit and refine: auto (a usual field of view), orthographic (scaled), or a focal length in pixels."""
    no_scores: bool = False
    """Ignore the detector's blendshape scores in fit and refine."""
    neutral: Annotated[str | None, arg(metavar="PHOTO")] = None
    """Photo of the person's neutral face; what lids, brows and mouth show in it is taken off all weights."""

    def reconstructor(self, max_faces: int | None = None) -> Reconstructor:
        """Return the reconstructor that the flags describe, with a message where loading the head takes long.

        Args:
            max_faces: Largest number of faces of an image; see `Reconstructor`.

        Raises:
            UsageError: A value is out of range, or a flag needs another one.
            Smirk3dError: As for `Reconstructor`.
        """
        check_focal(self.focal)
        if self.engine != "torch" and (self.method == "fit" or (self.weights or packaged_encoder()) is None):
            raise UsageError(f"--engine {self.engine}: runs an encoder; name its checkpoint with --weights")
        from smirk3d.estimation.reconstructor import Reconstructor

        made = Reconstructor(
            self._loaded_head(),
            self.method,
            self.device,
            max_faces=max_faces,
            focal=self.focal,
            use_scores=not self.no_scores,
            weights=self.weights,
            engine=self.engine,
        )
        if self.neutral is None:
            return made
        with closing(made):
            return made.with_neutral(self.neutral)

    def _loaded_head(self) -> HeadModel:
        from smirk3d.authoring.load import load_head

        return load_head(self.head, report=print_message)


@dataclass(frozen=True, kw_only=True)
class EstimationCommand(EstimatorCommand):
    """A subcommand that reconstructs the faces in images."""

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")] = ()
    """Image files, folders (with all their subfolders) and glob patterns."""
    max_faces: Annotated[int | None, arg(metavar="N")] = None
    """Largest number of faces of an image; with N above 1, large images are also searched for small faces."""

    def reconstructor(self, max_faces: int | None = None) -> Reconstructor:
        """Return the reconstructor for at most `max_faces` faces; otherwise as in `EstimatorCommand`."""
        if self.max_faces is not None and self.max_faces < 1:
            raise UsageError(f"--max-faces {self.max_faces}: must be 1 or more")
        return super().reconstructor(max_faces or self.max_faces)
