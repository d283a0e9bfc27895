"""Flags that several subcommands share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_message
from smirk3d.errors import UsageError
from smirk3d.networks.packaged import packaged_encoder

if TYPE_CHECKING:
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.head.model import HeadModel


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """A subcommand with its flags."""

    debug: bool = False
    """Show tracebacks."""

    @abstractmethod
    def run(self) -> int:
        """Do the work and return the exit code."""


@dataclass(frozen=True, kw_only=True)
class EstimatorCommand(Command):
    """A subcommand that reconstructs faces."""

    head: Annotated[str, arg(metavar="open|PATH")] = "open"
    """Head model: the open head, a FLAME file or a head pack."""
    method: Literal["auto", "fit", "encoder", "refine"] = "auto"
    """fit: landmarks alone; encoder: a trained network alone; refine: the network for the expression, landmarks for
    everything else; auto: refine where there are weights, else fit."""
    weights: Annotated[str | None, arg(metavar="FILE")] = None
    """Checkpoint of an encoder, .pt as released or .safetensors; without it the one that comes with the package."""
    engine: Literal["torch", "onnx"] = "torch"
    """What runs the encoder; onnx is for the CPU."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda")] = "auto"
    """Where the computation runs."""
    focal: Annotated[Literal["auto", "orthographic"] | float, arg(metavar="auto|orthographic|PIXELS")] = "auto"
    """Camera of fit and refine: usual field of view, scaled orthographic, or the focal length in the photo's pixels."""
    no_scores: bool = False
    """Fit landmarks alone, without the detector's blendshape scores."""

    def reconstructor(self, max_faces: int | None = None) -> Reconstructor:
        """Build the reconstructor that the flags describe; says so where a head takes long to make.

        Args:
            max_faces: See `Reconstructor`.

        Raises:
            UsageError: A number is out of its range, or a flag lacks another.
            Smirk3dError: As for `Reconstructor`.
        """
        if not isinstance(self.focal, str) and not 0.0 < self.focal < float("inf"):
            raise UsageError(f"--focal {self.focal}: must be a positive number of pixels")
        if self.engine != "torch" and (self.method == "fit" or (self.weights or packaged_encoder()) is None):
            raise UsageError(f"--engine {self.engine}: runs an encoder; name its checkpoint with --weights")
        from smirk3d.estimation.reconstructor import Reconstructor

        return Reconstructor(
            self._loaded_head(),
            self.method,
            self.device,
            max_faces=max_faces,
            focal=self.focal,
            use_scores=not self.no_scores,
            weights=self.weights,
            engine=self.engine,
        )

    def _loaded_head(self) -> HeadModel:
        from smirk3d.authoring.load import load_head

        return load_head(self.head, report=print_message)


@dataclass(frozen=True, kw_only=True)
class EstimationCommand(EstimatorCommand):
    """A subcommand that reconstructs the faces in photos."""

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")] = ()
    """Image files, folders (searched to any depth) and glob patterns."""
    max_faces: Annotated[int | None, arg(metavar="N")] = None
    """Up to N faces of each image, the largest; with N above 1 large photos are searched for small faces."""

    def reconstructor(self, max_faces: int | None = None) -> Reconstructor:
        """Build the reconstructor for as many faces as the flags say; otherwise as in `EstimatorCommand`."""
        if self.max_faces is not None and self.max_faces < 1:
            raise UsageError(f"--max-faces {self.max_faces}: must be 1 or more")
        return super().reconstructor(max_faces or self.max_faces)
