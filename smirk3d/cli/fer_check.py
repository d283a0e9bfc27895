"""`smirk3d fer check`: counts of a data set of labelled faces, and what is wrong with it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from smirk3d.assets import atomic_path, printable
from smirk3d.cli.console import print_result
from smirk3d.cli.options import Command

if TYPE_CHECKING:
    from smirk3d.fer.dataset_check import DatasetReport

_PLURALS = {
    "unreadable": "unreadable pictures",
    "near-duplicate": "near-duplicates across splits",
    "person": "persons in two splits",
}


@dataclass(frozen=True, kw_only=True)
class FerCheck(Command):
    """Count the faces of a data set by class and split; find unreadable files, and what its splits share."""

    root: Annotated[Positional[str], arg(metavar="ROOT")]
    """Folder or table of the data set."""
    problems: Annotated[str | None, arg(metavar="FILE.csv")] = None
    """Table to write of all that was found; the output has the first of each kind."""

    def run(self) -> int:
        """Print the report; return 1 where there are problems."""
        from smirk3d.fer.dataset_check import check_dataset
        from smirk3d.progress import progress

        with progress(0, unit="faces") as display:
            report = check_dataset(Path(self.root), display.advance)
        for line in report_lines(report):
            print_result(line)
        if self.problems is not None:
            _write_problems(report, Path(self.problems))
            print_result(f"problems: {self.problems}")
        return 1 if report.problems else 0


def report_lines(report: DatasetReport) -> Iterator[str]:
    """Yield a report as lines of text."""
    yield f"layout: {report.layout}"
    for split in report.splits:
        counts = ", ".join(f"{name} {count}" for name, count in split.counts.items() if count)
        persons = len(set(split.persons) - {None})
        yield f"split {split.name}: {len(split.keys)} faces ({counts})" + (f"; {persons} persons" if persons else "")
    for kind, plural in _PLURALS.items():
        found = [problem for problem in report.problems if problem.kind == kind]
        line = f"{plural}: {len(found)}"
        if found:
            first = found[0]
            place = f"{first.split} and {first.other_split}: " if first.other_split else f"{first.split}: "
            other = f" and {first.other_key}" if kind == "near-duplicate" else ""
            line += f"; the first in {place}{printable(first.key + other)}"
        yield line
    if not any(person for split in report.splits for person in split.persons):
        yield "the data set states no persons; faces of one person may be in two splits"


def _write_problems(report: DatasetReport, path: Path) -> None:
    from smirk3d.fer.dataset_check import Problem

    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([each.name for each in fields(Problem)])
        writer.writerows(astuple(problem) for problem in report.problems)
