"""`smirk3d fer predict`, `features` and `probe`: emotions of photos, expression vectors, and what they separate."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from smirk3d.assets import check_writable, printable
from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command
from smirk3d.cli.scale import ScaleFlags, check_shard_folder
from smirk3d.errors import UsageError
from smirk3d.output_lock import locked_file

if TYPE_CHECKING:
    from smirk3d.batch.naming import Job
    from smirk3d.detection.detector import Detector
    from smirk3d.estimation.reconstructor import Reconstructor
    from smirk3d.export.tables.feature_journal import FeatureJournal
    from smirk3d.fer.prediction_run import PredictionSummary
    from smirk3d.fer.probe import ProbeResult


@dataclass(frozen=True, kw_only=True)
class _PhotoCommand(Command):
    """A subcommand of `fer` that reads photos."""

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")] = ()
    """Image files, folders (with all their subfolders) and glob patterns."""
    weights: Annotated[str | None, arg(metavar="FILE")] = None
    """File of smirk3d fer train; by default the packaged network."""
    max_faces: Annotated[int | None, arg(metavar="N")] = None
    """Largest number of faces of an image; with N above 1, large images are also searched for small faces."""
    resume: bool = False
    """Continue an earlier run into the same place; failed images are tried again."""

    def _check(self) -> None:
        if self.max_faces is not None and self.max_faces < 1:
            raise UsageError(f"--max-faces {self.max_faces}: must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class FerPredict(_PhotoCommand, ScaleFlags):
    """Predict emotions and action units of the faces in photos and videos: one table, a sheet of faces, and curves."""

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")] = ()
    """Photos, videos, folders of both (with all their subfolders) and glob patterns."""
    out: Annotated[str, arg(metavar="DIR|s3://…")]
    """Folder for emotions.csv (with pyarrow also .parquet), sheet.png and curves; created where missing. With --ray, or
    inputs in archives or stores, photos alone are read, and the results are the table alone, as Parquet shards."""
    layout: Literal["smirk3d", "fex"] = "smirk3d"
    """Columns of the table; fex: those of py-feat, for scripts that read its tables."""
    clips: Annotated[str | None, arg(metavar="DIR")] = None
    """Folder of clips, videos and folders of frames: each has one emotion in clips.csv, as have the videos of INPUT."""
    clip_weights: Annotated[str | None, arg(metavar="FILE")] = None
    """File of smirk3d fer train with the key kind: clips; by default the packaged clip network."""
    repair: bool = False
    """Rebuild what hides parts of a face before its emotions are recognised; fills the column occluded. Photos only.
    With the packaged network the accuracy does not gain; the documentation has the figures."""

    def run(self) -> int:
        """Predict all inputs; return 1 where some failed."""
        self._check()
        if self.writes_shards(self.inputs, self.out):
            return self._run_sharded()
        from smirk3d.cli.fer_clips import clips_of, predict_clip_table
        from smirk3d.fer.clips.clips_csv import STRIPS_NAME
        from smirk3d.fer.clips.prediction_run import ClipOptions
        from smirk3d.fer.inputs import is_video, plan_recognition
        from smirk3d.fer.prediction_run import SHEET_NAME, TABLE_NAME, PredictionOptions, predict_emotions
        from smirk3d.scale.inputs import with_lists

        out_dir = Path(self.out)
        clips = [] if self.clips is None else clips_of(self.clips)
        own_names = (SHEET_NAME, STRIPS_NAME)
        jobs = [] if clips and not self.inputs else plan_recognition(with_lists(self.inputs), out_dir, own_names)
        clips = [job.path for job in jobs if is_video(job)] + clips
        if self.repair and any(map(is_video, jobs)):
            raise UsageError("--repair: reads photos only; leave the videos out")
        weights = None if self.weights is None else Path(self.weights)
        has_table = self.weights is None or self.clip_weights is not None
        options = PredictionOptions(weights, self.resume, self.layout, self.repair, keep_clips=has_table)
        is_done, tracked = True, {}
        with closing(self._reconstructor()) as reconstructor:
            if jobs:
                summary = predict_emotions(jobs, out_dir, reconstructor, options)
                is_done, tracked = not summary.failed and not summary.damaged, summary.tracked
                print_result(f"{_counts(summary)}; table: {out_dir / TABLE_NAME}")
                print_result(_calibration_line(self.weights))
            if clips:
                own = ClipOptions.of(self.clip_weights, self.weights, self.resume)
                is_done = predict_clip_table(clips, out_dir, reconstructor, own, tracked) and is_done
        return 0 if is_done else 1

    def _run_sharded(self) -> int:
        from smirk3d.scale.inputs import list_jobs
        from smirk3d.scale.tables import emotions_task

        if self.layout != "smirk3d":
            raise UsageError(f"--layout {self.layout}: not for shards; leave it out")
        if self.clips is not None:
            raise UsageError("--clips: not for shards; run it without --ray, archives and stores")
        if self.repair:
            raise UsageError("--repair: not for shards; leave it out")
        check_shard_folder(self.out, ())
        task = emotions_task(self._reconstructor, self.weights, self.shard_settings())
        code = self.write_shards(list_jobs(self.inputs), task, self.out, self.resume)
        print_result(_calibration_line(self.weights))
        return code

    def _reconstructor(self) -> Reconstructor:
        from smirk3d.estimation.reconstructor import Reconstructor

        return Reconstructor(max_faces=self.max_faces)


def _counts(summary: PredictionSummary) -> str:
    """Return the counts of a run as text; videos are named where there were some."""
    counts = f"images: {summary.photos} done, {summary.failed} failed"
    counts += f", {summary.skipped} done before" if summary.skipped else ""
    counts += f"; faces: {summary.faces}"
    return counts + (f"; videos: {summary.clips} done ({summary.frames} frames)" if summary.clips else "")


def _calibration_line(weights: str | None) -> str:
    """Return in one line how the numbers of the table are to be read."""
    from smirk3d.fer.vectors import temperature_of

    temperature = temperature_of(weights)
    if weights is None:
        how = f"calibrated on FERPlus' validation faces by one temperature ({temperature:.3g})"
    elif temperature == 1:
        how = f"not calibrated, {printable(weights)} has no temperature"
    else:
        how = f"calibrated by the temperature of {printable(weights)} ({temperature:.3g}), from its validation faces"
    return (
        f"probabilities: {how}; valence and arousal: expected place on the circumplex; they describe how a face looks "
        "to raters, not what a person feels"
    )


@dataclass(frozen=True, kw_only=True)
class FerFeatures(_PhotoCommand):
    """Write the expression vectors of the faces in images, 256 numbers a face."""

    out: Annotated[str, arg(metavar="FILE.npz|.parquet|.csv")]
    """File for the vectors; its suffix selects the format."""
    crops: bool = False
    """The images are face crops, framed as in FER2013; no face is searched for."""

    def run(self) -> int:
        """Write the vectors; return 1 where some images failed."""
        self._check()
        from smirk3d.batch.runner import plan_jobs
        from smirk3d.detection.detector import Detector
        from smirk3d.export.tables.feature_journal import FeatureJournal
        from smirk3d.export.tables.features import FEATURE_FORMATS, write_features

        path = Path(self.out)
        if path.suffix.lower() not in FEATURE_FORMATS:
            raise UsageError(f"--out {self.out}: must end in one of {' '.join(FEATURE_FORMATS)}")
        jobs = plan_jobs(self.inputs)
        with locked_file(path):
            check_writable(path)  # before the work
            count = self.max_faces or 1
            with (
                closing(Detector(max_faces=count, search_tiles=count > 1)) as detector,
                FeatureJournal(path, self.resume) as journal,
            ):
                failed = self._fill(journal, jobs, None if self.crops else detector)
                n_faces = write_features(journal.rows(job.path for job in jobs), path)
                journal.remove()
        print_result(f"images: {len(jobs) - failed} done, {failed} failed; faces: {n_faces}; features: {path}")
        return 1 if failed else 0

    def _fill(self, journal: FeatureJournal, jobs: Sequence[Job], detector: Detector | None) -> int:
        """Add the images that are missing in the journal, show each failure, and return the number of failures."""
        from smirk3d.batch.prefetch import failure_reason
        from smirk3d.export.tables.expressions_csv import table_name
        from smirk3d.progress import failure_line, progress

        todo = [job for job in jobs if table_name(job.path) not in journal.done]
        n_failed = 0
        with progress(len(todo)) as display:
            for job in todo:
                try:
                    self._add(journal, job.path, detector)
                except Exception as error:  # one photo never stops the run
                    n_failed += 1
                    display.note(failure_line(job.path, failure_reason(error)))
                display.advance()
        return n_failed

    def _add(self, journal: FeatureJournal, path: Path, detector: Detector | None) -> None:
        from smirk3d.export.tables.expressions_csv import table_name
        from smirk3d.export.tables.features import FeatureRow
        from smirk3d.fer.photo_windows import windows_of_photo
        from smirk3d.fer.vectors import expressions_of, vector_names

        vectors = expressions_of(windows_of_photo(path, detector), self.weights).vectors
        name = table_name(path)
        journal.add(
            path, [FeatureRow(f"{name}#{k}" if k else name, vector_names(), row) for k, row in enumerate(vectors)]
        )


@dataclass(frozen=True, kw_only=True)
class FerProbe(Command):
    """Cross-validate a linear classifier on features, with people kept apart."""

    features: Annotated[Positional[str], arg(metavar="FEATURES")]
    """File of smirk3d fer features or smirk3d features."""
    labels: Annotated[Positional[str], arg(metavar="LABELS.csv")]
    """Table with a column key, image or path, and one with labels."""
    label: Annotated[str, arg(metavar="COLUMN")] = "label"
    """Column of the labels."""
    groups: Annotated[str | None, arg(metavar="COLUMN")] = None
    """Column of the people, who are never on both sides of a split."""
    split: Annotated[str | None, arg(metavar="COLUMN")] = None
    """Column of splits: learn on train and test on all others, instead of cross-validation; they must share no person
    and no near-duplicate."""
    folds: Annotated[int, arg(metavar="N")] = 5
    """Number of folds."""
    seed: int = 0
    """Of the folds and of the bootstrap."""
    plot: Annotated[str | None, arg(metavar="FILE.png")] = None
    """Picture of the confusion matrix to write."""

    def run(self) -> int:
        """Print the result of the probe."""
        if self.folds < 2:
            raise UsageError(f"--folds {self.folds}: must be 2 or more")
        if self.plot is not None and not self.plot.lower().endswith(".png"):
            raise UsageError(f"--plot {self.plot}: must end in .png")
        from smirk3d.fer.labelled_features import join_labels
        from smirk3d.fer.probe import cross_validated_probe
        from smirk3d.fer.split_probe import split_probe

        joined = join_labels(Path(self.features), Path(self.labels), self.label, self.groups, self.split)
        if joined.unlabelled:
            print_message(f"{joined.unlabelled} faces have no label and are left out")
        if self.groups is None:
            print_message("no --groups: faces of one person may be on both sides, which flatters the result")
        if self.split is not None:
            result = split_probe(joined, seed=self.seed)
        else:
            result = cross_validated_probe(
                joined.features, joined.labels, joined.groups, folds=self.folds, seed=self.seed
            )
        lines = probe_lines(result)
        for line in lines:
            print_result(line)
        if self.plot is not None:
            from smirk3d.viz.classification_plots import draw_confusion
            from smirk3d.viz.plot_style import save_pixels

            picture = draw_confusion(result.classes, result.confusion, "Linear probe", f"{lines[0]}; {lines[1]}")
            save_pixels(picture, Path(self.plot))
        return 0


def probe_lines(result: ProbeResult) -> list[str]:
    """Return a probe's result as lines of text."""
    low, high = result.interval
    lines = [
        f"faces: {int(result.confusion.sum())}; groups: {result.people} ({result.merged} joined as near-duplicates)",
        f"balanced accuracy (UAR): {result.balanced_accuracy:.3f}, 95 % interval {low:.3f} to {high:.3f}",
        f"accuracy (WAR): {result.war:.3f}; macro F1: {result.macro_f1:.3f}",
        "confusion, rows true, columns predicted:",
    ]
    width = max(map(len, result.classes))
    columns = [max(len(name), 5) for name in result.classes]
    lines.append(" " * width + "  " + "  ".join(name.rjust(size) for name, size in zip(result.classes, columns)))
    for name, row in zip(result.classes, result.confusion):
        lines.append(name.ljust(width) + "  " + "  ".join(str(n).rjust(size) for n, size in zip(row, columns)))
    return lines
