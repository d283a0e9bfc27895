"""Layers of the appearance model: relief of the skin, and opacities of lips, brows, beard, lashes and hair.

Skins are divided by their own tone, so that all tones share one relief: what remains are creases, pores, redness and
shadows, of which mean and differences between groups are kept. Hair is not in the sources in a form that fits every
head; its opacities follow from places on the mean head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from smirk3d.authoring.appearance_sources import Skin, TexelMap
from smirk3d.render.appearance.materials import region_vertices

RELIEF_RANGE = 2.0
"""Relief is kept from 0 to this: the colour of a texel relative to the tone."""
_FEATURES = ("lips", "eye_regions", "nose", "ears")
STUBBLE_SIGMAS_PX = (0.7, 3.0)
"""Sizes of the dots of a short beard, and of the patches in which it is denser, in texels."""
_GATHERED = (0.0, -0.055, -0.03)
"""Point on the axis through the places behind the ears to which long hair falls, metres."""


def mirrored(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, ...) of the main island with left and right exchanged."""
    column = round(image.shape[1] * 0.1)
    result = image.copy()
    result[:, column:] = image[:, column:][:, ::-1]
    return result


def smooth(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Blur an image (H, W, ...) in its first two axes."""
    radius = int(4 * sigma_px + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    kernel = (kernel / kernel.sum())[None, None]
    channels = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float64)).reshape(*image.shape[:2], -1)
    channels = channels.movedim(2, 0)[:, None]
    padded = functional.pad(channels, (radius, radius, radius, radius), mode="replicate")
    blurred = functional.conv2d(functional.conv2d(padded, kernel[..., None]), kernel[..., None, :])
    return blurred[:, 0].movedim(0, 2).numpy().reshape(image.shape)


def relief_images(skins: Sequence[Skin], texels: TexelMap) -> dict[str, np.ndarray]:
    """Return mean and differences of the relief.

    Args:
        skins: All skins.
        texels: Their texels.

    Returns:
        "mean" (H, W, 3), the relief of a young light-skinned person between the sexes; and what is to be added to it
        per unit: "female" of a coefficient from -1 (male) to 1, "aged" from 0 (young) to 1, "dark" from 0 to 1.
    """
    plain = _plain_skin(texels)
    images = [_relief(skin, texels, plain) for skin in skins]

    def mean(choose: Callable[[Skin], bool]) -> np.ndarray:
        return np.mean([image for skin, image in zip(skins, images, strict=True) if choose(skin)], axis=0)

    young_men = mean(lambda skin: not skin.is_female and not skin.is_dark and skin.age == 0)
    young_women = mean(lambda skin: skin.is_female and skin.age == 0)
    older = mean(lambda skin: not skin.is_dark and skin.age > 0)
    old_dark = mean(lambda skin: skin.is_dark and skin.age > 0) - mean(lambda skin: skin.is_dark and skin.age == 0)
    dark = mean(lambda skin: skin.is_dark and skin.age == 0) - young_men
    center = (young_men + young_women) / 2
    aged = (older - center) + 0.5 * _symmetric(old_dark, 2.0)
    return {
        "mean": _symmetric(center, 1.0) + 0.7 * (center - smooth(center, 1.5)),
        "female": _symmetric((young_women - young_men) / 2, 1.5),
        "aged": _symmetric(aged, 0.8),
        "dark": _symmetric(dark, 3.0) * 0.6,
    }


def _plain_skin(texels: TexelMap) -> np.ndarray:
    """Return which texels (N,) show plain skin of the face."""
    head = texels.head
    features = np.any([region_vertices(head, name) for name in _FEATURES], axis=0)
    plain = region_vertices(head, "face") & ~features
    return (texels.at_vertices(plain[:, None].astype(np.float64))[:, 0] > 0.99) & (texels.points[:, 1] < 0.06)


def _relief(skin: Skin, texels: TexelMap, plain: np.ndarray) -> np.ndarray:
    relief = (skin.colors / np.median(skin.colors[plain], axis=0)).clip(0, RELIEF_RANGE)
    return _without_hair(texels.image(relief), texels)


def _without_hair(image: np.ndarray, texels: TexelMap) -> np.ndarray:
    """Replace painted hair by plain skin, fading in above the forehead and behind the ears."""
    weight = smooth(scalp_opacity(texels, SHORT), 4.0)[..., None]
    return image * (1 - weight) + weight


def _symmetric(image: np.ndarray, sigma_px: float) -> np.ndarray:
    return smooth((image + mirrored(image)) / 2, sigma_px)


def lip_opacity(texels: TexelMap) -> np.ndarray:
    """Return the opacity (H, W) of the lips."""
    lips = texels.at_vertices(region_vertices(texels.head, "lips")[:, None].astype(np.float64))
    return smooth(texels.image(lips)[..., 0], 2.5)


@dataclass(frozen=True)
class Hairline:
    """Height of the hairline over the angle from the middle of the face: forehead, temple, sideburn, ear, nape.

    Attributes:
        angles_deg: Angles about the vertical axis, 0 in front.
        heights_m: Heights on the mean head.
        softness_m: Half width of the transition.
    """

    angles_deg: tuple[float, ...]
    heights_m: tuple[float, ...]
    softness_m: float


SHORT = Hairline(
    (0, 14, 26, 36, 44, 52, 58, 62, 66, 70, 92, 104, 118, 140, 180),
    (0.091, 0.092, 0.094, 0.089, 0.074, 0.060, 0.046, 0.030, 0.008, 0.008, 0.010, -0.010, -0.03, -0.042, -0.046),
    0.008,
)
LONG = Hairline(
    (0, 4, 14, 26, 36, 44, 52, 58, 64, 70, 85, 98, 115, 180),
    (0.094, 0.091, 0.087, 0.081, 0.072, 0.062, 0.049, 0.036, 0.020, 0.012, 0.004, -0.006, -0.022, -0.048),
    0.005,
)
"""Long hair, parted in the middle, is put behind the ears and up from the nape."""


def scalp_opacity(texels: TexelMap, hairline: Hairline, wander: np.ndarray | None = None) -> np.ndarray:
    """Return where hair of the head grows, (H, W) in [0, 1].

    Args:
        texels: The texels.
        hairline: Where it ends.
        wander: (H, W) by which the hairline is moved into the face, metres, so that single hairs show.
    """
    x, y, z = np.abs(texels.points[:, 0]), texels.points[:, 1], texels.points[:, 2]
    angle = np.degrees(np.arctan2(x, z - 0.03))
    line = np.interp(angle, hairline.angles_deg, hairline.heights_m)
    if wander is not None:
        line = line - wander[texels.covered]
    opacity = _soft((y - line) / hairline.softness_m)
    ears = texels.at_vertices(region_vertices(texels.head, "ears")[:, None].astype(np.float64))[:, 0]
    opacity = opacity * (1 - (ears * 3).clip(0, 1))
    return smooth(_only_skull(texels, opacity), 0.8)


def _soft(value: np.ndarray) -> np.ndarray:
    """Return a smooth step from 0 at -1 to 1 at 1."""
    t = (value * 0.5 + 0.5).clip(0, 1)
    return t * t * (3 - 2 * t)


def _only_skull(texels: TexelMap, opacity: np.ndarray) -> np.ndarray:
    """Return the opacity (N,) as an image, 0 in the islands beside the main one."""
    image = texels.image(opacity[:, None].astype(np.float32))[..., 0]
    image[:, : round(image.shape[1] * 0.1)] = 0
    return image


def beard_opacities(texels: TexelMap) -> tuple[np.ndarray, np.ndarray]:
    """Return the opacities (H, W) of a moustache and of a beard on cheeks, chin and neck, without their hairs."""
    x, y, z = np.abs(texels.points[:, 0]), texels.points[:, 1], texels.points[:, 2]
    regions = texels.at_vertices(
        np.stack([region_vertices(texels.head, name) for name in ("lips", "nose", "ears")], 1).astype(np.float64)
    )
    free = 1 - regions.max(1).clip(0, 1)
    free_below_nose = 1 - regions[:, [0, 2]].max(1).clip(0, 1)  # the region of the nose reaches down to the lips
    front = z > 0.05
    # Above the upper lip, bent down beside the corners of the mouth.
    top = -0.0265 - 0.5 * np.maximum(x - 0.012, 0)
    moustache = _band(y, -0.053, top, 0.0025) * _band(x, -1.0, 0.031, 0.004) * _band(x + 2.2 * y, -1, -0.058, 0.006)
    moustache *= (y > -0.048) | (x > 0.022)
    cheek_line = np.interp(z, [0.055, 0.075, 0.10, 0.125, 0.14], [0.0, -0.018, -0.038, -0.052, -0.056])
    beard = _band(y, -0.100, cheek_line, 0.007) * _band(x + y, -1.0, 0.2, 0.01)
    soul = np.exp(-(((y + 0.0615) / 0.006) ** 2) - (x / 0.009) ** 2)
    below_lip = (y > -0.066) & (x < 0.020) & (z > 0.12)
    beard = np.where(below_lip, beard * 0.25 + 0.6 * soul, beard)
    values = (moustache * free_below_nose * front, beard * free * front)
    return tuple(smooth(_only_skull(texels, value), 2.0) for value in values)  # type: ignore[return-value]


def _band(value: np.ndarray, low: float, high: np.ndarray | float, softness: float) -> np.ndarray:
    rise = ((value - low) / softness * 0.5 + 0.5).clip(0, 1)
    return rise * ((high - value) / softness * 0.5 + 0.5).clip(0, 1)


def parted_strands(texels: TexelMap, seed: int) -> np.ndarray:
    """Return strands of hair that fall from a parting to points behind the ears, (H, W), mean 0 and deviation 1."""
    x, y, z = np.abs(texels.points[:, 0]), texels.points[:, 1] - _GATHERED[1], texels.points[:, 2] - _GATHERED[2]
    angle = np.where(y > 0, np.arctan2(y, z), np.pi + 0.35 * np.tanh(x / 0.05)) / (2 * np.pi)
    noise = np.random.default_rng(seed)
    value = np.zeros(len(x))
    side = (texels.points[:, 0] > 0) * 0.37
    for count, rows, weight in ((60, 3, 0.7), (170, 4, 1.0), (420, 6, 0.7)):
        table = noise.standard_normal((rows, count))
        value += weight * _grid_noise(table, (x / 0.09).clip(0, 1) * (rows - 1), (angle + side) * count)
    value = (value - value.mean()) / value.std()
    # The parting shows a little skin; the hair beside it and at the sides is in the shadow.
    value = value + 0.5 * np.exp(-(((x - 0.03) / 0.02) ** 2)) - 0.8 * np.exp(-((x / 0.0025) ** 2)) * (z > 0)
    return _only_skull(texels, value)


def _grid_noise(table: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Interpolate a table (R, C), periodic in its columns, at fractional rows and columns (N,)."""
    r, c = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    t, s = row - r, column - c
    s = s * s * (3 - 2 * s)
    first, second = np.minimum(r, len(table) - 1), np.minimum(r + 1, len(table) - 1)
    left, right = c % table.shape[1], (c + 1) % table.shape[1]
    upper = table[first, left] * (1 - s) + table[first, right] * s
    return upper * (1 - t) + (table[second, left] * (1 - s) + table[second, right] * s) * t


def short_hairs(texels: TexelMap, seed: int) -> np.ndarray:
    """Return short hairs (H, W) that point down from the crown, mean 0 and standard deviation 1."""
    points = texels.points - texels.points.mean(0)
    crown = np.array([0.0, 0.07, -0.035])
    offset = points - crown
    angle = np.arctan2(offset[:, 0], offset[:, 2]) / (2 * np.pi)
    polar = np.arccos((offset[:, 1] / np.linalg.norm(offset, axis=1)).clip(-1, 1)) / np.pi
    noise = np.random.default_rng(seed)
    value = np.zeros(len(points))
    for count, rows, weight in ((130, 30, 0.35), (290, 70, 1.0), (520, 110, 0.7)):
        value += weight * _grid_noise(noise.standard_normal((rows, count)), polar * (rows - 1), angle * count)
    return _only_skull(texels, ((value - value.mean()) / value.std()).astype(np.float32))


def stubble(texels: TexelMap, seed: int) -> np.ndarray:
    """Return the short hairs of a beard (H, W), dots without a direction, mean 0 and standard deviation 1."""
    noise = np.random.default_rng(seed)
    fine, coarse = (smooth(noise.standard_normal(texels.size), sigma_px) for sigma_px in STUBBLE_SIGMAS_PX)
    value = fine / fine.std() + 0.5 * coarse / coarse.std()
    return ((value - value.mean()) / value.std()).astype(np.float32)


def lash_opacity(texels: TexelMap) -> np.ndarray:
    """Return the opacity (H, W) of the line of lashes around the eyes, stronger on the upper lids."""
    margin = lid_margin(texels)
    distance, nearest = _nearest(texels.points, margin)
    center = np.array([np.sign(p[0]) * np.abs(margin[:, 0]).mean() for p in nearest])
    height = margin[:, 1].mean()
    upper = ((nearest[:, 1] - height) / 0.003).clip(-1, 1) * 0.5 + 0.5
    outward = (np.abs(nearest[:, 0]) - np.abs(center)) / 0.012
    width = 0.0011 + 0.0008 * upper * (1 + 0.6 * outward.clip(-1, 1))
    opacity = np.exp(-((distance / width) ** 2)) * (0.35 + 0.65 * upper) * (0.75 + 0.25 * outward.clip(-1, 1))
    return smooth(_only_skull(texels, opacity), 0.7)


def lid_margin(texels: TexelMap) -> np.ndarray:
    """Return the points (M, 3) of the lids' edges: vertices that the skin of the face shares with the eye sockets."""
    head = texels.head
    edge = region_vertices(head, "face") & region_vertices(head, "eye_sockets")
    return head.v_template.detach().cpu().numpy()[edge].astype(np.float64)


def _nearest(points: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance (N,) and place (N, 3) of the target nearest to each point."""
    rows = []
    distances = []
    for part in np.array_split(points, 64):
        distance = np.linalg.norm(part[:, None] - targets, axis=2)
        rows.append(distance.argmin(axis=1))
        distances.append(distance.min(axis=1))
    return np.concatenate(distances), targets[np.concatenate(rows)]
