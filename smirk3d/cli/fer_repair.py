"""`smirk3d fer repair`: what hides parts of faces, and what the faces probably look like there."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_result
from smirk3d.cli.options import Command
from smirk3d.errors import UsageError

REPAIR_LINE = "rebuilt patches are a guess from the visible ones; they are no evidence of what was hidden"


@dataclass(frozen=True, kw_only=True)
class FerRepair(Command):
    """Find what hides parts of the faces in images, and rebuild those parts: one table, and the repaired faces.

    A repaired face is the grey window of 96 by 96 pixels that recognition is based on.
    """

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")] = ()
    """Image files, folders (with all their subfolders) and glob patterns."""
    out: Annotated[str, arg(metavar="DIR")]
    """Folder for occlusion.csv and the faces; created where missing."""
    weights: Annotated[str | None, arg(metavar="FILE")] = None
    """File of smirk3d fer train with the kind occlusion; by default the packaged network."""
    max_faces: Annotated[int | None, arg(metavar="N")] = None
    """Largest number of faces of an image; with N above 1, large images are also searched for small faces."""
    show: bool = False
    """Draw sheets that show photo, occluded patches and repaired face side by side."""

    def run(self) -> int:
        """Repair all inputs; return 1 where some failed."""
        if self.max_faces is not None and self.max_faces < 1:
            raise UsageError(f"--max-faces {self.max_faces}: must be 1 or more")
        from smirk3d.batch.runner import plan_jobs

        out_dir = Path(self.out)
        jobs = plan_jobs(self.inputs, out_dir)
        from smirk3d.detection.detector import Detector
        from smirk3d.fer.occlusion.repair_run import TABLE_NAME, RepairOptions, repair_photos

        options = RepairOptions(None if self.weights is None else Path(self.weights), self.show)
        count = self.max_faces or 1
        with closing(Detector(max_faces=count, search_tiles=count > 1)) as detector:
            summary = repair_photos(jobs, out_dir, detector, options)
        counts = f"images: {summary.done} done, {summary.failed} failed; faces: {summary.faces}"
        print_result(f"{counts}; table: {out_dir / TABLE_NAME}")
        print_result(REPAIR_LINE)
        return 1 if summary.failed else 0
