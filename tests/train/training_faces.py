"""Small pictures of made-up faces, and shards of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from smirk3d.pipeline.detect import Detection
from smirk3d.train.shards import Record


def jpeg(width: int, height: int, seed: int = 0) -> bytes:
    """Encode smooth random colours, which survive JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


def face_points(center: tuple[float, float], size: float, seed: int = 0) -> np.ndarray:
    """Make 478 points in an upright box of the given side whose outer eye corners lie level."""
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (478, 2)) * size
    points[:4] = np.array([[-0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [0.5, -0.5]]) * size
    points[33], points[263] = (-0.3 * size, 0), (0.3 * size, 0)
    return (points + center).astype(np.float32)


def record(key: str, person: str = "", *, width: int = 64, height: int = 48, seed: int = 0) -> Record:
    """Make a face in the middle of its picture."""
    points = face_points((width / 2, height / 2), 0.6 * height, seed)
    scores = np.linspace(0, 1, 52, dtype=np.float32)
    return Record(key, jpeg(width, height, seed), points, (width, height), scores, person, f"{key}.png")


def detection(points: np.ndarray) -> Detection:
    """Make what a detector says of a face with these points."""
    box = np.concatenate((points.min(axis=0), points.max(axis=0)))
    return Detection(points, np.zeros(478, np.float32), np.full(52, 0.25, np.float32), box, 1.0)
