"""A run over many photos and videos: one table, a sheet of faces, curves; no single failure stops the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from smirk3d.assets import is_disk_full, printable
from smirk3d.batch.naming import EMOTIONS_ENDING, Job
from smirk3d.batch.prefetch import blocks_to_run, failure_reason
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.export.save import make_folder
from smirk3d.export.tables.expressions_csv import TableWriter, table_name
from smirk3d.fer.clip_emotions import ClipEmotions, recognize_clip
from smirk3d.fer.clips.tracked_clip import TrackedClip, longest_person
from smirk3d.fer.emotion_curves import draw_emotion_curves
from smirk3d.fer.emotion_record import photo_record
from smirk3d.fer.emotion_rows import RecognizedPhoto, recognized_batches
from smirk3d.fer.emotions_parquet import write_parquet_beside
from smirk3d.fer.inputs import is_video
from smirk3d.fer.sheet import MAX_FACES, SheetCell, emotion_sheet, sheet_cell
from smirk3d.fer.table_layouts import LayoutName, TableLayout, table_layout
from smirk3d.fer.vectors import temperature_of
from smirk3d.media.video import open_source
from smirk3d.output_lock import links_below, locked_folder, refuse_links
from smirk3d.progress import failure_line, frame_progress, progress
from smirk3d.tracking.run import show_notes
from smirk3d.viz.overlay import save_png
from smirk3d.viz.plot_style import save_pixels

TABLE_NAME, SHEET_NAME = "emotions.csv", "sheet.png"


@dataclass(frozen=True)
class PredictionOptions:
    """Settings of a run.

    Attributes:
        weights: File of `smirk3d fer train`; None: the packaged network.
        resume: Skip what is in the table already; the sheet then shows the faces of this run only.
        layout: Columns of the table, see `smirk3d.fer.table_layouts`.
        repair: Rebuild what hides parts of a face before its emotions are recognised; photos only.
        keep_clips: Keep the tracked videos in the summary, for the emotion of each as a whole.
    """

    weights: Path | None = None
    resume: bool = False
    layout: LayoutName = "smirk3d"
    repair: bool = False
    keep_clips: bool = False


@dataclass
class PredictionSummary:
    """Counts of a run.

    Attributes:
        photos: Photos done.
        clips: Videos done.
        failed: Photos and videos with a row that has the reason of the failure.
        damaged: Videos done of which a part could not be read.
        faces: Faces in the photos done.
        frames: Frames of the videos done.
        skipped: Photos and videos done by an earlier run.
        tracked: The person who is longest in each video; with `PredictionOptions.keep_clips`.
    """

    photos: int = 0
    clips: int = 0
    failed: int = 0
    damaged: int = 0
    faces: int = 0
    frames: int = 0
    skipped: int = 0
    tracked: dict[Path, TrackedClip] = field(default_factory=dict[Path, TrackedClip])


def predict_emotions(
    jobs: Sequence[Job], out_dir: Path, reconstructor: Reconstructor, options: PredictionOptions
) -> PredictionSummary:
    """Predict the emotions of the faces in photos and videos.

    Args:
        jobs: The photos and videos, see `smirk3d.fer.inputs.plan_recognition`.
        out_dir: Folder for the results; created where missing.
        reconstructor: Detects and reconstructs the faces.
        options: Settings of the run.

    Raises:
        Smirk3dError: The network cannot be read, the folder or the table cannot be written, or another process writes
            into the folder.
    """
    temperature_of(options.weights)  # a file that cannot be read is reported before the work
    layout = table_layout(options.layout, with_videos=any(map(is_video, jobs)))
    with locked_folder(out_dir):
        for link in sorted(links_below(out_dir, [TABLE_NAME, SHEET_NAME])):
            raise Smirk3dError(f"{printable(out_dir / link)}: is a symbolic link; remove it")
        with TableWriter(out_dir / TABLE_NAME, options.resume, layout.columns, layout.name_column) as table:
            todo = [job for job in jobs if not table.is_done(job.path)]
            run = _Run(jobs, todo, out_dir, table, layout, reconstructor, options)
            run.photos()
            run.clips()
        if options.resume or run.summary.clips:
            table.sort({table_name(job.path): place for place, job in enumerate(jobs)})
        write_parquet_beside(out_dir / TABLE_NAME, layout.columns)
        if run.cells:
            save_png(out_dir / SHEET_NAME, emotion_sheet(run.cells))
    run.summary.skipped = len(jobs) - len(todo)
    return run.summary


class _Run:
    """Writes the rows and pictures of photos and videos, and counts them."""

    def __init__(
        self,
        jobs: Sequence[Job],
        todo: Sequence[Job],
        out_dir: Path,
        table: TableWriter,
        layout: TableLayout,
        reconstructor: Reconstructor,
        options: PredictionOptions,
    ) -> None:
        self._jobs, self._todo, self._out_dir = jobs, set(todo), out_dir
        self._table, self._layout = table, layout
        self._reconstructor, self._options = reconstructor, options
        self._picture_of = {job: number for number, job in enumerate(jobs)}
        self.cells: list[SheetCell] = []
        self.summary = PredictionSummary()

    def photos(self) -> None:
        """Predict the photos, in batches; a failure becomes a row."""
        jobs = [job for job in self._jobs if not is_video(job)]
        todo = {job for job in jobs if job in self._todo}
        tried = {job for job in jobs if job not in todo or table_name(job.path) in self._table.failed}
        blocks = blocks_to_run(jobs, todo, tried)
        batches = recognized_batches(blocks, self._reconstructor, self._options.weights, self._options.repair)
        with progress(len(todo)) as display, closing(batches):
            for result in (each for batch in batches for each in batch if each.job in todo):
                if result.reason is None:
                    self._add_photo(result)
                else:
                    self._fail(result.job, result.reason, display.note)
                display.advance()

    def _add_photo(self, result: RecognizedPhoto) -> None:
        picture = self._picture_of[result.job]
        records = [photo_record(result.job.path, k, each, picture) for k, each in enumerate(result.faces)]
        self._table.add_rows([self._layout.cells(record) for record in records])
        self.summary.photos += 1
        self.summary.faces += len(result.faces)
        for each in result.faces[: MAX_FACES - len(self.cells)]:
            self.cells.append(sheet_cell(result.job.path.name, result.pixels, each))

    def clips(self) -> None:
        """Predict the videos, one after the other; a failure becomes a row."""
        for job in self._jobs:
            if job in self._todo and is_video(job):
                self._add_clip(job)

    def _add_clip(self, job: Job) -> None:
        try:
            source = open_source(str(job.path))
            with frame_progress(source.info.n_frames or 0) as display:
                found = recognize_clip(
                    source,
                    self._reconstructor,
                    weights=self._options.weights,
                    with_vectors=self._options.keep_clips,
                    advance=display.advance,
                )
                show_notes([*found.clip.losses, *found.clip.notes], display)
            if found.uncalibrated is not None:
                self.summary.tracked[job.path] = longest_person(found.uncalibrated, found.expressions[0])
            self._write_curves(found, job)
            records = found.records(table_name(job.path), with_faces=self._layout.needs_faces)
            self._table.add_rows([self._layout.cells(record) for record in records])
        except Exception as error:  # one video never stops the run
            reason = failure_reason(error)
            if is_disk_full(error):
                raise Smirk3dError(f"{reason}; then go on with --resume") from error
            self._fail(job, reason, frame_progress(0).note)
            return
        self.summary.clips += 1
        self.summary.frames += found.clip.n_frames
        self.summary.damaged += bool(found.clip.losses)

    def _write_curves(self, found: ClipEmotions, job: Job) -> None:
        """Write the curves of each track; those of the first one are named after the video alone."""
        make_folder((self._out_dir / job.stem).parent)
        refuse_links(self._out_dir, job.stem)
        for track, probabilities in zip(found.clip.tracks, found.probabilities):
            number = f"_{track.number}" if track.number else ""
            path = self._out_dir / f"{job.stem}{number}{EMOTIONS_ENDING}"
            save_pixels(draw_emotion_curves(track, probabilities), path)

    def _fail(self, job: Job, reason: str, note: Callable[[str], None]) -> None:
        self.summary.failed += 1
        self._table.add_failure(job.path, reason)
        note(failure_line(job.path, reason))
