"""Fitted heads in a crop, where the photo shows the face exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.photo_warp.landmark_residuals import residual_weights
from smirk3d.render.shading import vertex_normals


@dataclass(frozen=True)
class PlacedMesh:
    """A posed head in a crop.

    Attributes:
        ndc: (V, 3) image space, smaller third coordinate nearer; metres there.
        normals: (V, 3) unit normals in the camera frame.
        landmarks_ndc: (478, 2) MediaPipe's landmarks.
    """

    ndc: Tensor
    normals: Tensor
    landmarks_ndc: Tensor


def place(head: HeadModel, params: FaceParams, residual_ndc: Tensor) -> PlacedMesh:
    """Pose and project one head, and move it by the residuals of its landmarks.

    Args:
        head: The head.
        params: Its parameters, fields (1, ...), with an orthographic camera.
        residual_ndc: (478, 2) detected landmarks minus those of the fitted mesh.
    """
    assert params.camera is not None
    mesh = head(params)
    vertices, weights = mesh.vertices[0], residual_weights(head)
    projected = project_orthographic(mesh.vertices, params.camera)[0, :, :2] + weights @ residual_ndc
    landmarks = head.landmark_embedding("mediapipe").points(projected, head.faces)
    normals = functional.normalize(vertex_normals(vertices, head.faces), dim=1)
    return PlacedMesh(torch.cat([projected, -vertices[:, 2:]], dim=1), normals, landmarks)


def fit_residual(head: HeadModel, params: FaceParams, landmarks_ndc: Tensor) -> Tensor:
    """Return detected landmarks (478, 2) minus those of a fitted head; parameters as for `place`."""
    assert params.camera is not None
    return landmarks_ndc - project_orthographic(head(params).landmarks("mediapipe"), params.camera)[0, :, :2]
