"""The method "refine": an encoder says the expression, landmarks say everything else.

The encoder's answer and the reading of the detector (`smirk3d.estimation.expression_prior`) are two voices of known error
about the 52 ARKit weights. Their fusion stands in for the guess of the method "fit", which then finds identity,
pose and camera. The encoder may be of another head than the one that is fitted: both speak of ARKit weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from smirk3d.estimation.estimator import FaceObservation
from smirk3d.estimation.landmark_fit import LandmarkFitEstimator
from smirk3d.estimation.lm_solver import FitConfig, LandmarkTargets
from smirk3d.estimation.regression import CropEncoder, WindowEncoder
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, resolve_antagonists
from smirk3d.head.retargeting.retargeter import Retargeter
from smirk3d.networks.checkpoint import read_layout

DEFAULT_EXPRESSION_STD = 0.15
"""Error of an encoder's ARKit weights where its file does not say."""
ASYMMETRY_NOISE_RATIO = 4.0
"""Error of the detector's left-right differences over that of its weights."""


@dataclass(frozen=True)
class FusionConfig:
    """How readings become an expression."""

    give: float = 0.25
    """How far landmarks may move the weights: multiple of the error of the fused readings; 0 holds them there.

    Little: more of it brings the mesh nearer to the landmarks and evens out one-sided faces.
    """


@dataclass(frozen=True)
class ExpressionEstimate:
    """What one voice says of B expressions.

    Attributes:
        weights: (B, 52) in [0, 1]. std: (52,) standard deviation of their errors; infinite where it says nothing.
    """

    weights: Tensor
    std: Tensor


def fuse(*readings: ExpressionEstimate) -> ExpressionEstimate:
    """Return the mean of readings, each weighted by its precision 1 / std^2; their errors count as independent.

    At least one of the readings of each weight must have a finite error.
    """
    precision = torch.stack([reading.std for reading in readings]) ** -2
    total = precision.sum(0)
    weights = sum((reading.weights * share for reading, share in zip(readings, precision / total)), torch.zeros(()))
    return ExpressionEstimate(resolve_antagonists(weights), total.rsqrt())


def fuse_with_symmetry_prior(encoder: ExpressionEstimate, detector: ExpressionEstimate) -> ExpressionEstimate:
    """Return the fusion of both voices; about how the sides of a face differ the detector counts for less.

    The detector evens faces out: its error of a difference is taken for `ASYMMETRY_NOISE_RATIO` times that of the weights.
    """
    both = fuse(encoder, detector)
    differing = fuse(encoder, ExpressionEstimate(detector.weights, ASYMMETRY_NOISE_RATIO * detector.std)).weights
    partner = list(ARKIT_MIRROR)
    weights = (both.weights + both.weights[:, partner] + differing - differing[:, partner]) / 2
    return ExpressionEstimate(resolve_antagonists(weights.clamp(0, 1)), both.std)


def expression_std(weights: str | Path) -> Tensor:
    """Return the errors (52,) of the ARKit weights of the encoder in a file, `DEFAULT_EXPRESSION_STD` where it does not say.

    Raises:
        Smirk3dError: The file cannot be read.
    """
    layout = read_layout(weights)
    known = None if layout is None else layout.expression_std
    return torch.full((len(ARKIT_NAMES),), DEFAULT_EXPRESSION_STD) if known is None else torch.tensor(known)


class FusionEstimator:
    """Estimates heads from landmarks, with an encoder's answer as a further reading of the expression.

    Args:
        fitter: of the head that is wanted.
        encoder: it emits at least the expression, with jaw and eyelids where its head has them. What reads windows
            sees them where the landmarks put them, which is surer than where an encoder thinks that the head is.
        std: (52,) errors of the ARKit weights that it gives.
        actions: reads ARKit weights off the encoder's own head; None where it emits them.
        config: how the readings become an expression.
    """

    def __init__(
        self,
        fitter: LandmarkFitEstimator,
        encoder: CropEncoder | WindowEncoder,
        std: Tensor,
        actions: Retargeter | None = None,
        config: FusionConfig = FusionConfig(),
    ) -> None:
        self.fitter, self.encoder, self.std, self.actions, self.config = fitter, encoder, std, actions, config

    @torch.no_grad()
    def __call__(self, face_observations: Sequence[FaceObservation], person: Tensor) -> list[Face]:
        """Return one face for each observation; see `Estimator`."""
        seen = self.informed(self.fitter.observe(face_observations, person), self.read(face_observations))
        return self.fitter.solve(face_observations, seen, self.fit_config, "refine")

    @property
    def fit_config(self) -> FitConfig:
        """How landmarks are fitted once the readings have been fused."""
        return FitConfig(guess_std=self.config.give)

    def informed(self, seen: LandmarkTargets, said: Tensor) -> LandmarkTargets:
        """Return the observations of B faces with their guess and what the encoder said (B, 52) fused."""
        assert seen.guess is not None
        detector = self.fitter.reading
        read = said.to(seen.guess)
        fused = fuse_with_symmetry_prior(
            ExpressionEstimate(read, self.std.to(read)), ExpressionEstimate(seen.guess, detector.likelihood_std)
        )
        return replace(seen, guess=fused.weights, guess_std=fused.std * detector.give)

    @torch.no_grad()
    def read(self, face_observations: Sequence[FaceObservation]) -> Tensor:
        """Return the ARKit weights (B, 52) that the encoder sees."""
        if isinstance(self.encoder, WindowEncoder):
            said = self.encoder(face_observations, self.fitter.laid(*self.fitter.landmarks(face_observations)))
        else:
            said, _ = self.encoder(face_observations)
        if self.actions is not None:
            return self.actions.to_arkit(said).weights
        assert said.expression is not None
        return said.expression
