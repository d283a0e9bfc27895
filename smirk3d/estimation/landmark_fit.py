"""The method "fit": heads from the detector's landmarks and scores alone, without trained networks.

On every head the expression is fitted as the 52 ARKit weights, which the detector's answer is calibrated for; on a
head with other expressions they are then carried over to its own coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from smirk3d.estimation.estimator import FaceObservation, make_faces
from smirk3d.estimation.expression_prior import BlendshapeRegressor, load_calibration
from smirk3d.estimation.landmark_model import landmark_model
from smirk3d.estimation.lm_solver import FitConfig, LandmarkTargets, align_mean_head, fit_landmarks
from smirk3d.face import Face
from smirk3d.geometry.align import Similarity
from smirk3d.geometry.camera import default_focal_px
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import Retargeter
from smirk3d.media.images import Photo
from smirk3d.params import FaceParams

Focal = Literal["auto", "orthographic"] | float

LANDMARK_SPACING_M = 0.006
"""Landmarks nearer than this to others are left out of the fit, which makes it twice as fast."""
MAX_SHAPE_COMPONENTS = 100
"""Landmarks do not tell finer differences of identity, and the fit slows with the square of their number."""


class LandmarkFitEstimator:
    """Fits heads to landmarks.

    Args:
        head: the model, on the device where the numbers are computed.
        actions: carries ARKit weights over to the head; None for heads whose expressions they are.
        focal: "auto" to assume the usual field of view, "orthographic", or the focal length in pixels of the photo.
        use_scores: let the detector's own 52 scores guide the expression.
    """

    def __init__(
        self, head: HeadModel, actions: Retargeter | None = None, focal: Focal = "auto", use_scores: bool = True
    ) -> None:
        self.head, self.actions, self.focal, self.use_scores = head, actions, focal, use_scores
        self._device = head.v_template.device
        self.model = landmark_model(head, "mediapipe", LANDMARK_SPACING_M, actions, MAX_SHAPE_COMPONENTS)
        self._calibration = load_calibration().to(self._device)

    @property
    def reading(self) -> BlendshapeRegressor:
        """What the guess of the expression comes from."""
        return self._calibration.reading(self.use_scores)

    @torch.no_grad()
    def __call__(self, face_observations: Sequence[FaceObservation], person: Tensor) -> list[Face]:
        """Return one face for each observation; see `Estimator`."""
        return self.solve(face_observations, self.observe(face_observations, person), FitConfig(), "fit")

    @torch.no_grad()
    def solve(
        self, face_observations: Sequence[FaceObservation], seen: LandmarkTargets, config: FitConfig, method: str
    ) -> list[Face]:
        """Return the faces of B observations, fitted to observations of them; `method` is what they are labelled."""
        fit = fit_landmarks(self.model, seen, config)
        shape, weights = fit.coefficients.split([self.model.n_shape, len(ARKIT_NAMES)], dim=1)
        params = self.params(weights, self.whole_shape(shape))
        cameras = [fit.pose.camera(index) for index in range(len(face_observations))]
        return make_faces(self.head, face_observations, params, weights, cameras, fit.residual.mean(1), method)

    def whole_shape(self, shape: Tensor) -> Tensor:
        """Return all coefficients (..., S) of the head for the first few (..., n) that are fitted."""
        return torch.nn.functional.pad(shape, (0, self.head.n_shape - self.model.n_shape))

    def params(self, weights: Tensor, shape: Tensor) -> FaceParams:
        """Return the head's parameters for ARKit weights (B, 52) and shapes (B, S) or (S,)."""
        if self.actions is None:
            return FaceParams(shape=shape, expression=weights)
        return self.actions.from_arkit(weights, shape)

    def landmarks(self, face_observations: Sequence[FaceObservation]) -> tuple[Tensor, Tensor]:
        """Return the detector's points (B, 478, 2) and their depth (B, 478), both in pixels."""
        points_px = self._stack([each.detection.landmarks_px for each in face_observations])
        return points_px, self._stack([each.detection.depth for each in face_observations])

    def observe(self, face_observations: Sequence[FaceObservation], person: Tensor) -> LandmarkTargets:
        """Return what the detector's answer says of B faces, a guess of their ARKit weights included."""
        points_px, depth_px = self.landmarks(face_observations)
        scores = self._stack([each.detection.blendshape_scores for each in face_observations])
        photos = [each.photo for each in face_observations]
        center_px = self._stack([np.array(photo.size) / 2 for photo in photos])
        focal_px = self._focal_px(photos, points_px, depth_px)
        return self.observations(points_px, depth_px, scores, center_px, focal_px, person)

    def observations(
        self, points_px: Tensor, depth_px: Tensor, scores: Tensor, center_px: Tensor, focal_px: Tensor, person: Tensor
    ) -> LandmarkTargets:
        """Return `LandmarkTargets` of these tensors with the guess that they give; scores (B, 52) are the detector's."""
        guess, guess_std = self._calibration.guess(points_px, depth_px, scores if self.use_scores else None)
        person = person.to(self._device)
        return LandmarkTargets(points_px, depth_px, center_px, focal_px, guess, guess_std, person)

    def laid(self, points_px: Tensor, depth_px: Tensor) -> Similarity:
        """Return how the mean head best lies on landmarks (B, 478, 2) with depth (B, 478), both in pixels.

        It maps metres of the head frame to pixels, with y upwards.
        """
        return align_mean_head(self.model, points_px[:, self.model.index], depth_px[:, self.model.index])

    def _stack(self, arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).float().to(self._device)

    def _focal_px(self, photos: Sequence[Photo], points_px: Tensor, depth_px: Tensor) -> Tensor:
        """Return the focal lengths (B,) of photos with these faces in them."""
        if self.focal == "orthographic":
            return points_px.new_full((len(photos),), float("inf"))
        if self.focal != "auto":
            # The focal length is that of the file, whose pixels a photo limited in size no longer has.
            return points_px.new_tensor([float(self.focal) * photo.scale for photo in photos])
        scale = self.laid(points_px, depth_px).scale.tolist()
        return points_px.new_tensor([default_focal_px(*photo.size, each) for photo, each in zip(photos, scale)])
