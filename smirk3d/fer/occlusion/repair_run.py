"""A run over many photos: the table `occlusion.csv`, repaired faces and sheets; no failure of one stops the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import is_disk_full, printable
from smirk3d.batch.naming import Job
from smirk3d.batch.prefetch import failure_reason
from smirk3d.batch.runner import BatchSummary
from smirk3d.detection.detector import Detection, Detector
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.estimation.photo_source import read_photo
from smirk3d.export.tables.expressions_csv import STATUS_OK, TableWriter, table_name
from smirk3d.fer.face_windows import face_window, window_frame
from smirk3d.fer.occlusion.patches import SIDE_PX
from smirk3d.fer.occlusion.repair import repair_windows
from smirk3d.fer.occlusion.sheet import MAX_FACES, RepairCell, repair_cell, repair_sheet
from smirk3d.output_lock import links_below, locked_folder
from smirk3d.progress import Progress, failure_line, progress
from smirk3d.viz.overlay import save_png

TABLE_NAME, SHEET_NAME, FACE_ENDING = "occlusion.csv", "repair_{number:03d}.png", "_repaired.png"
OCCLUSION_COLUMNS = ("image", "face", "status", "x0", "y0", "x1", "y1", "occluded")
"""Columns in order: box of the landmarks in pixels, and the occluded share of the window in [0, 1]."""
_PHOTO_MARGIN = 1.25


@dataclass(frozen=True)
class RepairOptions:
    """Settings of a run.

    Attributes:
        weights: File of `smirk3d fer train`; None: the packaged network.
        show: Draw sheets with the photo, the occluded patches and the repaired face side by side.
    """

    weights: Path | None = None
    show: bool = False


def repair_photos(jobs: Sequence[Job], out_dir: Path, detector: Detector, options: RepairOptions) -> BatchSummary:
    """Find and rebuild what hides the faces in photos.

    Args:
        jobs: The photos.
        out_dir: Folder for the results; created where missing.
        detector: Finds the faces.
        options: Settings of the run.

    Raises:
        Smirk3dError: The folder or the table cannot be written, or another process writes into the folder.
    """
    with locked_folder(out_dir):
        for link in sorted(links_below(out_dir, [TABLE_NAME])):
            raise Smirk3dError(f"{printable(out_dir / link)}: is a symbolic link; remove it")
        with TableWriter(out_dir / TABLE_NAME, False, OCCLUSION_COLUMNS) as table, progress(len(jobs)) as display:
            run = _Run(out_dir, detector, options, table, display)
            for job in jobs:
                run.add(job)
            run.write_sheet()
    return BatchSummary(run.done, run.failed, run.faces, 0)


class _Run:
    """Writes the results of photos, and counts them."""

    def __init__(
        self, out_dir: Path, detector: Detector, options: RepairOptions, table: TableWriter, display: Progress
    ) -> None:
        self._out_dir, self._detector, self._options = out_dir, detector, options
        self._table, self._display = table, display
        self._cells: list[RepairCell] = []
        self.done = self.failed = self.faces = self.sheets = 0

    def add(self, job: Job) -> None:
        """Repair the faces of one photo; a failure becomes a row."""
        try:
            self._repair(job)
            self.done += 1
        except Exception as error:  # one photo never stops the run
            reason = failure_reason(error)
            if is_disk_full(error):
                raise Smirk3dError(f"{reason}; free space and run again") from error
            self.failed += 1
            self._table.add_failure(job.path, reason)
            self._display.note(failure_line(job.path, reason))
        self._display.advance()

    def _repair(self, job: Job) -> None:
        pixels = read_photo(job.path).pixels
        found = self._detector.detect(pixels)
        if not found:
            raise NoFaceError(f"{printable(job.path)}: no face found; is a face in the picture?")
        windows = np.stack([face_window(pixels, each.landmarks_px, SIDE_PX) for each in found])
        repaired = repair_windows(windows, self._options.weights)
        rows = []
        for k, (detection, share) in enumerate(zip(found, repaired.shares, strict=True)):
            path = self._out_dir / f"{job.stem}_{k}{FACE_ENDING}"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_png(path, np.repeat(repaired.windows[k][..., None], 3, axis=2))
            box = (f"{edge:.2f}" for edge in detection.box_px)
            rows.append([table_name(job.path), str(k), STATUS_OK, *box, f"{share:.4f}"])
            if self._options.show:
                name = job.path.name if len(found) == 1 else f"{job.path.name}, face {k}"
                photo = photo_about(pixels, detection)
                self._show(repair_cell(name, photo, windows[k], repaired.hidden[k], repaired.windows[k]))
        self._table.add_rows(rows)
        self.faces += len(found)

    def _show(self, cell: RepairCell) -> None:
        self._cells.append(cell)
        if len(self._cells) == MAX_FACES:
            self.write_sheet()

    def write_sheet(self) -> None:
        """Write the faces that are on no sheet yet."""
        if self._cells:
            self.sheets += 1
            save_png(self._out_dir / SHEET_NAME.format(number=self.sheets), repair_sheet(self._cells))
            self._cells = []


def photo_about(pixels: np.ndarray, detection: Detection) -> np.ndarray:
    """Return the square part of a photo (H, W, 3) uint8 about a face; beyond the photo its border is repeated."""
    frame = window_frame(detection.landmarks_px)
    half = max(round(float(np.hypot(*frame.right_px)) * _PHOTO_MARGIN), 1)
    x, y = (round(float(each)) for each in frame.center_px)
    rows = np.arange(y - half, y + half).clip(0, pixels.shape[0] - 1)
    columns = np.arange(x - half, x + half).clip(0, pixels.shape[1] - 1)
    return pixels[rows[:, None], columns]
