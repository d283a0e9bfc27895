"""`smirk3d data prepare` and `smirk3d data check`: shards of training faces from photos, and their contents."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from smirk3d.assets import printable
from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command
from smirk3d.cli.scale import ScaleFlags, check_shard_folder
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.output_lock import locked_folder

if TYPE_CHECKING:
    from smirk3d.datasets.prepare import PrepareSummary
    from smirk3d.datasets.prepared_faces import PrepareOptions
    from smirk3d.datasets.shards import DataError

_MAX_FACES = 20
_FAULTS_SHOWN = 10
_SHARD_FACES = 1000


@dataclass(frozen=True, kw_only=True)
class DataPrepare(ScaleFlags):
    """Detect the faces in photos, filter them by quality, and write them as shards for training, with a report."""

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")] = ()
    """Image files, folders (searched to any depth) and glob patterns; see the guide to scale for further ones."""
    out: Annotated[str, arg(metavar="DIR|s3://…")]
    """Folder for the shards and report.csv; made where missing. With --ray, or inputs in archives or stores, the report
    is in Parquet shards."""
    resume: bool = False
    """Continue an earlier run into the same folder, or add more photos."""
    shard_size: Annotated[int | None, arg(metavar="N")] = None
    """Faces in a shard, by default 1000; with --ray, or inputs in archives or stores, photos, by default 512."""
    min_face: Annotated[float, arg(metavar="PX")] = 64.0
    """Smallest face: mean of width and height in pixels of the photo."""
    min_sharpness: Annotated[float, arg(metavar="X")] = 5.0
    """Smallest variance of the Laplacian of the face at 128 × 128 pixels; 0 keeps blurred faces."""
    min_inside: Annotated[float, arg(metavar="SHARE")] = 0.9
    """Smallest share of the landmarks that lie in the photo."""
    max_mirror_error: Annotated[float | None, arg(metavar="X")] = None
    """Drop faces whose landmarks in the mirrored photo differ by more than this, in face sizes; 0.05 is usual."""
    faces: Literal["largest", "all"] = "largest"
    """Which faces of a photo."""
    person: Literal["folder", "none"] = "none"
    """folder: all photos of a folder show one person, named like the folder; none: persons are unknown."""
    val_share: Annotated[float, arg(metavar="SHARE")] = 0.1
    """Share of the persons (of the photos, if persons are unknown) in the validation shards."""
    contour: Annotated[str | None, arg(metavar="fan|FOLDER")] = None
    """Contours of the faces by FAN, which are further landmarks in training. fan: the package face-alignment finds
    them (pip install smirk3d[fan]). FOLDER: FAN's 68 landmarks, (68, 2) or (faces, 68, 2) pixels, in A/B.npy for the
    photo A/B.jpg below INPUT."""

    def run(self) -> int:
        """Prepare the photos; returns 1 when some could not be read or processed."""
        from smirk3d.batch.runner import plan_jobs
        from smirk3d.datasets.fan_network import load_fan
        from smirk3d.datasets.prepare import REPORT_NAME, prepare
        from smirk3d.datasets.prepare_report import NOT_PROCESSED, UNREADABLE
        from smirk3d.detection.detector import Detector
        from smirk3d.scale.inputs import with_lists

        if self.writes_shards(self.inputs, self.out):
            return self._run_sharded()
        options, out_dir = self._options(), Path(self.out)
        inputs = with_lists(self.inputs)
        plan_jobs(inputs)  # before a model is loaded
        self._check_contour()
        contours = load_fan() if self.contour == "fan" else None if self.contour is None else Path(self.contour)
        with locked_folder(out_dir), Detector(max_faces=self._max_faces) as detector:
            summary = prepare(inputs, out_dir, detector, options, resume=self.resume, contours=contours)
        print_result(f"{_sentence(summary)}; report: {out_dir / REPORT_NAME}")
        return 1 if summary.dropped[UNREADABLE] or summary.dropped[NOT_PROCESSED] else 0

    def _run_sharded(self) -> int:
        from smirk3d.scale.inputs import list_jobs
        from smirk3d.scale.prepare_task import PrepareTask

        check_shard_folder(self.out, ())
        self._check_contour()
        options = replace(self._options(), shard_size=_SHARD_FACES)  # the size of these shards is in photos
        task = PrepareTask(self._max_faces, options, self.contour)
        return self.write_shards(list_jobs(self.inputs), task, self.out, self.resume)

    @property
    def _has_own_shards(self) -> bool:
        return True

    @property
    def _max_faces(self) -> int:
        return 1 if self.faces == "largest" else _MAX_FACES

    def _check_contour(self) -> None:
        if self.contour not in (None, "fan") and not Path(self.contour).is_dir():
            raise UsageError(f"--contour {printable(self.contour)}: no such folder; use --contour fan")

    def _options(self) -> PrepareOptions:
        from smirk3d.datasets.prepared_faces import PrepareOptions
        from smirk3d.datasets.quality import QualityLimits

        if self.min_face < 1:
            raise UsageError(f"--min-face {self.min_face}: must be 1 or more")
        limits = QualityLimits(
            min_face_px=self.min_face,
            min_sharpness=self.min_sharpness,
            min_inside=self.min_inside,
            max_mirror_error=self.max_mirror_error,
        )
        return PrepareOptions(self.shard_size or _SHARD_FACES, limits, self.person, self.val_share)


@dataclass(frozen=True, kw_only=True)
class DataCheck(Command):
    """Read all faces of a folder of shards, count them, and report damage."""

    folder: Annotated[Positional[str], arg(metavar="DIR")]
    """Folder with train-*.tar and val-*.tar."""

    def run(self) -> int:
        """Check the shards; returns 1 when some are damaged."""
        from smirk3d.datasets.shards import SPLITS, read_folder

        faults: list[DataError] = []
        splits = [split for split in SPLITS if any(Path(self.folder).glob(f"{split}-*.tar"))]
        if not splits:
            raise Smirk3dError(f"{printable(self.folder)}: no shards there; make them with smirk3d data prepare")
        for split in splits:
            people = Counter(record.person for record in read_folder(self.folder, split, faults.append))
            unknown = people.pop("", 0)
            print_result(
                f"{split}: faces {people.total() + unknown}, known persons {len(people)}, of unknown person {unknown}"
            )
        report_faults(faults)
        return 1 if faults else 0


def report_faults(faults: list[DataError]) -> None:
    """Print the first few faults and the number of the others."""
    for fault in faults[:_FAULTS_SHOWN]:
        print_message(str(fault))
    if len(faults) > _FAULTS_SHOWN:
        print_message(f"and {len(faults) - _FAULTS_SHOWN} more")


def _sentence(summary: PrepareSummary) -> str:
    kept = ", ".join(f"{summary.kept[split]} {split}" for split in ("train", "val"))
    reasons = ", ".join(f"{count} {kind}" for kind, count in summary.dropped.most_common())
    parts = [f"photos: {summary.photos} done" + (f", {summary.skipped} done before" if summary.skipped else "")]
    parts += [f"kept: {kept}, in {summary.shards} shards", f"dropped: {reasons or 'none'}"]
    if summary.contours:
        parts.append("contours: " + ", ".join(f"{count} {state}" for state, count in summary.contours.most_common()))
    return "; ".join(parts)
