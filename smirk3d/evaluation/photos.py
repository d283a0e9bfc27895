"""Photos of a split with known landmarks, as if the faces in them had just been detected."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.datasets.shards import DataError, Record, read_folder
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.head.landmark_indices import POINT_COUNT
from smirk3d.media.images import Photo, read_image

BATCH = 32


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Encoded faces, and what could not be read of them."""

    records: tuple[Record, ...]
    faults: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    @staticmethod
    def read(folder: str | Path, split: str, count: int, keys: Collection[str] | None = None) -> PhotoSet:
        """Read the first `count` faces of a split; of those named in `keys`, where given.

        Raises:
            Smirk3dError: The folder has no such split, or no usable face in it.
        """
        faults: list[DataError] = []
        records = (record for record in read_folder(folder, split, faults.append) if keys is None or record.key in keys)
        chosen = tuple(islice(records, count))
        if not chosen:
            reason = faults[0] if faults else "its shards are empty; prepare them again"
            raise Smirk3dError(f"{printable(folder)}: no usable faces in its split {split}: {reason}")
        return PhotoSet(chosen, tuple(faults))

    def first(self, count: int) -> PhotoSet:
        """Return the first faces, at most `count`."""
        return PhotoSet(self.records[:count], self.faults)

    def batches(self) -> Iterator[list[FaceObservation]]:
        """Yield all faces, decoded, some at a time.

        Raises:
            Smirk3dError: A picture cannot be decoded.
        """
        for start in range(0, len(self), BATCH):
            yield [face_observation(record) for record in self.records[start : start + BATCH]]


def face_observation(record: Record) -> FaceObservation:
    """Decode a face; where the depth of its landmarks is not known it is zero.

    Raises:
        Smirk3dError: The picture cannot be decoded.
    """
    try:
        pixels = read_image(record.jpeg).pixels
    except Smirk3dError as error:
        raise Smirk3dError(f"face {printable(record.key)}: {error}") from error
    depth = np.zeros(POINT_COUNT, np.float32) if record.depth_px is None else record.depth_px
    return FaceObservation(Photo(pixels), Detection(record.landmarks_px, depth, record.scores, record.box_px, 1.0))
