"""Materials of a head for export: colours, the split into material parts and the eye texture.

Colours are sRGB in [0, 1] unless stated otherwise. Results that depend on the head alone are computed once for each
head; these arrays are shared and read-only.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel

SKIN_COLOR = (0.87, 0.69, 0.60)
LIPS_COLOR = (0.76, 0.47, 0.44)
EYE_SOCKETS_COLOR = (0.70, 0.47, 0.42)
MOUTH_COLOR = (0.42, 0.15, 0.15)
TONGUE_COLOR = (0.80, 0.43, 0.43)
TEETH_COLOR = (0.96, 0.93, 0.85)
MOUTH_DEPTH_M = 0.016
"""Depth behind the front teeth at which 1/e of the light arrives in the mouth, metres."""
MOUTH_LIGHT = 0.12
"""Share of the colours that remains deep in the mouth."""
SCLERA_COLOR = (0.95, 0.94, 0.92)
IRIS_INNER_COLOR = (0.55, 0.40, 0.24)
IRIS_OUTER_COLOR = (0.30, 0.20, 0.12)
LIMBUS_COLOR = (0.13, 0.09, 0.07)
PUPIL_COLOR = (0.02, 0.02, 0.02)

EYEBALL_RADIUS_M = 0.0157
"""Of the open head, slightly larger than a human eye."""
IRIS_RADIUS_M = 0.0060
PUPIL_RADIUS_M = 0.0021


@dataclass(frozen=True)
class EyeColors:
    """The colours of an eyeball, sRGB in [0, 1].

    Attributes:
        iris_inner: Iris around the pupil.
        iris_outer: Rest of the iris.
        limbus: Edge of the iris.
        sclera: White of the eye.
        lid_shadow: Darkening below the upper lid and towards the corners, in [0, 1].
    """

    iris_inner: tuple[float, float, float] = IRIS_INNER_COLOR
    iris_outer: tuple[float, float, float] = IRIS_OUTER_COLOR
    limbus: tuple[float, float, float] = LIMBUS_COLOR
    sclera: tuple[float, float, float] = SCLERA_COLOR
    lid_shadow: float = 0.0


DEFAULT_EYE = EyeColors()
EYE_LID_SHADOW = 0.55
"""`EyeColors.lid_shadow` of people with an appearance."""
_EYE_TEXTURE_PX = 384
_IRIS_FACTORS = (1.25, 0.75, 0.3)
"""Colours around the pupil, of the rest of the iris and of its edge, relative to the mean."""
_SOFT_SCLERA = (0.73, 0.695, 0.67)
"""As bright, against the skin, as in photos of 29 people: whites of eyes are shaded and a sixth darker than paper."""


@dataclass(frozen=True)
class MaterialPart:
    """The triangles of one material.

    Attributes:
        name: "skin", "eyes", "mouth" or "teeth".
        face_index: (K,) int64 rows of the head's triangles.
        roughness: Roughness of the glTF metallic-roughness model, in [0, 1].
    """

    name: str
    face_index: np.ndarray
    roughness: float


@cache_per_head
def material_parts(head: HeadModel) -> tuple[MaterialPart, ...]:
    """Split the triangles of a head by material.

    Eyeballs, mouth and teeth exist on heads that have such regions; everything else, eye sockets included, is skin.

    Args:
        head: The head.

    Returns:
        The parts in the order skin, eyes, mouth, teeth, without empty ones; every triangle is in exactly one.
    """
    # Later labels win: teeth lie inside the mouth interior.
    label = np.zeros(len(head.faces), dtype=np.int64)
    label[_triangles_in(head, "eyeballs")] = 1
    label[_triangles_in(head, "mouth_interior")] = 2
    label[_triangles_in(head, "lower_teeth") | _triangles_in(head, "upper_teeth")] = 3
    kinds = (("skin", 0.65), ("eyes", 0.15), ("mouth", 0.45), ("teeth", 0.25))
    index = [_frozen(np.flatnonzero(label == k)) for k in range(len(kinds))]
    parts = (MaterialPart(name, rows, rough) for rows, (name, rough) in zip(index, kinds, strict=True))
    return tuple(part for part in parts if len(part.face_index))


@cache_per_head
def vertex_colors(head: HeadModel) -> np.ndarray:
    """Return a colour for every vertex.

    Lips, mouth, tongue and teeth have colours of their own; eyeballs show sclera, iris and pupil as finely as their
    vertices allow.

    Args:
        head: The head.

    Returns:
        (V, 3) float32, sRGB in [0, 1], read-only.
    """
    colors = np.tile(np.array(SKIN_COLOR, dtype=np.float32), (len(head.v_template), 1))
    is_face = region_vertices(head, "face")
    colors[region_vertices(head, "eye_sockets") & ~is_face] = EYE_SOCKETS_COLOR
    colors[region_vertices(head, "mouth_interior")] = MOUTH_COLOR
    colors[region_vertices(head, "tongue")] = TONGUE_COLOR
    colors[region_vertices(head, "lower_teeth") | region_vertices(head, "upper_teeth")] = TEETH_COLOR
    colors[region_vertices(head, "mouth_interior")] *= _light_in_mouth(head)[:, None]
    lips = _smoothed(region_vertices(head, "lips"), head.faces.cpu().numpy())
    colors = _mix(colors, LIPS_COLOR, lips).astype(np.float32)
    for mask, directions, radius_m in _eyeballs(head):
        angle = np.arctan2(np.hypot(directions[:, 0], directions[:, 1]), directions[:, 2])
        colors[mask] = eye_color(angle * radius_m, np.zeros_like(angle))
    return _frozen(colors)


def _light_in_mouth(head: HeadModel) -> np.ndarray:
    """Return the share (M,) of the light that arrives at each vertex inside the mouth.

    Colours do not change with the expression, so those of the tongue are taken half way out.
    """
    depth_m = head.v_template.cpu().numpy()[:, 2].copy()
    if "tongueOut" in head.expression_names:
        depth_m += 0.5 * head.expressiondirs.cpu().numpy()[:, 2, list(head.expression_names).index("tongueOut")]
    inside, teeth = region_vertices(head, "mouth_interior"), region_vertices(head, "upper_teeth")
    behind_m = (depth_m[teeth].max(initial=-np.inf) - depth_m[inside]).clip(0, None)
    return MOUTH_LIGHT + (1 - MOUTH_LIGHT) * np.exp(-behind_m / MOUTH_DEPTH_M)


@cache_per_head
def eye_uv(head: HeadModel) -> np.ndarray:
    """Return texture coordinates that map `eye_texture` onto the eyeballs.

    Lambert azimuthal equal-area projection around the gaze axis (+Z of the neutral head) through the eye joint: the
    pupil is at the centre, the back of the eyeball on the inscribed circle. Other vertices get the white corner (0, 0).

    Args:
        head: The head.

    Returns:
        (V, 2) float32 in [0, 1], v upwards, read-only.

    Source: Snyder, "Map Projections: A Working Manual" (1987), chapter 24.
    """
    uv = np.zeros((len(head.v_template), 2), dtype=np.float32)
    for mask, directions, _ in _eyeballs(head):
        # radius = sqrt((1 - cos) / 2), 1 at the back. The joint is inside the eyeball, so no length is 0.
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        radius = np.sqrt((1 - unit[:, 2]).clip(0) / 2)
        planar = np.hypot(unit[:, 0], unit[:, 1]).clip(1e-9)
        uv[mask] = 0.5 + 0.5 * (radius / planar)[:, None] * unit[:, :2]
    return _frozen(uv)


def eye_texture(size: int = 512, radius_m: float = EYEBALL_RADIUS_M, colors: EyeColors = DEFAULT_EYE) -> np.ndarray:
    """Return the texture of an eyeball for `eye_uv`.

    Args:
        size: S, side in pixels.
        radius_m: Radius of the eyeball in metres; iris and pupil have their natural size on it.
        colors: Its colours.

    Returns:
        (S, S, 3) uint8, sRGB; white outside the inscribed circle.
    """
    u, v = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)
    pixels = eye_color_at(np.stack([u, v], axis=-1), radius_m, colors)
    return (pixels * 255).round().astype(np.uint8)


def iris_colors(iris: tuple[float, float, float]) -> EyeColors:
    """Return the colours of an eyeball with an iris of a mean colour."""
    inner, outer, limbus = (tuple(factor * value for value in iris) for factor in _IRIS_FACTORS)
    return EyeColors(inner, outer, limbus, _SOFT_SCLERA, EYE_LID_SHADOW)  # type: ignore[arg-type]


def iris_texture(iris: tuple[float, float, float]) -> np.ndarray:
    """Return `eye_texture` of `iris_colors` quickly: it is linear in the colour.

    Args:
        iris: Mean colour of the iris, sRGB.

    Returns:
        (384, 384, 3) uint8 sRGB.
    """
    constant, share = _eye_shares()
    image = share * np.array(iris, dtype=np.float32)
    image += constant
    np.clip(image, 0, 255, out=image)
    return image.astype(np.uint8)


@functools.cache
def _eye_shares() -> tuple[np.ndarray, np.ndarray]:
    """Return the constant part of an eye's texture, and what a unit of the iris' colour adds, (384, 384, 3) each."""
    u, v = np.meshgrid(*[(np.arange(_EYE_TEXTURE_PX) + 0.5) / _EYE_TEXTURE_PX] * 2)
    at = np.stack([u, v], axis=-1)
    black, grey = (eye_color_at(at, colors=iris_colors((value, value, value))) for value in (0.0, 0.5))
    return 255 * black + 0.5, 255 * (grey - black) / 0.5


def eye_color_at(uv: np.ndarray, radius_m: float = EYEBALL_RADIUS_M, colors: EyeColors = DEFAULT_EYE) -> np.ndarray:
    """Return the colour of an eyeball at texture coordinates.

    Args:
        uv: (..., 2) float in [0, 1], see `eye_uv`.
        radius_m: Radius of the eyeball in metres.
        colors: Its colours.

    Returns:
        (..., 3) float32, sRGB in [0, 1].
    """
    x, y = np.moveaxis(np.asarray(uv, dtype=np.float64) * 2 - 1, -1, 0)
    radius = np.hypot(x, y)
    result = eye_color(2 * np.arcsin(radius.clip(0, 1)) * radius_m, np.arctan2(y, x), colors)
    result[radius > 1] = 1.0
    return result


def eye_color(arc_m: np.ndarray, azimuth_rad: np.ndarray, colors: EyeColors = DEFAULT_EYE) -> np.ndarray:
    """Return the colour of an eyeball by the distance along its surface from the centre of the pupil.

    Args:
        arc_m: (...) float, metres.
        azimuth_rad: (...) float, angle around the gaze axis, for the fibres of the iris.
        colors: The colours.

    Returns:
        (..., 3) float32, sRGB in [0, 1].
    """
    streaks = 0.5 + 0.25 * np.sin(23 * azimuth_rad + 2) + 0.25 * np.sin(57 * azimuth_rad)
    depth = ((arc_m - PUPIL_RADIUS_M) / (IRIS_RADIUS_M - PUPIL_RADIUS_M)).clip(0, 1)
    iris = _mix(colors.iris_inner, colors.iris_outer, 0.75 * depth + 0.25 * streaks * (1 - depth))
    iris = _mix(iris, colors.limbus, _smoothstep(arc_m, 0.90 * IRIS_RADIUS_M, 0.0008))
    color = _mix(PUPIL_COLOR, iris, _smoothstep(arc_m, PUPIL_RADIUS_M, 0.0002))
    color = _mix(color, colors.sclera, _smoothstep(arc_m, IRIS_RADIUS_M, 0.0004))
    if colors.lid_shadow:
        up, aside = arc_m * np.sin(azimuth_rad), np.abs(arc_m * np.cos(azimuth_rad))
        shadow = 0.75 * _smoothstep(up, 0.0040, 0.0045) + 0.5 * _smoothstep(aside, 0.0125, 0.009)
        color = color * (1 - colors.lid_shadow * shadow[..., None] * (0.8, 1.0, 1.0))
    return color.astype(np.float32)


def srgb_to_linear(colors: np.ndarray) -> np.ndarray:
    """Convert sRGB values to linear light.

    Args:
        colors: (...) float in [0, 1].

    Returns:
        (...) float in [0, 1].

    Source: IEC 61966-2-1.
    """
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def region_vertices(head: HeadModel, name: str) -> np.ndarray:
    """Return the vertices of a region.

    Args:
        head: The head.
        name: Name of the region.

    Returns:
        (V,) bool, all False where the head does not have the region.
    """
    if name not in head.data.regions:
        return np.zeros(len(head.v_template), dtype=bool)
    return head.region_mask(name).cpu().numpy()


def _frozen(array: np.ndarray) -> np.ndarray:
    """Make an array read-only and return it."""
    array.setflags(write=False)
    return array


def _triangles_in(head: HeadModel, name: str) -> np.ndarray:
    return np.all(region_vertices(head, name)[head.faces.cpu().numpy()], axis=1)


def _smoothed(mask: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the mask (V,) averaged over adjacent vertices, so that its outline does not follow single triangles."""
    corners = np.concatenate([triangles, np.roll(triangles, 1, axis=1)], axis=1)
    edges = corners.reshape(-1, 2, 3).transpose(0, 2, 1).reshape(-1, 2)
    total = np.bincount(edges[:, 0], mask[edges[:, 1]], len(mask)) + mask
    return total / (np.bincount(edges[:, 0], minlength=len(mask)) + 1)


def _eyeballs(head: HeadModel) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Return vertex mask (V,), vectors (K, 3) from the joint and mean radius in metres of each neutral eyeball."""
    template = head.v_template.detach().cpu().numpy().astype(np.float64)
    joints = head.J_regressor.detach().cpu().numpy().astype(np.float64) @ template
    found = []
    for side, joint in (("left", joints[3]), ("right", joints[4])):
        mask = region_vertices(head, f"{side}_eyeball")
        if mask.any():
            directions = template[mask] - joint
            found.append((mask, directions, float(np.linalg.norm(directions, axis=1).mean())))
    return found


def _mix(first: np.ndarray | tuple, second: np.ndarray | tuple, amount: np.ndarray) -> np.ndarray:
    return np.asarray(first) * (1 - amount[..., None]) + np.asarray(second) * amount[..., None]


def _smoothstep(value: np.ndarray, edge: float, width: float) -> np.ndarray:
    """Return the smoothstep from 0 to 1 around `edge`, `width` wide."""
    t = ((value - edge) / width + 0.5).clip(0, 1)
    return t * t * (3 - 2 * t)
