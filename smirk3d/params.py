"""Frozen value types that modules exchange instead of bare dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class FaceParams:
    """Parameters of a head in a picture; a field that is None stands for zeros.

    All tensors share any leading batch shape `...`; rotations are rotation vectors in radians.

    Attributes:
        shape: (..., S) identity coefficients, unit variance.
        expression: (..., E) expression coefficients; on the open head the 52 ARKit weights in [0, 1].
        eyelids: (..., 2) closing of the left and right eyelid, 1 = closed.
        jaw: (..., 3) rotation of the jaw joint.
        pose: (..., 3) global rotation about the root joint.
        neck: (..., 3) rotation about the neck joint.
        eyes: (..., 6) rotations of the left and the right eyeball.
        camera: (..., 3) scaled orthographic camera (scale, tx, ty).
    """

    shape: Tensor | None = None
    expression: Tensor | None = None
    eyelids: Tensor | None = None
    jaw: Tensor | None = None
    pose: Tensor | None = None
    neck: Tensor | None = None
    eyes: Tensor | None = None
    camera: Tensor | None = None

    def items(self) -> list[tuple[str, Tensor]]:
        """Return the (name, tensor) pairs of the fields that are given."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [(name, value) for name, value in pairs if value is not None]

    @property
    def batch_shape(self) -> torch.Size:
        """Leading shape shared by all given fields after broadcasting; () when none is given."""
        shapes = (value.shape[:-1] for _, value in self.items())
        return torch.Size(torch.broadcast_shapes(*shapes))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

    def replace(self, **changes: Tensor | None) -> FaceParams:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def to(self, *args: Any, **kwargs: Any) -> FaceParams:
        """Return a copy with every given tensor moved by `Tensor.to(*args, **kwargs)`."""
        return replace(self, **{name: value.to(*args, **kwargs) for name, value in self.items()})


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Points fixed to triangles of a mesh.

    Attributes:
        face_index: (L,) int64 triangle of each point.
        barycentric: (L, 3) weights of the triangle's corners, sum 1.
        weight: (L,) in (0, 1], trust in the point: low where its place on the surface is uncertain.
        mirror: (L,) int64 index of each point's partner in a mirrored face.
    """

    face_index: Tensor
    barycentric: Tensor
    weight: Tensor
    mirror: Tensor

    def __len__(self) -> int:
        return len(self.face_index)

    def to(self, device: torch.device | str) -> LandmarkEmbedding:
        """Return a copy on another device."""
        return LandmarkEmbedding(*(getattr(self, f.name).to(device) for f in fields(self)))

    def points(self, vertices: Tensor, faces: Tensor) -> Tensor:
        """Return the points' positions on `vertices` (..., V, C) with triangles `faces` (F, 3): (..., L, C)."""
        corners = vertices[..., faces[self.face_index], :]
        return torch.einsum("...lkc,lk->...lc", corners, self.barycentric.to(vertices.dtype))

    def take(self, index: Tensor) -> LandmarkEmbedding:
        """Return the sub-set `index` (L2,); partners outside the sub-set are replaced by the point itself."""
        points: list[int] = np.asarray(index.cpu()).tolist()
        row_of_point = {point: row for row, point in enumerate(points)}
        mirror = [row_of_point.get(int(self.mirror[point]), row) for row, point in enumerate(points)]
        return LandmarkEmbedding(
            self.face_index[index],
            self.barycentric[index],
            self.weight[index],
            torch.tensor(mirror, dtype=torch.int64, device=self.mirror.device),
        )


@dataclass(frozen=True)
class ContourTable:
    """Landmarks of the outline, which slide over the surface as the head turns: one row of points for each yaw.

    Attributes:
        face_index: (79, 17) int64 triangle of each point. barycentric: (79, 17, 3) weights of its corners.

    Rows 0 to 39 are for a yaw of that many degrees, rows 40 to 78 for -1 to -39 degrees; yaw as in `row`.
    """

    face_index: Tensor
    barycentric: Tensor

    def to(self, device: torch.device | str) -> ContourTable:
        """Return a copy on another device."""
        return ContourTable(self.face_index.to(device), self.barycentric.to(device))

    @staticmethod
    def row(rotation_rotmat: Tensor) -> Tensor:
        """Return the row (...,) int64 for head rotations (..., 3, 3).

        Source: the released landmark embedding of FLAME (METHOD section 2).
        """
        sine, cosine = -rotation_rotmat[..., 2, 0], torch.hypot(rotation_rotmat[..., 0, 0], rotation_rotmat[..., 1, 0])
        yaw_deg = torch.rad2deg(torch.atan2(sine, cosine)).clamp(max=39).round().long()
        return torch.where(yaw_deg >= 0, yaw_deg, (39 - yaw_deg).clamp(max=78))

    def points(self, vertices: Tensor, faces: Tensor, rotation_rotmat: Tensor) -> Tensor:
        """Return the points (..., 17, 3) on posed `vertices` (..., V, 3) of heads with these rotations."""
        row = self.row(rotation_rotmat).expand(vertices.shape[:-2])
        corner = faces[self.face_index[row]].flatten(-2)
        corners = vertices.gather(-2, corner[..., None].expand(*corner.shape, 3)).reshape(*corner.shape[:-1], -1, 3, 3)
        return (corners * self.barycentric[row].to(vertices.dtype)[..., None]).sum(-2)
