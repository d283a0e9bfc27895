"""Measure where the contour and other ambiguous landmarks of real faces lie on the head.

    python -m smirk3d.train.recipes.landmark_bias --photos FOLDER

Fits the open head to photos of the training split and measures, over all views, by how much each landmark of low
weight is missed on average; the offsets are read by `smirk3d.detection.landmark_bias`. Logs the landmark error of fits
to the validation split before and after.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smirk3d import Face, Reconstructor
from smirk3d.authoring.landmark_embedding import EmbedConfig, embed_landmarks
from smirk3d.authoring.load import load_head
from smirk3d.datasets.landmark_annotations import read_landmark_annotations
from smirk3d.detection.detector import Detector
from smirk3d.detection.landmark_bias import save_landmark_bias
from smirk3d.estimation.reconstructor import DetectedPhoto
from smirk3d.geometry.closest import closest_on_mesh
from smirk3d.head.landmark_indices import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    FACE_OVAL,
    IBUG68,
    LIPS_INNER,
    LIPS_OUTER,
    MIRROR,
    OUTER_EYE_CORNERS,
    SKIN_COUNT,
)
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.open_mouth import open_mouth
from smirk3d.metrics.landmark import landmark_error_percent
from smirk3d.params import LandmarkEmbedding
from smirk3d.train.recipes.command import run_recipe
from smirk3d.zoo.registry import locate

BATCH = 64
MAX_WEIGHT = 0.3
"""Landmarks of at most this weight, as renders of the mesh place them, are measured; the others are kept."""
EXPRESSIVE = (*LIPS_INNER, *LIPS_OUTER, *BROW_RIGHT, *BROW_LEFT, *EYE_RIGHT, *EYE_LEFT)
"""Landmarks that are kept in any case: a residual there may be an expression that the fit regularises away."""
OUTLIER_M = 0.008
"""Scale of the robust (Cauchy) weight of a residual, metres."""
PRIOR_SHARE = 0.05
"""Weight of a zero prior on the offset, relative to the data: decides in directions that no view shows."""
ORDER_ITERATIONS = 4
"""Halvings of the offsets of contour landmarks that would change their order."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Photos and result of the measurement."""

    photos: Path
    """Folder with landmarks.npz and labels.csv (`smirk3d.datasets.landmark_annotations`)."""
    count: int = 1500
    """Photos of the training split."""
    passes: int = 2
    """Repetitions of fitting and measuring; 1 to 3."""
    seed: int = 0
    """Seed of the choice of photos."""
    out: Path = field(default_factory=lambda: locate("landmark_bias"))
    """File to write; by default the packaged one."""


def fit_photos(head: HeadModel, photos: list[DetectedPhoto]) -> tuple[list[Face], np.ndarray]:
    """Return the heads fitted to N photos, and the detected landmarks (N, 478, 2) in pixels."""
    with Reconstructor(head, "fit", max_faces=1) as reconstructor:
        starts = range(0, len(photos), BATCH)
        faces = [found[0] for start in starts for found in reconstructor.solve(photos[start : start + BATCH])]
    return faces, np.stack([item.detections[0].landmarks_px for item in photos])


def residuals_m(faces: list[Face], landmarks_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare detected landmarks with those of fitted heads, in metres on the head.

    Args:
        faces: N fitted heads.
        landmarks_px: (N, 478, 2) detected landmarks.

    Returns:
        Residuals (N, 468, 2) in the view plane, x right and y up, and rotations (N, 3, 3) from head to camera.
    """
    up = np.array([1.0, -1.0])
    rotation = np.stack([face.rotation for face in faces])
    points_px = np.stack([face.landmarks("mediapipe") for face in faces])[:, :SKIN_COUNT]
    points_m = np.stack([face.landmarks("mediapipe", space="head") for face in faces])[:, :SKIN_COUNT]
    view_m = np.einsum("nij,nkj->nki", rotation[:, :2], points_m)
    spread_m, spread_px = (points - points.mean(1, keepdims=True) for points in (view_m, points_px * up))
    px_per_m = (spread_m * spread_px).sum((1, 2)) / np.square(spread_m).sum((1, 2))
    return (landmarks_px[:, :SKIN_COUNT] - points_px) * up / px_per_m[:, None, None], rotation


def mean_offset_m(head: HeadModel, faces: list[Face], landmarks_px: np.ndarray) -> Tensor:
    """Return the offsets (468, 3) in the head frame, metres, that explain the residuals of all views best.

    With a residual r (2), the first two rows P of a view's rotation and a weight w, an offset d minimises
    Σ w ‖P d − r‖² + λ Σ w ‖d‖², λ being `PRIOR_SHARE`. The weight is that of a Cauchy loss, times how much the surface
    faces the camera: landmarks on the far side are extrapolated.

    Args:
        head: The head that was fitted.
        faces: N fitted heads.
        landmarks_px: (N, 478, 2) detected landmarks.
    """
    residual, rotation = residuals_m(faces, landmarks_px)
    embedding = head.landmark_embedding("mediapipe")
    a, b, c = head.v_template[head.faces[embedding.face_index[:SKIN_COUNT]]].unbind(1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1).numpy()
    facing = np.clip((rotation[:, 2] @ normal.T + 0.3) / 0.5, 0.02, 1)
    weight = facing / (1 + np.square(residual).sum(2) / OUTLIER_M**2)
    normal_matrix = np.einsum("nk,nij,nil->kjl", weight, rotation[:, :2], rotation[:, :2])
    normal_matrix += PRIOR_SHARE * weight.sum(0)[:, None, None] * np.eye(3)
    right_side = np.einsum("nk,nij,nki->kj", weight, rotation[:, :2], residual)
    return torch.from_numpy(np.linalg.solve(normal_matrix, right_side[..., None])[..., 0]).float()


def with_moved_landmarks(head: HeadModel, offset_m: Tensor, chosen: Tensor) -> HeadModel:
    """Return the head with some landmarks moved, symmetrically and back onto the surface.

    Args:
        head: Any head with MediaPipe's landmarks.
        offset_m: (468, 3) offsets in the head frame, metres.
        chosen: (478,) bool, the landmarks to move.
    """
    embedding = head.landmark_embedding("mediapipe")
    parted = head(open_mouth(head, None)).vertices  # lips apart, so that none is projected onto the other
    start = embedding.points(parted, head.faces)
    points = start.clone()
    points[:SKIN_COUNT] += offset_m
    points = (points + points[list(MIRROR)] * points.new_tensor([-1.0, 1.0, 1.0])) / 2
    skin = ~head.region_mask("eyeballs")[head.faces].any(1) & ~head.region_mask("mouth_interior")[head.faces].all(1)
    face_index, weights = embedding.face_index.clone(), embedding.barycentric.clone()
    for _ in range(ORDER_ITERATIONS):
        row, barycentric = closest_on_mesh(points[chosen], parted, head.faces[skin])
        face_index[chosen], weights[chosen] = torch.nonzero(skin)[row, 0], barycentric
        result = replace(embedding, face_index=face_index, barycentric=weights)
        crossing = crossing_points(result.points(parted, head.faces))
        points[crossing] = (points[crossing] + start[crossing]) / 2
    return with_embedding(head, result)


def crossing_points(points: Tensor) -> list[int]:
    """Return the contour landmarks that are out of order from ear to ear, given all landmarks (478, 3)."""
    return [index for pair in pairwise(IBUG68[:17]) if points[pair[0], 0] >= points[pair[1], 0] for index in pair]


def with_embedding(head: HeadModel, embedding: LandmarkEmbedding) -> HeadModel:
    """Return the head with other landmarks."""
    return HeadModel(
        replace(head.data, landmarks={"mediapipe": embedding, "ibug68": embedding.take(torch.tensor(IBUG68))})
    )


def landmarks_m(head: HeadModel) -> Tensor:
    """Return the landmarks (478, 3) of the mean head with its lips parted, head frame, metres."""
    return head.landmark_embedding("mediapipe").points(head(open_mouth(head, None)).vertices, head.faces)


def error_percent(head: HeadModel, photos: list[DetectedPhoto]) -> float:
    """Return the mean landmark error of fits to photos, % of the distance of the outer eye corners."""
    faces, landmarks_px = fit_photos(head, photos)
    points_px = np.stack([face.landmarks("mediapipe") for face in faces])
    error = landmark_error_percent(points_px, landmarks_px, eye_corners=OUTER_EYE_CORNERS, count=SKIN_COUNT)
    return float(error.mean())


def main(options: Options) -> None:
    """Fit, move the landmarks, fit again; write the total offsets."""
    train, val = (read_landmark_annotations(options.photos, split).photos for split in ("train", "val"))
    order = np.random.default_rng(options.seed).permutation(len(train))[: options.count]
    with Detector(max_faces=1) as detector:
        head = HeadModel(embed_landmarks(load_head().data, detector, EmbedConfig(landmark_bias=False)))
    start = landmarks_m(head)
    chosen = head.landmark_embedding("mediapipe").weight <= MAX_WEIGHT
    chosen[list(FACE_OVAL)] = True
    chosen[SKIN_COUNT:] = chosen[list(EXPRESSIVE)] = False
    _log.info("%d landmarks; error of the fit on val %.3f %%", int(chosen.sum()), error_percent(head, val))
    for _ in range(options.passes):
        offset_m = mean_offset_m(head, *fit_photos(head, [train[k] for k in order]))
        head = with_moved_landmarks(head, offset_m, chosen)
    offset_m = torch.where(chosen[:, None], landmarks_m(head) - start, 0.0)
    right, left = (start[index] for index in OUTER_EYE_CORNERS)
    made_by = {
        "made_by": "smirk3d.train.recipes.landmark_bias",
        "photos": str(len(order)),
        "seed": str(options.seed),
    }
    save_landmark_bias(offset_m / (left - right).norm(), options.out, made_by)
    moved_mm = 1000 * offset_m[chosen].norm(dim=1).mean()
    _log.info("moved by %.1f mm; error on val %.3f %%", moved_mm, error_percent(head, val))


if __name__ == "__main__":
    run_recipe(Options, main)
