"""Surfaces of things that hide parts of a face: grey images (H, W) float32 in [0, 255]."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

Size = tuple[int, int]
"""Width and height in pixels."""


def flat(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return one grey level with faint noise and a faint gradient."""
    return rng.uniform(5, 250) + gradient(size, rng, strength=10) - 128 + rng.normal(0, 2, (size[1], size[0]))


def gradient(size: Size, rng: np.random.Generator, strength: float = 90) -> np.ndarray:
    """Return a linear gradient and smooth shading in random directions about mid grey."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]] / max(size)
    total = np.zeros(x.shape)
    for frequency in (0.5, 1.5, 3.0):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        total += rng.normal(0, 0.6) * np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return 128 + strength * total


def shaded(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return a smoothly shaded surface, as skin or plastic has."""
    return rng.uniform(40, 225) + gradient(size, rng, strength=rng.uniform(8, 40)) - 128


def skin(size: Size, rng: np.random.Generator, face_level: float) -> np.ndarray:
    """Return shaded skin about as bright as the face's, with folds and faint pores."""
    level = face_level * rng.uniform(0.75, 1.2)
    paint = level + gradient(size, rng, strength=rng.uniform(6, 28)) - 128
    fold = smooth_noise(size, rng, max(size) / rng.uniform(15, 40)) * rng.uniform(2, 10)
    return paint + fold + smooth_noise(size, rng, 1.5) * rng.uniform(0, 4)


def smooth_noise(size: Size, rng: np.random.Generator, grain_px: float) -> np.ndarray:
    """Return noise of standard deviation 1 and of a grain size in pixels."""
    small = (max(2, round(size[0] / grain_px)), max(2, round(size[1] / grain_px)))
    values = rng.normal(0, 1, (small[1], small[0])).astype(np.float32)
    image = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))
    return image / max(float(image.std()), 1e-6)


def noise(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return noise of a random grain and contrast."""
    grain_px = float(np.exp(rng.uniform(0, np.log(max(size) / 6))))
    return rng.uniform(40, 215) + rng.uniform(10, 70) * smooth_noise(size, rng, max(grain_px, 1.0))


def stripes(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return stripes of a random period and direction."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), max(size) / rng.uniform(8, 60)
    wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period + rng.uniform(0, 6))
    sharp = rng.uniform(1, 5)
    return rng.uniform(60, 200) + rng.uniform(15, 80) * np.tanh(sharp * wave)


def checks(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return the sum of stripes in two directions, as plaid has."""
    return (stripes(size, rng) + stripes(size, rng)) / 2


def knit(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return knitted or woven cloth: a fine periodic relief, folds, and at times plaid."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    period = max(size) / rng.uniform(30, 90)
    relief = np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * (y / period + 0.25 * np.sin(2 * np.pi * x / period)))
    folds = smooth_noise(size, rng, max(size) / rng.uniform(4, 9)) * rng.uniform(8, 25)
    plaid = rng.uniform(0, 0.6) * (checks(size, rng) - 128) if rng.random() < 0.5 else 0
    return rng.uniform(40, 210) + rng.uniform(5, 25) * relief + folds + plaid


def page(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return a page of text: rows of short dark strokes on a light ground."""
    light, dark = rng.uniform(180, 250), rng.uniform(5, 80)
    canvas = Image.new("F", size, light)
    draw = ImageDraw.Draw(canvas)
    row_px = max(size) / rng.uniform(12, 45)
    y = rng.uniform(0, row_px)
    while y < size[1]:
        x = rng.uniform(0, row_px)
        while x < size[0]:
            word_px = row_px * rng.uniform(0.4, 3)
            for _ in range(int(3 * word_px / row_px) + 1):
                x0 = x + rng.uniform(0, word_px)
                draw.line(
                    [(x0, y), (x0 + rng.normal(0, row_px / 5), y + row_px * 0.6)],
                    fill=dark,
                    width=max(1, round(row_px / 8)),
                )
            x += word_px + row_px * 0.5
        y += row_px
    return np.array(canvas, dtype=np.float32)


def lens(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return dark glass with soft reflections."""
    reflection = np.maximum(gradient(size, rng, strength=60) - 128, 0) * rng.uniform(0, 1.2)
    return rng.uniform(5, 50) + reflection


def grille(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return a dark or grey mesh with a soft highlight."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    period = max(size) / rng.uniform(50, 110)
    mesh = np.sin(2 * np.pi * (x + y) / period) * np.sin(2 * np.pi * (x - y) / period)
    return rng.uniform(15, 120) + rng.uniform(3, 25) * mesh + (gradient(size, rng, strength=30) - 128)


def picture(size: Size, rng: np.random.Generator, other: np.ndarray) -> np.ndarray:
    """Return a random part of another picture (h, w) uint8, turned, mirrored and enlarged."""
    height, width = other.shape
    share = rng.uniform(0.3, 1.0)
    w, h = max(int(width * share), 2), max(int(height * share), 2)
    x0, y0 = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    part = np.rot90(other[y0 : y0 + h, x0 : x0 + w], int(rng.integers(0, 4)))
    part = part[:, ::-1] if rng.random() < 0.5 else part
    image = np.asarray(Image.fromarray(np.ascontiguousarray(part)).resize(size), dtype=np.float32)
    return (image - 128) * rng.uniform(0.6, 1.2) + 128 + rng.normal(0, 20)
