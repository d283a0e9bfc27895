"""Made-up faces and methods under test, without photos of people and without networks."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from smirk3d.evaluation.photos import PhotoSet
from smirk3d.pipeline.detect import Detection
from smirk3d.pipeline.faces import Sighting
from smirk3d.pipeline.images import Photo
from smirk3d.train.shards import Record, write_shard

SIZE = 48


class Silent:
    """A progress display that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def advance(self) -> None:
        self.count += 1

    def note(self, text: str) -> None:
        pass


class FakeSubject:
    """Says what a function of pixels says; loses faces in photos whose top-left pixel is black."""

    method = "encoder"
    reads_landmarks = False

    def __init__(self, weights_of: Callable[[np.ndarray], np.ndarray], shift_px: float = 0.0) -> None:
        self._weights_of, self._shift_px = weights_of, shift_px

    def look(self, photo: Photo, known: Detection) -> Sighting | None:
        return (photo, known) if photo.pixels[0, 0].any() else None

    def landmarks_px(self, sightings: Sequence[Sighting]) -> np.ndarray:
        return np.stack([found.landmarks_px + np.array([self._shift_px, 0]) for _, found in sightings])

    def weights(self, sightings: Sequence[Sighting]) -> np.ndarray:
        return np.stack([self._weights_of(photo.pixels) for photo, _ in sightings])

    features = weights


def face_points(seed: int = 0) -> np.ndarray:
    """478 points about the middle of the picture; the outer eye corners are 20 pixels apart."""
    points = np.random.default_rng(seed).uniform(-14, 14, (478, 2)) + SIZE / 2
    points[33], points[263] = (SIZE / 2 - 10, 20), (SIZE / 2 + 10, 20)
    return points.astype(np.float32)


def record(key: str, seed: int = 0, *, lost: bool = False) -> Record:
    """Smooth random colours; a lost face has a black corner."""
    coarse = np.random.default_rng(seed).integers(40, 255, (4, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    if lost:
        picture.paste((0, 0, 0), (0, 0, 16, 16))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    scores = np.linspace(0, 1, 52, dtype=np.float32)
    return Record(key, file.getvalue(), face_points(seed), (SIZE, SIZE), scores, "", f"{key}.png")


def photo_set(count: int, lost: int = 0) -> PhotoSet:
    """Made-up faces, the last ones lost."""
    return PhotoSet(tuple(record(f"face{k}", k, lost=k >= count - lost) for k in range(count)))


def shards(folder: Path, train: int = 4, val: int = 3) -> Path:
    """Write both splits to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_shard(folder / "train-000000.tar", [record(f"t{k}", k) for k in range(train)])
    write_shard(folder / "val-000000.tar", [record(f"v{k}", 100 + k) for k in range(val)])
    return folder
