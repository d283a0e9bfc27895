"""A run over many photos: files for each face and one table for all; no single failure stops the run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smirk3d.assets import is_disk_full, printable
from smirk3d.batch.naming import NEURAL_RENDER_ENDING, OVERLAY_ENDING, Job, plan_outputs
from smirk3d.batch.prefetch import PhotoResult, blocks_to_run, failure_reason, reconstruct_batches, reconstruct_person
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.media.images import LISTED_SUFFIXES
from smirk3d.output_lock import links_below, locked_folder, refuse_link_of, sweep_temporaries
from smirk3d.progress import Progress, progress

if TYPE_CHECKING:
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.export.tables.expressions_csv import TableWriter
    from smirk3d.face import Face
    from smirk3d.networks.neural_renderer import NeuralRenderer

TABLE_NAME = "expressions.csv"
_TEXTURED_FORMATS = ("glb", "gltf")
_FAILURES_SHOWN = 10
_NOTES_SHOWN = 10


@dataclass(frozen=True)
class BatchOptions:
    """Settings of a run.

    Attributes:
        formats: Formats of the files of each face: suffixes without the dot, see `smirk3d.export.FORMATS`.
        overlay: Write an image of each photo with the meshes over it.
        texture: Put the photo on the skin of .glb and .gltf files.
        resume: Skip the images that are in the table already.
        shared_identity: All photos show the same person; one identity is fitted to all.
        neural_renderer: Renders each face again from its mesh and a few pixels of the photo; None for no such image.
    """

    formats: tuple[str, ...] = ("glb", "npz")
    overlay: bool = True
    texture: bool = False
    resume: bool = False
    shared_identity: bool = False
    neural_renderer: NeuralRenderer | None = None


@dataclass(frozen=True)
class BatchSummary:
    """Counts of a run.

    Attributes:
        done: Images whose files and rows were all written.
        failed: Images with a row that has the reason of the failure.
        faces: Faces written.
        skipped: Images done by an earlier run.
    """

    done: int = 0
    failed: int = 0
    faces: int = 0
    skipped: int = 0


def run(
    inputs: Sequence[str | os.PathLike[str]],
    out_dir: Path,
    reconstructor: Reconstructor,
    options: BatchOptions | None = None,
    open_progress: Callable[[int], Progress] = progress,
) -> BatchSummary:
    """Reconstruct all inputs into a folder.

    Face k of the image `b.jpg` gets `b_k.<format>` and `b_k_neural.png`, the image gets `b_overlay.png` (see
    `plan_outputs` for the names). `expressions.csv` has one row a face, or one row with the reason for an image that
    failed, which is also one of whose files only some could be written.

    Args:
        inputs: Files, folders and glob patterns.
        out_dir: Folder for the results; created where missing.
        reconstructor: Detects and fits the faces.
        options: Settings of the run; the defaults of `BatchOptions` by default.
        open_progress: Returns a progress display for a number of images.

    Raises:
        UsageError: No inputs, or only folders without images.
        Smirk3dError: The folder or the table cannot be written, or another process writes into the folder.
    """
    from smirk3d.export.tables.expressions_csv import TableWriter, table_name

    options = options or BatchOptions()
    jobs = plan_jobs(inputs, out_dir)
    with locked_folder(out_dir):
        sweep_temporaries((out_dir / job.stem).parent for job in jobs)
        links = links_below(out_dir, [TABLE_NAME, *(job.stem for job in jobs)])
        if TABLE_NAME in links:
            raise Smirk3dError(f"{printable(out_dir / TABLE_NAME)}: is a symbolic link; remove it")
        with TableWriter(out_dir / TABLE_NAME, resume=options.resume) as table:
            todo = _not_done(jobs, table)
            with open_progress(len(todo)) as display:
                writer = _ResultWriter(out_dir, options, table, display, links)
                _reconstruct_and_write(_batches(jobs, todo, table, reconstructor, options), writer)
        if options.resume:
            table.sort({table_name(job.path): place for place, job in enumerate(jobs)})
    return BatchSummary(writer.done, writer.failed, writer.faces, len(jobs) - len(todo))


def _batches(
    jobs: Sequence[Job], todo: Sequence[Job], table: TableWriter, reconstructor: Reconstructor, options: BatchOptions
) -> Generator[list[PhotoResult], None, None]:
    """Yield the results of the jobs to do, computed together with the same others as in an uninterrupted run."""
    from smirk3d.export.tables.expressions_csv import table_name

    wanted = set(todo)
    if options.shared_identity:
        batches = reconstruct_person(jobs if wanted else [], reconstructor)
    else:
        tried = {job for job in jobs if job not in wanted or table_name(job.path) in table.failed}
        batches = reconstruct_batches(blocks_to_run(jobs, wanted, tried), reconstructor)
    with closing(batches):
        for batch in batches:
            yield [result for result in batch if result.job in wanted]


def _not_done(jobs: Sequence[Job], table: TableWriter) -> list[Job]:
    """Return the jobs of whose photos the table has no rows, under any name of the same file."""
    done = {os.path.realpath(name) for name in table.done}
    return [job for job in jobs if not table.is_done(job.path) and os.path.realpath(job.path) not in done]


def plan_jobs(
    inputs: Iterable[str | os.PathLike[str]],
    out_dir: Path | None = None,
    suffixes: Collection[str] = LISTED_SUFFIXES,
) -> list[Job]:
    """List the jobs as `plan_outputs` does, at least one.

    Args:
        inputs: Files, folders and glob patterns.
        out_dir: Folder for the results; see `plan_outputs`.
        suffixes: As for `plan_outputs`.

    Raises:
        UsageError: There are no inputs, or only folders without images.
    """
    names = list(inputs)
    jobs = plan_outputs(names, out_dir, suffixes)
    if all(os.path.isdir(job.path) for job in jobs):
        where = ", ".join(printable(name) for name in names) or "the command line"
        raise UsageError(f"no images in {where}; name image files or folders that hold some")
    return jobs


def _reconstruct_and_write(batches: Generator[list[PhotoResult], None, None], writer: _ResultWriter) -> None:
    """Solve each batch while the one before it is written in a second thread."""
    pending: Future[None] | None = None
    with ThreadPoolExecutor(1, "smirk3d-write") as thread, closing(batches):
        try:
            for batch in batches:
                if pending is not None:
                    pending.result()
                pending = thread.submit(writer.write_batch, batch)
            if pending is not None:
                pending.result()
        except BaseException:
            writer.stop.set()  # interrupted: the thread ends after its current image
            raise


class _ResultWriter:
    """Writes the files and rows of results, and counts them."""

    def __init__(
        self, out_dir: Path, options: BatchOptions, table: TableWriter, display: Progress, links: Collection[str]
    ):
        self._out_dir, self._options, self._table, self._display = out_dir, options, table, display
        self._links = links
        self.stop = threading.Event()
        self.done = self.failed = self.faces = self._noted = 0

    def write_batch(self, batch: Iterable[PhotoResult]) -> None:
        """Write the results of a batch, in order, until `stop` is set."""
        for result in batch:
            if self.stop.is_set():
                return
            self._write(result)
            self._display.advance()

    def _write(self, result: PhotoResult) -> None:
        image = os.fspath(result.job.path)
        reason = result.reason or _reason_of_failure(lambda: self._save_all(result))
        if reason is None:
            self.done += 1
            self.faces += len(result.faces)
            self._show_notes(image, result.notes)
        else:
            self._table.add_failure(image, reason)
            self._show_failure(image, reason)

    def _save_all(self, result: PhotoResult) -> None:
        """Write the files, then the rows."""
        refuse_link_of(result.job.stem, self._out_dir, self._links)
        # In this order an image with rows is complete, so that resuming reads only the table.
        for k, face in enumerate(result.faces):
            self._save(result, k, face)
            if self._options.neural_renderer is not None:
                self._save_neural_render(result, k, face, self._options.neural_renderer)
        if self._options.overlay:
            self._save_overlay(result)
        self._table.add_faces(result.job.path, result.faces)

    def _save(self, result: PhotoResult, k: int, face: Face) -> None:
        from smirk3d.export import save_face
        from smirk3d.export.texture import sample_texture

        texture = None
        if self._options.texture:
            texture = sample_texture(face, result.pixels)
        for name in self._options.formats:
            path = self._out_dir / f"{result.job.stem}_{k}.{name}"
            save_face(face, path, texture=texture if name in _TEXTURED_FORMATS else None)

    def _save_neural_render(self, result: PhotoResult, k: int, face: Face, renderer: NeuralRenderer) -> None:
        from smirk3d.estimation.resynthesis import resynthesise, side_by_side
        from smirk3d.export.save import make_folder
        from smirk3d.viz.overlay import save_png

        path = self._out_dir / f"{result.job.stem}_{k}{NEURAL_RENDER_ENDING}"
        make_folder(path.parent)
        save_png(path, side_by_side(resynthesise(renderer, face, result.pixels)))

    def _save_overlay(self, result: PhotoResult) -> None:
        from smirk3d.export.save import make_folder
        from smirk3d.viz.overlay import overlay, save_png

        path = self._out_dir / f"{result.job.stem}{OVERLAY_ENDING}"
        make_folder(path.parent)
        save_png(path, overlay(list(result.faces), result.pixels))

    def _show_notes(self, image: str, notes: tuple[str, ...]) -> None:
        """Show what reading a photo changed, for the first photos with notes."""
        if notes and self._noted < _NOTES_SHOWN:
            self._noted += 1
            self._display.note(f"smirk3d: {printable(image)}: {'; '.join(notes)}")

    def _show_failure(self, image: str, reason: str) -> None:
        """Count a failure, and show it unless there are many."""
        self.failed += 1
        if self.failed <= _FAILURES_SHOWN:
            named = reason if printable(image) in reason else f"{image}: {reason}"
            self._display.note(f"smirk3d: {named}")
        elif self.failed == _FAILURES_SHOWN + 1:
            self._display.note(f"smirk3d: more failures; all of them are in {TABLE_NAME}")


def _reason_of_failure(action: Callable[[], object]) -> str | None:
    """Run an action; return why it failed, or None.

    Raises:
        Smirk3dError: The disk is full: all further images would be computed in vain.
    """
    try:
        action()
    except Exception as error:  # one file never stops the run
        if is_disk_full(error):
            raise Smirk3dError(f"{failure_reason(error)}; then go on with --resume") from error
        return failure_reason(error)
    return None
