"""A run over many photos: the table `emotions.csv` and the sheet of faces; no single failure stops the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smirk3d.assets import is_disk_full, printable
from smirk3d.batch.naming import Job
from smirk3d.batch.prefetch import failure_reason
from smirk3d.batch.runner import BatchSummary
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.export.tables.expressions_csv import TableWriter, table_name
from smirk3d.fer.emotion_rows import recognize_job
from smirk3d.fer.emotions_csv import EMOTION_COLUMNS
from smirk3d.fer.recognizer import EmotionRecognizer
from smirk3d.fer.sheet import MAX_FACES, SheetCell, emotion_sheet, sheet_cell
from smirk3d.output_lock import links_below, locked_folder
from smirk3d.progress import Progress, progress
from smirk3d.viz.overlay import save_png

TABLE_NAME, SHEET_NAME = "emotions.csv", "sheet.png"


@dataclass(frozen=True)
class PredictionOptions:
    """Settings of a run.

    Attributes:
        weights: File of `smirk3d fer train`; None: the packaged network.
        resume: Skip the images that are in the table already; the sheet then shows the faces of this run only.
    """

    weights: Path | None = None
    resume: bool = False


def predict_photos(
    jobs: Sequence[Job], out_dir: Path, reconstructor: Reconstructor, options: PredictionOptions
) -> BatchSummary:
    """Predict the emotions of the faces in photos.

    Args:
        jobs: The photos.
        out_dir: Folder for the results; created where missing.
        reconstructor: Detects and reconstructs the faces.
        options: Settings of the run.

    Raises:
        Smirk3dError: The folder or the table cannot be written, or another process writes into the folder.
    """
    with locked_folder(out_dir):
        for link in sorted(links_below(out_dir, [TABLE_NAME, SHEET_NAME])):
            raise Smirk3dError(f"{printable(out_dir / link)}: is a symbolic link; remove it")
        with TableWriter(out_dir / TABLE_NAME, options.resume, EMOTION_COLUMNS) as table:
            todo = [job for job in jobs if not table.is_done(job.path)]
            recognizer = EmotionRecognizer(weights=options.weights, reconstructor=reconstructor)
            with progress(len(todo)) as display:
                run = _Run(recognizer, table, display)
                for job in todo:
                    run.add(job)
        if options.resume:
            table.sort({table_name(job.path): place for place, job in enumerate(jobs)})
        if run.cells:
            save_png(out_dir / SHEET_NAME, emotion_sheet(run.cells))
    return BatchSummary(run.done, run.failed, run.faces, len(jobs) - len(todo))


class _Run:
    """Writes the rows of photos, and counts them."""

    def __init__(self, recognizer: EmotionRecognizer, table: TableWriter, display: Progress) -> None:
        self._recognizer, self._table, self._display = recognizer, table, display
        self.cells: list[SheetCell] = []
        self.done = self.failed = self.faces = 0

    def add(self, job: Job) -> None:
        """Predict one photo; a failure becomes a row."""
        try:
            self._predict(job)
            self.done += 1
        except Exception as error:  # one photo never stops the run
            reason = failure_reason(error)
            if is_disk_full(error):
                raise Smirk3dError(f"{reason}; then go on with --resume") from error
            self.failed += 1
            self._table.add_failure(job.path, reason)
            is_named = printable(job.path) in reason
            self._display.note(f"smirk3d: {reason if is_named else f'{printable(job.path)}: {reason}'}")
        self._display.advance()

    def _predict(self, job: Job) -> None:
        photo = recognize_job(job, self._recognizer)
        if photo.error is not None:
            raise photo.error
        self._table.add_rows(photo.rows())
        self.faces += len(photo.faces)
        for each in photo.faces[: MAX_FACES - len(self.cells)]:
            self.cells.append(sheet_cell(job.path.name, photo.pixels, each))
