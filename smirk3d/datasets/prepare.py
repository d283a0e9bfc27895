"""Preparation of photos: faces are detected, filtered, cropped, split by person and written as shards with a report."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path, make_folder, printable
from smirk3d.batch.naming import Job
from smirk3d.batch.runner import plan_jobs
from smirk3d.datasets.fan_network import FaceAlignment
from smirk3d.datasets.prepare_report import (
    FailureNotes,
    Report,
    ReportRow,
    rows_to_keep,
)
from smirk3d.datasets.prepared_faces import FaceDetector, InputImage, PrepareOptions, input_image, prepared_faces
from smirk3d.datasets.shard_writer import ShardWriter, unfilled_shards
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.export.tables.expressions_csv import table_name
from smirk3d.media.images import read_image
from smirk3d.output_lock import links_below
from smirk3d.progress import Progress, progress

REPORT_NAME, OPTIONS_NAME = "report.csv", "prepare.json"
_PREFETCH_COUNT = 2


@dataclass(frozen=True)
class PrepareSummary:
    """Counts of a run.

    Attributes:
        photos: Photos processed.
        skipped: Photos that an earlier run had processed.
        kept: Faces by split.
        dropped: Faces and photos by reason.
        shards: Shards written.
        contours: Kept faces by the state of their contour, see `smirk3d.datasets.fan_contour`; empty without contours.
    """

    photos: int
    skipped: int
    kept: Counter[str]
    dropped: Counter[str]
    shards: int
    contours: Counter[str]


def prepare(
    inputs: Iterable[str | os.PathLike[str]],
    out_dir: Path,
    detector: FaceDetector,
    options: PrepareOptions | None = None,
    *,
    resume: bool = False,
    contours: Path | FaceAlignment | None = None,
    open_progress: Callable[[int], Progress] = progress,
) -> PrepareSummary:
    """Write shards `train-000000.tar`, `val-000000.tar`, ... and `report.csv` from photos.

    Faces are split by a hash of their person, so that no person is in both splits, whatever the order and number of
    the photos. Shards are written atomically; an interrupted run writes the faces that are ready as a smaller shard,
    which is filled when the run is resumed, so that the result is that of an uninterrupted run. A photo that cannot be
    read is a row of the report.

    Args:
        inputs: Files, folders and glob patterns.
        out_dir: Folder for shards and report; created where missing.
        detector: Face detector; it decides how many faces of a photo are used.
        options: Settings.
        resume: Skip the photos in the report of an earlier run, but those that could not be read or processed.
        contours: Folder with FAN's landmarks of the photos, see `smirk3d.datasets.fan_contour`, or FAN; None: none.
        open_progress: Makes the progress display for a number of photos.

    Returns:
        Counts of the run.

    Raises:
        UsageError: There are no inputs; the folder holds shards and `resume` is not set; or they were made with other
            options.
        Smirk3dError: A file cannot be written, or is a symbolic link.
    """
    options = options or PrepareOptions()
    jobs = plan_jobs(inputs)
    with Preparation(out_dir, detector, options, resume=resume) as preparation:
        todo = [job for job in jobs if table_name(job.path) not in preparation.done]
        with open_progress(len(todo)) as display, closing(read_ahead(todo)) as photos:
            failures = FailureNotes(display.note, out_dir / REPORT_NAME)
            for job, pixels in photos:
                failures.show(preparation.take(input_image(job, pixels, options, contours, display.note)))
                display.advance()
    preparation.sort_report(table_name(job.path) for job in jobs)
    return preparation.summary(skipped=len(jobs) - len(todo))


class Preparation:
    """Writes the faces of images to shards of one folder; a context manager that writes the last shards at its end.

    Args:
        out_dir: Folder for shards and report; created where missing.
        detector: Face detector.
        options: Settings.
        resume: Continue an earlier run.

    Raises:
        UsageError: As `prepare`.
        Smirk3dError: As `prepare`.
    """

    def __init__(self, out_dir: Path, detector: FaceDetector, options: PrepareOptions, *, resume: bool) -> None:
        make_folder(out_dir)
        _claim(out_dir, options, resume)
        self._detector, self._options = detector, options
        path, unfilled = out_dir / REPORT_NAME, unfilled_shards(out_dir, options.shard_size)
        keys_in = {shard: [record.key for record in records] for shard, records in unfilled.items()}
        rows = rows_to_keep(path, keys_in) if resume and path.exists() else []
        self._report = Report(path, rows)
        self._writer = ShardWriter(out_dir, options.shard_size)
        known = {row.key for row in rows}
        self._writer.refill({name: [each for each in group if each.key in known] for name, group in unfilled.items()})

    def __enter__(self) -> Preparation:
        self._report.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._writer.close()
        finally:
            self._report.__exit__(*exc_info)

    @property
    def done(self) -> set[str]:
        """Names of the images in the report of earlier runs."""
        return self._report.done

    def take(self, image: InputImage) -> list[ReportRow]:
        """Detect, filter and store the faces of an image; returns their rows in the report."""
        return self._writer.take(prepared_faces(image, self._detector, self._options), self._report)

    def close_shards(self) -> None:
        """Write the collected faces as shards."""
        self._writer.close()

    def note(self, rows: list[ReportRow]) -> None:
        """Add rows about something other than an image to the report."""
        self._report.add(rows)

    def sort_report(self, names: Iterable[str]) -> None:
        """Bring the rows of the finished report into the order of images, given by their names."""
        self._report.sort({name: place for place, name in enumerate(names)})

    def summary(self, skipped: int) -> PrepareSummary:
        """Return the counts of this run."""
        writer = self._writer
        return PrepareSummary(writer.photos, skipped, writer.kept, writer.dropped, writer.shards, writer.contours)


def _claim(out_dir: Path, options: PrepareOptions, resume: bool) -> None:
    """Refuse to mix runs with different options, or to write through links; store the options for the next run."""
    for link in links_below(out_dir, [OPTIONS_NAME]):
        if link in (OPTIONS_NAME, REPORT_NAME) or link.endswith(".tar"):
            raise Smirk3dError(f"{printable(out_dir / link)}: is a symbolic link; remove it")
    path, own = out_dir / OPTIONS_NAME, json.dumps(asdict(options), indent=1, sort_keys=True) + "\n"
    occupied = any(out_dir.glob("*.tar"))
    if occupied and not resume:
        raise UsageError(f"{printable(out_dir)}: holds shards already; add --resume or choose another folder")
    if occupied and (not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != own):
        raise UsageError(
            f"{printable(path)}: the shards there were made with other options; use the same or another folder"
        )
    with atomic_path(path) as temporary:
        temporary.write_text(own, encoding="utf-8")


def read_ahead(jobs: Sequence[Job]) -> Generator[tuple[Job, np.ndarray | Exception], None, None]:
    """Yield each photo's pixels, or the error of reading it, while a thread reads the next ones."""
    waiting: deque[tuple[Job, Future[np.ndarray | Exception]]] = deque()
    with ThreadPoolExecutor(1, "smirk3d-read") as thread:
        for job in jobs:
            waiting.append((job, thread.submit(_read, job)))
            if len(waiting) > _PREFETCH_COUNT:
                first, pixels = waiting.popleft()
                yield first, pixels.result()
        for first, pixels in waiting:
            yield first, pixels.result()


def _read(job: Job) -> np.ndarray | Exception:
    try:
        return read_image(job.source()).pixels
    except Exception as error:  # one photo never stops the run
        return error
