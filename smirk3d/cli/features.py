"""`smirk3d features`: one table of expression features from images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from smirk3d.assets import check_writable, printable
from smirk3d.cli.console import print_result
from smirk3d.cli.options import EstimationCommand
from smirk3d.errors import UsageError
from smirk3d.output_lock import locked_file

if TYPE_CHECKING:
    from smirk3d.batch.naming import Job
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.export.tables.features import FeatureRow
    from smirk3d.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Features(EstimationCommand):
    """Write the expression features of the faces in images, one row a face, for expression recognition."""

    out: Annotated[str, arg(metavar="FILE.npz|.parquet|.csv")]
    """File for the features; its suffix selects the format."""

    def run(self) -> int:
        """Write the features; return 1 where some images failed."""
        from smirk3d.batch.runner import plan_jobs
        from smirk3d.export.tables.features import FEATURE_FORMATS, write_features
        from smirk3d.progress import progress

        path = Path(self.out)
        if path.suffix.lower() not in FEATURE_FORMATS:
            raise UsageError(f"--out {self.out}: must end in one of {' '.join(FEATURE_FORMATS)}")
        jobs = plan_jobs(self.inputs)
        failed: list[Job] = []
        with locked_file(path):
            check_writable(path)  # before the work
            with closing(self.reconstructor()) as reconstructor, progress(len(jobs)) as display:
                n_faces = write_features(_rows(jobs, reconstructor, display, failed), path)
        counts = f"images: {len(jobs) - len(failed)} done, {len(failed)} failed; faces: {n_faces}"
        print_result(f"{counts}; features: {path}")
        return 1 if failed else 0


def _rows(
    jobs: Sequence[Job], reconstructor: Reconstructor, display: Progress, failed: list[Job]
) -> Iterator[FeatureRow]:
    """Yield a row for each face; show each failure and append it to `failed`."""
    from smirk3d.batch.prefetch import blocks_to_run, reconstruct_batches
    from smirk3d.export.tables.features import feature_row

    with closing(reconstruct_batches(blocks_to_run(jobs, jobs), reconstructor)) as batches:
        for result in (result for batch in batches for result in batch):
            if result.reason is not None:
                failed.append(result.job)
                name = printable(result.job.path)
                display.note(f"smirk3d: {result.reason if name in result.reason else f'{name}: {result.reason}'}")
            for k, face in enumerate(result.faces):
                yield feature_row(result.job.path, k, face)
            display.advance()
