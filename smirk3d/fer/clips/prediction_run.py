"""A run over clips: the table `clips.csv` and the strips of thumbnails; no single failure stops the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from smirk3d.assets import is_disk_full, printable
from smirk3d.batch.prefetch import failure_reason
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.fer.clips.clips_csv import STRIPS_NAME, TABLE_NAME, clip_row, failed_row, read_done_rows, write_clip_table
from smirk3d.fer.clips.recognizer import classify_clip, load_network
from smirk3d.fer.clips.strip import MAX_STRIPS, Strip, clip_strip, strip_sheet
from smirk3d.fer.clips.tracked_clip import TrackedClip, track_clip
from smirk3d.media.video import open_source
from smirk3d.output_lock import links_below, locked_folder
from smirk3d.progress import Progress, failure_line, progress
from smirk3d.viz.overlay import save_png


@dataclass(frozen=True)
class ClipOptions:
    """Settings of a run.

    Attributes:
        weights: File of the clip network; None: the packaged one.
        expression: Weights of the expression network; None: the packaged ones.
        resume: Keep the rows of an earlier run whose clips could be read.
        rate_fps: Frames a second of folders of frames; None: 25.
    """

    weights: Path | None = None
    expression: Path | None = None
    resume: bool = False
    rate_fps: float | None = None

    @staticmethod
    def of(weights: str | None, expression: str | None, resume: bool) -> ClipOptions:
        """Return the settings that a command names."""
        own, vectors = (None if name is None else Path(name) for name in (weights, expression))
        return ClipOptions(own, vectors, resume)


@dataclass(frozen=True)
class ClipRunSummary:
    """Counts of a run.

    Attributes:
        done: Clips with an emotion.
        failed: Clips that could not be read, or have no face.
        skipped: Clips done by an earlier run.
    """

    done: int
    failed: int
    skipped: int = 0


def predict_clips(
    paths: Sequence[Path],
    out_dir: Path,
    reconstructor: Reconstructor,
    options: ClipOptions,
    known: Mapping[Path, TrackedClip] | None = None,
) -> ClipRunSummary:
    """Predict the emotions of clips.

    Args:
        paths: Video files and folders of frames.
        out_dir: Folder for the results; created where missing.
        reconstructor: Detects and reconstructs the faces.
        options: Settings of the run.
        known: Clips that are tracked already.

    Raises:
        Smirk3dError: The folder or the table cannot be written, another process writes into the folder, or the table
            of an earlier run has other columns.
    """
    with locked_folder(out_dir), progress(len(paths)) as display:
        for link in sorted(links_below(out_dir, [TABLE_NAME, STRIPS_NAME])):
            raise Smirk3dError(f"{printable(out_dir / link)}: is a symbolic link; remove it")
        run = _Run(reconstructor, options, known or {}, display)
        kept = read_done_rows(out_dir / TABLE_NAME) if options.resume else {}
        rows = [kept[str(path)] if str(path) in kept else run.row(path) for path in paths]
        write_clip_table(out_dir / TABLE_NAME, rows)
        if run.strips:
            save_png(out_dir / STRIPS_NAME, strip_sheet(run.strips))
    n_skipped = sum(str(path) in kept for path in paths)
    return ClipRunSummary(len(paths) - run.n_failed - n_skipped, run.n_failed, n_skipped)


class _Run:
    """Predicts clips, one after the other; keeps their strips and counts failures."""

    def __init__(
        self, reconstructor: Reconstructor, options: ClipOptions, known: Mapping[Path, TrackedClip], display: Progress
    ) -> None:
        self._reconstructor, self._options, self._known, self._display = reconstructor, options, known, display
        self.strips: list[Strip] = []
        self.n_failed = 0

    def row(self, path: Path) -> list[str]:
        """Return the row of a clip; one that fails has the reason."""
        try:
            return self._predicted(path)
        except Exception as error:  # one clip never stops the run
            reason = failure_reason(error)
            if is_disk_full(error):
                raise Smirk3dError(reason) from error
            self.n_failed += 1
            self._display.note(failure_line(path, reason))
            return failed_row(str(path), reason)
        finally:
            self._display.advance()

    def _predicted(self, path: Path) -> list[str]:
        options = self._options
        clip = self._known.get(path)
        if clip is None:
            source = open_source(str(path), options.rate_fps)
            clip = track_clip(source, self._reconstructor, expression=options.expression)
            for loss in clip.losses:
                self._display.note(f"smirk3d: {loss}")
        found = classify_clip(clip, load_network(options.weights, options.expression))
        if len(self.strips) < MAX_STRIPS and len(found.clip.thumbnails):
            self.strips.append(clip_strip(path.name, found))
        return clip_row(str(path), found)
