"""Random changes of a whole batch of crops; landmarks and known parameters change along.

Sides of a face are the subject's own. Where an image is moved or mirrored, the scaled orthographic camera
`x' = s (x + tx)`, `y' = -s (y + ty)` and the head's turn about its root joint J, `X = R (X0 - J) + J`, follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import roma
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.datasets.config import AugmentConfig
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

BLUR_SIGMA = (0.002, 0.008)
"""Standard deviations of the blur, in sides of the crop: 0.4 to 1.8 of 224 pixels."""
GREY = 0.02
"""Images whose channels differ nowhere by more are grey."""
SKIN, WARMTH, TINT_CAST = (-1.0, 0.1, 0.9), (0.1, 0.5), 0.1
"""Logarithms of the powers of red, green and blue that make grey skin warm, times how much, and how far light of any
colour may change them."""
HUE_OVER_COLOUR = math.pi / 12
"""Hue may turn by this many radians per unit of colour jitter: skin stays skin."""


@dataclass(frozen=True)
class Similarity:
    """B maps of crops onto themselves, `p' = zoom Rot(turn) p + shift`, in [-1, 1] from edge to edge, y down.

    Attributes:
        turn_rad: (B,) clockwise as seen. zoom: (B,) above 1 enlarges. shift: (B, 2).
    """

    turn_rad: Tensor
    zoom: Tensor
    shift: Tensor

    @property
    def linear(self) -> Tensor:
        """(B, 2, 2) zoom times rotation."""
        cosine, sine = self.zoom * self.turn_rad.cos(), self.zoom * self.turn_rad.sin()
        return torch.stack([cosine, -sine, sine, cosine], dim=-1).unflatten(-1, (2, 2))


def augment(
    batch: TrainingBatch, config: AugmentConfig, generator: torch.Generator, head: HeadModel | None = None
) -> TrainingBatch:
    """Mirror, move, turn, zoom, recolour, blur and roughen each crop by its own random amount.

    Args:
        batch: Crops; not changed.
        config: `shift` (share of the side), `scale` (share), `rotation_deg` and `colour` are largest amounts both ways,
            `mirror`, `tint` and `blur` probabilities, `noise` the largest standard deviation in image values.
        generator: All randomness; its device may differ from the batch's.
        head: What the targets are parameters of; needed where the batch has any.

    Returns:
        A batch of the same shapes. Outside the old crop the image is black; landmarks move along exactly.

    Raises:
        Smirk3dError: kornia is not installed.
        ValueError: There are targets, and no head.
    """
    if batch.target is not None and head is None:
        raise ValueError("a batch with targets needs the head that they belong to")
    draw = _Draw(len(batch), generator, batch.image.device)
    chosen = draw.uniform(0.0, 1.0) < config.mirror
    similarity = Similarity(
        turn_rad=math.radians(config.rotation_deg) * draw.uniform(-1.0, 1.0),
        zoom=1 + config.scale * draw.uniform(-1.0, 1.0),
        # The crop is two units wide.
        shift=2 * config.shift * draw.uniform(-1.0, 1.0, 2),
    )
    batch = moved(mirrored(batch, chosen, head), similarity, head)
    image = _recoloured(_tinted(batch.image, config.tint, draw), config.color, draw)
    image = _blurred(image, config.blur, draw)
    rough = image + config.noise * draw.uniform(0.0, 1.0, 1, 1, 1) * draw.normal_like(image)
    return replace(batch, image=rough.clamp(0.0, 1.0))


def moved(batch: TrainingBatch, similarity: Similarity, head: HeadModel | None = None) -> TrainingBatch:
    """Move crops with their landmarks and targets.

    Args:
        batch: B crops. similarity: B maps. head: see `augment`.
    """
    backward = torch.linalg.inv(similarity.linear)
    theta = torch.cat([backward, -backward @ similarity.shift[..., None]], dim=-1)
    grid = functional.affine_grid(theta, list(batch.image.shape), align_corners=False)
    image = functional.grid_sample(batch.image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    landmarks_ndc, contour_ndc = (
        points @ similarity.linear.mT + similarity.shift[:, None] for points in (batch.landmarks_ndc, batch.contour_ndc)
    )
    target = batch.target if batch.target is None or head is None else _target_moved(batch.target, similarity, head)
    return replace(batch, image=image, landmarks_ndc=landmarks_ndc, target=target, contour_ndc=contour_ndc)


def _target_moved(target: FaceParams, similarity: Similarity, head: HeadModel) -> FaceParams:
    """Turn the pose about the view axis and make the camera follow; neither moves where neither is known.

    With the points X0 of the head before its turn, `X = R (X0 - J) + J` and the image, y up, `q = s (X + t)`. The new
    image is `q' = k Z q + d`. The head turned by R' = Z R gives `X' = Z (X - J) + J`, so that s' = k s and
    `X' + t' = Z (X + t) + d / s'` ask for `t' = Z (J + t) - J + d / s'`.
    """
    if target.pose is None and target.camera is None:
        return target
    about_view = functional.pad(-similarity.turn_rad[:, None], (2, 0))  # y up: clockwise is negative
    pose = torch.zeros_like(about_view) if target.pose is None else target.pose
    turned = target.replace(pose=roma.rotvec_composition([about_view, pose]))
    if target.camera is None:
        return turned
    with torch.no_grad():
        root = head(target).joints[:, 0, :2]
    spin = roma.rotvec_to_rotmat(about_view)[:, :2, :2]
    scale = similarity.zoom[:, None] * target.camera[:, :1]
    place = (spin @ (root + target.camera[:, 1:])[..., None])[..., 0] - root
    flip = scale.new_tensor([1.0, -1.0])
    return turned.replace(camera=torch.cat([scale, place + similarity.shift * flip / scale], dim=-1))


def mirrored(batch: TrainingBatch, chosen: Tensor, head: HeadModel | None = None) -> TrainingBatch:
    """Mirror some crops with their landmarks and targets.

    Where a head cannot say what its coefficients are in the mirror (expressions other than the ARKit actions, shapes
    without `shape_mirror_sign`), the mirrored faces lose the trust in their target.

    Args:
        batch: B crops. chosen: (B,) bool. head: see `augment`.
    """
    pairs = list(MIRROR)
    flip = batch.landmarks_ndc.new_tensor([-1.0, 1.0])
    other = replace(
        batch,
        image=batch.image.flip(-1),
        landmarks_ndc=batch.landmarks_ndc[:, pairs] * flip,
        landmark_weight=batch.landmark_weight[:, pairs],
        contour_ndc=batch.contour_ndc.flip(1) * flip,  # it runs from ear to ear
    )
    if batch.target is not None and head is not None:
        weight = batch.target_weight * float(_can_mirror(batch.target, head))
        other = replace(other, target=_target_mirrored(batch.target, head), target_weight=weight)
    return _either(chosen, other, batch)


def _can_mirror(target: FaceParams, head: HeadModel) -> bool:
    shape_known = target.shape is None or head.data.shape_mirror_sign is not None
    return shape_known and (target.expression is None or _speaks_arkit(head))


def _speaks_arkit(head: HeadModel) -> bool:
    return tuple(head.expression_names) == ARKIT_NAMES


def _target_mirrored(target: FaceParams, head: HeadModel) -> FaceParams:
    """Reflect at the head's x = 0; a turn about an axis in the mirror is one about -x's mirror image, backwards."""
    changed: dict[str, Tensor] = dict(target.items())
    for name in {"pose", "neck", "jaw"} & set(changed):
        changed[name] = changed[name] * changed[name].new_tensor([1.0, -1.0, -1.0])
    if target.eyes is not None:
        changed["eyes"] = target.eyes.roll(3, dims=-1) * target.eyes.new_tensor([1.0, -1.0, -1.0] * 2)
    if target.eyelids is not None:
        changed["eyelids"] = target.eyelids.flip(-1)
    if target.camera is not None:
        changed["camera"] = target.camera * target.camera.new_tensor([1.0, -1.0, 1.0])
    if target.expression is not None and _speaks_arkit(head):
        changed["expression"] = target.expression[:, list(ARKIT_MIRROR)]
    if target.shape is not None and (sign := head.data.shape_mirror_sign) is not None:
        changed["shape"] = target.shape * sign[: target.shape.shape[-1]].to(target.shape)
    return FaceParams(**changed)


def _either(chosen: Tensor, one: TrainingBatch, other: TrainingBatch) -> TrainingBatch:
    """Take the faces of `one` where chosen (B,), else those of `other`."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b)

    target = other.target
    if one.target is not None and target is not None:
        theirs = dict(target.items())
        target = FaceParams(**{name: pick(value, theirs[name]) for name, value in one.target.items()})
    return replace(
        other,
        image=pick(one.image, other.image),
        landmarks_ndc=pick(one.landmarks_ndc, other.landmarks_ndc),
        landmark_weight=pick(one.landmark_weight, other.landmark_weight),
        target=target,
        target_weight=pick(one.target_weight, other.target_weight),
        contour_ndc=pick(one.contour_ndc, other.contour_ndc),
    )


def _tinted(image: Tensor, probability: float, draw: _Draw) -> Tensor:
    """Give some grey images the colours of skin under some light: of the same brightness, darker ones redder."""
    chosen, warmth, cast = (
        draw.uniform(0, 1) < probability,
        draw.uniform(*WARMTH, 1, 1, 1),
        draw.uniform(-1, 1, 3, 1, 1),
    )
    is_grey = (image.amax(dim=1) - image.amin(dim=1)).flatten(1).amax(dim=1) < GREY
    power = torch.exp(warmth * image.new_tensor(SKIN).view(3, 1, 1) + TINT_CAST * cast)
    return torch.where((chosen & is_grey)[:, None, None, None], image**power, image)


def _recoloured(image: Tensor, colour: float, draw: _Draw) -> Tensor:
    """Change brightness, contrast, saturation and hue."""
    brightness, contrast, saturation, hue = (colour * draw.uniform(-1.0, 1.0) for _ in range(4))
    if colour == 0.0:
        return image
    require_kornia()
    from kornia import enhance

    image = enhance.adjust_contrast(image, 1 + contrast)
    image = enhance.adjust_brightness(image, brightness)
    image = enhance.adjust_saturation(image, 1 + saturation)
    return enhance.adjust_hue(image, HUE_OVER_COLOUR * hue)


def _blurred(image: Tensor, probability: float, draw: _Draw) -> Tensor:
    """Blur some images."""
    chosen, sigma = draw.uniform(0.0, 1.0) < probability, draw.uniform(*BLUR_SIGMA) * image.shape[-1]
    if not chosen.any():
        return image
    require_kornia()
    from kornia.filters import gaussian_blur2d

    kernel_size = 2 * math.ceil(2 * BLUR_SIGMA[1] * image.shape[-1]) + 1
    image = image.clone()
    image[chosen] = gaussian_blur2d(image[chosen], kernel_size, sigma[chosen, None].expand(-1, 2))
    return image


def require_kornia() -> None:
    """Make sure that kornia is there.

    Raises:
        Smirk3dError: It is not.
    """
    try:
        import kornia  # noqa: F401
    except ImportError as error:
        raise Smirk3dError(f"training needs kornia ({error}); pip install 'smirk3d[train]'") from error


@dataclass(frozen=True)
class _Draw:
    """Random numbers for a batch of B: (B, ...) float32 on its device."""

    batch: int
    generator: torch.Generator
    device: torch.device

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        numbers = torch.rand(self.batch, *size, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * numbers).to(self.device)

    def normal_like(self, image: Tensor) -> Tensor:
        return torch.randn(image.shape, generator=self.generator, device=self.generator.device).to(self.device)
