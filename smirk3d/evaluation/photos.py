"""Photos of a split with known landmarks, as if the faces in them had just been detected."""

from __future__ import annotations

import csv
import json
import tarfile
from collections import Counter
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
LABELS_NAME = "labels.csv"


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
    return Photo(pixels), Detection(record.landmarks_px, depth, record.scores, record.box_px, 1.0)


def emotion_labels(folder: str | Path, split: str) -> dict[str, str]:
    """Return the emotion of each labelled face of a split by its key, in the order of the shards.

    The label is the field `emotion` of `KEY.json`. Where the folder's `labels.csv` says which collection a face is
    from (columns `key` and `source`), only faces of the largest one count: a collection is told by more than its
    faces, and a probe would learn to tell it.

    Raises:
        Smirk3dError: A file cannot be read.
    """
    labels: dict[str, str] = {}
    for path in sorted(Path(folder).glob(f"{split}-*.tar")):
        try:
            labels |= _emotions_of_shard(path)
        except (OSError, tarfile.TarError, ValueError, AttributeError) as error:
            raise Smirk3dError(f"{printable(path)}: unreadable ({type(error).__name__}); prepare it again") from error
    usual = _keys_of_largest_source(Path(folder) / LABELS_NAME)
    return labels if usual is None else {key: label for key, label in labels.items() if key in usual}


def _emotions_of_shard(path: Path) -> dict[str, str]:
    labels = {}
    with tarfile.open(path, "r:") as archive:
        for info in archive:
            file = archive.extractfile(info) if info.name.endswith(".json") else None
            emotion = json.loads(file.read()).get("emotion") if file else None
            if emotion:
                labels[info.name.removesuffix(".json")] = str(emotion)
    return labels


def _keys_of_largest_source(path: Path) -> set[str] | None:
    """Return the keys of the largest collection; None where the folder does not tell collections apart."""
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            source_of = {row["key"]: row["source"] for row in csv.DictReader(file)}
    except KeyError:
        return None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({type(error).__name__}); replace or remove it") from error
    if not source_of:
        return None
    largest, _ = Counter(source_of.values()).most_common(1)[0]
    return {key for key, source in source_of.items() if source == largest}
