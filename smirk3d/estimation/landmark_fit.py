"""The method "fit": optimisation of heads to the detector's landmarks and blendshape scores, without trained networks.

On every head the expression is fitted as the 52 ARKit weights, for which the detector is calibrated; on a head with
other expressions they are then retargeted to its own coefficients.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from smirk3d.detection.detector import N_LANDMARKS
from smirk3d.estimation.estimator import FaceObservation, HeadEstimates, Intrinsics
from smirk3d.estimation.expression_prior import BlendshapeRegressor, ExpressionPrior, load_calibration
from smirk3d.estimation.keyframes import select_neutral_keyframes, thinned
from smirk3d.estimation.landmark_model import SHAPE_LIMIT, landmark_model
from smirk3d.estimation.lm_solver import (
    SHARED_IDENTITY,
    LandmarkTargets,
    align_mean_head,
    fit_landmarks,
    procrustes_pose,
)
from smirk3d.estimation.shape_calibration import ShapeCalibration, calibration_of
from smirk3d.estimation.shape_prior import ShapePrior
from smirk3d.geometry.align import Similarity
from smirk3d.geometry.camera import default_focal_px
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter

Focal = Literal["auto", "orthographic"] | float
"""Focal length in pixels of the image file, "auto" for the usual field of view, or "orthographic"."""

LANDMARK_SPACING_M = 0.006
"""Landmarks nearer than this to others are left out of the fit, which makes it twice as fast."""
MAX_SHAPE_COMPONENTS = 100
"""Landmarks do not determine finer differences of identity, and the cost grows with the square of the number."""
PRIOR_SCALE = 0.4
"""`ExpressionPrior.scale` of the detector's prior: how far the landmarks may move the weights from it."""
MAX_FOCAL_SAMPLES = 256
"""Records of a clip from which its focal length is assumed."""
CLIP_SCALE_QUANTILE = 0.9
"""Quantile of the face's size in a clip that stands for its nearest frames."""

RECORD_DTYPE = np.dtype(
    [
        ("landmarks_px", "f4", (N_LANDMARKS, 2)),
        ("depth_px", "f4", N_LANDMARKS),
        ("blendshape_scores", "f4", len(ARKIT_NAMES)),
        ("image_size", "i4", 2),
        ("image_scale", "f8"),
    ]
)
"""One detected face: fields of `Detection`, and size (width, height) and scale of its photo."""


class LandmarkFitEstimator:
    """Fits heads to landmarks; an `Estimator`.

    Args:
        head: The head model, on the device where the fit is computed.
        focal: Focal length; see `Focal`.
        use_scores: Let the detector's 52 blendshape scores inform the prior of the expression.
    """

    method = "fit"
    dtype = RECORD_DTYPE

    def __init__(self, head: HeadModel, focal: Focal = "auto", use_scores: bool = True) -> None:
        self.head, self.focal, self.use_scores = head, focal, use_scores
        self._device = head.v_template.device
        self.model = landmark_model(
            head, "mediapipe", LANDMARK_SPACING_M, find_retargeter(head), max_shape_components=MAX_SHAPE_COMPONENTS
        )
        self._calibration = load_calibration().to(self._device)

    @cached_property
    def shape_calibration(self) -> ShapeCalibration | None:
        """What corrects the identity of several faces; None on heads for which there is no calibration."""
        return calibration_of(self.head.data, self.model.n_shape)

    @property
    def regressor(self) -> BlendshapeRegressor:
        """The regressor behind the prior of the expression."""
        return self._calibration.regressor(self.use_scores)

    def observe(self, faces: Sequence[FaceObservation]) -> np.ndarray:
        """See `Estimator`; the records are of `RECORD_DTYPE`."""
        records = np.zeros(len(faces), dtype=RECORD_DTYPE)
        for record, face in zip(records, faces):
            record["landmarks_px"], record["depth_px"] = face.detection.landmarks_px, face.detection.depth
            record["blendshape_scores"] = face.detection.blendshape_scores
            record["image_size"], record["image_scale"] = face.photo.size, face.photo.scale
        return records

    @torch.no_grad()
    def intrinsics(self, records: np.ndarray, shared: bool = False) -> Intrinsics:
        """See `Estimator`; a clip has one focal length, even where the face comes near."""
        return Intrinsics(records["image_size"] / 2, self._focal_px(records, shared))

    @torch.no_grad()
    def prior(self, records: np.ndarray) -> ExpressionPrior:
        """Return the prior of the ARKit weights of N records that the detector's output gives."""
        points_px, depth_px = self._landmarks(records)
        scores = self._tensor(records["blendshape_scores"]) if self.use_scores else None
        return replace(self._calibration.prior(points_px, depth_px, scores), scale=PRIOR_SCALE)

    def identity(self, records: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
        """See `Estimator`; one shape is fitted to neutral keyframes of all views together."""
        return self.identity_with(self.prior, records, intrinsics)

    def solve(
        self,
        records: np.ndarray,
        intrinsics: Intrinsics,
        identity: np.ndarray | None = None,
        person: np.ndarray | None = None,
    ) -> HeadEstimates:
        """See `Estimator`."""
        return self.solve_with(self.prior(records), records, intrinsics, identity, person)

    @torch.no_grad()
    def identity_with(
        self,
        prior_of: Callable[[np.ndarray], ExpressionPrior],
        records: np.ndarray,
        intrinsics: Intrinsics,
        shape_of: Callable[[np.ndarray], ShapePrior | None] = lambda records: None,
    ) -> np.ndarray:
        """Do as `identity` with other priors.

        Args:
            prior_of: Records (N,) to the prior of their expressions.
            records: (N,) of `RECORD_DTYPE`, or with more fields.
            intrinsics: Their N cameras.
            shape_of: Records (N,) to the prior of their shapes; None is that of the fit.

        Returns:
            (S,) float32 identity coefficients.
        """
        rows = thinned(len(records))
        records, intrinsics = np.array(records[rows]), intrinsics[rows]
        angles_deg = self._initial_angles_deg(self._targets(records, intrinsics))
        keyframes = select_neutral_keyframes(angles_deg, prior_of(records).mean.sum(1).cpu().numpy())
        records, intrinsics = records[keyframes], intrinsics[keyframes]
        same_person = np.zeros(len(records), dtype=np.int64)
        shape = shape_of(records)
        return self._shared_shape(prior_of(records), records, intrinsics, same_person, shape)[0].cpu().numpy()

    @torch.no_grad()
    def solve_with(
        self,
        prior: ExpressionPrior,
        records: np.ndarray,
        intrinsics: Intrinsics,
        identity: np.ndarray | None = None,
        person: np.ndarray | None = None,
        shape_prior: ShapePrior | None = None,
    ) -> HeadEstimates:
        """Do as `solve` with other priors.

        Args:
            prior: Of the expressions of the N records.
            records: (N,) of `RECORD_DTYPE`, or with more fields.
            intrinsics: Their N cameras.
            identity: (S,) known identity coefficients, or None.
            person: (N,) int64 person of each record, or None for a person each. Where people have several records, the
                shapes of all are fitted by `SHARED_IDENTITY`.
            shape_prior: Of the shapes of the N records; None is that of the fit.
        """
        known = None if identity is None else self._tensor(identity).expand(len(records), -1)
        if known is None and person is not None and person.max() + 1 < len(person):
            known = self._shared_shape(prior, records, intrinsics, person, shape_prior)
        model = self.model if known is None else self.model.of_person(known[:, : self.model.n_shape])
        fit = fit_landmarks(model, self._targets(records, intrinsics, prior=prior, shape_prior=shape_prior))
        fitted, weights = fit.coefficients.split([model.n_shape, len(ARKIT_NAMES)], dim=1)
        shape = self._all_components(fitted) if known is None else known
        return HeadEstimates(shape, weights, fit.pose, fit.residual.mean(1))

    def _shared_shape(
        self,
        prior: ExpressionPrior,
        records: np.ndarray,
        intrinsics: Intrinsics,
        person: np.ndarray,
        shape_prior: ShapePrior | None = None,
    ) -> Tensor:
        """Return the shapes (N, S) of N records, one a person, fitted to all records of the person together."""
        common = None if shape_prior is None else shape_prior.of_people(torch.from_numpy(person).to(self._device))
        targets = self._targets(records, intrinsics, person, prior, common)
        shape = fit_landmarks(self.model, targets, SHARED_IDENTITY).coefficients[:, : self.model.n_shape]
        if self.shape_calibration is not None and shape_prior is None:
            shape = self.shape_calibration(shape).clamp(-SHAPE_LIMIT, SHAPE_LIMIT)
        return self._all_components(shape)

    def align_mean_head(self, records: np.ndarray) -> Similarity:
        """Return the Procrustes alignments of the mean head with the landmarks of N records.

        They map metres of the head frame to pixels of the photo, with y upwards.
        """
        points_px, depth_px = self._landmarks(records)
        return align_mean_head(self.model, points_px[:, self.model.index], depth_px[:, self.model.index])

    def _landmarks(self, records: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return landmarks (N, 478, 2) and their depth (N, 478), both in pixels."""
        return self._tensor(records["landmarks_px"]), self._tensor(records["depth_px"])

    def _targets(
        self,
        records: np.ndarray,
        intrinsics: Intrinsics,
        person: np.ndarray | None = None,
        prior: ExpressionPrior | None = None,
        shape_prior: ShapePrior | None = None,
    ) -> LandmarkTargets:
        points_px, depth_px = self._landmarks(records)
        person = np.arange(len(records)) if person is None else person
        return LandmarkTargets(
            points_px,
            depth_px,
            self._tensor(intrinsics.center_px),
            self._tensor(intrinsics.focal_px),
            prior,
            torch.from_numpy(person).to(self._device),
            shape_prior,
        )

    def _initial_angles_deg(self, targets: LandmarkTargets) -> np.ndarray:
        """Return the yaw, pitch and roll (N, 3) in degrees of the Procrustes alignment."""
        rotmats = procrustes_pose(self.model, targets.subset(self.model.index)).rotmat.double().cpu().numpy()
        return np.array([angles_from_rotation(rotmat) for rotmat in rotmats])

    def _all_components(self, shape: Tensor) -> Tensor:
        """Return all (N, S) shape coefficients of the head for the first (N, n) that are fitted."""
        return torch.nn.functional.pad(shape, (0, self.head.n_shape - self.model.n_shape))

    def _focal_px(self, records: np.ndarray, shared: bool) -> np.ndarray:
        """Return the focal lengths (N,) of the photos of N records."""
        if self.focal == "orthographic":
            return np.full(len(records), np.inf)
        if self.focal != "auto":
            # The focal length refers to the file, whose pixels a photo of limited size no longer has.
            return float(self.focal) * records["image_scale"]
        if not shared:
            scales = self.align_mean_head(records).scale.tolist()
            sizes = records["image_size"].tolist()
            return np.array(
                [default_focal_px(width, height, scale) for (width, height), scale in zip(sizes, scales, strict=True)]
            )
        sample = records[thinned(len(records), MAX_FOCAL_SAMPLES)]
        scale = float(self.align_mean_head(sample).scale.quantile(CLIP_SCALE_QUANTILE))
        width, height = sample["image_size"][0].tolist()
        return np.full(len(records), default_focal_px(width, height, scale))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self._device)
