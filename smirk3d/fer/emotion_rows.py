"""Photos with their recognised faces, batch by batch; the local run and workers on other machines both use them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from smirk3d.batch.naming import Job
from smirk3d.batch.photo_rows import PhotoRows
from smirk3d.batch.prefetch import PhotoResult, failure_reason, reconstruct_batches
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.fer.emotions_csv import emotion_row
from smirk3d.fer.recognizer import FaceEmotion, face_emotions, face_windows


@dataclass(frozen=True, eq=False)
class RecognizedPhoto:
    """The faces of one photo, or the reason of a failure.

    Attributes:
        job: The photo.
        faces: Largest first; empty where it failed.
        pixels: (H, W, 3) uint8 RGB, upright; (0, 0, 3) where it failed.
        reason: One line with the reason of a failure; None for a success.
    """

    job: Job
    faces: tuple[FaceEmotion, ...] = ()
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), dtype=np.uint8))
    reason: str | None = None

    def rows(self) -> list[list[str]]:
        """Return the rows of the faces in the table `emotions.csv`."""
        return [emotion_row(self.job.name, k, each) for k, each in enumerate(self.faces)]


def recognized_batches(
    blocks: Iterable[Sequence[Job]],
    reconstructor: Reconstructor,
    weights: str | os.PathLike[str] | None = None,
    repair: bool = False,
) -> Generator[list[RecognizedPhoto], None, None]:
    """Recognise photos batch by batch, in order; a failure is a result, never an exception.

    Args:
        blocks: As for `reconstruct_batches`.
        reconstructor: Detects and reconstructs the faces.
        weights: File of `smirk3d fer train`; None: the packaged network.
        repair: Rebuild what hides parts of a face before its emotions are recognised.
    """
    with closing(reconstruct_batches(blocks, reconstructor)) as batches:
        for batch in batches:
            yield _recognized(batch, weights, repair)


def _recognized(
    batch: Sequence[PhotoResult], weights: str | os.PathLike[str] | None, repair: bool
) -> list[RecognizedPhoto]:
    try:
        places = [(each.pixels, found.landmarks_px) for each in batch for found in each.detections]
        faces = [face for each in batch for face in each.faces]
        expressions: Iterator[FaceEmotion] = iter(())
        if faces:
            windows = face_windows(places, repair)
            expressions = iter(face_emotions(faces, windows, weights))
    except Exception as error:  # one photo never stops the run
        if len(batch) > 1:  # nor does it fail the others of its batch
            return [photo for each in batch for photo in _recognized([each], weights, repair)]
        return [RecognizedPhoto(each.job, reason=each.reason or failure_reason(error)) for each in batch]
    return [
        RecognizedPhoto(each.job, tuple(next(expressions) for _ in each.faces), each.pixels, each.reason)
        for each in batch
    ]


class EmotionRows:
    """Rows of the table `emotions.csv`; a `smirk3d.batch.photo_rows.RowSource`.

    Args:
        reconstructor: Detects and reconstructs the faces; closed with this object.
        weights: File of `smirk3d fer train`; None: the packaged network.
    """

    def __init__(self, reconstructor: Reconstructor, weights: str | None = None) -> None:
        self._reconstructor, self._weights = reconstructor, weights

    def batches(self, blocks: Iterable[Sequence[Job]]) -> Generator[list[PhotoRows], None, None]:
        """See `RowSource`."""
        with closing(recognized_batches(blocks, self._reconstructor, self._weights)) as batches:
            for batch in batches:
                yield [PhotoRows(photo.job, tuple(photo.rows()), photo.reason) for photo in batch]

    def close(self) -> None:
        """See `RowSource`."""
        self._reconstructor.close()
