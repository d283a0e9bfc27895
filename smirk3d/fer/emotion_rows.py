"""Photos with their recognised faces, one by one; the local run and workers on other machines both use them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from smirk3d.batch.naming import Job
from smirk3d.batch.photo_rows import PhotoRows
from smirk3d.batch.prefetch import failure_reason
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.fer.emotions_csv import emotion_row
from smirk3d.fer.recognizer import EmotionRecognizer, FaceEmotion


@dataclass(frozen=True, eq=False)
class RecognizedPhoto:
    """The faces of one photo, or the error of a failure.

    Attributes:
        job: The photo.
        faces: Largest first; empty where it failed.
        pixels: (H, W, 3) uint8 RGB, upright; (0, 0, 3) where it failed.
        error: Why it failed; None for a success.
    """

    job: Job
    faces: tuple[FaceEmotion, ...] = ()
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), dtype=np.uint8))
    error: Exception | None = None

    def rows(self) -> list[list[str]]:
        """Return the rows of the faces in the table `emotions.csv`."""
        return [emotion_row(self.job.name, k, each) for k, each in enumerate(self.faces)]


def recognize_job(job: Job, recognizer: EmotionRecognizer) -> RecognizedPhoto:
    """Recognise the faces of one photo; a failure is a result, never an exception."""
    try:
        photo, found = recognizer.recognize_photo(job.source())
        return RecognizedPhoto(job, tuple(found), photo.pixels)
    except Exception as error:  # one photo never stops the run
        return RecognizedPhoto(job, error=error)


class EmotionRows:
    """Rows of the table `emotions.csv`; a `smirk3d.batch.photo_rows.RowSource`.

    Args:
        reconstructor: Detects and reconstructs the faces; closed with this object.
        weights: File of `smirk3d fer train`; None: the packaged network.
    """

    def __init__(self, reconstructor: Reconstructor, weights: str | None = None) -> None:
        self._reconstructor = reconstructor
        self._recognizer = EmotionRecognizer(weights=weights, reconstructor=reconstructor)

    def batches(self, blocks: Iterable[Sequence[Job]]) -> Generator[list[PhotoRows], None, None]:
        """See `RowSource`."""
        for block in blocks:
            for job in block:
                found = recognize_job(job, self._recognizer)
                if found.error is None:
                    yield [PhotoRows(job, tuple(found.rows()))]
                else:
                    yield [PhotoRows(job, reason=failure_reason(found.error))]

    def close(self) -> None:
        """See `RowSource`."""
        self._reconstructor.close()
