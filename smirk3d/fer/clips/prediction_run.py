"""A run over clips: the table `clips.csv` and the strips of thumbnails; no single failure stops the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.batch.prefetch import failure_reason
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.fer.clips.clips_csv import STRIPS_NAME, TABLE_NAME, clip_row, failed_row, write_clip_table
from smirk3d.fer.clips.recognizer import recognize_clip_emotion
from smirk3d.fer.clips.strip import MAX_STRIPS, Strip, clip_strip, strip_sheet
from smirk3d.media.video import open_source
from smirk3d.output_lock import links_below, locked_folder
from smirk3d.progress import progress
from smirk3d.viz.overlay import save_png


@dataclass(frozen=True)
class ClipRunSummary:
    """Counts of a run.

    Attributes:
        done: Clips with an emotion.
        failed: Clips that could not be read, or have no face.
    """

    done: int
    failed: int


def predict_clips(
    paths: Sequence[Path],
    out_dir: Path,
    reconstructor: Reconstructor,
    *,
    weights: Path | None = None,
    expression: Path | None = None,
    rate_fps: float | None = None,
) -> ClipRunSummary:
    """Predict the emotions of clips.

    Args:
        paths: Video files and folders of frames.
        out_dir: Folder for the results; created where missing.
        reconstructor: Detects and reconstructs the faces.
        weights: File of the clip network; None: the packaged one.
        expression: Weights of the expression network; None: the packaged ones.
        rate_fps: Frames a second of folders of frames; None: 25.

    Raises:
        Smirk3dError: The folder or the table cannot be written, or another process writes into the folder.
    """
    rows: list[list[str]] = []
    strips: list[Strip] = []
    n_failed = 0
    with locked_folder(out_dir), progress(len(paths)) as display:
        for link in sorted(links_below(out_dir, [TABLE_NAME, STRIPS_NAME])):
            raise Smirk3dError(f"{printable(out_dir / link)}: is a symbolic link; remove it")
        for path in paths:
            try:
                source = open_source(str(path), rate_fps)
                found = recognize_clip_emotion(source, reconstructor, weights=weights, expression=expression)
                rows.append(clip_row(str(path), found))
                if len(strips) < MAX_STRIPS and len(found.clip.thumbnails):
                    strips.append(clip_strip(path.name, found))
                for loss in found.clip.losses:
                    display.note(f"smirk3d: {loss}")
            except Exception as error:  # one clip never stops the run
                n_failed += 1
                reason = failure_reason(error)
                rows.append(failed_row(str(path), reason))
                is_named = printable(path) in reason
                display.note(f"smirk3d: {reason if is_named else f'{printable(path)}: {reason}'}")
            display.advance()
        write_clip_table(out_dir / TABLE_NAME, rows)
        if strips:
            save_png(out_dir / STRIPS_NAME, strip_sheet(strips))
    return ClipRunSummary(len(paths) - n_failed, n_failed)
