"""Faces of many photos in constant memory: a thread reads ahead while the solver fits a batch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from smirk3d.assets import printable
from smirk3d.batch.naming import Job
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.media.images import read_image

if TYPE_CHECKING:
    from smirk3d.estimation.reconstructor import DetectedPhoto, Reconstructor
    from smirk3d.face import Face

BATCH_IMAGES = 16
# Large photos make smaller batches, so that the three batches alive at a time (one being read, one solved,
# one written) stay below half a gigabyte.
BATCH_PIXELS = 50_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """What became of one photo.

    Attributes:
        job: The photo.
        faces: Largest first; empty where it failed.
        pixels: (H, W, 3) uint8 RGB, upright; (0, 0, 3) where it failed.
        reason: One line that says why it failed; None where it did not.
        notes: What reading the photo had to change, such as its size.
    """

    job: Job
    faces: tuple[Face, ...] = ()
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), dtype=np.uint8))
    reason: str | None = None
    notes: tuple[str, ...] = ()


def reconstruct_batches(
    jobs: Iterable[Job], reconstructor: Reconstructor, batch_images: int = BATCH_IMAGES
) -> Generator[list[PhotoResult], None, None]:
    """Reconstruct photos batch by batch, in order; a failure is a result, never an exception.

    Args:
        jobs: The photos.
        reconstructor: It reads and detects in a second thread, and solves in the caller's.
        batch_images: At most this many photos are solved together.

    Yields:
        Lists of estimates, one for each job.
    """
    source, stop = iter(jobs), threading.Event()
    with ThreadPoolExecutor(1, "smirk3d-read") as thread:
        upcoming = thread.submit(_read_batch, source, reconstructor, batch_images, stop)
        try:
            while batch := upcoming.result():
                upcoming = thread.submit(_read_batch, source, reconstructor, batch_images, stop)
                yield _solve_batch(batch, reconstructor)
        finally:
            stop.set()  # leaving early, the thread ends after the photo it is at


def reconstruct_person(jobs: Sequence[Job], reconstructor: Reconstructor) -> Generator[list[PhotoResult], None, None]:
    """Reconstruct photos of one person with one identity; otherwise as `reconstruct_batches`.

    A first pass finds the photos that can be used; the pixels are read again at the end, because the photos
    of a person together may not fit into memory.
    """
    reasons = {job: _unusable(job, reconstructor) for job in jobs}
    usable = [job for job in jobs if reasons[job] is None]
    faces: dict[Job, Face] = {}
    try:
        if usable:
            found = reconstructor.fit_identity([job.path for job in usable])
            faces = dict(zip(usable, found, strict=True))
    except Exception as error:  # then all photos of the person have failed
        reasons |= dict.fromkeys(usable, failure_reason(error))
    for job in jobs:
        if job in faces:
            photo = read_image(job.path)
            yield [PhotoResult(job, (faces[job],), photo.pixels, notes=photo.notes)]
        else:
            yield [PhotoResult(job, reason=reasons[job])]


def failure_reason(error: Exception) -> str:
    """Describe an error in one line; the log gets the traceback of those that nobody foresaw."""
    if isinstance(error, Smirk3dError):
        return printable(" ".join(str(error).split()))
    _log.debug("internal error", exc_info=error)
    return printable(f"internal error: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _read_batch(
    source: Iterator[Job], reconstructor: Reconstructor, batch_images: int, stop: threading.Event
) -> list[tuple[Job, DetectedPhoto | str]]:
    """Read and detect the next photos; an empty list is the end. A string is the reason of a failure."""
    batch: list[tuple[Job, DetectedPhoto | str]] = []
    n_pixels = 0
    while len(batch) < batch_images and n_pixels < BATCH_PIXELS and not stop.is_set():
        job = next(source, None)
        if job is None:
            break
        prepared = _read(job, reconstructor)
        batch.append((job, prepared))
        n_pixels += 0 if isinstance(prepared, str) else prepared.photo.pixels.size // 3
    return batch


def _read(job: Job, reconstructor: Reconstructor) -> DetectedPhoto | str:
    try:
        prepared = reconstructor.read_and_detect(job.path)
        if not prepared.detections:
            raise NoFaceError(f"{job.path}: no face found; crop the picture to the face or use a sharper one")
        return prepared
    except Exception as error:  # one photo never stops the run
        return failure_reason(error)


def _unusable(job: Job, reconstructor: Reconstructor) -> str | None:
    prepared = _read(job, reconstructor)
    return prepared if isinstance(prepared, str) else None


def _solve_batch(batch: Sequence[tuple[Job, DetectedPhoto | str]], reconstructor: Reconstructor) -> list[PhotoResult]:
    prepared = [item for _, item in batch if not isinstance(item, str)]
    solved = iter(_solve(prepared, reconstructor))
    estimates = []
    for job, item in batch:
        outcome = item if isinstance(item, str) else next(solved)
        if isinstance(outcome, str):
            estimates.append(PhotoResult(job, reason=outcome))
        elif not isinstance(item, str):
            estimates.append(PhotoResult(job, tuple(outcome), item.photo.pixels, notes=item.photo.notes))
    return estimates


def _solve(prepared: Sequence[DetectedPhoto], reconstructor: Reconstructor) -> list[list[Face] | str]:
    """Return the faces of each photo, or why it failed; one that fails does not harm the others."""
    if not prepared:
        return []
    try:
        return list(reconstructor.solve(list(prepared)))
    except Exception as error:
        if len(prepared) == 1:
            return [failure_reason(error)]
        return [outcome for item in prepared for outcome in _solve([item], reconstructor)]
