"""Reconstruction of many photos in constant memory: a thread reads and detects while others solve."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from smirk3d.assets import printable
from smirk3d.batch.naming import Job
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.media.images import read_image
from smirk3d.networks.threads import shared_torch_threads

if TYPE_CHECKING:
    from smirk3d.detection.detector import Detection
    from smirk3d.estimation.reconstructor import DetectedPhoto, Reconstructor
    from smirk3d.face import Face

BATCH_IMAGES = 16
"""Photos that are solved together. Batched linear algebra rounds differently for other batches, see `blocks_to_run`."""
BATCH_PIXELS = 36_000_000
"""Large photos make smaller batches: four batches are in memory at a time (one is read, two solved, one written) and
together stay below half a gigabyte."""
_Batch: TypeAlias = "list[tuple[Job, DetectedPhoto | str]]"
"""Photos with their faces; a string is the reason of a failure."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """The faces of one photo, or the reason of a failure.

    Attributes:
        job: The photo.
        faces: Largest first; empty where it failed.
        pixels: (H, W, 3) uint8 RGB, upright; (0, 0, 3) where it failed.
        reason: One line with the reason of a failure; None for a success.
        notes: What reading the photo changed, such as its size.
        detections: The detection of each face.
    """

    job: Job
    faces: tuple[Face, ...] = ()
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), dtype=np.uint8))
    reason: str | None = None
    notes: tuple[str, ...] = ()
    detections: tuple[Detection, ...] = ()


def blocks_to_run(jobs: Sequence[Job], todo: Container[Job], tried: Container[Job] = ()) -> list[list[Job]]:
    """Divide jobs into blocks that are solved alike in a resumed and in an uninterrupted run.

    What shares a batch changes the last digits of a result. Jobs are finished in their order, so the block of the last
    tried job is the one that an interruption has cut: it is solved again as a whole.

    Args:
        jobs: All jobs of the run.
        todo: Those of which results are wanted.
        tried: Those that an earlier run has finished or failed.

    Returns:
        Blocks of at most `BATCH_IMAGES` jobs, without those of which nothing is wanted.
    """
    last_tried = max((k for k, job in enumerate(jobs) if job in tried), default=-1)
    blocks: list[list[Job]] = []
    for start in range(0, len(jobs), BATCH_IMAGES):
        block = list(jobs[start : start + BATCH_IMAGES])
        is_cut = start <= last_tried < start + len(block) - 1
        wanted = [job for job in block if job in todo]
        if wanted:
            blocks.append(block if is_cut else wanted)
    return blocks


def reconstruct_batches(
    blocks: Iterable[Sequence[Job]], reconstructor: Reconstructor
) -> Generator[list[PhotoResult], None, None]:
    """Reconstruct photos batch by batch, in order; a failure is a result, never an exception.

    Args:
        blocks: The photos, in blocks that are solved together, or in several batches where the photos are large.
        reconstructor: Reads and detects in a thread of its own, and solves in one or two, see
            `smirk3d.networks.threads`; the result does not depend on their number.

    Yields:
        The results of a batch, one for each job, in the order of the jobs.
    """
    source = ((job, k + 1 == len(block)) for block in blocks for k, job in enumerate(block))
    stop = threading.Event()
    with (
        shared_torch_threads() as n_solvers,
        ThreadPoolExecutor(1, "smirk3d-read") as reader,
        ThreadPoolExecutor(n_solvers, "smirk3d-solve") as solvers,
    ):
        try:
            yield from _in_order(
                lambda: reader.submit(_read_batch, source, reconstructor, stop),
                lambda batch: solvers.submit(_solve_batch, batch, reconstructor),
                n_solvers,
            )
        finally:
            stop.set()  # where the caller leaves early, the thread ends after its current photo


def _in_order(
    read: Callable[[], Future[_Batch]], solve: Callable[[_Batch], Future[list[PhotoResult]]], n_solvers: int
) -> Generator[list[PhotoResult], None, None]:
    """Yield the results of batches in their order; one batch is read and as many as there are solvers are solved."""
    solving: deque[Future[list[PhotoResult]]] = deque()
    batch = (upcoming := read()).result()
    while batch or solving:
        if batch:
            solving.append(solve(batch))
            upcoming = read()
        if len(solving) == n_solvers or not batch:
            yield solving.popleft().result()
        batch = upcoming.result() if batch else batch


def reconstruct_person(jobs: Sequence[Job], reconstructor: Reconstructor) -> Generator[list[PhotoResult], None, None]:
    """Reconstruct photos of one person with one identity; otherwise as `reconstruct_batches`.

    A first pass finds the photos with a face. The pixels are read again at the end, because all photos of a person
    together may not fit into memory.

    Args:
        jobs: The photos.
        reconstructor: Reads, detects and solves.

    Yields:
        The result of one photo, in the order of the jobs.
    """
    reasons = {job: _detection_failure(job, reconstructor) for job in jobs}
    usable = [job for job in jobs if reasons[job] is None]
    faces: dict[Job, Face] = {}
    try:
        if usable:
            found = reconstructor.fit_identity([job.path for job in usable])
            faces = dict(zip(usable, found, strict=True))
    except Exception as error:  # a joint solve fails for all photos of the person
        reasons |= dict.fromkeys(usable, failure_reason(error))
    for job in jobs:
        if job in faces:
            photo = read_image(job.path)
            yield [PhotoResult(job, (faces[job],), photo.pixels, notes=photo.notes)]
        else:
            yield [PhotoResult(job, reason=reasons[job])]


def failure_reason(error: Exception) -> str:
    """Return an error in one line; the traceback of an unexpected one goes to the log."""
    if isinstance(error, Smirk3dError):
        return printable(" ".join(str(error).split()))
    _log.debug("internal error", exc_info=error)
    return printable(f"internal error: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _read_batch(source: Iterator[tuple[Job, bool]], reconstructor: Reconstructor, stop: threading.Event) -> _Batch:
    """Read and detect the next photos; a string is the reason of a failure, an empty list the end.

    The source yields jobs, and whether a job is the last of its block.
    """
    batch: _Batch = []
    n_pixels, is_last = 0, False
    while not is_last and n_pixels < BATCH_PIXELS and not stop.is_set():
        job, is_last = next(source, (None, True))
        if job is None:
            break
        detected = _read(job, reconstructor)
        batch.append((job, detected))
        n_pixels += 0 if isinstance(detected, str) else detected.photo.pixels.size // 3
    return batch


def _read(job: Job, reconstructor: Reconstructor) -> DetectedPhoto | str:
    """Read a photo and detect its faces; a string is the reason of a failure."""
    try:
        detected = reconstructor.read_and_detect(job.source())
        if not detected.detections:
            raise NoFaceError(f"{job.name}: no face found; crop the picture to the face or use a sharper one")
        return detected
    except Exception as error:  # one photo never stops the run
        return failure_reason(error)


def _detection_failure(job: Job, reconstructor: Reconstructor) -> str | None:
    """Return why a photo has no detected face; None where it has one."""
    detected = _read(job, reconstructor)
    return detected if isinstance(detected, str) else None


def _solve_batch(batch: _Batch, reconstructor: Reconstructor) -> list[PhotoResult]:
    """Return the result of each photo of a batch, in order."""
    detected = [item for _, item in batch if not isinstance(item, str)]
    solved = iter(_solve(detected, reconstructor))
    results: list[PhotoResult] = []
    for job, item in batch:
        faces = item if isinstance(item, str) else next(solved)
        if isinstance(faces, str):
            results.append(PhotoResult(job, reason=faces))
        elif not isinstance(item, str):
            results.append(PhotoResult(job, tuple(faces), item.photo.pixels, None, item.photo.notes, item.detections))
    return results


def _solve(detected: Sequence[DetectedPhoto], reconstructor: Reconstructor) -> list[list[Face] | str]:
    """Return the faces of each photo, or the reason of its failure."""
    if not detected:
        return []
    try:
        solved = list(reconstructor.solve(list(detected)))
        if all(face.is_finite for faces in solved for face in faces):
            return list(solved)
        raise Smirk3dError("the result has numbers that are not finite (NaN or infinite); use other weights")
    except Exception as error:
        if len(detected) == 1:
            return [failure_reason(error)]
        # One photo that fails must not fail the others of its batch: solve each by itself.
        return [faces for item in detected for faces in _solve([item], reconstructor)]
