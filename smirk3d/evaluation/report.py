"""What measures find: records, the table for people, the JSON for programs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from smirk3d.assets import atomic_path
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES

WORST_SHOWN = 5
_NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})


class MeasureNotApplicableError(Smirk3dError):
    """A measure that does not apply to what is given; an error only where the measure was asked for by name."""


@dataclass(frozen=True, eq=False)
class Result:
    """What one measure says of one method.

    Attributes:
        measure: Its name. method: "encoder", "refine", "fit", "detector" or "renderer".
        faces: How many were measured. left_out: How many more could not be, because no face was found in them.
        figures: Numbers by name; the name ends in the unit where there is one.
        actions: Columns of 52 numbers, one an ARKit action in Apple's order, by name; NaN where there is none.
        worst_is_low: Column by which actions are bad where it is low; "" where a high one, or none, is bad.
    """

    measure: str
    method: str
    faces: int
    figures: Mapping[str, float]
    actions: Mapping[str, np.ndarray] = field(default_factory=lambda: _NOTHING)
    left_out: int = 0
    worst_is_low: str = ""

    def worst_actions(self) -> str:
        """Name the worst actions of the first column, "" where there is none."""
        if not self.actions:
            return ""
        name = next(iter(self.actions))
        values = self.actions[name]
        order = np.argsort(values if name == self.worst_is_low else -values)  # NaN comes last
        known = [k for k in order if not np.isnan(values[k])][:WORST_SHOWN]
        return ", ".join(f"{ARKIT_NAMES[k]} {values[k]:.3f}" for k in known)


@dataclass(frozen=True)
class Report:
    """An evaluation.

    Attributes:
        about: What was measured: checkpoint, head, data, split and so on.
        results: In the order in which they were found.
        skipped: Measures that do not apply, and why.
        faults: Faces that could not be read.
    """

    about: Mapping[str, str | int | None]
    results: Sequence[Result]
    skipped: Mapping[str, str]
    faults: Sequence[str] = ()

    def table(self, *, every_action: bool = False) -> str:
        """Lay out the figures, one a line, with the worst actions or all of them behind each measure."""
        rows: list[tuple[str, ...]] = [("measure", "method", "faces", "figure", "value")]
        notes: dict[int, list[str]] = {}
        for result in self.results:
            start = (result.measure, result.method, str(result.faces))
            for number, (name, value) in enumerate(result.figures.items()):
                rows.append((*(("", "", "") if number else start), name, _shown(value)))
            notes[len(rows) - 1] = _action_lines(result, every_action)
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = []
        for number, row in enumerate(rows):
            cells = [cell.ljust(width) for cell, width in zip(row[:4], widths)]
            lines.append("  ".join([*cells, row[4].rjust(widths[4])]))
            lines += notes.get(number, [])
        return "\n".join(lines + [f"{name}: not measured: {why}" for name, why in self.skipped.items()])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as JSON, whole or not at all; what is not a number is null.

        Raises:
            Smirk3dError: The file cannot be written.
        """
        content = {
            "about": dict(self.about),
            "results": [_as_json(result) for result in self.results],
            "skipped": dict(self.skipped),
            "faults": list(self.faults),
        }
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _action_lines(result: Result, every_action: bool) -> list[str]:
    lines = [f"    {result.left_out} more without a face found"] if result.left_out else []
    if every_action and result.actions:
        lines.append("    " + " " * 20 + "".join(f"{name:>14s}" for name in result.actions))
        for k, name in enumerate(ARKIT_NAMES):
            lines.append(f"    {name:20s}" + "".join(f"{_shown(column[k]):>14s}" for column in result.actions.values()))
    elif worst := result.worst_actions():
        lines.append(f"    worst {next(iter(result.actions))}: {worst}")
    return lines


def _as_json(result: Result) -> dict:
    columns = {name: [_number(value) for value in column] for name, column in result.actions.items()}
    return {
        "measure": result.measure,
        "method": result.method,
        "faces": result.faces,
        "left_out": result.left_out,
        "figures": {name: _number(value) for name, value in result.figures.items()},
        "actions": {
            action: {name: column[k] for name, column in columns.items()} for k, action in enumerate(ARKIT_NAMES)
        }
        if columns
        else {},
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _shown(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"
