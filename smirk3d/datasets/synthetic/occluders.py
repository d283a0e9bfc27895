"""Photos with something drawn before the face: blocks, hands, masks, hair and more.

The kinds fall into two sets: `TRAINING_KINDS`, from which the network of visibility learns, and `HELD_OUT_KINDS`, which
it never meets, so that they show how it does on things that nobody drew for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from smirk3d.datasets.synthetic import occluder_paints as paints
from smirk3d.datasets.synthetic import occluder_shapes as shapes
from smirk3d.datasets.synthetic.occluder_shapes import FacePlace
from smirk3d.detection.face_regions import REGIONS, region_points

_TARGETS = ("mouth", "eyes", "left", "right", "eye_left", "eye_right", "face")
_DIRECTION = {"right": np.pi, "left": 0.0, "mouth": np.pi / 2, "eyes": -np.pi / 2}
"""Where a half plane lies that covers a region, clockwise from the right of the upright face, as the image shows it."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What a kind of occluder may depend on in the photo.

    Attributes:
        place: The face.
        level: Grey level of its skin in [0, 255].
        other: (h, w) uint8, another picture.
        rng: Source of randomness.
    """

    place: FacePlace
    level: float
    other: np.ndarray
    rng: np.random.Generator

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo."""
        return self.place.size


@dataclass(frozen=True, eq=False)
class Occlusion:
    """An occluder before a photo.

    Attributes:
        coverage: (H, W) float32 in [0, 1].
        paint: (H, W) float grey levels.
    """

    coverage: np.ndarray
    paint: np.ndarray


Kind = Callable[[Setting], Occlusion]


def _origin(setting: Setting, target: str, scatter: float = 0.1) -> np.ndarray:
    rng = setting.rng
    return setting.place.at(rng.normal(0, scatter), rng.normal(0, scatter), setting.place.center(target))


def _random_target(rng: np.random.Generator) -> str:
    return str(rng.choice(_TARGETS))


def _any_paint(setting: Setting) -> np.ndarray:
    size, rng = setting.size, setting.rng
    choices: tuple[Callable[[], np.ndarray], ...] = (
        lambda: paints.flat(size, rng),
        lambda: paints.shaded(size, rng),
        lambda: paints.noise(size, rng),
        lambda: paints.stripes(size, rng),
        lambda: paints.checks(size, rng),
        lambda: paints.skin(size, rng, setting.level),
        lambda: paints.picture(size, rng, setting.other),
    )
    return choices[int(rng.choice(len(choices), p=(0.15, 0.2, 0.12, 0.06, 0.06, 0.16, 0.25)))]()


def block(setting: Setting) -> Occlusion:
    """Return a rectangle over a random part of the face."""
    rng, target = setting.rng, _random_target(setting.rng)
    wide = 1.8 if target in ("eyes", "mouth") else 1.0
    corners = shapes.rectangle(rng.uniform(0.08, 0.38) * wide, rng.uniform(0.08, 0.38))
    outline = setting.place.place(shapes.turned(corners, rng.normal(0, 0.3)), _origin(setting, target))
    return Occlusion(shapes.draw_polygons([outline], setting.size), _any_paint(setting))


def blob(setting: Setting) -> Occlusion:
    """Return a smooth random outline over a random part of the face."""
    outline = shapes.blob(setting.rng.uniform(0.1, 0.5), setting.rng)
    placed = setting.place.place(outline, _origin(setting, _random_target(setting.rng)))
    return Occlusion(shapes.draw_polygons([placed], setting.size), _any_paint(setting))


def hand(setting: Setting) -> Occlusion:
    """Return one or two hands of the brightness of the face's skin."""
    rng = setting.rng
    paint = paints.skin(setting.size, rng, setting.level)
    coverage = np.zeros(paint.shape, dtype=np.float32)
    for _ in range(int(rng.choice([1, 2], p=[0.75, 0.25]))):
        own = shapes.hand(setting.place, _origin(setting, _random_target(rng), 0.15), rng)
        # A darker rim, as between fingers and where a round limb turns away from the light.
        inner = blurred(own, 0.03 * setting.place.unit_px)
        paint = paint * (1 - rng.uniform(0.1, 0.5) * own * (1 - inner))
        coverage = np.maximum(coverage, own)
    return Occlusion(coverage, paint)


def face_mask(setting: Setting) -> Occlusion:
    """Return a mask over nose, mouth and chin, plain or pleated."""
    rng, size = setting.rng, setting.size
    paint = paints.shaded(size, rng) if rng.random() < 0.7 else _any_paint(setting)
    if rng.random() < 0.4:
        paint = paint + rng.uniform(0.05, 0.2) * (paints.stripes(size, rng) - 128)
    return Occlusion(shapes.face_mask(setting.place, rng), paint)


def strands(setting: Setting) -> Occlusion:
    """Return strands of hair."""
    rng, size = setting.rng, setting.size
    paint = rng.uniform(5, 190) + rng.uniform(5, 30) * paints.smooth_noise(size, rng, rng.uniform(1.5, 5))
    return Occlusion(shapes.strands(setting.place, rng), paint)


def wall(setting: Setting) -> Occlusion:
    """Return something large, of which an edge runs through the face."""
    rng = setting.rng
    region = str(rng.choice(REGIONS))
    origin = _origin(setting, "face", 0.1)
    angle = _DIRECTION[region] + rng.normal(0, 0.3)
    return Occlusion(shapes.half_plane(setting.place, origin, angle, rng.uniform(0, 0.02), rng), _any_paint(setting))


def eye_patches(setting: Setting) -> Occlusion:
    """Return a band over the eyes, or a patch over one or both."""
    rng, place = setting.rng, setting.place
    if rng.random() < 0.4:
        outlines = [place.place(shapes.rectangle(rng.uniform(0.3, 0.6), rng.uniform(0.07, 0.16)), place.center("eyes"))]
    else:
        names = ("eye_left", "eye_right") if rng.random() < 0.7 else (str(rng.choice(["eye_left", "eye_right"])),)
        radius = rng.uniform(0.09, 0.2)
        outlines = [place.place(shapes.blob(radius, rng), _origin(setting, name, 0.02)) for name in names]
    paint = paints.shaded(setting.size, rng) - rng.uniform(0, 120) if rng.random() < 0.6 else _any_paint(setting)
    return Occlusion(shapes.draw_polygons(outlines, place.size), paint)


def scarf(setting: Setting) -> Occlusion:
    """Return cloth up to the nose."""
    rng, place = setting.rng, setting.place
    edge = place.at(0, rng.uniform(-0.16, -0.06), place.center("mouth"))
    coverage = shapes.half_plane(place, edge, np.pi / 2 + rng.normal(0, 0.1), rng.uniform(0.005, 0.025), rng)
    return Occlusion(coverage, paints.knit(setting.size, rng))


def sunglasses(setting: Setting) -> Occlusion:
    """Return dark glasses."""
    return Occlusion(shapes.sunglasses(setting.place, setting.rng), paints.lens(setting.size, setting.rng))


def spectacles(setting: Setting) -> Occlusion:
    """Return glasses with clear lenses, which may reflect a little light."""
    rng, size = setting.rng, setting.size
    frame, lenses = shapes.spectacles(setting.place, rng)
    glare = rng.uniform(0, 0.3) * np.maximum(paints.gradient(size, rng, strength=128) / 128 - 1, 0) * lenses
    metal = rng.uniform(5, 90) if rng.random() < 0.7 else rng.uniform(90, 230)
    return Occlusion(np.maximum(frame, glare.astype(np.float32)), np.where(frame >= glare, metal, 245.0))


def microphone(setting: Setting) -> Occlusion:
    """Return a microphone in front of the mouth."""
    return Occlusion(shapes.microphone(setting.place, setting.rng), paints.grille(setting.size, setting.rng))


def cup(setting: Setting) -> Occlusion:
    """Return a cup in front of the mouth."""
    rng = setting.rng
    paint = rng.uniform(40, 235) + paints.gradient(setting.size, rng, strength=rng.uniform(10, 45)) - 128
    return Occlusion(shapes.cup(setting.place, rng), paint)


def page(setting: Setting) -> Occlusion:
    """Return a page of text over one side, the eyes or the mouth."""
    rng, place = setting.rng, setting.place
    region = str(rng.choice(REGIONS))
    half = {"eyes": (0.6, 0.16), "mouth": (0.5, 0.24)}.get(region, (0.3, 0.7))
    corners = shapes.turned(shapes.rectangle(*half) * rng.uniform(0.9, 1.3), rng.normal(0, 0.1))
    outline = place.place(corners, _origin(setting, region, 0.03))
    return Occlusion(shapes.draw_polygons([outline], place.size), paints.page(setting.size, rng))


def curtain(setting: Setting) -> Occlusion:
    """Return cloth before one side of the face."""
    rng, place = setting.rng, setting.place
    region = str(rng.choice(["left", "right"]))
    middle = place.at(rng.normal(0, 0.03), 0, place.center("face"))
    angle = _DIRECTION[region] + rng.normal(0, 0.12)
    coverage = shapes.half_plane(place, middle, angle, rng.uniform(0.005, 0.03), rng)
    folds = rng.uniform(0.2, 0.8) * (paints.stripes(setting.size, rng) - 128)
    return Occlusion(coverage, paints.knit(setting.size, rng) + folds)


TRAINING_KINDS: Mapping[str, Kind] = {
    "block": block,
    "blob": blob,
    "hand": hand,
    "face_mask": face_mask,
    "strands": strands,
    "wall": wall,
    "eye_patches": eye_patches,
}
HELD_OUT_KINDS: Mapping[str, Kind] = {
    "scarf": scarf,
    "sunglasses": sunglasses,
    "microphone": microphone,
    "cup": cup,
    "page": page,
    "curtain": curtain,
}

WORN_KINDS: Mapping[str, Kind] = {"spectacles": spectacles, "strands": strands}
"""What people wear in most photos where something is before the face."""


def occlude(
    pixels: np.ndarray, landmarks_px: np.ndarray, kind: Kind, other: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an occluder before the face of a photo.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        landmarks_px: (478, 2) float, of the face without the occluder.
        kind: One of `TRAINING_KINDS` or `HELD_OUT_KINDS`.
        other: (h, w) uint8, another picture, parts of which may be drawn.
        rng: Source of randomness.

    Returns:
        (H, W, 3) uint8, and the coverage (H, W) float32 in [0, 1].
    """
    place = FacePlace(landmarks_px, (pixels.shape[1], pixels.shape[0]))
    occlusion = kind(Setting(place, _skin_level(pixels, landmarks_px), other, rng))
    # Edges and surfaces are as sharp as a camera of some quality shows them, not as they are drawn.
    sharpness_px = place.unit_px / 180
    coverage = blurred(occlusion.coverage, rng.uniform(0.3, 1.6) * sharpness_px).clip(0, 1)
    paint = blurred(occlusion.paint, rng.uniform(0, 1.6) * sharpness_px)
    paint = paint + rng.normal(0, rng.uniform(0, 3), coverage.shape)
    is_grey = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
    tint = np.ones(3) if is_grey else 1 + rng.normal(0, 0.12, 3)
    layer = (paint[..., None] * tint).clip(0, 255)
    mixed = pixels + coverage[..., None] * (layer - pixels)
    return mixed.round().clip(0, 255).astype(np.uint8), coverage


def visible_shares(coverage: np.ndarray, landmarks_px: np.ndarray) -> np.ndarray:
    """Return which share of each of `REGIONS` is visible, (4,) float32; what lies outside the photo is not.

    Args:
        coverage: (H, W) in [0, 1], what an occluder covers.
        landmarks_px: (478, 2) float, of the face without the occluder.
    """
    height, width = coverage.shape
    points, shares = region_points(landmarks_px), []
    for name in REGIONS:
        column, row = np.floor(points[name]).astype(np.int64).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        visible = 1 - coverage[row.clip(0, height - 1), column.clip(0, width - 1)]
        shares.append((visible * inside).mean())
    return np.array(shares, dtype=np.float32)


def blurred(values: np.ndarray, sigma_px: float) -> np.ndarray:
    """Return an image (H, W) in float32, blurred by a Gaussian filter."""
    if sigma_px < 0.2:
        return np.asarray(values, dtype=np.float32)
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(np.asarray(values, dtype=np.float32), sigma_px)


def _skin_level(pixels: np.ndarray, landmarks_px: np.ndarray) -> float:
    """Return the median grey level about nose and cheeks."""
    points = np.floor(landmarks_px[[4, 5, 50, 280, 205, 425, 117, 346]]).astype(int)
    column = points[:, 0].clip(0, pixels.shape[1] - 1)
    row = points[:, 1].clip(0, pixels.shape[0] - 1)
    return float(np.median(pixels[row, column].mean(axis=1)))
