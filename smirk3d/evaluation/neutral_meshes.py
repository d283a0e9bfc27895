"""Neutral meshes of identity coefficients: heights of heads, distances of faces, heights of lips."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smirk3d.geometry.align import align
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.head.model import HeadModel

CHIN = 152
"""MediaPipe's landmark at the lowest point of the chin."""
LIP_TOP, LIP_BOTTOM = 0, 17
"""MediaPipe's landmarks in the middle of the outer rims of the upper and the lower lip."""


@torch.no_grad()
def neutral_vertices(head: HeadModel, shapes: np.ndarray) -> Tensor:
    """Return the neutral heads (N, V, 3), metres, of identity coefficients (N, S)."""
    return head.shaped(torch.from_numpy(np.asarray(shapes, np.float32)).to(head.v_template)).vertices


def neutral_landmarks(head: HeadModel, vertices: Tensor) -> Tensor:
    """Return MediaPipe's landmarks (N, 478, 3), metres, of neutral heads (N, V, 3)."""
    return head.landmark_embedding("mediapipe").points(vertices, head.faces)


def head_heights_mm(head: HeadModel, vertices: Tensor) -> np.ndarray:
    """Return the heights (N,) in millimetres of neutral heads (N, V, 3): from the chin to the highest vertex.

    That is what anthropometry calls menton to vertex, without the neck.
    """
    chin = neutral_landmarks(head, vertices)[:, CHIN, 1]
    return (1000 * (vertices[..., 1].amax(1) - chin)).cpu().numpy()


def aligned_faces(head: HeadModel, vertices: Tensor) -> Tensor:
    """Return the vertices of the region "face" (N, F, 3), metres, aligned with the mean head by similarities."""
    face = head.region_mask("face")
    similarity = align(vertices, head.v_template.expand_as(vertices), face.to(vertices.dtype))
    return similarity.apply(vertices)[:, face]


def face_errors_mm(head: HeadModel, vertices: Tensor, truth: Tensor) -> np.ndarray:
    """Return the mean distances (N,) in millimetres of faces from the true ones, aligned by a similarity.

    Args:
        head: The head model.
        vertices: (N, V, 3) neutral heads.
        truth: (N, V, 3) true neutral heads.
    """
    face = head.region_mask("face")
    aligned = align(vertices, truth, face.to(vertices.dtype)).apply(vertices)
    return (1000 * (aligned - truth)[:, face].norm(dim=-1).mean(1)).cpu().numpy()


def lip_heights(head: HeadModel, vertices: Tensor) -> np.ndarray:
    """Return the heights (N,) of both lips of neutral heads (N, V, 3), over the distance of the outer eye corners."""
    points = neutral_landmarks(head, vertices)
    right, left = (points[:, index] for index in OUTER_EYE_CORNERS)
    height = points[:, LIP_TOP, 1] - points[:, LIP_BOTTOM, 1]
    return (height / (left - right).norm(dim=-1)).cpu().numpy()
