"""From estimated parameters to the faces that users get, whatever estimated them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import roma
from torch import Tensor

from smirk3d.detection.detector import Detection
from smirk3d.face import Face, ImageFit, assemble_face
from smirk3d.geometry.camera import Camera
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.explicit_joints import resolve_explicit_joints
from smirk3d.media.images import Photo
from smirk3d.params import FaceParams

HALF_CONFIDENCE_RESIDUAL = 0.04
"""Mean residual, in distances of the outer eye corners, at which confidence falls to one half."""


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """One face in one photo.

    Attributes:
        photo: The photo.
        detection: The face that the detector found in it.
    """

    photo: Photo
    detection: Detection


class Estimator(Protocol):
    """Estimates the heads of B faces.

    `person` (B,) int64 is the same number for faces that share their shape; 0, 1, 2, ... without gaps.
    """

    def __call__(self, face_observations: Sequence[FaceObservation], person: Tensor) -> list[Face]:
        """Return one face for each observation."""
        ...


def make_faces(
    head: HeadModel,
    face_observations: Sequence[FaceObservation],
    params: FaceParams,
    arkit: Tensor,
    cameras: Sequence[Camera],
    residual: Tensor,
    method: str,
) -> list[Face]:
    """Return the faces of B observations.

    Args:
        head: the model. face_observations: photos and detections. params: fields (B, ...); the faces are without its pose.
        arkit: (B, 52) weights in [0, 1]. cameras: of each face.
        residual: (B,) mean distance of fitted and detected landmarks over that of the outer eye corners.
        method: what estimated them.
    """
    neutral = head.shaped(params.shape).vertices.expand(len(face_observations), -1, -1).cpu().numpy()
    vertices = unposed_vertices(head, params).expand(len(face_observations), -1, -1).cpu().numpy()
    fields = {
        name: value.cpu().numpy()
        for name, value in (dict(params.items()) | resolve_explicit_joints(head, params, arkit)).items()
    }
    weights, residuals = arkit.cpu().numpy(), residual.cpu().tolist()
    faces = []
    for k, each in enumerate(face_observations):
        fit = ImageFit(
            camera=cameras[k],
            confidence=float(each.detection.score) / (1 + (residuals[k] / HALF_CONFIDENCE_RESIDUAL) ** 2),
            method=method,
            image_size=each.photo.size,
            box_px=each.detection.box_px,
            residual_percent=100 * residuals[k],
        )
        own = {name: values[k] for name, values in fields.items()}
        faces.append(assemble_face(head, vertices[k], neutral[k], own, weights[k], fit))
    return faces


def unposed_vertices(head: HeadModel, params: FaceParams) -> Tensor:
    """Return the posed mesh (B, V, 3) turned back about the root joint.

    That is the mesh without pose, but for eyelids which a head adds in world axes: as part of the head they depend
    on the pose with which they were estimated.
    """
    mesh = head(params)
    if params.pose is None:
        return mesh.vertices
    root = mesh.joints[..., :1, :]
    return (mesh.vertices - root) @ roma.rotvec_to_rotmat(params.pose) + root
