"""Shards that grow face by face; the last one of a split may be filled by a later run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from smirk3d.datasets.prepare_report import Report, ReportRow
from smirk3d.datasets.shards import SPLITS, Record, read_shard, write_shard


@dataclass(frozen=True)
class PreparedFace:
    """A face of a photo, or a photo without one.

    Attributes:
        row: Its row of the report, without the shard.
        split: "train" or "val" for a kept face.
        record: What the shard holds of it; None where it is not kept.
        contour: State of its contour, see `smirk3d.datasets.fan_contour`.
    """

    row: ReportRow
    split: str = ""
    record: Record | None = None
    contour: str = ""


class ShardWriter:
    """Collects faces and writes them as shards.

    Args:
        out_dir: Existing folder.
        shard_size: Faces in a shard.

    Attributes:
        photos: Photos taken.
        shards: Shards written.
        kept: Faces by split.
        dropped: Faces and photos by reason.
        contours: Kept faces by the state of their contour.
    """

    def __init__(self, out_dir: Path, shard_size: int) -> None:
        self._out_dir, self._shard_size = out_dir, shard_size
        self._pending: dict[str, list[Record]] = {split: [] for split in SPLITS}
        self._n_stored = dict.fromkeys(SPLITS, 0)  # of the pending faces, those that are in a shard already
        self._next = {split: _first_free(out_dir, split) for split in SPLITS}
        self.photos = self.shards = 0
        self.kept: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.contours: Counter[str] = Counter()

    def refill(self, unfilled: Mapping[str, list[Record]]) -> None:
        """Take up the last shard of a split again, by its name and its faces, to which more will be added."""
        for name, records in unfilled.items():
            split = name.partition("-")[0]
            self._pending[split], self._n_stored[split] = list(records), len(records)
            self._next[split] -= 1

    def take(self, faces: Sequence[PreparedFace], report: Report) -> list[ReportRow]:
        """Add the faces of a photo, all to the same shard, so that a photo is complete or absent; return their rows."""
        rows = []
        for face in faces:
            shard = "" if face.record is None else self._shard_name(face.split)
            rows.append(ReportRow(**{**asdict(face.row), "shard": shard}))
            (self.dropped if face.record is None else self.kept)[face.split or face.row.kind] += 1
            self.contours.update([face.contour] if face.contour else [])
        report.add(rows)
        self.photos += 1
        for face in faces:
            if face.record is not None:
                self._pending[face.split].append(face.record)
        for split, records in self._pending.items():
            if len(records) >= self._shard_size:
                self._write(split)
        return rows

    def close(self) -> None:
        """Write the collected faces as shards."""
        for split, records in self._pending.items():
            if len(records) > self._n_stored[split]:
                self._write(split)

    def _shard_name(self, split: str) -> str:
        return f"{split}-{self._next[split]:06d}.tar"

    def _write(self, split: str) -> None:
        # Removed from the list first: a shard that cannot be written is not tried again at the end of the run.
        records, self._pending[split] = self._pending[split], []
        self._n_stored[split] = 0
        write_shard(self._out_dir / self._shard_name(split), records)
        self._next[split] += 1
        self.shards += 1


def _first_free(out_dir: Path, split: str) -> int:
    return max(
        (int(path.stem.rpartition("-")[2]) + 1 for path in out_dir.glob(f"{split}-{'[0-9]' * 6}.tar")), default=0
    )


def unfilled_shards(out_dir: Path, shard_size: int) -> dict[str, list[Record]]:
    """Return the faces of the last shard of each split, by its name, where it has fewer than the size of a shard.

    Faces that cannot be read are left out.
    """
    unfilled: dict[str, list[Record]] = {}
    for split in SPLITS:
        name = f"{split}-{_first_free(out_dir, split) - 1:06d}.tar"
        if (out_dir / name).is_file():
            records = list(read_shard(out_dir / name, lambda _: None))
            if len(records) < shard_size:
                unfilled[name] = records
    return unfilled
