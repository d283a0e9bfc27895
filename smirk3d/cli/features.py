"""`smirk3d features`: one table of expression features from images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from smirk3d.assets import check_writable, printable
from smirk3d.cli.console import print_result
from smirk3d.cli.options import EstimationCommand
from smirk3d.cli.scale import ScaleFlags, check_shard_folder
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.output_lock import locked_file

if TYPE_CHECKING:
    from smirk3d.batch.naming import Job
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.export.tables.feature_journal import FeatureJournal


@dataclass(frozen=True, kw_only=True)
class Features(EstimationCommand, ScaleFlags):
    """Write the expression features of the faces in images, one row a face, for expression recognition."""

    out: Annotated[str, arg(metavar="FILE.npz|.parquet|.csv|DIR|s3://…")]
    """File for the features, whose suffix selects the format; or a folder for Parquet shards."""

    resume: bool = False
    """Continue an earlier run into the same file, from FILE.part; failed images are tried again."""

    def run(self) -> int:
        """Write the features; return 1 where some images failed."""
        if self.writes_shards(self.inputs, self.out):
            return self._run_sharded()
        from smirk3d.batch.runner import plan_jobs
        from smirk3d.export.tables.expressions_csv import table_name
        from smirk3d.export.tables.feature_journal import FeatureJournal
        from smirk3d.export.tables.features import FEATURE_FORMATS
        from smirk3d.scale.inputs import with_lists

        path = Path(self.out)
        if path.suffix.lower() not in FEATURE_FORMATS:
            raise UsageError(f"--out {self.out}: must end in one of {' '.join(FEATURE_FORMATS)}")
        jobs = plan_jobs(with_lists(self.inputs))
        with locked_file(path):
            check_writable(path)  # before the work
            with closing(self.reconstructor()) as reconstructor, FeatureJournal(path, self.resume) as journal:
                n_before = sum(table_name(job.path) in journal.done for job in jobs)
                failed = _fill(journal, jobs, reconstructor)
                n_faces = _write(journal, jobs, path)
        counts = f"images: {len(jobs) - failed - n_before} done, {failed} failed"
        counts += f", {n_before} done before" if n_before else ""
        print_result(f"{counts}; faces: {n_faces}; features: {path}")
        return 1 if failed else 0

    def _run_sharded(self) -> int:
        from smirk3d.export.tables.features import FEATURE_FORMATS
        from smirk3d.scale.inputs import list_jobs
        from smirk3d.scale.tables import features_task

        check_shard_folder(self.out, FEATURE_FORMATS)
        task = features_task(self.reconstructor, self.shard_settings())
        return self.write_shards(list_jobs(self.inputs), task, self.out, self.resume)


def _fill(journal: FeatureJournal, jobs: Sequence[Job], reconstructor: Reconstructor) -> int:
    """Add the images that are missing in the journal, show each failure, and return the number of failures."""
    from smirk3d.batch.photo_rows import ReconstructionRows
    from smirk3d.batch.prefetch import blocks_to_run
    from smirk3d.export.tables.expressions_csv import table_name
    from smirk3d.export.tables.features import feature_row
    from smirk3d.progress import progress

    done = {job for job in jobs if table_name(job.path) in journal.done}
    todo = [job for job in jobs if job not in done]
    n_failed = 0
    source = ReconstructionRows(reconstructor, feature_row)
    batches = source.batches(blocks_to_run(jobs, set(todo), done))
    with progress(len(todo)) as display, closing(batches):
        for result in (result for batch in batches for result in batch if result.job not in done):
            path = result.job.path
            if result.reason is not None:
                n_failed += 1
                is_named = printable(path) in result.reason
                display.note(f"smirk3d: {result.reason if is_named else f'{printable(path)}: {result.reason}'}")
            else:
                journal.add(path, result.rows)
            display.advance()
    return n_failed


def _write(journal: FeatureJournal, jobs: Sequence[Job], path: Path) -> int:
    """Write the file from the journal, remove that, and return the number of rows."""
    from smirk3d.export.tables.features import write_features

    try:
        count = write_features(journal.rows(job.path for job in jobs), path)
    except Smirk3dError as error:
        if not journal.done:
            raise
        raise Smirk3dError(
            f"{error}; all rows are in {printable(journal.path)}, from which --resume goes on"
        ) from error
    journal.remove()
    return count
