"""The method "refine": the encoder's prediction of the expression is fused with the detector's, landmarks fit the rest.

The encoder's prediction and the regression from the detector's output (`smirk3d.estimation.expression_prior`) are two
measurements of the 52 ARKit weights, with errors that are known and taken as independent. Their fusion, the
precision-weighted mean, replaces the prior of the method "fit", which then finds identity, pose and camera. The
encoder may be of another head than the one that is fitted, since both measurements are ARKit weights.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smirk3d.estimation.estimator import FaceObservation, HeadEstimates, Intrinsics
from smirk3d.estimation.expression_prior import ExpressionPrior
from smirk3d.estimation.landmark_fit import RECORD_DTYPE, LandmarkFitEstimator
from smirk3d.estimation.regression import ExpressionEncoder
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, resolve_antagonists
from smirk3d.head.retargeting.retargeter import Retargeter
from smirk3d.networks.checkpoint import read_layout

DEFAULT_EXPRESSION_STD = 0.15
"""Error of an encoder's ARKit weights where its file does not state it."""
ASYMMETRY_NOISE_RATIO = 4.0
"""Error of the detector's left-right differences over the error of its weights."""


@dataclass(frozen=True)
class FusionConfig:
    """Settings of the fusion.

    Attributes:
        prior_scale: How far the landmarks may move the fused weights, in multiples of the fused error: 0 holds the
            weights, 0.1 to 0.5 are sensible. More brings the mesh nearer to the landmarks, but makes one-sided
            expressions too symmetric.
    """

    prior_scale: float = 0.25


@dataclass(frozen=True)
class ExpressionEstimate:
    """One measurement of the expressions of N faces.

    Attributes:
        weights: (N, 52) ARKit weights in [0, 1].
        std: (52,) standard deviations of their errors; infinite for a weight that is not measured.
    """

    weights: Tensor
    std: Tensor


def fuse(*estimates: ExpressionEstimate) -> ExpressionEstimate:
    """Return the mean of estimates, weighted by their precisions 1 / std^2; their errors count as independent.

    Args:
        estimates: Of the same N faces. For each weight at least one of them must have a finite error.
    """
    precision = torch.stack([estimate.std for estimate in estimates]) ** -2
    total = precision.sum(0)
    shares = zip(estimates, precision / total)
    weights = sum((estimate.weights * share for estimate, share in shares), torch.zeros(()))
    # The mean of two estimates may raise both of a pair that exclude each other, such as jawLeft and jawRight.
    return ExpressionEstimate(resolve_antagonists(weights), total.rsqrt())


def fuse_correcting_symmetric_bias(encoder: ExpressionEstimate, detector: ExpressionEstimate) -> ExpressionEstimate:
    """Fuse the encoder's and the detector's estimate, with less weight for the asymmetry that the detector shows.

    The detector is biased towards symmetric faces: the error of its left-right differences is taken as
    `ASYMMETRY_NOISE_RATIO` times that of its weights. So the mean of both sides comes from the plain fusion, and
    their difference from a fusion in which the detector is that much less certain.

    Args:
        encoder: Of N faces.
        detector: Of the same N faces.
    """
    # Sum and difference of a pair have independent errors, so each may have its own weights.
    both = fuse(encoder, detector)
    asymmetric = fuse(encoder, ExpressionEstimate(detector.weights, ASYMMETRY_NOISE_RATIO * detector.std)).weights
    partner = list(ARKIT_MIRROR)
    # (a + b) / 2 of the one plus (a - b) / 2 of the other; a weight without a partner is its own.
    weights = (both.weights + both.weights[:, partner] + asymmetric - asymmetric[:, partner]) / 2
    return ExpressionEstimate(resolve_antagonists(weights.clamp(0, 1)), both.std)


def expression_std(weights: str | Path) -> Tensor:
    """Return the errors of an encoder's ARKit weights as its file states them, else `DEFAULT_EXPRESSION_STD`.

    Args:
        weights: Path of the encoder's checkpoint.

    Returns:
        (52,) float32 standard deviations.

    Raises:
        Smirk3dError: The file cannot be read.
    """
    layout = read_layout(weights)
    known = None if layout is None else layout.expression_std
    return torch.full((len(ARKIT_NAMES),), DEFAULT_EXPRESSION_STD) if known is None else torch.tensor(known)


class FusionEstimator:
    """Fits heads to landmarks with a prior that fuses an encoder's prediction with the detector's; an `Estimator`.

    Args:
        fitter: The landmark fit, with the head that is wanted.
        encoder: Predicts at least the expression, with jaw and eyelids where its head has them.
        std: (52,) standard deviations of the errors of its ARKit weights.
        retargeter: Converts parameters of the encoder's own head to ARKit weights; None where these are predicted.
        config: Settings of the fusion.
    """

    method = "refine"
    dtype = np.dtype([*RECORD_DTYPE.descr, ("prediction", "f4", len(ARKIT_NAMES))])

    def __init__(
        self,
        fitter: LandmarkFitEstimator,
        encoder: ExpressionEncoder,
        std: Tensor,
        retargeter: Retargeter | None = None,
        config: FusionConfig = FusionConfig(),
    ) -> None:
        self.head, self.fitter, self.encoder = fitter.head, fitter, encoder
        self.std, self.retargeter, self.config = std, retargeter, config

    def observe(self, faces: Sequence[FaceObservation]) -> np.ndarray:
        """See `Estimator`; the records of the landmark fit with the encoder's ARKit weights."""
        landmarks = self.fitter.observe(faces)
        records = np.zeros(len(faces), dtype=self.dtype)
        for name in RECORD_DTYPE.names or ():
            records[name] = landmarks[name]
        records["prediction"] = self._predict(faces, landmarks).cpu().numpy()
        return records

    def intrinsics(self, records: np.ndarray, shared: bool = False) -> Intrinsics:
        """See `Estimator`; those of the landmark fit."""
        return self.fitter.intrinsics(records, shared)

    @torch.no_grad()
    def prior(self, records: np.ndarray) -> ExpressionPrior:
        """Return the fused prior of the ARKit weights of N records."""
        detector, regressor = self.fitter.prior(records), self.fitter.regressor
        prediction = torch.from_numpy(np.array(records["prediction"])).to(detector.mean)
        fused = fuse_correcting_symmetric_bias(
            ExpressionEstimate(prediction, self.std.to(prediction)),
            ExpressionEstimate(detector.mean, regressor.likelihood_std),
        )
        # Landmarks may not pull actions to which the detector does not respond: they carry its error, not the face.
        return ExpressionPrior(fused.weights, fused.std * regressor.prior_relaxation, self.config.prior_scale)

    def identity(self, records: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
        """See `Estimator`; as in the landmark fit."""
        return self.fitter.identity_with(self.prior, records, intrinsics)

    def solve(
        self,
        records: np.ndarray,
        intrinsics: Intrinsics,
        identity: np.ndarray | None = None,
        person: np.ndarray | None = None,
    ) -> HeadEstimates:
        """See `Estimator`."""
        return self.fitter.solve_with(self.prior(records), records, intrinsics, identity, person)

    @torch.no_grad()
    def _predict(self, faces: Sequence[FaceObservation], landmarks: np.ndarray) -> Tensor:
        """Return the ARKit weights (N, 52) that the encoder predicts."""
        params = self.encoder.predict_expression(faces, self.fitter.align_mean_head(landmarks))
        if self.retargeter is not None:
            return self.retargeter.to_arkit(params).weights
        assert params.expression is not None
        return params.expression
