"""A head reduced to what landmark fitting needs: linear landmarks, bounds and priors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import EYE_LEFT, EYE_RIGHT, IRIS_LEFT, IRIS_RIGHT, LIPS_INNER, LIPS_OUTER
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import Retargeter
from smirk3d.params import FaceParams

ALWAYS_KEPT = tuple(sorted({*LIPS_INNER, *LIPS_OUTER, *EYE_LEFT, *EYE_RIGHT, *IRIS_LEFT, *IRIS_RIGHT}))
"""Points that are always kept: rims of lips, lids and irises say most about the expression."""
FINITE_STEP = 0.1
"""Step of the difference quotients, small against the range of every coefficient."""
ACTION_STEP = 0.5
"""Step for ARKit weights on heads with a jaw joint: its turn is not linear, and half of it is the usual case."""


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
        low: (K,) bounds, or (B, K) of B faces. high: the same.
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

    def of_person(self, shape: Tensor) -> LandmarkModel:
        """Return the model of one person, shape (n_shape,), whose only coefficients are those of the expression."""
        n = self.n_shape
        own = self.mean + self.directions[..., :n] @ shape
        low, high = self.low[..., n:], self.high[..., n:]
        return replace(self, mean=own, directions=self.directions[..., n:], n_shape=0, low=low, high=high)


def landmark_model(
    head: HeadModel,
    name: str = "mediapipe",
    spacing_m: float = 0.0,
    actions: Retargeter | None = None,
    most_shapes: int | None = None,
) -> LandmarkModel:
    """Return the linear landmark model of a head.

    Args:
        head: the model. name: its landmark set.
        spacing_m: leave out points nearer than this to others that are kept, in mirrored pairs; the mesh between
            them is smooth, and the fit costs as much as it has points.
        actions: describe the expression by the 52 ARKit weights, as this carries them over to the head; without it
            by the head's own coefficients.
        most_shapes: use no more than this many shape coefficients, the first.

    Directions are difference quotients through the whole head, so whatever an expression does, turning
    eyeballs and jaw included, is in them.
    """
    embedding = head.landmark_embedding(name)
    n_shape = min(head.n_shape, most_shapes or head.n_shape)
    with torch.no_grad():
        mean = head(FaceParams()).landmarks(name)
        expression, low, high = _expression_directions(head, name, mean, actions)
        shape = head(FaceParams(shape=torch.eye(n_shape, device=mean.device) * FINITE_STEP)).landmarks(name)
        directions = torch.cat([(shape - mean) / FINITE_STEP, expression]).permute(1, 2, 0).contiguous()
        corners = head.v_template[head.faces[embedding.face_index]]
        normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = torch.nn.functional.normalize(normals, dim=1)
        # A point on an edge has a triangle on either side; the two of a pair must not choose differently.
        normals = normals + normals[embedding.mirror] * normals.new_tensor([-1.0, 1.0, 1.0])
    index = _spread_points(mean, embedding.mirror, spacing_m)
    free = mean.new_full((n_shape,), torch.inf)
    return LandmarkModel(
        index=index,
        mean=mean[index],
        directions=directions[index],
        normals=torch.nn.functional.normalize(normals, dim=1)[index],
        weight=embedding.weight[index],
        n_shape=n_shape,
        low=torch.cat([-free, low]),
        high=torch.cat([free, high]),
    )


def _expression_directions(
    head: HeadModel, name: str, mean: Tensor, actions: Retargeter | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return how landmarks move (E, L, 3) per unit of each expression coefficient, and the bounds (E,), (E,)."""
    if actions is None:
        spec, step = head.spec["expression"], FINITE_STEP
        params = FaceParams(expression=torch.eye(head.n_expression, device=mean.device) * step)
        low, high, size = spec.low, spec.high, spec.size
    else:
        low, high, size, step = 0.0, 1.0, len(ARKIT_NAMES), ACTION_STEP
        params = actions.from_arkit(torch.eye(size, device=mean.device) * step)
    directions = (head(params).landmarks(name) - mean) / step
    return directions, mean.new_full((size,), low), mean.new_full((size,), high)


def _spread_points(points: Tensor, mirror: Tensor, spacing_m: float) -> Tensor:
    """Return the indices of points (L, 3) of which no two are nearer than a spacing, but for those always kept."""
    distance = torch.cdist(points, points)
    kept: list[int] = [index for index in ALWAYS_KEPT if index < len(points)]
    for start in range(len(points)):
        pair = {start, int(mirror[start])}
        if start not in kept and distance[start, kept].min() >= spacing_m:
            kept += sorted(pair)
    return torch.tensor(sorted(set(kept)), device=points.device)
