"""`smirk3d data targets`: pseudo-targets of the faces in shards, by landmark fitting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from smirk3d.assets import printable
from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.data import report_faults
from smirk3d.cli.options import Command
from smirk3d.errors import Smirk3dError, UsageError


@dataclass(frozen=True, kw_only=True)
class DataTargets(Command):
    """Fit the head to the landmarks of the faces in shards; the results are pseudo-targets for training."""

    folders: Annotated[Positional[tuple[str, ...]], arg(metavar="DIR...")] = ()
    """Folders with train-*.tar and val-*.tar."""
    out: Annotated[str, arg(metavar="FILE")]
    """Table to write, .npz."""
    split: Literal["train", "val", "all"] = "train"
    """Split to fit."""
    head: Annotated[str, arg(metavar="open|PATH")] = "open"
    """Head model: the open head, a FLAME file or a head pack."""
    scores: bool = True
    """Set the strength of brows and pursed lips by the detector's scores; only for heads with ARKit blendshapes."""

    def run(self) -> int:
        """Fit the faces; returns 1 when some could not be read."""
        from smirk3d.authoring.load import load_head
        from smirk3d.datasets.blendshape_pseudo_targets import blend_blendshape_scores
        from smirk3d.datasets.pseudo_targets import fit_targets, join_targets, records_of, with_depth
        from smirk3d.datasets.shards import DataError
        from smirk3d.head.arkit import ARKIT_NAMES
        from smirk3d.progress import progress

        if not self.folders or not self.out.endswith(".npz"):
            raise UsageError("name one or more folders of shards, and with --out a file that ends in .npz")
        faults: list[DataError] = []
        records = [
            record
            for folder in self.folders
            for record in with_depth(folder, records_of(folder, self.split, faults.append), faults.append)
        ]
        if not records:
            reason = faults[0] if faults else "its shards are empty; prepare them again"
            raise Smirk3dError(f"{printable(', '.join(self.folders))}: no usable faces: {reason}")
        tables = []
        with progress(len(records)) as display:
            for table in fit_targets(load_head(self.head, report=print_message), records):
                tables.append(table)
                for _ in table.keys:
                    display.advance()
        table = join_targets(tables)
        if self.scores and table.expression_names == ARKIT_NAMES:
            table = blend_blendshape_scores(table, {record.key: record.scores for record in records})
        table.save(self.out)
        report_faults(faults)
        print_result(f"faces: {len(table)}; mean trust {table.weight.mean():.2f}; written: {self.out}")
        return 1 if faults else 0
