"""Random augmentation of a batch of crops, with its landmarks and targets.

Left and right are the subject's own. Where an image is moved or mirrored, the scaled orthographic camera
`x' = s (x + tx)`, `y' = -s (y + ty)` and the head's rotation about its root joint J, `X = R (X0 - J) + J`, follow.
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
"""Range of the standard deviation of the blur, in sides of the crop: 0.4 to 1.8 pixels of 224."""
MAX_GREY_DIFFERENCE = 0.02
"""Images whose channels differ nowhere by more are grey."""
SKIN_LOG_GAMMA, WARMTH, TINT_CAST = (-1.0, 0.1, 0.9), (0.1, 0.5), 0.1
"""Tinting: logarithms of the gammas of red, green and blue for skin, range of their factor, and range of a random
colour cast on them."""
GAMMA = (0.8, 1.2)
CLAHE_CLIP = (1.0, 4.0)
"""Range of the gamma, and of the clip limit of the histogram equalisation."""
HUE_RAD_PER_JITTER = math.pi / 12
"""Largest hue rotation per unit of colour jitter, radians: skin keeps a skin colour."""


@dataclass(frozen=True)
class Similarity:
    """B similarity transforms of crops, `p' = zoom Rot(turn) p + shift`, in [-1, 1] from edge to edge, y down.

    Attributes:
        turn_rad: (B,) radians, clockwise in the image.
        zoom: (B,) scale, above 1 enlarges.
        shift: (B, 2) NDC.
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
    """Flip, shift, rotate, scale, recolour, blur and add noise to each crop by random amounts.

    Args:
        batch: B crops; not changed.
        config: Strength of each change.
        generator: All randomness; on any device.
        head: Head model of the targets; needed where the batch has targets.

    Returns:
        A batch of the same shapes; images are black outside the old crop.

    Raises:
        Smirk3dError: kornia is not installed.
        ValueError: There are targets, and no head.
    """
    if batch.target is not None and head is None:
        raise ValueError("a batch with targets needs the head that they belong to")
    draw = _Random(len(batch), generator, batch.image.device)
    chosen = draw.uniform(0.0, 1.0) < config.mirror
    similarity = Similarity(
        turn_rad=math.radians(config.rotation_deg) * draw.uniform(-1.0, 1.0),
        zoom=1 + config.scale * draw.uniform(-1.0, 1.0),
        # The crop is two units wide.
        shift=2 * config.shift * draw.uniform(-1.0, 1.0, 2),
    )
    batch = moved(mirrored(batch, chosen, head), similarity, head)
    image = _jittered_colors(_with_tint(batch.image, config.tint, draw), config.color, draw)
    image = _with_gamma(image, config.gamma, draw) if config.gamma else image
    image = _with_clahe(image, config.clahe, draw) if config.clahe else image
    image = _with_blur(image, config.blur, draw)
    noisy = image + config.noise * draw.uniform(0.0, 1.0, 1, 1, 1) * draw.normal_like(image)
    return replace(batch, image=noisy.clamp(0.0, 1.0))


def moved(batch: TrainingBatch, similarity: Similarity, head: HeadModel | None = None) -> TrainingBatch:
    """Transform crops with their landmarks and targets.

    Args:
        batch: B crops.
        similarity: B transforms.
        head: Head model of the targets.
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
    """Rotate the pose about the view axis and adapt the camera; targets without both stay.

    With the points X0 of the head before its rotation, `X = R (X0 - J) + J` and the image, y up, `q = s (X + t)`. The
    new image is `q' = k Z q + d`. With R' = Z R it is `X' = Z (X - J) + J`, so that s' = k s and
    `X' + t' = Z (X + t) + d / s'` require `t' = Z (J + t) - J + d / s'`.
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
    """Flip some crops with their landmarks and targets.

    Where the mirrored coefficients of a head are unknown (expressions other than the 52 ARKit blendshapes, shapes
    without `shape_mirror_sign`), flipped faces have a target weight of 0.

    Args:
        batch: B crops.
        chosen: (B,) bool, crops to flip.
        head: Head model of the targets.
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
    return _select(chosen, other, batch)


def _can_mirror(target: FaceParams, head: HeadModel) -> bool:
    shape_known = target.shape is None or head.data.shape_mirror_sign is not None
    return shape_known and (target.expression is None or _uses_arkit(head))


def _uses_arkit(head: HeadModel) -> bool:
    return tuple(head.expression_names) == ARKIT_NAMES


def _target_mirrored(target: FaceParams, head: HeadModel) -> FaceParams:
    """Reflect parameters at the head's x = 0; rotation vectors are axial: y and z change sign."""
    changed: dict[str, Tensor] = dict(target.items())
    for name in {"pose", "neck", "jaw"} & set(changed):
        changed[name] = changed[name] * changed[name].new_tensor([1.0, -1.0, -1.0])
    if target.eyes is not None:
        changed["eyes"] = target.eyes.roll(3, dims=-1) * target.eyes.new_tensor([1.0, -1.0, -1.0] * 2)
    if target.eyelids is not None:
        changed["eyelids"] = target.eyelids.flip(-1)
    if target.camera is not None:
        changed["camera"] = target.camera * target.camera.new_tensor([1.0, -1.0, 1.0])
    if target.expression is not None and _uses_arkit(head):
        changed["expression"] = target.expression[:, list(ARKIT_MIRROR)]
    if target.shape is not None and (sign := head.data.shape_mirror_sign) is not None:
        changed["shape"] = target.shape * sign[: target.shape.shape[-1]].to(target.shape)
    return FaceParams(**changed)


def _select(chosen: Tensor, one: TrainingBatch, other: TrainingBatch) -> TrainingBatch:
    """Return the faces of `one` where chosen (B,) bool, else those of `other`."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b)

    target = other.target
    if one.target is not None and target is not None:
        others = dict(target.items())
        target = FaceParams(**{name: pick(value, others[name]) for name, value in one.target.items()})
    return replace(
        other,
        image=pick(one.image, other.image),
        landmarks_ndc=pick(one.landmarks_ndc, other.landmarks_ndc),
        landmark_weight=pick(one.landmark_weight, other.landmark_weight),
        target=target,
        target_weight=pick(one.target_weight, other.target_weight),
        contour_ndc=pick(one.contour_ndc, other.contour_ndc),
    )


def _with_tint(image: Tensor, probability: float, draw: _Random) -> Tensor:
    """Tint some grey images with skin colours under random light: a gamma per channel, so that shadows are redder."""
    chosen, warmth, cast = (
        draw.uniform(0, 1) < probability,
        draw.uniform(*WARMTH, 1, 1, 1),
        draw.uniform(-1, 1, 3, 1, 1),
    )
    is_grey = (image.amax(dim=1) - image.amin(dim=1)).flatten(1).amax(dim=1) < MAX_GREY_DIFFERENCE
    power = torch.exp(warmth * image.new_tensor(SKIN_LOG_GAMMA).view(3, 1, 1) + TINT_CAST * cast)
    return torch.where((chosen & is_grey)[:, None, None, None], image**power, image)


def _jittered_colors(image: Tensor, strength: float, draw: _Random) -> Tensor:
    """Jitter brightness, contrast, saturation and hue."""
    brightness, contrast, saturation, hue = (strength * draw.uniform(-1.0, 1.0) for _ in range(4))
    if strength == 0.0:
        return image
    require_kornia()
    from kornia import enhance

    image = enhance.adjust_contrast(image, 1 + contrast)
    image = enhance.adjust_brightness(image, brightness)
    image = enhance.adjust_saturation(image, 1 + saturation)
    return enhance.adjust_hue(image, HUE_RAD_PER_JITTER * hue)


def _with_gamma(image: Tensor, probability: float, draw: _Random) -> Tensor:
    """Raise some images to a random power."""
    chosen, gamma = draw.uniform(0.0, 1.0) < probability, draw.uniform(*GAMMA)
    return image.clamp(0.0, 1.0) ** torch.where(chosen, gamma, 1.0)[:, None, None, None]


def _with_clahe(image: Tensor, probability: float, draw: _Random) -> Tensor:
    """Equalise the local contrast of some images, in their lightness alone."""
    chosen, limit = draw.uniform(0.0, 1.0) < probability, draw.uniform(*CLAHE_CLIP)
    if not chosen.any():
        return image
    require_kornia()
    from kornia import color, enhance

    image = image.clone()
    for face in chosen.nonzero().flatten().tolist():
        luma, blue, red = color.rgb_to_ycbcr(image[face].clamp(0.0, 1.0)).unbind()
        equalised = enhance.equalize_clahe(luma[None, None], float(limit[face]), (8, 8))[0, 0]
        image[face] = color.ycbcr_to_rgb(torch.stack([equalised, blue, red]))
    return image


def _with_blur(image: Tensor, probability: float, draw: _Random) -> Tensor:
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
    """Check that kornia is installed.

    Raises:
        Smirk3dError: It is not installed.
    """
    try:
        import kornia  # noqa: F401
    except ImportError as error:
        raise Smirk3dError(f"training needs kornia ({error}); pip install 'smirk3d[train]'") from error


@dataclass(frozen=True)
class _Random:
    """Random numbers (B, ...) float32 for a batch, on its device."""

    batch: int
    generator: torch.Generator
    device: torch.device

    def uniform(self, low: float, high: float, *size: int) -> Tensor:
        numbers = torch.rand(self.batch, *size, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * numbers).to(self.device)

    def normal_like(self, image: Tensor) -> Tensor:
        return torch.randn(image.shape, generator=self.generator, device=self.generator.device).to(self.device)
