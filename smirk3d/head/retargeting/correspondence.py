"""Dense correspondence of two heads by non-rigid registration.

Landmarks are aligned by a similarity transform, a smooth warp interpolates the rest, and each vertex takes the closest
point of the warped surface. Both heads are registered with open mouths, so that the upper lip is never matched to the
lower.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smirk3d.errors import Smirk3dError
from smirk3d.geometry.align import align
from smirk3d.geometry.closest import closest_on_mesh
from smirk3d.head.data import HeadData
from smirk3d.head.landmark_indices import SKIN_COUNT
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.open_mouth import open_mouth

SMOOTHING_M = 0.002
"""Smoothing of the warp at a landmark of weight 1, metres; it is divided by the weight."""
INNER_REGIONS = ("eyeballs", "mouth_interior", "eye_sockets")
"""Regions behind the skin, to which skin is never matched."""
MATCHED_REGIONS = ("eyeballs", "tongue")
"""Regions that are matched only to the same region of the other head, where both have it."""


@dataclass(frozen=True)
class Correspondence:
    """For each of V vertices of a target head, the corresponding point on the surface of a source head.

    Attributes:
        face_index: (V,) int64 triangle of the source.
        barycentric: (V, 3) weights of the triangle's corners, sum 1.
        distance_m: (V,) distance of the target vertex from the warped source surface, metres.
        linear: (3, 3) rotation times scale that maps offsets on the source to offsets on the target.
    """

    face_index: Tensor
    barycentric: Tensor
    distance_m: Tensor
    linear: Tensor

    def transfer(self, offsets: Tensor, source_faces: Tensor) -> Tensor:
        """Transfer vertex offsets from the source to the target.

        Args:
            offsets: (..., W, 3) offsets of the source's vertices, metres.
            source_faces: (F, 3) int64 triangles of the source.

        Returns:
            (..., V, 3) offsets of the target's vertices, metres.
        """
        corners = offsets[..., source_faces[self.face_index], :]
        return torch.einsum("...vkc,vk,dc->...vd", corners, self.barycentric, self.linear)

    def transfer_mask(self, mask: Tensor, source_faces: Tensor) -> Tensor:
        """Transfer a vertex mask from the source to the target.

        Args:
            mask: (W,) bool mask of the source's vertices.
            source_faces: (F, 3) int64 triangles of the source.

        Returns:
            (V,) bool, true where the interpolated mask exceeds one half.
        """
        return (mask[source_faces[self.face_index]] * self.barycentric).sum(1) > 0.5


def register_surfaces(source: HeadData, target: HeadData) -> Correspondence:
    """Register the surface of a source head to a target head.

    Args:
        source: Head whose data are to be transferred.
        target: Head for whose vertices correspondences are found.

    Returns:
        The point of the source for each vertex of the target.

    Raises:
        Smirk3dError: One of the heads has no "mediapipe" landmarks.
    """
    source_points, target_points = _landmarks(source), _landmarks(target)
    weight = source.landmarks["mediapipe"].weight * target.landmarks["mediapipe"].weight
    # Reliable landmarks determine the alignment: a pair counts by the product of both weights.
    similarity = align(source_points, target_points, weight)
    # Iris landmarks are left out of the warp: gaze must not deform the lids.
    aligned = similarity.apply(source_points)[:SKIN_COUNT]
    warp = _PolyharmonicSpline(aligned, target_points[:SKIN_COUNT] - aligned, weight[:SKIN_COUNT])
    warped = similarity.apply(_open_mouth_vertices(source))
    warped = warped + warp(warped)
    vertices = _open_mouth_vertices(target)
    normals = _vertex_normals(vertices, target.faces)
    face_index = torch.zeros(len(vertices), dtype=torch.int64)
    barycentric, distance = torch.zeros(len(vertices), 3), torch.zeros(len(vertices))
    for chosen, rows in _matching_surfaces(source, target):
        if chosen.any():
            row, barycentric[chosen] = closest_on_mesh(
                vertices[chosen], warped, source.faces[rows], normals=normals[chosen]
            )
            face_index[chosen] = rows[row]
            points = (warped[source.faces[rows[row]]] * barycentric[chosen][..., None]).sum(1)
            distance[chosen] = (points - vertices[chosen]).norm(dim=1)
    return Correspondence(face_index, barycentric, distance, similarity.scale * similarity.rotmat)


def _matching_surfaces(source: HeadData, target: HeadData) -> list[tuple[Tensor, Tensor]]:
    """Return pairs of target vertices (V,) bool and source triangles (K,) int64 that may be matched."""
    # Vertices on a border belong to both sides; a triangle is inside only if all of its corners are.
    inside = _any_region(source, INNER_REGIONS)[source.faces].all(dim=1)
    rest = torch.ones(len(target.v_template), dtype=torch.bool)
    layers = []
    for name in MATCHED_REGIONS:
        if name in source.regions and name in target.regions:
            layers.append((target.regions[name], torch.nonzero(source.regions[name][source.faces].all(dim=1))[:, 0]))
            rest &= ~target.regions[name]
    return [(rest, torch.nonzero(~inside)[:, 0]), *layers]


def _any_region(data: HeadData, names: tuple[str, ...]) -> Tensor:
    mask = torch.zeros(len(data.v_template), dtype=torch.bool)
    for name in names:
        mask = mask | data.regions.get(name, mask)
    return mask


def _open_mouth_vertices(data: HeadData) -> Tensor:
    head = HeadModel(replace(data, landmarks={}))
    return head(open_mouth(head)).vertices


def _landmarks(data: HeadData) -> Tensor:
    if "mediapipe" not in data.landmarks:
        raise Smirk3dError(f"head {data.name!r} has no face landmarks; load it with smirk3d.load_head, which adds them")
    return data.landmarks["mediapipe"].points(_open_mouth_vertices(data), data.faces)


def _vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Return (V, 3) area-weighted vertex normals, not normalised."""
    a, b, c = vertices[faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in faces.unbind(1):
        total = total.index_add(0, corner, normal)
    return total


class _PolyharmonicSpline:
    """A smooth displacement field that approximates given displacements.

    Polyharmonic smoothing spline in three dimensions: the kernel r = |x - c| plus an affine part.

    Source: Duchon, "Splines minimizing rotation-invariant semi-norms in Sobolev spaces", 1977; Wahba, "Spline Models
    for Observational Data", 1990.

    Args:
        centers: (N, 3) points with known displacements, metres.
        offsets: (N, 3) displacements, metres.
        weight: (N,) weight of each point in (0, 1].
    """

    def __init__(self, centers: Tensor, offsets: Tensor, weight: Tensor) -> None:
        self.centers = centers.double()
        count = len(centers)
        # -r is conditionally positive definite; the affine part has to be orthogonal to the kernel coefficients.
        kernel = -torch.cdist(self.centers, self.centers)
        affine = torch.cat([self.centers, self.centers.new_ones(count, 1)], dim=1)
        system = kernel.new_zeros(count + 4, count + 4)
        system[:count, :count] = kernel + torch.diag(SMOOTHING_M / weight.double())
        system[:count, count:], system[count:, :count] = affine, affine.T
        rhs = torch.cat([offsets.double(), kernel.new_zeros(4, 3)])
        self.coefficients = torch.linalg.solve(system, rhs)

    def __call__(self, points: Tensor) -> Tensor:
        """Return the displacements (N, 3) at points (N, 3)."""
        x = points.double()
        affine = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
        basis = torch.cat([-torch.cdist(x, self.centers), affine], dim=1)
        return (basis @ self.coefficients).to(points.dtype)
