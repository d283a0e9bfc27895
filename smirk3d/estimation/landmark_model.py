"""A head reduced to what landmark fitting needs: linear landmarks, bounds and priors."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import EYE_LEFT, EYE_RIGHT, IRIS_LEFT, IRIS_RIGHT, LIPS_INNER, LIPS_OUTER
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import Retargeter
from smirk3d.params import FaceParams, LandmarkEmbedding

EXPRESSION_LANDMARKS = tuple(sorted({*LIPS_INNER, *LIPS_OUTER, *EYE_LEFT, *EYE_RIGHT, *IRIS_LEFT, *IRIS_RIGHT}))
"""Landmarks that are always kept: the rims of lips, eyelids and irises constrain the expression most."""
SHAPE_LIMIT = 3.0
"""Bound of the shape coefficients, in standard deviations: one person in 370 is beyond it in a coefficient."""
COEFFICIENT_STEP = 0.1
"""Step of the difference quotients of coefficients, small against their ranges."""
BLENDSHAPE_STEP = 0.5
"""Step for ARKit weights on heads with a jaw joint: its rotation is not linear, and half of it is the usual case."""

_JAW_OPEN, _MOUTH_CLOSE = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")


@dataclass(frozen=True)
class LandmarkModel:
    """Landmarks as linear functions of K coefficients: shape first, then expression.

    Of ARKit weights, mouthClose is linear in two parts: as far as the jaw is open it brings the lips together, and what
    it exceeds jawOpen by moves lips that touch already.

    Attributes:
        index: (L,) int64 indices of the landmarks in the head's set.
        mean: (L, 3) landmarks of the neutral mean head, or (B, L, 3) of B neutral heads, metres, head frame.
        directions: (L, 3, K) metres per unit of each coefficient.
        normals: (L, 3) outward unit normals of the surface at the landmarks.
        weight: (L,) weight of each landmark in (0, 1].
        n_shape: Number of the K coefficients that are shape.
        low: (K,) lower bounds, or (B, K) of B faces.
        high: (K,) upper bounds, or (B, K) of B faces.
        excess: (L, 3) what the direction of mouthClose changes by where it exceeds jawOpen, metres per unit; None for
            an expression without ARKit weights.
    """

    index: Tensor
    mean: Tensor
    directions: Tensor
    normals: Tensor
    weight: Tensor
    n_shape: int
    low: Tensor
    high: Tensor
    excess: Tensor | None = None

    @cached_property
    def basis(self) -> Tensor:
        """The directions (K, 3, L): coordinates before the landmarks, each component contiguous in memory."""
        with torch.inference_mode(False):  # kept beyond the fit that asks for it first
            return self.directions.permute(2, 1, 0).contiguous()

    def points(self, coefficients: Tensor) -> Tensor:
        """Return the landmarks (B, L, 3), metres, head frame, of coefficients (B, K)."""
        return self.coordinates(coefficients).mT

    def coordinates(self, coefficients: Tensor) -> Tensor:
        """Return the landmarks (B, 3, L), metres, head frame, of coefficients (B, K)."""
        moved = self.mean.mT + (coefficients @ self.basis.flatten(1)).unflatten(1, self.basis.shape[1:])
        if self.excess is None:
            return moved
        beyond = self._close_beyond_jaw(coefficients).clamp_min(0)
        return torch.addcmul(moved, beyond[:, None, None], self.excess.T)

    def jacobian(self, coefficients: Tensor, by_point: Tensor) -> Tensor:
        """Return derivatives (B, K, 2, L) of projected landmarks by the coefficients.

        Args:
            coefficients: (B, K) where to differentiate.
            by_point: (B, 3, 2, L) derivatives of the projected landmarks by the landmarks in the head frame.
        """
        # Chain rule: the landmarks are linear in the coefficients, with the same directions for all faces.
        x, y, z = self.basis.unsqueeze(2).unbind(1)
        by_x, by_y, by_z = by_point.unsqueeze(1).unbind(2)
        by_coefficient = (by_x * x).addcmul_(by_y, y).addcmul_(by_z, z)
        if self.excess is None or not bool((beyond := self._close_beyond_jaw(coefficients) > 0).any()):
            return by_coefficient
        change = (by_point * self.excess.T[:, None]).sum(1) * beyond[:, None, None]
        by_coefficient[:, self.n_shape + _MOUTH_CLOSE] += change
        by_coefficient[:, self.n_shape + _JAW_OPEN] -= change
        return by_coefficient

    def _close_beyond_jaw(self, coefficients: Tensor) -> Tensor:
        """Return mouthClose minus jawOpen, (B,)."""
        return coefficients[:, self.n_shape + _MOUTH_CLOSE] - coefficients[:, self.n_shape + _JAW_OPEN]

    def of_person(self, shape: Tensor) -> LandmarkModel:
        """Return the model of people whose identity is known: the only coefficients are those of the expression.

        Args:
            shape: (n_shape,) identity coefficients of one person, or (B, n_shape) of the persons of B faces.
        """
        n, size = self.n_shape, self.directions.shape[:2]
        mean = self.mean + (shape @ self.directions[..., :n].flatten(0, 1).T).unflatten(-1, size)
        low, high = self.low[..., n:], self.high[..., n:]
        return replace(self, mean=mean, directions=self.directions[..., n:], n_shape=0, low=low, high=high)


def landmark_model(
    head: HeadModel,
    name: str = "mediapipe",
    spacing_m: float = 0.0,
    retargeter: Retargeter | None = None,
    max_shape_components: int | None = None,
) -> LandmarkModel:
    """Linearise the landmarks of a head.

    The directions are difference quotients through the whole head model. So they contain everything that an
    expression does, rotations of eyeballs and jaw included.

    Args:
        head: The head model.
        name: Its landmark set.
        spacing_m: Leave out landmarks nearer than this to others that are kept, in mirrored pairs; the mesh between
            them is smooth, and the cost of the fit grows with their number. 0 keeps all.
        retargeter: Describe the expression by the 52 ARKit weights, which this converts to the head's coefficients;
            None to describe it by the coefficients themselves.
        max_shape_components: Use only the first shape coefficients, at most this many; None for all.

    Raises:
        KeyError: The head has no landmarks of this name.
    """
    embedding = head.landmark_embedding(name)
    n_shape = min(head.n_shape, max_shape_components or head.n_shape)
    with torch.no_grad():
        mean = head(FaceParams()).landmarks(name)
        expression, low, high = _expression_directions(head, name, mean, retargeter)
        excess = _separate_mouth_close(head, name, retargeter, expression)
        shape = head(FaceParams(shape=torch.eye(n_shape, device=mean.device) * COEFFICIENT_STEP)).landmarks(name)
        directions = torch.cat([(shape - mean) / COEFFICIENT_STEP, expression]).permute(1, 2, 0).contiguous()
        normals = _normals(head, embedding)
    index = _spread_points(mean, embedding.mirror, spacing_m)
    limit = mean.new_full((n_shape,), SHAPE_LIMIT)
    return LandmarkModel(
        index=index,
        mean=mean[index],
        directions=directions[index],
        normals=torch.nn.functional.normalize(normals, dim=1)[index],
        weight=embedding.weight[index],
        n_shape=n_shape,
        low=torch.cat([-limit, low]),
        high=torch.cat([limit, high]),
        excess=None if excess is None else excess[index],
    )


def _normals(head: HeadModel, embedding: LandmarkEmbedding) -> Tensor:
    """Return outward normals (L, 3) of the template at landmarks, of any length."""
    corners = head.v_template[head.faces[embedding.face_index]]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = torch.nn.functional.normalize(normals, dim=1)
    # A landmark on an edge lies in either of two triangles; both landmarks of a mirrored pair must get the same normal.
    return normals + normals[embedding.mirror] * normals.new_tensor([-1.0, 1.0, 1.0])


def _expression_directions(
    head: HeadModel, name: str, mean: Tensor, retargeter: Retargeter | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return directions (E, L, 3), metres per unit of each expression coefficient, and lower and upper bounds (E,)."""
    if retargeter is None:
        spec, step = head.spec["expression"], COEFFICIENT_STEP
        params = FaceParams(expression=torch.eye(head.n_expression, device=mean.device) * step)
        low, high, size = spec.low, spec.high, spec.size
    else:
        low, high, size, step = 0.0, 1.0, len(ARKIT_NAMES), BLENDSHAPE_STEP
        params = retargeter.from_arkit(torch.eye(size, device=mean.device) * step)
    directions = (head(params).landmarks(name) - mean) / step
    return directions, mean.new_full((size,), low), mean.new_full((size,), high)


def _separate_mouth_close(
    head: HeadModel, name: str, retargeter: Retargeter | None, directions: Tensor
) -> Tensor | None:
    """Replace the direction of mouthClose by what it adds to an open jaw; lips that touch already hardly move.

    Returns:
        (L, 3) the direction at a closed jaw minus that, or None if the expression has no ARKit weights.
    """
    if retargeter is None and tuple(head.expression_names) != ARKIT_NAMES:
        return None
    weights = torch.zeros(2, len(ARKIT_NAMES), device=head.v_template.device)
    weights[:, _JAW_OPEN] = BLENDSHAPE_STEP
    weights[0, _MOUTH_CLOSE] = BLENDSHAPE_STEP
    params = FaceParams(expression=weights) if retargeter is None else retargeter.from_arkit(weights)
    closed, opened = head(params).landmarks(name)
    at_closed_jaw = directions[_MOUTH_CLOSE].clone()
    directions[_MOUTH_CLOSE] = (closed - opened) / BLENDSHAPE_STEP
    return at_closed_jaw - directions[_MOUTH_CLOSE]


def _spread_points(points: Tensor, mirror: Tensor, spacing_m: float) -> Tensor:
    """Return indices of points (L, 3) no two of which are nearer than a spacing, apart from `EXPRESSION_LANDMARKS`."""
    distance = torch.cdist(points, points)
    kept: list[int] = [index for index in EXPRESSION_LANDMARKS if index < len(points)]
    for start in range(len(points)):
        pair = {start, int(mirror[start])}
        if start not in kept and distance[start, kept].min() >= spacing_m:
            kept += sorted(pair)
    return torch.tensor(sorted(set(kept)), device=points.device)
