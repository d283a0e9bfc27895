"""Photographed training faces in memory, and their crops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import printable
from smirk3d.datasets.fan_contour import CONTOUR_COUNT
from smirk3d.datasets.shards import DataError, Record, read_folder
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.detection.crop import Crop
from smirk3d.errors import Smirk3dError
from smirk3d.media.images import read_image


@dataclass(frozen=True, eq=False)
class FaceSet:
    """N encoded faces of one source.

    Attributes:
        keys: N names.
        jpegs: N encoded images.
        landmarks_px: (N, 478, 2) float32, pixels of the images.
        size_px: (N, 2) int64, their widths and heights.
        person: (N,) int64 from 0 without gaps, equal for faces of one person; faces of unknown people are distinct.
        contour_px: (N, 17, 2) float32, face contours in pixels of the images; NaN where unknown.
        faults: Faces that could not be read.
    """

    keys: tuple[str, ...]
    jpegs: tuple[bytes, ...]
    landmarks_px: np.ndarray
    size_px: np.ndarray
    person: np.ndarray
    contour_px: np.ndarray
    faults: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.jpegs)

    @property
    def people(self) -> int:
        """Number of persons, unknown ones included."""
        return int(self.person.max()) + 1

    @staticmethod
    def from_records(records: Iterable[Record], faults: Sequence[DataError] = ()) -> FaceSet:
        """Collect faces.

        Args:
            records: The faces.
            faults: Faces that could not be read.

        Raises:
            ValueError: There are no faces.
        """
        faces = list(records)
        if not faces:
            raise ValueError("no faces")
        people = [(face.person, -1 if face.person else number) for number, face in enumerate(faces)]
        unknown = np.full((CONTOUR_COUNT, 2), np.nan, dtype=np.float32)
        number_of = {person: number for number, person in enumerate(dict.fromkeys(people))}
        return FaceSet(
            keys=tuple(face.key for face in faces),
            jpegs=tuple(face.jpeg for face in faces),
            landmarks_px=np.stack([face.landmarks_px for face in faces]),
            size_px=np.array([face.size_px for face in faces], dtype=np.int64),
            person=np.array([number_of[person] for person in people], dtype=np.int64),
            contour_px=np.stack([unknown if face.contour_px is None else face.contour_px for face in faces]),
            faults=tuple(faults),
        )

    @staticmethod
    def from_folder(
        folder: str | Path, split: str = "train", is_wanted: Callable[[Record], bool] = lambda record: True
    ) -> FaceSet:
        """Read a split of a folder of shards; see `smirk3d.datasets.shards.read_folder`.

        Args:
            folder: Folder of shards.
            split: "train" or "val".
            is_wanted: Selects the faces.

        Raises:
            Smirk3dError: The folder has no such shards, or they hold no usable face.
        """
        faults: list[DataError] = []
        records = list(filter(is_wanted, read_folder(folder, split, faults.append)))
        if not records:
            reason = faults[0] if faults else "its shards are empty; prepare them again"
            raise Smirk3dError(f"{printable(folder)}: no usable faces in its split {split}: {reason}")
        return FaceSet.from_records(records, faults)

    def landmark_weight(self, index: np.ndarray) -> np.ndarray:
        """Return (B, 478) float32: 1 for landmarks in the image, 0 for those outside, which are extrapolated."""
        points, size = self.landmarks_px[index], self.size_px[index][:, None]
        return np.all((points >= 0) & (points <= size), axis=-1).astype(np.float32)


def epoch_order(person: np.ndarray, max_per_person: int | None, rng: np.random.Generator) -> np.ndarray:
    """Draw the faces of an epoch: each at most once, and at most `max_per_person` of each person.

    Args:
        person: (N,) int64, person of each face.
        max_per_person: Largest number of faces of a person; None: no limit.
        rng: Randomness of the order and of the choice within a person.

    Returns:
        (K,) int64 in random order; K does not depend on `rng`.
    """
    shuffled = rng.permutation(len(person))
    if max_per_person is None:
        return shuffled
    return shuffled[_rank_among_equals(person[shuffled]) < max_per_person]


def _rank_among_equals(values: np.ndarray) -> np.ndarray:
    """Return how many equal values precede each value: [7, 5, 7, 7] gives [0, 0, 1, 2]."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    start = np.repeat(first, np.diff(np.r_[first, len(values)]))
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values)) - start
    return rank


def collate(faces: FaceSet, index: np.ndarray, scale: np.ndarray | float, size: int = 224) -> TrainingBatch:
    """Decode faces and crop them.

    Args:
        faces: All faces.
        index: (B,) int, indices of the faces.
        scale: (B,) or scalar, side of the crop over that of the face.
        size: Side of the crops in pixels.

    Returns:
        B crops, black outside the images, without targets.

    Raises:
        Smirk3dError: An image cannot be decoded.
    """
    index = np.asarray(index)
    images, landmarks, contours = [], [], []
    for k, each in zip(index, np.broadcast_to(scale, index.shape)):
        try:
            pixels = read_image(faces.jpegs[k]).pixels
        except Smirk3dError as error:
            raise Smirk3dError(f"face {faces.keys[k]}: {error}") from error
        crop = Crop.from_landmarks(faces.landmarks_px[k], float(each), size)
        images.append(crop.cut(pixels, antialias=True))
        landmarks.append(crop.to_ndc(crop.to_crop(faces.landmarks_px[k])))
        contours.append(crop.to_ndc(crop.to_crop(faces.contour_px[k])))
    contour_ndc = torch.from_numpy(np.stack(contours).astype(np.float32))
    has_contour = contour_ndc.isfinite().all(dim=2).all(dim=1)
    return TrainingBatch(
        image=torch.stack(images),
        landmarks_ndc=torch.from_numpy(np.stack(landmarks).astype(np.float32)),
        landmark_weight=torch.from_numpy(faces.landmark_weight(index)),
        person=torch.from_numpy(faces.person[index]),
        target=None,
        target_weight=torch.zeros(len(index)),
        contour_ndc=contour_ndc.where(has_contour[:, None, None], 0.0),
        contour_weight=has_contour.float(),
    )
