"""A head reduced to what landmark fitting needs: linear landmarks, bounds and priors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.head.mediapipe_points import EYE_LEFT, EYE_RIGHT, IRIS_LEFT, IRIS_RIGHT, LIPS_INNER, LIPS_OUTER
from smirk3d.head.model import HeadModel
from smirk3d.types import FaceParams

ALWAYS_KEPT = tuple(sorted({*LIPS_INNER, *LIPS_OUTER, *EYE_LEFT, *EYE_RIGHT, *IRIS_LEFT, *IRIS_RIGHT}))
"""Points that are always kept: rims of lips, lids and irises say most about the expression."""
FINITE_STEP = 0.1
"""Step of the difference quotients, small against the range of every coefficient."""


@dataclass(frozen=True)
class LandmarkModel:
    """Landmarks as linear functions of K coefficients: shape first, then expression.

    Attributes:
        index: (L,) int64, which of the head's landmarks these are.
        mean: (L, 3) metres, head frame, neutral mean person.
        directions: (L, 3, K) metres per unit of each coefficient.
        normals: (L, 3) outward unit normals of the surface at the points.
        weight: (L,) trust in each point, in (0, 1].
        n_shape: how many of the K coefficients are shape.
        low: (K,) bounds. high: (K,) bounds.
    """

    index: Tensor
    mean: Tensor
    directions: Tensor
    normals: Tensor
    weight: Tensor
    n_shape: int
    low: Tensor
    high: Tensor

    def points(self, coefficients: Tensor) -> Tensor:
        """Return the landmarks (B, L, 3) in metres of coefficients (B, K)."""
        flat = self.directions.flatten(0, 1)
        return self.mean + (coefficients @ flat.T).unflatten(-1, self.mean.shape)


def landmark_model(head: HeadModel, name: str = "mediapipe", spacing_m: float = 0.0) -> LandmarkModel:
    """Return the linear landmark model of a head.

    Args:
        head: the model. name: its landmark set.
        spacing_m: leave out points nearer than this to others that are kept, in mirrored pairs; the mesh between
            them is smooth, and the fit costs as much as it has points.

    Directions are difference quotients through the whole head, so whatever an expression does, turning
    eyeballs included, is in them.
    """
    embedding = head.landmark_embedding(name)
    spec = head.spec["expression"]
    with torch.no_grad():
        mean = head(FaceParams()).landmarks(name)
        shape = torch.eye(head.n_shape, device=mean.device) * FINITE_STEP
        expression = torch.eye(head.n_expression, device=mean.device) * FINITE_STEP
        moved = [
            head(FaceParams(shape=shape)).landmarks(name),
            head(FaceParams(expression=expression)).landmarks(name),
        ]
        directions = ((torch.cat(moved) - mean) / FINITE_STEP).permute(1, 2, 0).contiguous()
        corners = head.v_template[head.faces[embedding.face_index]]
        normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = torch.nn.functional.normalize(normals, dim=1)
        # A point on an edge has a triangle on either side; the two of a pair must not choose differently.
        normals = normals + normals[embedding.mirror] * normals.new_tensor([-1.0, 1.0, 1.0])
    index = _spread_points(mean, embedding.mirror, spacing_m)
    free = mean.new_full((head.n_shape,), torch.inf)
    return LandmarkModel(
        index=index,
        mean=mean[index],
        directions=directions[index],
        normals=torch.nn.functional.normalize(normals, dim=1)[index],
        weight=embedding.weight[index],
        n_shape=head.n_shape,
        low=torch.cat([-free, mean.new_full((head.n_expression,), spec.low)]),
        high=torch.cat([free, mean.new_full((head.n_expression,), spec.high)]),
    )


def _spread_points(points: Tensor, mirror: Tensor, spacing_m: float) -> Tensor:
    """Return the indices of points (L, 3) of which no two are nearer than a spacing, but for those always kept."""
    distance = torch.cdist(points, points)
    kept: list[int] = [index for index in ALWAYS_KEPT if index < len(points)]
    for start in range(len(points)):
        pair = {start, int(mirror[start])}
        if start not in kept and distance[start, kept].min() >= spacing_m:
            kept += sorted(pair)
    return torch.tensor(sorted(set(kept)), device=points.device)
