"""From observations of one person to its identity and its motion, whatever method estimates them.

Sightings are reduced to records of numbers at once, so that no frame of the video is kept. When all are known, the
identity comes from the calmest of each view; then every frame is solved with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from smirk3d.detection.detector import N_LANDMARKS
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import Estimator, FaceObservation
from smirk3d.estimation.fusion import FusionEstimator
from smirk3d.estimation.landmark_fit import LandmarkFitEstimator
from smirk3d.estimation.lm_solver import FitConfig, LandmarkTargets, fit_landmarks, procrustes_pose
from smirk3d.estimation.regression import RegressionEstimator
from smirk3d.face import Face
from smirk3d.geometry.camera import default_focal_px
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.explicit_joints import resolve_explicit_joints
from smirk3d.params import FaceParams
from smirk3d.tracking.motion import Motion

AT_ONCE = 256
"""Frames that are solved together."""
VIEW_BIN_DEG = 10.0
"""Yaws within one of these count as the same view."""
PER_VIEW = 4
"""Frames of a view from which the identity comes."""
MOST_FRAMES = 32
N_ARKIT = len(ARKIT_NAMES)


@dataclass(frozen=True)
class ClipCamera:
    """Frames of one size. size: (width, height) in pixels. focal_px: None for a scaled orthographic camera."""

    size: tuple[int, int]
    focal_px: float | None


class TrackSolver(Protocol):
    """Solves tracks of one head.

    Attributes:
        method: "fit", "encoder" or "refine". head: The model. dtype: Of the records of observations.
    """

    method: str
    head: HeadModel
    dtype: np.dtype

    def read(self, face_observations: Sequence[FaceObservation]) -> np.ndarray:
        """Return one record (N,) for each observation."""
        ...

    def view(self, rows: np.ndarray, size: tuple[int, int]) -> ClipCamera:
        """Return the camera for the records of a clip whose frames have this size."""
        ...

    def identity(self, rows: np.ndarray, view: ClipCamera) -> np.ndarray:
        """Return the shape (S,) float32 of the person in records (N,)."""
        ...

    def solve(self, rows: np.ndarray, shape: np.ndarray, view: ClipCamera) -> Motion:
        """Return the motion of a person of this shape in records (N,)."""
        ...


def track_solver(estimator: Estimator) -> TrackSolver:
    """Return what solves tracks as an estimator does photos.

    Raises:
        Smirk3dError: The estimator is of no known kind.
    """
    if isinstance(estimator, FusionEstimator):
        return LandmarkTrackSolver(estimator.fitter, estimator)
    if isinstance(estimator, LandmarkFitEstimator):
        return LandmarkTrackSolver(estimator)
    if isinstance(estimator, RegressionEstimator):
        return EncoderTrackSolver(estimator)
    raise Smirk3dError(f"{type(estimator).__name__}: cannot solve videos; use method fit, encoder or refine")


class LandmarkTrackSolver:
    """The methods "fit" and "refine": landmarks, and what an encoder says of the expression where there is one."""

    def __init__(self, fitter: LandmarkFitEstimator, refined: FusionEstimator | None = None) -> None:
        self.fitter, self.refined, self.head = fitter, refined, fitter.head
        self.method = "fit" if refined is None else "refine"
        points = [("landmarks_px", "f4", (N_LANDMARKS, 2)), ("depth_px", "f4", N_LANDMARKS)]
        self.dtype = np.dtype([*points, ("scores", "f4", N_ARKIT), ("said", "f4", N_ARKIT)])

    def read(self, face_observations: Sequence[FaceObservation]) -> np.ndarray:
        """See `TrackSolver`."""
        rows = np.zeros(len(face_observations), dtype=self.dtype)
        for row, detection in zip(rows, (each.detection for each in face_observations)):
            row["landmarks_px"], row["depth_px"] = detection.landmarks_px, detection.depth
            row["scores"] = detection.blendshape_scores
        if self.refined is not None:
            rows["said"] = self.refined.read(face_observations).cpu().numpy()
        return rows

    def view(self, rows: np.ndarray, size: tuple[int, int]) -> ClipCamera:
        """See `TrackSolver`; one focal length for the clip, even where the face comes near."""
        focal = self.fitter.focal
        if focal == "orthographic":
            return ClipCamera(size, None)
        if focal != "auto":
            return ClipCamera(size, float(focal))
        some = rows[:: max(1, len(rows) // AT_ONCE)]
        scale = self.fitter.laid(self._tensor(some["landmarks_px"]), self._tensor(some["depth_px"])).scale
        return ClipCamera(size, default_focal_px(*size, float(scale.quantile(0.9))))

    @torch.no_grad()
    def identity(self, rows: np.ndarray, view: ClipCamera) -> np.ndarray:
        """See `TrackSolver`; fitted to all of the chosen frames together."""
        seen = self._observe(_thinned(rows), view)
        assert seen.guess is not None
        chosen = select_neutral_keyframes(initial_pose_deg(self.fitter, seen), seen.guess.sum(1).cpu().numpy())
        rows = _thinned(rows)[chosen]
        seen = self._observe(rows, view, torch.zeros(len(rows), dtype=torch.int64))
        fit = fit_landmarks(self.fitter.model, seen, self._config)
        return self.fitter.whole_shape(fit.coefficients[0, : self.fitter.model.n_shape]).cpu().numpy()

    @torch.no_grad()
    def solve(self, rows: np.ndarray, shape: np.ndarray, view: ClipCamera) -> Motion:
        """See `TrackSolver`."""
        model = self.fitter.model.of_person(self._tensor(shape)[: self.fitter.model.n_shape])
        parts = []
        for start in range(0, len(rows), AT_ONCE):
            fit = fit_landmarks(model, self._observe(rows[start : start + AT_ONCE], view), self._config)
            pose = fit.pose
            values = (fit.coefficients, pose.rotmat, pose.offset_px, pose.scale, fit.residual.mean(1))
            parts.append([value.double().cpu().numpy() for value in values])
        arkit, rotmat, offset_px, scale, residual = (np.concatenate(each) for each in zip(*parts))
        return Motion(arkit, rotmat, offset_px, scale, residual)

    @property
    def _config(self) -> FitConfig:
        return FitConfig() if self.refined is None else self.refined.fit_config

    def _observe(self, rows: np.ndarray, view: ClipCamera, person: Tensor | None = None) -> LandmarkTargets:
        count = len(rows)
        center_px = self._tensor(np.tile(np.array(view.size) / 2, (count, 1)))
        focal_px = torch.full((count,), view.focal_px or float("inf")).to(center_px)
        landmarks_px, depth_px, scores = (self._tensor(rows[name]) for name in ("landmarks_px", "depth_px", "scores"))
        person = torch.arange(count) if person is None else person
        seen = self.fitter.observations(landmarks_px, depth_px, scores, center_px, focal_px, person)
        return seen if self.refined is None else self.refined.informed(seen, self._tensor(rows["said"]))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self.head.v_template.device)


class EncoderTrackSolver:
    """The method "encoder": what the encoder says of each frame, with the mean of its shapes."""

    def __init__(self, estimator: RegressionEstimator) -> None:
        self.estimator, self.head, self.method = estimator, estimator.head, "encoder"
        sizes = {"shape": self.head.n_shape, "arkit": N_ARKIT, "rotmat": (3, 3), "offset_px": 2}
        self._own = (
            {}
            if estimator.actions is None
            else {"expression": self.head.n_expression}
            | {name: size for name, size in (("jaw", 3), ("eyelids", 2), ("eyes", 6)) if name in self.head.spec.names}
        )
        sizes |= self._own
        singles = [(name, "f4") for name in ("scale_px_per_m", "residual")]
        self.dtype = np.dtype([*((name, "f4", size) for name, size in sizes.items()), *singles])

    def read(self, face_observations: Sequence[FaceObservation]) -> np.ndarray:
        """See `TrackSolver`."""
        rows = np.zeros(len(face_observations), dtype=self.dtype)
        for row, face in zip(rows, self.estimator(face_observations, torch.arange(len(face_observations)))):
            self._fill(row, face)
        return rows

    def _fill(self, row: np.void, face: Face) -> None:
        row["shape"], row["arkit"] = face.shape, [face.arkit[name] for name in ARKIT_NAMES]
        row["rotmat"], row["scale_px_per_m"] = face.rotation, face.camera.scale_px_per_m
        # Relative to the middle of the frame, as everywhere in a clip; the encoder's camera is the crop's.
        origin_px, middle_px = face.camera.project(np.zeros((1, 3)))[0], np.array(face.image_size) / 2
        row["offset_px"], row["residual"] = origin_px - middle_px, face.residual_percent / 100
        for name in self._own:
            row[name] = getattr(face, name)

    def view(self, rows: np.ndarray, size: tuple[int, int]) -> ClipCamera:
        """See `TrackSolver`."""
        return ClipCamera(size, None)

    def identity(self, rows: np.ndarray, view: ClipCamera) -> np.ndarray:
        """See `TrackSolver`."""
        rows = _thinned(rows)
        angles = np.array([angles_from_rotation(rotmat) for rotmat in rows["rotmat"]])
        return rows["shape"][select_neutral_keyframes(angles, rows["arkit"].sum(1))].mean(0)

    def solve(self, rows: np.ndarray, shape: np.ndarray, view: ClipCamera) -> Motion:
        """See `TrackSolver`."""
        names = ("arkit", "rotmat", "offset_px", "scale_px_per_m", "residual")
        own = {name: rows[name].astype(np.float64) for name in self._own}
        return Motion(**{name: rows[name].astype(np.float64) for name in names}, own=own)


@torch.no_grad()
def initial_pose_deg(fitter: LandmarkFitEstimator, seen: LandmarkTargets) -> np.ndarray:
    """Return rough yaw, pitch and roll (B, 3) in degrees of observations."""
    index = fitter.model.index
    thin = replace(seen, points_px=seen.points_px[:, index], depth_px=seen.depth_px[:, index])
    rotmats = procrustes_pose(fitter.model, thin).rotmat.double().cpu().numpy()
    return np.array([angles_from_rotation(rotmat) for rotmat in rotmats])


def select_neutral_keyframes(angles_deg: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """Return the indices of frames that tell most about the person: of each view those with least expression.

    Args:
        angles_deg: (N, 3) yaw, pitch and roll. activity: (N,) how much expression there is.
    """
    views = np.floor(angles_deg[:, 0] / VIEW_BIN_DEG + 0.5).astype(int)
    order = np.argsort(activity, kind="stable")
    ranks = np.empty(len(order), dtype=int)
    for view in np.unique(views):
        members = order[views[order] == view]
        ranks[members] = np.arange(len(members))
    best = np.lexsort((activity, ranks))
    return np.sort(best[ranks[best] < PER_VIEW][:MOST_FRAMES])


@torch.no_grad()
def coefficients(solver: TrackSolver, motion: Motion, shape: np.ndarray) -> dict[str, np.ndarray]:
    """Return the head's expression (T, E), jaw (T, 3), eyelids (T, 2) and eyes (T, 6) for a motion, float32."""
    head = solver.head
    weights = torch.from_numpy(motion.arkit).to(head.v_template)
    if motion.own:
        params = FaceParams(**{name: torch.from_numpy(value).to(weights) for name, value in motion.own.items()})
    elif isinstance(solver, LandmarkTrackSolver):
        params = solver.fitter.params(weights, torch.from_numpy(shape).to(weights))
    else:
        params = FaceParams(expression=weights)
    assert params.expression is not None
    found = {"expression": params.expression} | resolve_explicit_joints(head, params.replace(shape=None), weights)
    return {name: value.float().cpu().numpy() for name, value in found.items()}


def _thinned(rows: np.ndarray) -> np.ndarray:
    """Return some records spread over all, enough to find the calm ones."""
    return np.array(rows[:: max(1, len(rows) // (4 * AT_ONCE))])
