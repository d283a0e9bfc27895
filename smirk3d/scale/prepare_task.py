"""The preparation of training faces in units: a WebDataset shard of each split, and the report as Parquet."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from smirk3d.datasets.prepare import read_ahead
from smirk3d.datasets.prepare_report import REPORT_COLUMNS, ReportRow, row_cells
from smirk3d.datasets.prepared_faces import PrepareOptions, input_image, prepared_faces
from smirk3d.datasets.shard_writer import PreparedFace
from smirk3d.datasets.shards import SPLITS, write_shard
from smirk3d.detection.detector import Detector
from smirk3d.scale.parquet_shards import SUFFIX, encode_shard, table_of_cells
from smirk3d.scale.result_folder import ResultFolder
from smirk3d.scale.shard_task import UnitCounts
from smirk3d.scale.units import Unit

if TYPE_CHECKING:
    from smirk3d.datasets.fan_network import FaceAlignment

REPORT, FAILURES, ARCHIVE_SUFFIX = "report-", "failed-", ".tar"
_FAILURES_REPORTED = 10


@dataclass(frozen=True)
class PrepareTask:
    """The preparation; a `ShardTask`.

    Attributes:
        max_faces: Most faces of a photo.
        options: Settings.
        contours: "fan", the name of a folder, or None; as for `smirk3d data prepare`.
    """

    max_faces: int
    options: PrepareOptions
    contours: str | None = None

    def open(self) -> _PrepareWorker:
        """See `ShardTask`."""
        from smirk3d.datasets.fan_network import load_fan

        contours = load_fan() if self.contours == "fan" else None if self.contours is None else Path(self.contours)
        return _PrepareWorker(Detector(max_faces=self.max_faces), self.options, contours)

    def settings(self) -> dict[str, object]:
        """See `ShardTask`."""
        return asdict(self)

    def prepare_resume(self, folder: ResultFolder, names: list[str]) -> list[str]:
        """See `ShardTask`: a shard of faces without its report is of a unit that was cut off."""
        reports = {name for name in names if name.startswith(REPORT) and name.endswith(SUFFIX)}
        for name in names:
            unit = name.removesuffix(ARCHIVE_SUFFIX).rpartition("-")[2]
            is_cut = name.endswith(ARCHIVE_SUFFIX) and f"{REPORT}{unit}{SUFFIX}" not in reports
            if is_cut or (name.startswith(FAILURES) and name.endswith(SUFFIX)):
                folder.delete(name)
        return sorted(reports)


class _PrepareWorker:
    """Writes the shards and the reports of units; a `ShardWorker`."""

    def __init__(self, detector: Detector, options: PrepareOptions, contours: Path | FaceAlignment | None) -> None:
        self._detector, self._options, self._contours = detector, options, contours

    def run(self, unit: Unit, folder: ResultFolder) -> UnitCounts:
        """See `ShardWorker`; the report is the last file."""
        photos = self._photos(unit)
        faces = [face for photo in photos for face in photo]
        for split in SPLITS:
            self._write_faces(folder, f"{split}-{unit.name}{ARCHIVE_SUFFIX}", split, faces)
        failed = [photo for photo in photos if photo[0].row.is_failure]
        done = [photo for photo in photos if not photo[0].row.is_failure]
        _write_report(folder, f"{REPORT}{unit.name}{SUFFIX}", done)
        _write_report(folder, f"{FAILURES}{unit.name}{SUFFIX}", failed)
        kept = sum(face.record is not None for face in faces)
        shown = tuple((photo[0].row.image, photo[0].row.status) for photo in failed[:_FAILURES_REPORTED])
        return UnitCounts(len(done), len(failed), kept, shown)

    def close(self) -> None:
        """See `ShardWorker`."""
        self._detector.close()

    def _photos(self, unit: Unit) -> list[list[PreparedFace]]:
        """Return the faces of each photo, with the names of their shards."""
        photos: list[list[PreparedFace]] = []
        with closing(read_ahead([job for block in unit.blocks for job in block])) as pixels:
            for job, image in pixels:
                named = input_image(job, image, self._options, self._contours, lambda _: None)
                found = prepared_faces(named, self._detector, self._options)
                photos.append([_in_shard(face, unit.name) for face in found])
        return photos

    def _write_faces(self, folder: ResultFolder, name: str, split: str, faces: list[PreparedFace]) -> None:
        records = [face.record for face in faces if face.record is not None and face.split == split]
        if not records:
            return
        with tempfile.TemporaryDirectory(prefix="smirk3d-") as temporary:
            path = Path(temporary) / name
            write_shard(path, records)
            folder.write(name, path.read_bytes())


def _in_shard(face: PreparedFace, unit: str) -> PreparedFace:
    if face.record is None:
        return face
    return replace(face, row=replace(face.row, shard=f"{face.split}-{unit}{ARCHIVE_SUFFIX}"))


def _write_report(folder: ResultFolder, name: str, photos: list[list[PreparedFace]]) -> None:
    rows: list[ReportRow] = [face.row for photo in photos for face in photo]
    if rows:
        images = list(dict.fromkeys(row.image for row in rows))
        folder.write(name, encode_shard(table_of_cells(REPORT_COLUMNS, list(map(row_cells, rows))), images))
