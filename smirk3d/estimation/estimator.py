"""The interface of every method, and the assembly of faces from what a method estimates.

An estimator works in two steps. `Estimator.observe` reduces each detected face to a record of numbers, so that no
frame of a video has to be kept. `Estimator.solve` turns records into heads, for a batch of photos as well as for the
frames of a track.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from smirk3d.detection.detector import Detection
from smirk3d.detection.face_regions import REGIONS
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.hidden_regions import confidence_factor, shrink_hidden
from smirk3d.estimation.projection import Pose
from smirk3d.estimation.visibility import region_visibility
from smirk3d.face import Face, ImageFit, Visibility, assemble_face
from smirk3d.geometry.rotations import rotvec_to_rotmat
from smirk3d.head.model import HeadModel, ShapedHead
from smirk3d.head.retargeting.explicit_joints import resolve_explicit_joints
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.media.images import Photo
from smirk3d.networks.threads import torch_threads_for
from smirk3d.params import FaceParams

Number = TypeVar("Number", float, np.ndarray)
HALF_CONFIDENCE_RESIDUAL = 0.04
"""Residual at which the confidence is halved, in units of the distance between the outer eye corners."""


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """One face in one photo.

    Attributes:
        photo: The photo.
        detection: The face that the detector found in it.
    """

    photo: Photo
    detection: Detection


@dataclass(frozen=True, eq=False)
class Intrinsics:
    """The intrinsic camera parameters of N images.

    Attributes:
        center_px: (N, 2) float64 principal points, pixels.
        focal_px: (N,) float64 focal lengths, pixels; infinite for a scaled orthographic camera.
    """

    center_px: np.ndarray
    focal_px: np.ndarray

    def __getitem__(self, rows: slice | np.ndarray) -> Intrinsics:
        """Return the parameters of some of the images."""
        return Intrinsics(self.center_px[rows], self.focal_px[rows])

    @staticmethod
    def orthographic(image_size: np.ndarray) -> Intrinsics:
        """Return scaled orthographic cameras.

        Args:
            image_size: (N, 2) widths and heights of the images, pixels.
        """
        return Intrinsics(image_size / 2, np.full(len(image_size), np.inf))


@dataclass(frozen=True, eq=False)
class HeadEstimates:
    """The estimated heads of N faces; tensors on any device.

    Attributes:
        shape: (N, S) identity coefficients.
        arkit: (N, 52) ARKit weights in [0, 1].
        pose: N head poses with their cameras.
        residual: (N,) mean distance of projected and detected landmarks, in units of the distance between the outer
            eye corners.
        params: Further head parameters, fields (N, ...), of a method that predicts them itself: expression, jaw,
            eyelids, eyes; and the pose, where they depend on it. None where they all follow from the ARKit weights.
    """

    shape: Tensor
    arkit: Tensor
    pose: Pose
    residual: Tensor
    params: FaceParams | None = None

    def head_params(self, head: HeadModel) -> FaceParams:
        """Return all parameters of the head, fields (N, ...)."""
        if self.params is not None:
            return self.params.replace(shape=self.shape)
        return params_from_arkit(head, self.arkit, self.shape)


class Estimator(Protocol):
    """Estimates heads from detected faces, of photos and of video frames alike.

    Attributes:
        head: The head model.
        method: Name of the method, e.g. "fit"; it becomes `Face.method` and `Track.method`.
        dtype: Structured type of the records.
    """

    head: HeadModel
    method: str
    dtype: np.dtype

    def observe(self, faces: Sequence[FaceObservation]) -> np.ndarray:
        """Return one record for each face, (N,) of type `dtype`: all that the later steps need to know of it.

        Two threads may call this and `solve` at the same time.
        """
        ...

    def intrinsics(self, records: np.ndarray, shared: bool = False) -> Intrinsics:
        """Return the cameras of the images of N records.

        Args:
            records: (N,) as returned by `observe`.
            shared: The records come from the frames of one clip and share one focal length.
        """
        ...

    def identity(self, records: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
        """Return the identity coefficients (S,) float32 of the person in all of N records.

        Args:
            records: (N,) as returned by `observe`.
            intrinsics: Their N cameras.
        """
        ...

    def solve(
        self,
        records: np.ndarray,
        intrinsics: Intrinsics,
        identity: np.ndarray | None = None,
        person: np.ndarray | None = None,
    ) -> HeadEstimates:
        """Estimate the heads of N faces.

        Args:
            records: (N,) as returned by `observe`.
            intrinsics: Their N cameras.
            identity: (S,) known identity coefficients of all faces; None to estimate them.
            person: (N,) int64 person of each face, 0, 1, 2, ... without gaps: faces of one person share the
                identity that is estimated. None for a person each. Not used where the identity is known.
        """
        ...


def reconstruct_faces(
    estimator: Estimator, faces: Sequence[FaceObservation], person: np.ndarray | None = None
) -> list[Face]:
    """Estimate the heads of photos.

    Args:
        estimator: The method.
        faces: N detected faces.
        person: (N,) int64 person of each face, as in `Estimator.solve`.

    Returns:
        N faces, in the same order.

    Raises:
        Smirk3dError: A number of a face is not finite.
    """
    with torch_threads_for(len(faces)):
        records = estimator.observe(faces)
        estimates = estimator.solve(records, estimator.intrinsics(records), person=person)
        visibility = observed_visibility(faces)
        arkit, params = shrink_hidden(estimator.head, estimates.arkit, estimates.params, visibility)
        found = make_faces(estimator, faces, replace(estimates, arkit=arkit, params=params), visibility)
    if not all(face.is_finite for face in found):
        raise Smirk3dError(
            f"method {estimator.method!r} gives numbers that are not finite (NaN or infinite); its weights or the head "
            "are damaged: replace them, or use --method fit"
        )
    return found


def observed_visibility(faces: Sequence[FaceObservation]) -> np.ndarray:
    """Return which share of each region of N faces is visible, (N, 4) float32 in [0, 1], see `Visibility`."""
    shares = [region_visibility(face.photo.pixels, face.detection.landmarks_px) for face in faces]
    return np.array(shares, dtype=np.float32).reshape(len(faces), len(REGIONS))


@torch.no_grad()
def make_faces(
    estimator: Estimator, faces: Sequence[FaceObservation], estimates: HeadEstimates, visibility: np.ndarray
) -> list[Face]:
    """Assemble faces from estimates.

    Args:
        estimator: The method that made the estimates.
        faces: N detected faces.
        estimates: The N heads. The vertices of the faces are without their poses.
        visibility: (N, 4) of `REGIONS`; it lowers the confidence.

    Returns:
        N faces, in the same order.
    """
    head, params = estimator.head, estimates.head_params(estimator.head)
    shaped = head.shaped(params.shape)
    neutral = shaped.vertices.expand(len(faces), -1, -1).cpu().numpy()
    vertices = unposed_vertices(head, params, shaped).expand(len(faces), -1, -1).cpu().numpy()
    fields = {
        name: value.cpu().numpy()
        for name, value in (dict(params.items()) | resolve_explicit_joints(head, params, estimates.arkit)).items()
    }
    weights, residuals = estimates.arkit.cpu().numpy(), estimates.residual.cpu().tolist()
    factors = confidence_factor(visibility)
    assembled: list[Face] = []
    for k, face in enumerate(faces):
        fit = ImageFit(
            camera=estimates.pose.camera(k),
            confidence=fit_confidence(float(face.detection.score), residuals[k]) * float(factors[k]),
            method=estimator.method,
            image_size=face.photo.size,
            box_px=face.detection.box_px,
            residual_percent=100 * residuals[k],
            visibility=Visibility(*visibility[k].tolist()),
        )
        own = {name: values[k] for name, values in fields.items()}
        assembled.append(assemble_face(head, vertices[k], neutral[k], own, weights[k], fit))
    return assembled


def fit_confidence(score: Number, residual: Number) -> Number:
    """Return the confidence of a fit of a face that is all visible.

    Args:
        score: Of the detector, in [0, 1]; a number or an array.
        residual: As in `HeadEstimates`, likewise.
    """
    return score / (1 + (residual / HALF_CONFIDENCE_RESIDUAL) ** 2)


def params_from_arkit(head: HeadModel, weights: Tensor, shape: Tensor) -> FaceParams:
    """Return the head parameters that show ARKit weights; on a head with ARKit blendshapes these are the expression.

    Args:
        head: The head model.
        weights: (N, 52) ARKit weights in [0, 1].
        shape: (N, S) or (S,) identity coefficients.
    """
    retargeter = find_retargeter(head)
    if retargeter is None:
        return FaceParams(shape=shape, expression=weights)
    return retargeter.from_arkit(weights, shape)


def unposed_vertices(head: HeadModel, params: FaceParams, shaped: ShapedHead) -> Tensor:
    """Return the posed mesh turned back about the root joint, (N, V, 3) metres.

    That is the mesh without the pose, except for eyelids that a head adds along the world axes (FLAME as SMIRK uses
    it): relative to the head they depend on the pose with which they were estimated.

    Args:
        head: The head model.
        params: Fields (N, ...); the pose is a rotation vector, radians.
        shaped: `head.shaped(params.shape)`.
    """
    expressed = head.expressed(shaped, params)
    if not head.data.eyelids_after_skinning:
        return head.posed(expressed, params.replace(pose=None)).vertices
    mesh = head.posed(expressed, params)
    if params.pose is None:
        return mesh.vertices
    root = mesh.joints[..., :1, :]
    return (mesh.vertices - root) @ rotvec_to_rotmat(params.pose) + root
