"""Losses as pure functions with one value per face, and their weighted sum.

Every function returns (B,) values, at least 0; `total` takes the means over the batch. A face without a target has a
loss of 0 and no gradient. docs/method.md has the equations of the training stages (Retsinas et al., CVPR 2024).
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
"""Standard deviation of a face's points about their centroid, per axis, metres; converts scale to image errors."""
ROTATIONS = ("jaw", "pose")
_MIN_WEIGHT_SUM = 1e-8
_MAX_SINE = 1.0 - 1e-6
"""The distance has a cusp at opposite rotations, where its gradient would be infinite."""


@dataclass(frozen=True)
class TargetWeights:
    """Weights of the fields in `target_loss`, each at least 0; a field of weight 0 is not supervised.

    Attributes:
        shape: Of the identity coefficients.
        expression: Of the expression coefficients.
        eyelids: Of the eyelid parameters.
        jaw: Of the jaw's rotation.
        pose: Of the head's rotation.
        camera: Of the camera, see `camera_distance`.
    """

    shape: float = 1.0
    expression: float = 1.0
    eyelids: float = 1.0
    jaw: float = 1.0
    pose: float = 1.0
    camera: float = 1.0


@dataclass(frozen=True)
class LossTerms:
    """Unweighted losses by name.

    Attributes:
        values: Name -> (B,) one value per face, or () one for the batch.
    """

    values: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms."""
        return tuple(self.values)

    def means(self) -> dict[str, Tensor]:
        """Return the means over the batch by name, () each, detached, for logs."""
        return {name: value.detach().mean() for name, value in self.values.items()}


def total(terms: LossTerms, weights: Mapping[str, float]) -> Tensor:
    """Return Σ weight · mean over the batch, ().

    Args:
        terms: The losses.
        weights: Name -> weight, for exactly the same names.

    Raises:
        ValueError: A term has no weight, a weight has no term, or there are none.
    """
    unmatched = [f"{name!r} has no weight" for name in terms.values if name not in weights]
    unmatched += [f"{name!r} has no term" for name in weights if name not in terms.values]
    if unmatched or not weights:
        raise ValueError(f"loss terms and weights do not match: {', '.join(unmatched) or 'there are none'}")
    # Not stacked: the zero of a parameter that the head lacks may be on another device.
    return reduce(torch.add, [weights[name] * value.mean() for name, value in terms.values.items()])


def landmark_loss(points_ndc: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean squared landmark distance per coordinate, (B,): Σ w ‖p − t‖² / (2 Σ w).

    Args:
        points_ndc: (B, L, 2) projected landmarks in [-1, 1].
        target: (B, L, 2) detected landmarks in [-1, 1]; arbitrary, even NaN, where the weight is 0.
        weight: (B, L), at least 0; 0 where a landmark is unknown. Its scale has no effect.
    """
    distance = torch.where(weight[..., None] > 0, points_ndc - target, 0.0)
    return _weighted_mean(distance.square().mean(dim=-1), weight)


def photo_loss(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the photometric L1 distance, (B,) in [0, 1]: Σ m |i − t| / (3 Σ m).

    Args:
        image: (B, 3, H, W) RGB in [0, 1].
        target: (B, 3, H, W) RGB in [0, 1].
        mask: (B, 1, H, W) weight of each pixel in [0, 1]; None for all pixels alike.
    """
    difference = (image - target).abs().mean(dim=1).flatten(1)
    return difference.mean(dim=1) if mask is None else _weighted_mean(difference, mask.flatten(1))


def emotion_loss(features: Callable[[Tensor], Tensor], image: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of emotion features, (B,).

    Source: Daněček et al., "EMOCA: Emotion Driven Monocular Face Capture and Animation", CVPR 2022.

    Args:
        features: Maps images (B, 3, H, W), RGB in [0, 1], to features (B, K) of an emotion network.
        image: (B, 3, H, W) RGB in [0, 1], which the gradient reaches.
        target: (B, 3, H, W) RGB in [0, 1], without gradient.
    """
    with torch.no_grad():
        wanted = features(target)
    return (features(image) - wanted).square().mean(dim=1)


def regulariser(coefficients: Tensor | None, *, is_mean: bool = False) -> Tensor:
    """Return the L2 penalty ‖c‖², (B,), of coefficients (B, K); () zero for None.

    Args:
        coefficients: The coefficients.
        is_mean: Take the mean of the squares, as the published code does, instead of their sum.
    """
    if coefficients is None:
        return torch.zeros(())
    squares = coefficients.square()
    return squares.mean(dim=-1) if is_mean else squares.sum(dim=-1)


def target_loss(
    params: FaceParams,
    target: FaceParams | None,
    weight: Tensor,
    spec: ParamSpec,
    weights: TargetWeights = TargetWeights(),
) -> Tensor:
    """Return the distance from known parameters, (B,): w Σ_f w_f d_f over the fields f.

    The distance d of coefficients is the mean square difference; of rotations (jaw, pose) the squared geodesic angle in
    rad²; of cameras `camera_distance`.

    Args:
        params: Predictions, fields (B, ...).
        target: Known parameters, fields (B, ...); None for none. Fields that are missing on a side are not compared.
        weight: (B,) confidence of each face's target in [0, 1]; where it is 0 the target is arbitrary, even NaN.
        spec: Parameters of the head; other fields are not compared.
        weights: Weights w_f of the fields.

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
    """Return the squared geodesic angle between rotations, (...,) rad² in [0, π²].

    The angle α follows from ‖R₂ − R₁‖_F = 2√2 sin(α / 2) (Hartley et al., "Rotation Averaging", IJCV 2013).

    Args:
        first: (..., 3) rotation vectors, radians.
        second: (..., 3) rotation vectors, radians.
    """
    rotmats = roma.rotvec_to_rotmat(first), roma.rotvec_to_rotmat(second)
    return roma.rotmat_geodesic_distance(*rotmats, clamping=_MAX_SINE).square()


def camera_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean square displacement of a face's points in the image, (...,) NDC² per axis, of cameras (..., 3).

    A point x is projected to s x + s t; over points with mean 0 and standard deviation σ the mean square difference is
    (Δs σ)² + (Δ(s t))².

    σ is `FACE_STD_M`.

    Args:
        first: (..., 3) scale, tx, ty of scaled orthographic cameras.
        second: (..., 3) scale, tx, ty.
    """
    scale = first[..., 0] - second[..., 0]
    shift = first[..., :1] * first[..., 1:] - second[..., :1] * second[..., 1:]
    return (scale * FACE_STD_M).square() + shift.square().mean(dim=-1)


def shape_consistency(shape: Tensor, person: Tensor) -> Tensor:
    """Return each face's mean squared deviation from the mean shape of its person's faces, (B,).

    The mean over a person's faces is the variance of their shape; a person with one face in the batch adds 0.

    Args:
        shape: (B, S) identity coefficients.
        person: (B,) int64, equal for faces of one person.
    """
    _, row, count = person.unique(return_inverse=True, return_counts=True)
    sums = shape.new_zeros(len(count), shape.shape[1]).index_add(0, row, shape)
    return (shape - (sums / count[:, None])[row]).square().mean(dim=1)


def identity_loss(shape: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of shapes, (B,), over their common coefficients.

    Source: Zielonka et al., "Towards Metrical Reconstruction of Human Faces", ECCV 2022 (MICA), whose shape is the
    target in pretraining.

    Args:
        shape: (B, S) identity coefficients, which the gradient reaches.
        target: (B, W) identity coefficients, without gradient.
    """
    count = min(shape.shape[1], target.shape[1])
    return _mean_square(shape[:, :count], target[:, :count].detach())


def cycle_losses(prediction: FaceParams, target: FaceParams, names: Iterable[str]) -> LossTerms:
    """Return the cycle-consistency losses: mean squared errors of recovered parameters, (B,) each.

    Args:
        prediction: Prediction of the encoder for the re-synthesised photo, fields (B, ...); missing ones are zeros.
        target: Parameters that were rendered, fields (B, ...); missing ones are zeros.
        names: Fields to compare. The loss of one that both lack is () zero.

    Raises:
        ValueError: A field has different sizes.
    """
    return LossTerms({name: _mean_square(getattr(prediction, name), getattr(target, name)) for name in names})


def _distance(name: str, estimate: Tensor, wanted: Tensor) -> Tensor:
    if name in ROTATIONS:
        return rotation_distance(estimate, wanted)
    return camera_distance(estimate, wanted) if name == "camera" else _mean_square(estimate, wanted)


def _mean_square(first: Tensor | None, second: Tensor | None) -> Tensor:
    """Return (B,) mean squares of the difference of tensors (B, K); a missing one is zero, without both () zero."""
    given = [tensor for tensor in (first, second) if tensor is not None]
    if not given:
        return torch.zeros(())
    if len({tensor.shape for tensor in given}) > 1:
        raise ValueError(f"cannot compare parameters of shapes {' and '.join(str(tuple(t.shape)) for t in given)}")
    difference = given[0] - given[1] if len(given) == 2 else given[0]
    return difference.square().mean(dim=-1)


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted means (B,) of values (B, N); 0 where all weights are 0."""
    return (values * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(_MIN_WEIGHT_SUM)
