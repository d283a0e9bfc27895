"""Which places of two faces are the same: aligned landmarks, a smooth warp between them, then the closest surface.

Both heads are compared with parted lips, so that the upper lip never meets the lower one.
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
"""How far the warp may miss a landmark of trust 1; those of less trust may be missed by more."""
INNER_REGIONS = ("eyeballs", "mouth_interior", "eye_sockets")
MATCHED_REGIONS = ("eyeballs", "tongue")
"""Regions that correspond to the same region of the other head, and to nothing else, where both have it."""


@dataclass(frozen=True)
class Correspondence:
    """For every vertex of a target head, the point of the source's surface at the same place of the face.

    Attributes:
        face_index: (V,) int64 triangle of the source. barycentric: (V, 3) weights of its corners.
        distance_m: (V,) how far the warped source surface is from the target vertex, metres.
        linear: (3, 3) rotation times scale that takes offsets on the source to offsets on the target.
    """

    face_index: Tensor
    barycentric: Tensor
    distance_m: Tensor
    linear: Tensor

    def transfer(self, offsets: Tensor, source_faces: Tensor) -> Tensor:
        """Return offsets (..., V, 3) on the target for offsets (..., W, 3) of the source's vertices."""
        corners = offsets[..., source_faces[self.face_index], :]
        return torch.einsum("...vkc,vk,dc->...vd", corners, self.barycentric, self.linear)

    def transfer_mask(self, mask: Tensor, source_faces: Tensor) -> Tensor:
        """Return the (V,) bool mask of target vertices that lie mostly in a mask (W,) bool of source vertices."""
        return (mask[source_faces[self.face_index]] * self.barycentric).sum(1) > 0.5


def register_surfaces(source: HeadData, target: HeadData) -> Correspondence:
    """Find where the vertices of `target` lie on `source`.

    Raises:
        Smirk3dError: one of the heads has no "mediapipe" landmarks.
    """
    source_points, target_points = _landmarks(source), _landmarks(target)
    trust = source.landmarks["mediapipe"].weight * target.landmarks["mediapipe"].weight
    similarity = align(source_points, target_points, trust)
    aligned = similarity.apply(source_points)[:SKIN_COUNT]
    warp = _PolyharmonicSpline(aligned, target_points[:SKIN_COUNT] - aligned, trust[:SKIN_COUNT])
    placed = similarity.apply(_open_mouth_vertices(source))
    placed = placed + warp(placed)
    vertices = _open_mouth_vertices(target)
    normals = _normals(vertices, target.faces)
    face_index = torch.zeros(len(vertices), dtype=torch.int64)
    barycentric, distance = torch.zeros(len(vertices), 3), torch.zeros(len(vertices))
    for chosen, rows in _matching_surfaces(source, target):
        if chosen.any():
            row, weights = closest_on_mesh(vertices[chosen], placed, source.faces[rows], normals=normals[chosen])
            face_index[chosen], barycentric[chosen] = rows[row], weights
            points = (placed[source.faces[rows[row]]] * weights[..., None]).sum(1)
            distance[chosen] = (points - vertices[chosen]).norm(dim=1)
    return Correspondence(face_index, barycentric, distance, similarity.scale * similarity.rotmat)


def _matching_surfaces(source: HeadData, target: HeadData) -> list[tuple[Tensor, Tensor]]:
    """Return (vertices of the target (V,) bool, triangles of the source (K,)) that may meet."""
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


def _normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Return (V, 3) area-weighted normals, not of unit length."""
    a, b, c = vertices[faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in faces.unbind(1):
        total = total.index_add(0, corner, normal)
    return total


class _PolyharmonicSpline:
    """A smooth displacement field through given displacements at given points: (N, 3) -> (N, 3).

    Source: polyharmonic smoothing splines with the kernel r and an affine part (Duchon 1977; Wahba 1990).
    """

    def __init__(self, centers: Tensor, offsets: Tensor, trust: Tensor) -> None:
        self.centers = centers.double()
        count = len(centers)
        kernel = -torch.cdist(self.centers, self.centers)
        affine = torch.cat([self.centers, self.centers.new_ones(count, 1)], dim=1)
        system = kernel.new_zeros(count + 4, count + 4)
        system[:count, :count] = kernel + torch.diag(SMOOTHING_M / trust.double())
        system[:count, count:], system[count:, :count] = affine, affine.T
        right = torch.cat([offsets.double(), kernel.new_zeros(4, 3)])
        self.coefficients = torch.linalg.solve(system, right)

    def __call__(self, points: Tensor) -> Tensor:
        """Return the displacements (N, 3) at points (N, 3)."""
        at = points.double()
        affine = torch.cat([at, at.new_ones(len(at), 1)], dim=1)
        basis = torch.cat([-torch.cdist(at, self.centers), affine], dim=1)
        return (basis @ self.coefficients).to(points.dtype)
