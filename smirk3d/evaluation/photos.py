"""Faces to evaluate on: with known landmarks from shards, or plain photos."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.datasets.shard_archive import Member, read_members
from smirk3d.datasets.shards import MAX_IMAGE_BYTES, DataError, Record, read_folder
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation
from smirk3d.head.landmark_indices import POINT_COUNT
from smirk3d.media.images import Photo, iter_inputs, read_image

BATCH = 32


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Faces with known landmarks.

    Attributes:
        records: Encoded faces.
        faults: What could not be read.
    """

    records: tuple[Record, ...]
    faults: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    @staticmethod
    def read(folder: str | Path, split: str, count: int, keys: Collection[str] | None = None) -> PhotoSet:
        """Read the first faces of a split.

        Args:
            folder: Folder of shards.
            split: Name of the split.
            count: At most so many faces.
            keys: Only faces with one of these keys, all by default.

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
        """Yield all faces, decoded, up to `BATCH` at a time.

        Raises:
            Smirk3dError: A photo cannot be decoded.
        """
        for start in range(0, len(self), BATCH):
            yield [face_observation(record) for record in self.records[start : start + BATCH]]


def face_observation(record: Record) -> FaceObservation:
    """Decode a face; where the depth of its landmarks is not known it is zero.

    Raises:
        Smirk3dError: The photo cannot be decoded.
    """
    try:
        pixels = read_image(record.jpeg).pixels
    except Smirk3dError as error:
        raise Smirk3dError(f"face {printable(record.key)}: {error}") from error
    depth = np.zeros(POINT_COUNT, np.float32) if record.depth_px is None else record.depth_px
    return FaceObservation(Photo(pixels), Detection(record.landmarks_px, depth, record.scores, record.box_px, 1.0))


@dataclass(frozen=True, eq=False)
class PhotoFiles:
    """Photos without annotations; their largest faces are detected.

    Attributes:
        sources: Paths, or photos in an archive.
        detect: (H, W, 3) uint8 pixels -> the faces in them, largest first.
        faults: What could not be read so far; it is left out.
    """

    sources: tuple[Path | Member, ...]
    detect: Callable[[np.ndarray], list[Detection]]
    faults: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sources)

    @staticmethod
    def read(path: Path, count: int, detect: Callable[[np.ndarray], list[Detection]]) -> PhotoFiles:
        """List the first photos of a folder, or of the .jpg members of a .tar.

        Args:
            path: The folder or the archive.
            count: At most so many.
            detect: Finds faces; see the attribute.

        Raises:
            Smirk3dError: The path cannot be read, or has no photos.
        """
        try:
            sources = _members(path) if path.suffix == ".tar" else iter_inputs([path])
            found = tuple(islice(sources, count))
        except OSError as error:
            raise Smirk3dError(f"{printable(path)}: unreadable ({printable(one_line(error))}); replace it") from error
        if not found:
            raise Smirk3dError(f"{printable(path)}: has no photos")
        return PhotoFiles(found, detect)

    def batches(self) -> Iterator[list[FaceObservation]]:
        """Yield the photos in which a face is detected, decoded, at most `BATCH` at a time.

        Raises:
            Smirk3dError: No photo can be decoded.
        """
        self.faults.clear()
        for start in range(0, len(self), BATCH):
            photos = [photo for source in self.sources[start : start + BATCH] if (photo := self._photo(source))]
            if len(self.faults) == len(self):
                raise Smirk3dError(self.faults[0])
            found = [(photo, self.detect(photo.pixels)) for photo in photos]
            yield [FaceObservation(photo, detections[0]) for photo, detections in found if detections]

    def _photo(self, source: Path | Member) -> Photo | None:
        """Decode a photo; None where it cannot be, which is noted."""
        name = source.name if isinstance(source, Member) else ""
        try:
            if isinstance(source, Member) and source.fault:
                raise Smirk3dError(source.fault)
            return Photo(read_image(source.content if isinstance(source, Member) else source).pixels)
        except Smirk3dError as error:
            self.faults.append(printable(f"{name}: {error}" if name else str(error)))
            return None


def _members(path: Path) -> Iterator[Member]:
    for part in read_members(path, lambda name: MAX_IMAGE_BYTES if name.endswith(".jpg") else 0):
        if isinstance(part, Member):
            yield part
        elif not part.after:
            raise OSError("it is no archive")
