"""Results as a table for people, and as JSON or CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path, printable
from smirk3d.evaluation.result import Result
from smirk3d.head.arkit import ARKIT_NAMES

WORST_COUNT = 5
COLUMNS = ("measure", "method", "faces", "figure", "value", "unit")


@dataclass(frozen=True)
class Report:
    """An evaluation.

    Attributes:
        about: What was measured: checkpoint, head, data, split and so on.
        results: In the order in which they were measured.
        skipped: Measures that do not apply, and why.
        faults: Faces that could not be read.
        failures: Measures that could not be completed, and why.
    """

    about: Mapping[str, str | int | None]
    results: Sequence[Result]
    skipped: Mapping[str, str]
    faults: Sequence[str] = ()
    failures: Mapping[str, str] = field(default_factory=dict)

    def table(self, *, every_action: bool = False) -> str:
        """Lay out the figures, one a line, with the worst blendshapes behind each result.

        Args:
            every_action: All blendshapes instead of the worst ones.
        """
        rows: list[tuple[str, ...]] = [COLUMNS[:5]]
        notes: dict[int, list[str]] = {}
        for result in self.results:
            start = (result.measure, result.method, str(result.faces))
            for number, value in enumerate(result.values):
                rows.append((*(("", "", "") if number else start), value.name, number_text(value.number)))
            notes[len(rows) - 1] = _notes(result, every_action)
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = []
        for number, row in enumerate(rows):
            cells = [cell.ljust(width) for cell, width in zip(row[:4], widths)]
            lines.append("  ".join([*cells, row[4].rjust(widths[4])]))
            lines += notes.get(number, [])
        lines += [f"{name}: not measured: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines + [f"{name}: failed: {printable(why)}" for name, why in self.failures.items()])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as JSON, or the figures as CSV where the path ends in .csv, whole or not at all.

        Raises:
            Smirk3dError: The file cannot be written.
        """
        text = self._csv() if Path(path).suffix.lower() == ".csv" else self._json()
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _json(self) -> str:
        """Return everything as JSON; numbers that are not finite are null."""
        content = {
            "about": dict(self.about),
            "results": [_as_json(result) for result in self.results],
            "skipped": dict(self.skipped),
            "faults": list(self.faults),
            "failures": dict(self.failures),
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    def _csv(self) -> str:
        """Return a row a figure; numbers that are not finite are empty."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, "better"))
        for result in self.results:
            for value in result.values:
                number = "" if _finite(value.number) is None else repr(value.number)
                figure = value.figure
                writer.writerow(
                    (result.measure, result.method, result.faces, figure.name, number, figure.unit, figure.better)
                )
        return file.getvalue()


def number_text(number: float) -> str:
    """Return a number with four decimals, "-" where it is not finite."""
    return f"{number:.4f}" if math.isfinite(number) else "-"


def worst_blendshapes(result: Result) -> str:
    """Return the worst blendshapes by the first column of a result, "" where there is none."""
    if not result.blendshapes or not result.worst:
        return ""
    values = next(iter(result.blendshapes.values()))
    order = np.argsort(values if result.worst == "low" else -values)  # NaN comes last
    known = [k for k in order if not np.isnan(values[k])][:WORST_COUNT]
    return ", ".join(f"{ARKIT_NAMES[k]} {values[k]:.3f}" for k in known)


def _notes(result: Result, every_action: bool) -> list[str]:
    lines = [f"    {result.left_out} more without a face found"] if result.left_out else []
    if result.by_sample:
        order = sorted(result.by_sample.items(), key=lambda item: -item[1])[:WORST_COUNT]
        lines.append("    worst: " + ", ".join(f"{name} {value:.3f}" for name, value in order))
    columns = result.blendshapes
    if every_action and columns:
        lines.append("    " + " " * 20 + "".join(f"{name:>14s}" for name in columns))
        for k, name in enumerate(ARKIT_NAMES):
            lines.append(f"    {name:20s}" + "".join(f"{number_text(column[k]):>14s}" for column in columns.values()))
    elif worst := worst_blendshapes(result):
        lines.append(f"    worst {next(iter(columns))}: {worst}")
    return lines


def _as_json(result: Result) -> dict:
    columns = {name: [_finite(value) for value in column] for name, column in result.blendshapes.items()}
    return {
        "measure": result.measure,
        "method": result.method,
        "faces": result.faces,
        "left_out": result.left_out,
        "figures": {value.name: _finite(value.number) for value in result.values},
        "units": {value.name: value.figure.unit for value in result.values if value.figure.unit},
        "better": {value.name: value.figure.better for value in result.values if value.figure.better},
        "actions": {
            action: {name: column[k] for name, column in columns.items()} for k, action in enumerate(ARKIT_NAMES)
        }
        if columns
        else {},
        "by_sample": {name: _finite(value) for name, value in result.by_sample.items()},
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
