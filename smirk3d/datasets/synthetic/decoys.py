"""Photos with something that hides nothing: shadows, light, clear glasses, things beside the face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from smirk3d.datasets.synthetic import occluder_shapes as shapes
from smirk3d.datasets.synthetic.occluder_shapes import FacePlace
from smirk3d.datasets.synthetic.occluders import blurred
from smirk3d.head.landmark_indices import FACE_OVAL


def shadow(pixels: np.ndarray, place: FacePlace, rng: np.random.Generator) -> np.ndarray:
    """Return a photo with a cast shadow, or light, over a part of the face, with a soft or a hard edge."""
    origin = place.at(rng.normal(0, 0.15), rng.normal(0, 0.2), place.center("face"))
    if rng.random() < 0.5:
        coverage = shapes.half_plane(place, origin, rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.03), rng)
    else:
        outline = place.place(shapes.blob(rng.uniform(0.15, 0.6), rng), origin)
        coverage = shapes.draw_polygons([outline], place.size)
    soft = blurred(coverage, rng.uniform(0.005, 0.08) * place.unit_px)[..., None]
    gain = rng.uniform(0.3, 0.85) if rng.random() < 0.8 else rng.uniform(1.15, 1.7)
    return _to_uint8(pixels * (1 + (gain - 1) * soft))


def glasses(pixels: np.ndarray, place: FacePlace, rng: np.random.Generator) -> np.ndarray:
    """Return a photo with frames of glasses, and at times a faint tint or reflection in the lenses."""
    eyes = [place.center(name) for name in ("eye_right", "eye_left")]
    width = rng.uniform(0.38, 0.48) * float(np.hypot(*(eyes[1] - eyes[0]))) / place.unit_px
    ring = shapes.ellipse(width, width * rng.uniform(0.6, 1.0))
    rings = [place.place(ring, eye) for eye in eyes]
    line_px = rng.uniform(0.006, 0.028) * place.unit_px
    strokes = [(np.concatenate([outline, outline[:1]]), line_px) for outline in rings]
    strokes += [(np.stack([rings[0][0], rings[1][len(ring) // 2]]), line_px)]
    strokes += [(np.stack([rings[0][len(ring) // 2], place.landmarks_px[127]]), line_px)]
    strokes += [(np.stack([rings[1][0], place.landmarks_px[356]]), line_px)]
    frame = blurred(shapes.draw_strokes(strokes, place.size), rng.uniform(0.3, 1.2))[..., None]
    lens = shapes.draw_polygons(rings, place.size)[..., None]
    tinted = pixels * (1 - rng.uniform(0, 0.25) * lens) + rng.uniform(0, 25) * lens
    return _to_uint8(tinted + frame * (rng.uniform(5, 200) - tinted))


def beside(pixels: np.ndarray, place: FacePlace, rng: np.random.Generator) -> np.ndarray:
    """Return a photo with a plain thing beside, above or below the face."""
    angle = rng.uniform(0, 2 * np.pi)
    origin = place.at(0.62 * np.cos(angle), 0.68 * np.sin(angle), place.center("face"))
    coverage = shapes.half_plane(place, origin, angle + rng.normal(0, 0.2), rng.uniform(0, 0.02), rng)
    outside = coverage * (1 - shapes.draw_polygons([_outline(place)], place.size))
    soft = blurred(outside, 1.0)[..., None]
    return _to_uint8(pixels + soft * (rng.uniform(5, 245) - pixels))


def brightness(pixels: np.ndarray, place: FacePlace, rng: np.random.Generator) -> np.ndarray:
    """Return a photo that is darker or brighter, harder or softer."""
    gamma, gain = np.exp(rng.normal(0, 0.5)), rng.uniform(0.35, 1.2)
    return _to_uint8(255 * gain * (pixels / 255.0) ** gamma)


DECOYS: tuple[Callable[[np.ndarray, FacePlace, np.random.Generator], np.ndarray], ...] = (
    shadow,
    glasses,
    beside,
    brightness,
)


def _outline(place: FacePlace) -> np.ndarray:
    return place.landmarks_px[list(FACE_OVAL)]


def _to_uint8(pixels: np.ndarray) -> np.ndarray:
    return np.round(pixels).clip(0, 255).astype(np.uint8)
