"""Outlines of things that hide parts of a face, placed by its landmarks.

A shape is drawn as coverage, (H, W) float32 in [0, 1], of a photo. Lengths are in units of the face: the distance
from the chin to the forehead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from smirk3d.detection.face_patch import PatchFrame
from smirk3d.head.landmark_indices import EYE_LEFT, EYE_RIGHT, LIPS_OUTER

SUPERSAMPLING = 2
"""Coverage is drawn so many times larger and reduced, which smooths its edges."""
Polygon = np.ndarray
"""(P, 2) pixels."""
_LOWER_CONTOUR = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
"""The face's oval from the right ear over the chin to the left ear."""
_TEMPLES = (127, 356)
_NOSE_BRIDGE, _NOSE_TIP, _FOREHEAD, _CHIN = 6, 4, 10, 152


@dataclass(frozen=True, eq=False)
class FacePlace:
    """Where a face is in a photo.

    Attributes:
        landmarks_px: (478, 2) float, pixels.
        size: Width and height of the photo.
    """

    landmarks_px: np.ndarray
    size: tuple[int, int]

    @property
    def frame(self) -> PatchFrame:
        """The upright square about the face."""
        return PatchFrame.from_landmarks(self.landmarks_px)

    @property
    def unit_px(self) -> float:
        """Length of the face, pixels."""
        return max(float(np.hypot(*(self.landmarks_px[_CHIN] - self.landmarks_px[_FOREHEAD]))), 8.0)

    @property
    def right(self) -> np.ndarray:
        """(2,) unit vector to the right of the upright face, in the photo."""
        return self.frame.right_px / np.hypot(*self.frame.right_px)

    @property
    def down(self) -> np.ndarray:
        """(2,) unit vector to the chin, in the photo."""
        return np.array([-self.right[1], self.right[0]])

    def at(self, x: float, y: float, origin: np.ndarray) -> np.ndarray:
        """Return a point (2,) in pixels: x face lengths right and y down of an origin (2,) in pixels."""
        return origin + self.unit_px * (x * self.right + y * self.down)

    def place(self, points: np.ndarray, origin: np.ndarray) -> Polygon:
        """Return points (P, 2) in face lengths from an origin (2,) in pixels as pixels (P, 2)."""
        return origin + self.unit_px * (points[:, :1] * self.right + points[:, 1:] * self.down)

    def center(self, name: str) -> np.ndarray:
        """Return the centre (2,) in pixels of "mouth", "eye_left", "eye_right", "eyes", "left", "right" or "face"."""
        points = self.landmarks_px
        if name == "eyes":
            return (self.center("eye_left") + self.center("eye_right")) / 2
        if name in ("left", "right"):
            ear = points[454 if name == "left" else 234]
            return (ear + points[_NOSE_TIP]) / 2
        rings = {"mouth": LIPS_OUTER, "eye_left": EYE_LEFT, "eye_right": EYE_RIGHT}
        return points[list(rings[name])].mean(axis=0) if name in rings else points[:468].mean(axis=0)


def draw_polygons(polygons: Sequence[Polygon], size: tuple[int, int]) -> np.ndarray:
    """Return the coverage (H, W) of the union of polygons in pixels."""
    canvas = Image.new("L", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        draw.polygon([(float(x) * SUPERSAMPLING, float(y) * SUPERSAMPLING) for x, y in polygon], fill=255)
    return np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float32) / 255


def draw_strokes(strokes: Sequence[tuple[Polygon, float]], size: tuple[int, int]) -> np.ndarray:
    """Return the coverage (H, W) of thick lines with round joints: points and width in pixels each."""
    canvas = Image.new("L", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    for points, width_px in strokes:
        width = max(round(width_px * SUPERSAMPLING), 1)
        scaled = [(float(x) * SUPERSAMPLING, float(y) * SUPERSAMPLING) for x, y in points]
        draw.line(scaled, fill=255, width=width, joint="curve")
        for x, y in (scaled[0], scaled[-1]):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float32) / 255


def ellipse(half_width: float, half_height: float, count: int = 40) -> np.ndarray:
    """Return the outline (count, 2) of an ellipse about the origin."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([half_width * np.cos(angle), half_height * np.sin(angle)], axis=1)


def rectangle(half_width: float, half_height: float) -> np.ndarray:
    """Return the corners (4, 2) of a rectangle about the origin."""
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (half_width, half_height)


def turned(points: np.ndarray, angle_rad: float) -> np.ndarray:
    """Return points (P, 2) turned clockwise about the origin."""
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def superellipse(power: float, count: int = 48) -> np.ndarray:
    """Return an outline (count, 2) within [-1, 1]: a circle for 1, nearer to a square for more."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.sign(circle) * np.abs(circle) ** (1 / power)


def blob(radius: float, rng: np.random.Generator, count: int = 60) -> np.ndarray:
    """Return a smooth random outline (count, 2) about the origin."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    outline = np.ones(count)
    for order in range(1, 6):
        outline += rng.normal(0, 0.22 / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    outline = radius * outline.clip(0.3, 1.8)
    stretch = rng.uniform(0.7, 1.4)
    return turned(
        np.stack([outline * np.cos(angle) * stretch, outline * np.sin(angle) / stretch], axis=1), rng.uniform(0, 6.3)
    )


def hand(place: FacePlace, origin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the coverage of a hand: a palm, four fingers, a thumb, and a forearm that leaves the photo."""
    scale = rng.uniform(0.75, 1.25)
    turn, spread = rng.uniform(-np.pi, np.pi), rng.uniform(0.05, 0.3)
    palm = ellipse(0.20, 0.24) * rng.uniform(0.9, 1.15)
    strokes: list[tuple[Polygon, float]] = []
    for k in range(4):
        root = np.array([-0.135 + 0.09 * k, -0.17])
        length, lean = rng.uniform(0.24, 0.36), spread * (k - 1.5) + rng.normal(0, 0.04)
        bend = rng.normal(0, 0.15)
        middle = root + length / 2 * np.array([np.sin(lean), -np.cos(lean)])
        tip = middle + length / 2 * np.array([np.sin(lean + bend), -np.cos(lean + bend)])
        strokes.append((np.stack([root, middle, tip]), 0.085))
    side = rng.choice([-1.0, 1.0])
    strokes.append((np.array([[0.15 * side, 0.05], [0.28 * side, -0.06], [0.33 * side, -0.2]]), 0.095))
    strokes.append((np.array([[0, 0.1], [rng.normal(0, 0.1), 2.5]]), rng.uniform(0.25, 0.4)))
    lines = [
        (place.place(turned(points * scale, turn), origin), width * scale * place.unit_px) for points, width in strokes
    ]
    return np.maximum(
        draw_strokes(lines, place.size), draw_polygons([place.place(turned(palm * scale, turn), origin)], place.size)
    )


def face_mask(place: FacePlace, rng: np.random.Generator) -> np.ndarray:
    """Return the coverage of a mask over nose, mouth and chin, with ear loops."""
    points, shift = place.landmarks_px, rng.uniform(-0.04, 0.08)
    keep = list(_LOWER_CONTOUR)[rng.integers(1, 4) : -1]
    keep = keep[: len(keep) - int(rng.integers(0, 3))]
    low = points[keep] + place.unit_px * rng.uniform(0, 0.06) * place.down
    bridge = points[_NOSE_BRIDGE] * (1 - (mix := rng.uniform(0.15, 0.75))) + points[_NOSE_TIP] * mix
    cheeks = [(bridge + side) / 2 + place.unit_px * rng.uniform(0, 0.06) * place.down for side in (low[-1], low[0])]
    outline = np.concatenate([low, cheeks[:1], bridge[None], cheeks[1:]]) + place.unit_px * shift * 0.5 * place.down
    loops = [
        (np.stack([low[0], points[127]]), 0.012 * place.unit_px),
        (np.stack([low[-1], points[356]]), 0.012 * place.unit_px),
    ]
    return np.maximum(draw_polygons([outline], place.size), draw_strokes(loops, place.size))


def strands(place: FacePlace, rng: np.random.Generator) -> np.ndarray:
    """Return the coverage of strands of hair that fall over one side or the brow."""
    strokes: list[tuple[Polygon, float]] = []
    start, width = rng.uniform(-0.5, 0.4), rng.uniform(0.1, 0.5)
    lean, length = rng.normal(0, 0.25), rng.uniform(0.5, 1.3)
    top = place.landmarks_px[_FOREHEAD] - 0.25 * place.unit_px * place.down
    for _ in range(int(rng.integers(8, 60))):
        x, own = start + width * rng.random(), length * rng.uniform(0.6, 1.1)
        fall = np.linspace(0, 1, 8)
        curve = x + lean * fall + rng.normal(0, 0.06) * np.sin(3 * fall + rng.uniform(0, 3))
        points = place.place(np.stack([curve, own * fall], axis=1), top)
        strokes.append((points, place.unit_px * rng.uniform(0.008, 0.05)))
    return draw_strokes(strokes, place.size)


def half_plane(
    place: FacePlace, origin: np.ndarray, angle_rad: float, wave: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the coverage of everything on one side of a wavy line through a point.

    Args:
        place: The face.
        origin: (2,) pixels.
        angle_rad: Direction that is covered, clockwise from the right of the upright face.
        wave: Amplitude of the edge in face lengths.
        rng: For the waves.
    """
    along = np.linspace(-4, 4, 120)
    edge = wave * sum(rng.normal() * np.sin(rng.uniform(2, 9) * along + rng.uniform(0, 6)) for _ in range(3))
    line = np.stack([np.broadcast_to(edge, along.shape), along], axis=1)
    outline = turned(np.concatenate([line, [[8.0, 4.0], [8.0, -4.0]]]), angle_rad)
    return draw_polygons([place.place(outline, origin)], place.size)


def sunglasses(place: FacePlace, rng: np.random.Generator) -> np.ndarray:
    """Return the coverage of two lenses, their bridge, and the temples."""
    eyes = [place.center(name) for name in ("eye_right", "eye_left")]
    apart = float(np.hypot(*(eyes[1] - eyes[0]))) / place.unit_px
    half = rng.uniform(0.5, 0.66) * apart * np.array([0.85, rng.uniform(0.55, 0.85)])
    lens = superellipse(rng.uniform(1.0, 3.0)) * half + [0, rng.uniform(0, 0.02)]
    bars = [
        (np.stack(eyes), 0.025),
        (np.stack([eyes[0], place.landmarks_px[_TEMPLES[0]]]), 0.02),
        (np.stack([eyes[1], place.landmarks_px[_TEMPLES[1]]]), 0.02),
    ]
    return np.maximum(
        draw_polygons([place.place(lens, eye) for eye in eyes], place.size),
        draw_strokes([(line, width * place.unit_px) for line, width in bars], place.size),
    )


def spectacles(place: FacePlace, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the coverage of the frame of a pair of glasses, and of its clear lenses."""
    eyes = [place.center(name) for name in ("eye_right", "eye_left")]
    apart = float(np.hypot(*(eyes[1] - eyes[0]))) / place.unit_px
    half = rng.uniform(0.36, 0.47) * apart * np.array([1.0, rng.uniform(0.6, 1.0)])
    outline = superellipse(rng.uniform(0.8, 3.0)) * half + [0, rng.uniform(0, 0.03)]
    lenses = [place.place(outline, eye) for eye in eyes]
    inner = [lens[np.hypot(*(lens - other).T).argmin()] for lens, other in zip(lenses, eyes[::-1])]
    outer = [lens[np.hypot(*(lens - other).T).argmax()] for lens, other in zip(lenses, eyes[::-1])]
    width_px = rng.uniform(0.006, 0.022) * place.unit_px
    lines = [
        *(np.concatenate([lens, lens[:2]]) for lens in lenses),
        np.stack(inner),
        *(np.stack([end, place.landmarks_px[temple]]) for end, temple in zip(outer, _TEMPLES)),
    ]
    return draw_strokes([(line, width_px) for line in lines], place.size), draw_polygons(lenses, place.size)


def microphone(place: FacePlace, rng: np.random.Generator) -> np.ndarray:
    """Return the coverage of a microphone in front of the mouth: a head and a handle that leaves the photo."""
    mouth = place.at(rng.normal(0, 0.04), rng.uniform(-0.02, 0.06), place.center("mouth"))
    turn, size = rng.uniform(-0.9, 0.9), rng.uniform(0.16, 0.26)
    head = turned(ellipse(size, size * rng.uniform(1.0, 1.5)), turn)
    handle = np.stack([mouth, place.place(turned(np.array([[0, 2.5]]), turn), mouth)[0]])
    return np.maximum(
        draw_polygons([place.place(head, mouth)], place.size),
        draw_strokes([(handle, size * rng.uniform(0.6, 1.1) * place.unit_px)], place.size),
    )


def cup(place: FacePlace, rng: np.random.Generator) -> np.ndarray:
    """Return the coverage of a cup with its handle in front of the mouth."""
    mouth = place.at(rng.normal(0, 0.04), rng.uniform(0.02, 0.12), place.center("mouth"))
    width, height = rng.uniform(0.2, 0.3), rng.uniform(0.22, 0.36)
    turn, narrow = rng.normal(0, 0.15), rng.uniform(0.6, 0.95)
    body = np.array([[-width, -height], [width, -height], [width * narrow, height], [-width * narrow, height]])
    rim = ellipse(width, 0.3 * width) - np.array([0, height])
    side = rng.choice([-1.0, 1.0])
    handle = turned(ellipse(0.16, 0.2)[:21], -np.pi / 2) * [side, 1] + [side * width, 0]
    polygons = [place.place(turned(points, turn), mouth) for points in (body, rim)]
    line = (place.place(turned(handle, turn), mouth), 0.05 * place.unit_px)
    return np.maximum(draw_polygons(polygons, place.size), draw_strokes([line], place.size))
