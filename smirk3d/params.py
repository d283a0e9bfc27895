"""Frozen value types that modules exchange instead of bare dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class FaceParams:
    """Parameters of a batch of heads; a field that is None stands for zeros.

    The tensors are floating point and their leading shapes `...` broadcast against each other. Rotations are rotation
    vectors in radians.

    Attributes:
        shape: (..., S) identity coefficients with unit variance, usually in [-3, 3].
        expression: (..., E) expression coefficients: the 52 ARKit weights in [0, 1] on the open head, coefficients with
            unit variance on FLAME.
        eyelids: (..., 2) closing of the left and the right eyelid, from 0 (as in the expression) to 1 (closed).
        jaw: (..., 3) rotation of the jaw joint; x > 0 opens the mouth, up to about 0.5.
        pose: (..., 3) rotation of the whole head about the root joint.
        neck: (..., 3) rotation about the neck joint.
        eyes: (..., 6) rotations of the left and the right eyeball.
        camera: (..., 3) scaled orthographic camera (scale, tx, ty), see `project_orthographic`.
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
        """Return the (name, tensor) pairs of the fields that are not None, in the order of the fields."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [(name, value) for name, value in pairs if value is not None]

    @property
    def batch_shape(self) -> torch.Size:
        """Leading shape of all fields after broadcasting; () where all fields are None."""
        shapes = (value.shape[:-1] for _, value in self.items())
        try:
            return torch.Size(np.broadcast_shapes(*shapes))  # torch's function loads a package for symbols
        except ValueError as error:
            raise RuntimeError(f"the fields do not broadcast: {error}") from error  # as torch does

    def replace(self, **changes: Tensor | None) -> FaceParams:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def to(self, *args: Any, **kwargs: Any) -> FaceParams:
        """Return a copy in which every tensor is converted by `Tensor.to(*args, **kwargs)`."""
        return replace(self, **{name: value.to(*args, **kwargs) for name, value in self.items()})


@dataclass(frozen=True)
class LandmarkEmbedding:
    """L landmarks at fixed barycentric coordinates on triangles of a mesh.

    Attributes:
        face_index: (L,) int64 triangle of each landmark.
        barycentric: (L, 3) float32 weights of the triangle's corners, which sum to 1.
        weight: (L,) float32 in (0, 1]: low where the position of the landmark on the surface is uncertain.
        mirror: (L,) int64 index of the landmark's partner on the other side of the face; its own index in the middle.
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
        """Return the positions of the landmarks on a mesh.

        Args:
            vertices: (..., V, C) positions or other attributes of the vertices.
            faces: (F, 3) int64 triangles.

        Returns:
            (..., L, C) in the unit of `vertices`.
        """
        corners = vertices[..., faces[self.face_index], :]
        return torch.einsum("...lkc,lk->...lc", corners, self.barycentric.to(vertices.dtype))

    def take(self, index: Tensor) -> LandmarkEmbedding:
        """Return some of the landmarks; one whose partner is not among them becomes its own partner.

        Args:
            index: (K,) int64 landmarks to keep, in their new order.
        """
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
    """The 17 landmarks of the face contour, which move over the surface as the head turns: one row for each yaw.

    Rows 0 to 39 hold yaw angles of as many degrees, rows 40 to 78 those of -1 to -39 degrees; see `row`.

    Attributes:
        face_index: (79, 17) int64 triangle of each landmark.
        barycentric: (79, 17, 3) float32 weights of the triangle's corners.
    """

    face_index: Tensor
    barycentric: Tensor

    def to(self, device: torch.device | str) -> ContourTable:
        """Return a copy on another device."""
        return ContourTable(self.face_index.to(device), self.barycentric.to(device))

    @staticmethod
    def row(rotation_rotmat: Tensor) -> Tensor:
        """Return the row of the table for each head rotation.

        Yaw is positive where the subject turns to their left, and limited to ±39 degrees. Source: the dynamic
        landmark embedding that is published with FLAME (Li et al., "Learning a model of facial shape and expression
        from 4D scans", 2017).

        Args:
            rotation_rotmat: (..., 3, 3) rotation matrices.

        Returns:
            (...,) int64.
        """
        sine, cosine = -rotation_rotmat[..., 2, 0], torch.hypot(rotation_rotmat[..., 0, 0], rotation_rotmat[..., 1, 0])
        yaw_deg = torch.rad2deg(torch.atan2(sine, cosine)).clamp(max=39).round().long()
        return torch.where(yaw_deg >= 0, yaw_deg, (39 - yaw_deg).clamp(max=78))

    def points(self, vertices: Tensor, faces: Tensor, rotation_rotmat: Tensor) -> Tensor:
        """Return the contour landmarks of posed heads.

        Args:
            vertices: (..., V, 3) metres.
            faces: (F, 3) int64 triangles.
            rotation_rotmat: (..., 3, 3) rotation of each head.

        Returns:
            (..., 17, 3) metres.
        """
        row = self.row(rotation_rotmat).expand(vertices.shape[:-2])
        corner = faces[self.face_index[row]].flatten(-2)
        corners = vertices.gather(-2, corner[..., None].expand(*corner.shape, 3)).reshape(*corner.shape[:-1], -1, 3, 3)
        return (corners * self.barycentric[row].to(vertices.dtype)[..., None]).sum(-2)
