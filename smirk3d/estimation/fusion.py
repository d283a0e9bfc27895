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
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smirk3d.estimation.estimator import FaceObservation, HeadEstimates, Intrinsics
from smirk3d.estimation.expression_prior import ExpressionPrior
from smirk3d.estimation.identity_network import IdentityNetwork
from smirk3d.estimation.landmark_fit import RECORD_DTYPE, LandmarkFitEstimator
from smirk3d.estimation.landmark_model import SHAPE_LIMIT
from smirk3d.estimation.projection import Pose
from smirk3d.estimation.regression import ExpressionEncoder
from smirk3d.estimation.shape_prior import ShapePrior
from smirk3d.geometry.align import Similarity
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, resolve_antagonists
from smirk3d.head.retargeting.retargeter import Retargeter
from smirk3d.networks.checkpoint import read_layout

DEFAULT_EXPRESSION_STD = 0.15
"""Error of an encoder's ARKit weights where its file does not state it."""
REFUTED_RESIDUAL = 0.04
"""Residual, over the distance of the outer eye corners, beyond which an estimated identity is not that of a face: half
again as much as the detector's landmarks of rendered faces are off."""
ASYMMETRY_NOISE_RATIO = 4.0
"""Error of the detector's left-right differences over the error of its weights."""


@dataclass(frozen=True)
class FusionConfig:
    """Settings of the fusion.

    Attributes:
        prior_scale: How far the landmarks may move the fused weights, in multiples of the fused error: 0 holds the
            weights, 0.1 to 0.5 are sensible. More brings the mesh nearer to the landmarks, but makes one-sided
            expressions too symmetric.
        identity_trust: Weight of the identity network's estimate against the landmarks of a single photo: factor on the
            inverse covariance of its errors. The fit takes the errors of landmarks as small and independent, though
            neighbours err alike, and the network has already seen them.
        shared_identity_trust: The same for the identity of several photos or of a clip, whose landmarks the fit trusts
            less (`smirk3d.estimation.lm_solver.SHARED_IDENTITY`).
    """

    prior_scale: float = 0.25
    identity_trust: float = 100.0
    shared_identity_trust: float = 5.0


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
        identity: Estimates the identity from pixels and landmarks; None to fit it to the landmarks alone.
    """

    method = "refine"

    def __init__(
        self,
        fitter: LandmarkFitEstimator,
        encoder: ExpressionEncoder,
        std: Tensor,
        retargeter: Retargeter | None = None,
        config: FusionConfig = FusionConfig(),
        identity: IdentityNetwork | None = None,
    ) -> None:
        self.head, self.fitter, self.encoder = fitter.head, fitter, encoder
        self.std, self.retargeter, self.config, self.identity_network = std, retargeter, config, identity
        known = [] if identity is None else [("shape", "f4", len(identity.covariance)), ("shape_seen", "?")]
        self.dtype = np.dtype([*RECORD_DTYPE.descr, ("prediction", "f4", len(ARKIT_NAMES)), *known])

    def observe(self, faces: Sequence[FaceObservation]) -> np.ndarray:
        """See `Estimator`; the records of the landmark fit with the encoder's ARKit weights."""
        landmarks = self.fitter.observe(faces)
        records = np.zeros(len(faces), dtype=self.dtype)
        for name in RECORD_DTYPE.names or ():
            records[name] = landmarks[name]
        if faces:
            alignment = self.fitter.align_mean_head(landmarks)
            records["prediction"] = self._predict(faces, alignment).cpu().numpy()
            if self.identity_network is not None:
                shape, seen = self.identity_network.observe(self.head, faces, alignment)
                records["shape"], records["shape_seen"] = shape, seen
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

    def shape_prior(self, records: np.ndarray, trust: float) -> ShapePrior | None:
        """Return the prior of the shapes of N records; of faces that show nothing it is that of the fit.

        Args:
            records: (N,) as returned by `observe`.
            trust: Factor on the inverse covariance of the network's errors.

        Returns:
            None where the identity follows from the landmarks alone, as it does without a network and where no face of
            them all shows anything.
        """
        if self.identity_network is None or not records["shape_seen"].any():
            return None
        seen = torch.from_numpy(np.array(records["shape_seen"]))
        mean = torch.from_numpy(np.array(records["shape"])).clamp(-SHAPE_LIMIT, SHAPE_LIMIT)
        one = torch.eye(mean.shape[1])
        precision = trust * self.identity_network.precision
        return ShapePrior(
            torch.where(seen[:, None], mean, 0.0).to(self.head.v_template),
            torch.where(seen[:, None, None], precision, one).to(self.head.v_template),
        )

    def identity(self, records: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
        """See `Estimator`; as in the landmark fit."""
        trust = self.config.shared_identity_trust
        return self.fitter.identity_with(
            self.prior, records, intrinsics, lambda keyframes: self.shape_prior(keyframes, trust)
        )

    def solve(
        self,
        records: np.ndarray,
        intrinsics: Intrinsics,
        identity: np.ndarray | None = None,
        person: np.ndarray | None = None,
    ) -> HeadEstimates:
        """See `Estimator`; single faces whose landmarks refute the estimated identity follow the landmarks alone."""
        is_shared = person is not None and person.max() + 1 < len(person)
        trust = self.config.shared_identity_trust if is_shared else self.config.identity_trust
        shape = None if identity is not None else self.shape_prior(records, trust)
        found = self.fitter.solve_with(self.prior(records), records, intrinsics, identity, person, shape)
        if shape is None or is_shared:
            return found
        refuted = found.residual.cpu().numpy() > REFUTED_RESIDUAL
        if not refuted.any():
            return found
        alone = np.array(records[refuted])
        return _with_rows(found, refuted, self.fitter.solve_with(self.prior(alone), alone, intrinsics[refuted]))

    @torch.no_grad()
    def _predict(self, faces: Sequence[FaceObservation], alignment: Similarity) -> Tensor:
        """Return the ARKit weights (N, 52) that the encoder predicts."""
        params = self.encoder.predict_expression(faces, alignment)
        if self.retargeter is not None:
            return self.retargeter.to_arkit(params).weights
        assert params.expression is not None
        return params.expression


def _with_rows(estimates: HeadEstimates, chosen: np.ndarray, others: HeadEstimates) -> HeadEstimates:
    """Return estimates of N faces in which those of the chosen ones, (N,) bool, are replaced."""
    rows = torch.from_numpy(np.flatnonzero(chosen)).to(estimates.shape.device)

    def merged(values: Tensor, new: Tensor) -> Tensor:
        return values.index_copy(0, rows, new)

    pose = Pose(*(merged(getattr(estimates.pose, f.name), getattr(others.pose, f.name)) for f in fields(Pose)))
    return HeadEstimates(
        shape=merged(estimates.shape, others.shape),
        arkit=merged(estimates.arkit, others.arkit),
        pose=pose,
        residual=merged(estimates.residual, others.residual),
    )
