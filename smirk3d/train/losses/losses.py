"""What training minimises: pure functions, each with one number per face, and their weighted sum.

Every function returns (B,) values >= 0, of which `total` takes the means over the batch, so that whoever calls may
weight or watch single faces. A face of which nothing is known has a loss of 0 and no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

import roma
import torch
from torch import Tensor

from smirk3d.head.spec import ParamSpec
from smirk3d.params import FaceParams

FACE_STD_M = 0.035
"""Standard deviation of a face's points about its centre, across and down: what a change of scale acts upon."""
ROTATIONS = ("jaw", "pose")
_LEAST_WEIGHT = 1e-8
_LARGEST_SINE = 1.0 - 1e-6
"""Two opposite rotations are a cusp of their distance, whose slope would be infinite."""


@dataclass(frozen=True)
class TargetWeights:
    """Weights of the fields in `target_loss`; a field at 0 is not supervised."""

    shape: float = 1.0
    expression: float = 1.0
    eyelids: float = 1.0
    jaw: float = 1.0
    pose: float = 1.0
    camera: float = 1.0


@dataclass(frozen=True)
class LossTerms:
    """Losses by name, before they are weighted.

    Attributes:
        values: name -> (B,) one number per face, or () one for the batch.
    """

    values: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms."""
        return tuple(self.values)

    def means(self) -> dict[str, Tensor]:
        """Return the means over the batch by name, () each and off the graph, to be logged."""
        return {name: value.detach().mean() for name, value in self.values.items()}


def total(terms: LossTerms, weights: Mapping[str, float]) -> Tensor:
    """Return Σ weight · mean over the batch, ().

    Args:
        terms: The losses. weights: name -> weight, for exactly the same names.

    Raises:
        ValueError: A term has no weight, a weight has no term, or there is nothing to sum.
    """
    loose = [f"{name!r} has no weight" for name in terms.values if name not in weights]
    loose += [f"{name!r} has no term" for name in weights if name not in terms.values]
    if loose or not weights:
        raise ValueError(f"loss terms and weights do not match: {', '.join(loose) or 'there are none'}")
    # Not stacked: the zero of what a head lacks may lie on another device.
    return reduce(torch.add, [weights[name] * value.mean() for name, value in terms.values.items()])


def landmark_loss(points_ndc: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean square distance per coordinate, (B,): Σ w ‖p − t‖² / (2 Σ w).

    Args:
        points_ndc: (B, L, 2) in [-1, 1]. target: (B, L, 2); may be anything, NaN too, where its weight is 0.
        weight: (B, L) >= 0, 0 where a point is not known; its scale has no effect.

    Source: METHOD section 7, "landmark MSE".
    """
    distance = torch.where(weight[..., None] > 0, points_ndc - target, 0.0)
    return _weighted_mean(distance.square().mean(dim=-1), weight)


def photo_loss(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference of colours, (B,) in [0, 1]: Σ m |i − t| / (3 Σ m).

    Args:
        image: (B, 3, H, W) RGB in [0, 1]. target: The same.
        mask: (B, 1, H, W) in [0, 1], share of each pixel that counts; None for all of it.

    Source: METHOD section 7, "L1 photo".
    """
    difference = (image - target).abs().mean(dim=1).flatten(1)
    return difference.mean(dim=1) if mask is None else _weighted_mean(difference, mask.flatten(1))


def emotion_loss(features: Callable[[Tensor], Tensor], image: Tensor, target: Tensor) -> Tensor:
    """Return the mean square difference of features, (B,).

    Args:
        features: Images (B, 3, H, W), RGB in [0, 1], to (B, K) what they show of the emotion.
        image: (B, 3, H, W), which the gradient reaches. target: The same, which no gradient reaches.

    Source: METHOD section 7, "L2 between features of an emotion network".
    """
    with torch.no_grad():
        wanted = features(target)
    return (features(image) - wanted).square().mean(dim=1)


def regulariser(coefficients: Tensor | None) -> Tensor:
    """Return the sum of squares, ‖c‖², (B,) of coefficients (B, K); () zero where a head has none.

    Source: METHOD section 7, "‖expression‖²", "‖jaw‖²".
    """
    return torch.zeros(()) if coefficients is None else coefficients.square().sum(dim=-1)


def target_loss(
    params: FaceParams,
    target: FaceParams | None,
    weight: Tensor,
    spec: ParamSpec,
    weights: TargetWeights = TargetWeights(),
) -> Tensor:
    """Return the distance from known parameters, (B,): weight · Σ over the fields of field weight · distance.

    Distances: of coefficients the mean square; of rotations (jaw, pose) the square of the angle between them in
    rad², however their vectors are written; of cameras `camera_distance`.

    Args:
        params: Estimates, fields (B, ...).
        target: What is known; None for nothing. Fields that either side does not give are not compared.
        weight: (B,) in [0, 1], trust in each face's target; where it is 0 the target may be anything, NaN too.
        spec: Of the head; fields that it does not name are not compared.
        weights: Of the fields.

    Raises:
        ValueError: A field has another size than the head's.
    """
    loss = torch.zeros_like(weight)
    for name in spec.names if target is not None else ():
        estimate, wanted = getattr(params, name), getattr(target, name)
        if estimate is None or wanted is None:
            continue
        if not estimate.shape[-1] == wanted.shape[-1] == spec[name].size:
            sizes = f"{estimate.shape[-1]} and {wanted.shape[-1]}, not {spec[name].size}"
            raise ValueError(f"{name!r} has sizes {sizes}")
        wanted = torch.where(weight[:, None] > 0, wanted, torch.zeros_like(wanted))
        loss = loss + getattr(weights, name) * _distance(name, estimate, wanted)
    return weight * loss


def rotation_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the square of the angle between rotations, (...,) rad² in [0, π²], of rotation vectors (..., 3).

    Source: roma, ‖R₂ − R₁‖_F = 2√2 sin(angle / 2).
    """
    rotmats = roma.rotvec_to_rotmat(first), roma.rotvec_to_rotmat(second)
    return roma.rotmat_geodesic_distance(*rotmats, clamping=_LARGEST_SINE).square()


def camera_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean square displacement of a face's points in the image, (...,) NDC² per axis, of cameras (..., 3).

    A point x is seen at s x + s t; over points with mean 0 and standard deviation σ the mean square difference is
    (Δs σ)² + (Δ(s t))².

    Source: the camera of METHOD section 2; σ is `FACE_STD_M`.
    """
    scale = first[..., 0] - second[..., 0]
    shift = first[..., :1] * first[..., 1:] - second[..., :1] * second[..., 1:]
    return (scale * FACE_STD_M).square() + shift.square().mean(dim=-1)


def shape_consistency(shape: Tensor, person: Tensor) -> Tensor:
    """Return each face's mean square deviation from the mean shape of its person's faces, (B,).

    The mean over one person's faces is the variance of their shape; whoever has one face in the batch adds 0.

    Args:
        shape: (B, S). person: (B,) int64, the same for faces of one person.
    """
    _, row, count = person.unique(return_inverse=True, return_counts=True)
    sums = shape.new_zeros(len(count), shape.shape[1]).index_add(0, row, shape)
    return (shape - (sums / count[:, None])[row]).square().mean(dim=1)


def identity_loss(shape: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean square difference of shapes, (B,), over the coefficients that both have.

    Args:
        shape: (B, S), which the gradient reaches. wanted: (B, W), which it does not.

    Source: METHOD section 7, "identity loss".
    """
    count = min(shape.shape[1], wanted.shape[1])
    return _mean_square(shape[:, :count], wanted[:, :count].detach())


def cycle_losses(estimated: FaceParams, wanted: FaceParams, names: Iterable[str]) -> LossTerms:
    """Return the mean square error of parameters that were put into a picture and should be found there, (B,) each.

    Args:
        estimated: What the encoder finds in the re-synthesised photo. wanted: What was put there. Fields (B, ...);
            one that either lacks counts as zeros there.
        names: Of the fields. The term of one that both lack is () zero.

    Raises:
        ValueError: A field has another size on either side.

    Source: METHOD section 7, stage 2.
    """
    return LossTerms({name: _mean_square(getattr(estimated, name), getattr(wanted, name)) for name in names})


def _distance(name: str, estimate: Tensor, wanted: Tensor) -> Tensor:
    if name in ROTATIONS:
        return rotation_distance(estimate, wanted)
    return camera_distance(estimate, wanted) if name == "camera" else _mean_square(estimate, wanted)


def _mean_square(first: Tensor | None, second: Tensor | None) -> Tensor:
    """Return (B,) of two tensors (B, K); one that is missing is zero, and of none the result is () zero."""
    given = [tensor for tensor in (first, second) if tensor is not None]
    if not given:
        return torch.zeros(())
    if len({tensor.shape for tensor in given}) > 1:
        raise ValueError(f"cannot compare parameters of shapes {' and '.join(str(tuple(t.shape)) for t in given)}")
    difference = given[0] - given[1] if len(given) == 2 else given[0]
    return difference.square().mean(dim=-1)


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return (B,) means of values (B, N) weighted (B, N); 0 where all weights are."""
    return (values * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(_LEAST_WEIGHT)
