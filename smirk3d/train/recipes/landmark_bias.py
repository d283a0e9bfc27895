"""Measure where the contour of real faces is on the head, from photos with known landmarks.

    python smirk3d/train/recipes/landmark_bias.py --photos ../shared/data/faces

Fits the open head to photos of the training split and asks by how much each badly trusted point is missed on average,
seen from all sides: `smirk3d.detection.landmark_bias`. Prints the error of the fits to the validation split.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import tyro
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
from smirk3d.zoo.registry import locate

BATCH = 64
LEAST_TRUST = 0.3
"""Points that pictures of the mesh place with less trust than this are measured; the others are kept."""
EXPRESSIVE = (*LIPS_INNER, *LIPS_OUTER, *BROW_RIGHT, *BROW_LEFT, *EYE_RIGHT, *EYE_LEFT)
"""Points that are kept in any case: what is missed there may be an expression that the fit evens out."""
OUTLIER_M = 0.008
"""Miss at which a face begins to lose its say about a point."""
UNSEEN = 0.05
"""Share of the pull that keeps a point where it is, in a direction from which it was never seen."""

HALVINGS = 4
"""How often points that would pass each other on the contour move only half as far."""


@dataclass(frozen=True)
class Options:
    """What is measured."""

    photos: Path
    """Folder with landmarks.npz and labels.csv (see measure_landmarks.py)."""
    count: int = 1500
    """Photos of the training split."""
    passes: int = 2
    seed: int = 0
    out: Path = field(default_factory=lambda: locate("landmark_bias"))


def fitted(head: HeadModel, prepared: list[DetectedPhoto]) -> tuple[list[Face], np.ndarray]:
    """Return the heads fitted to N photos, and the landmarks (N, 478, 2) that they were fitted to."""
    with Reconstructor(head, "fit", max_faces=1) as reconstructor:
        starts = range(0, len(prepared), BATCH)
        faces = [found[0] for start in starts for found in reconstructor.solve(prepared[start : start + BATCH])]
    return faces, np.stack([item.detections[0].landmarks_px for item in prepared])


def misses_m(faces: list[Face], given_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far marks are from the points of the skin in the view plane, (N, 468, 2), and rotations (N, 3, 3)."""
    up = np.array([1.0, -1.0])
    rotation = np.stack([face.rotation for face in faces])
    points_px = np.stack([face.landmarks("mediapipe") for face in faces])[:, :SKIN_COUNT]
    points_m = np.stack([face.landmarks("mediapipe", space="head") for face in faces])[:, :SKIN_COUNT]
    seen_m = np.einsum("nij,nkj->nki", rotation[:, :2], points_m)
    spread_m, spread_px = (points - points.mean(1, keepdims=True) for points in (seen_m, points_px * up))
    px_per_m = (spread_m * spread_px).sum((1, 2)) / np.square(spread_m).sum((1, 2))
    return (given_px[:, :SKIN_COUNT] - points_px) * up / px_per_m[:, None, None], rotation


def mean_miss_m(head: HeadModel, faces: list[Face], given_px: np.ndarray) -> Tensor:
    """Return the offsets (468, 3) in the head frame that explain best what is missed in all views."""
    missed, rotation = misses_m(faces, given_px)
    embedding = head.landmark_embedding("mediapipe")
    a, b, c = head.v_template[head.faces[embedding.face_index[:SKIN_COUNT]]].unbind(1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1).numpy()
    facing = np.clip((rotation[:, 2] @ normal.T + 0.3) / 0.5, 0.02, 1)
    weight = facing / (1 + np.square(missed).sum(2) / OUTLIER_M**2)
    normal_matrix = np.einsum("nk,nij,nil->kjl", weight, rotation[:, :2], rotation[:, :2])
    normal_matrix += UNSEEN * weight.sum(0)[:, None, None] * np.eye(3)
    pull = np.einsum("nk,nij,nki->kj", weight, rotation[:, :2], missed)
    return torch.from_numpy(np.linalg.solve(normal_matrix, pull[..., None])[..., 0]).float()


def moved(head: HeadModel, offset_m: Tensor, chosen: Tensor) -> HeadModel:
    """Return the head with its `chosen` points (478,) moved by offsets (468, 3), and put back on the surface."""
    embedding = head.landmark_embedding("mediapipe")
    parted = head(open_mouth(head, None)).vertices
    start = embedding.points(parted, head.faces)
    places = start.clone()
    places[:SKIN_COUNT] += offset_m
    places = (places + places[list(MIRROR)] * places.new_tensor([-1.0, 1.0, 1.0])) / 2
    skin = ~head.region_mask("eyeballs")[head.faces].any(1) & ~head.region_mask("mouth_interior")[head.faces].all(1)
    face_index, weights = embedding.face_index.clone(), embedding.barycentric.clone()
    for _ in range(HALVINGS):
        row, barycentric = closest_on_mesh(places[chosen], parted, head.faces[skin])
        face_index[chosen], weights[chosen] = torch.nonzero(skin)[row, 0], barycentric
        result = replace(embedding, face_index=face_index, barycentric=weights)
        passing = passing_points(result.points(parted, head.faces))
        places[passing] = (places[passing] + start[passing]) / 2
    return with_embedding(head, result)


def passing_points(places: Tensor) -> list[int]:
    """Return the points of the contour that are, of places (478, 3), not in their order from ear to ear."""
    return [index for pair in pairwise(IBUG68[:17]) if places[pair[0], 0] >= places[pair[1], 0] for index in pair]


def with_embedding(head: HeadModel, embedding: LandmarkEmbedding) -> HeadModel:
    """Return the head with other landmarks."""
    return HeadModel(
        replace(head.data, landmarks={"mediapipe": embedding, "ibug68": embedding.take(torch.tensor(IBUG68))})
    )


def places_m(head: HeadModel) -> Tensor:
    """Return where the points are on the mean head with its lips parted, (478, 3)."""
    return head.landmark_embedding("mediapipe").points(head(open_mouth(head, None)).vertices, head.faces)


def error_percent(head: HeadModel, prepared: list[DetectedPhoto]) -> float:
    """Return the mean landmark error of the fits."""
    faces, given_px = fitted(head, prepared)
    points_px = np.stack([face.landmarks("mediapipe") for face in faces])
    error = landmark_error_percent(points_px, given_px, eye_corners=OUTER_EYE_CORNERS, count=SKIN_COUNT)
    return float(error.mean())


def main(options: Options) -> None:
    """Fit, move the points, fit again; write by how much they moved in all."""
    train, val = (read_landmark_annotations(options.photos, split).photos for split in ("train", "val"))
    order = np.random.default_rng(options.seed).permutation(len(train))[: options.count]
    with Detector(max_faces=1) as detector:
        head = HeadModel(embed_landmarks(load_head().data, detector, EmbedConfig(landmark_bias=False)))
    start = places_m(head)
    chosen = head.landmark_embedding("mediapipe").weight <= LEAST_TRUST
    chosen[list(FACE_OVAL)] = True
    chosen[SKIN_COUNT:] = chosen[list(EXPRESSIVE)] = False
    print(f"{int(chosen.sum())} points; error of the fit on val {error_percent(head, val):.3f} %")
    for _ in range(options.passes):
        head = moved(head, mean_miss_m(head, *fitted(head, [train[k] for k in order])), chosen)
    offset_m = torch.where(chosen[:, None], places_m(head) - start, 0.0)
    right, left = (start[index] for index in OUTER_EYE_CORNERS)
    made_by = {
        "made_by": "smirk3d/train/recipes/landmark_bias.py",
        "photos": str(len(order)),
        "seed": str(options.seed),
    }
    save_landmark_bias(offset_m / (left - right).norm(), options.out, made_by)
    print(
        f"moved by {1000 * offset_m[chosen].norm(dim=1).mean():.1f} mm; error on val {error_percent(head, val):.3f} %"
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
