"""Suites: many evaluations in one run, such as all figures that the documentation states."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from smirk3d.assets import atomic_path
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.evaluation.data import OpenProgress
from smirk3d.evaluation.needs import missing_input
from smirk3d.evaluation.occlusion import OcclusionMeasure
from smirk3d.evaluation.options import DEFAULT_COUNT, ClipOptions, EvaluationOptions
from smirk3d.evaluation.registry import measures_named
from smirk3d.evaluation.report import Report, number_text
from smirk3d.evaluation.result import Result, Value
from smirk3d.evaluation.runner import evaluate
from smirk3d.head.load import OPEN_HEAD

Extra = Literal["head", "photos", "character"]
SUITE_COLUMNS: tuple[str, ...] = ("title", "method", "figure", "value", "unit", "command", "reason")
Run = Callable[[EvaluationOptions, OpenProgress], Report]


@dataclass(frozen=True)
class SuiteItem:
    """One evaluation of a suite.

    Attributes:
        title: What the documentation calls it.
        checkpoint: As for `EvaluationOptions`.
        measure: Name of the measure.
        figures: Names of the figures that are printed.
        changes: Other fields of `EvaluationOptions` than their defaults.
        uses: Inputs of the suite that belong to this evaluation, beside the data; it needs them.
    """

    title: str
    checkpoint: str
    measure: str
    figures: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    uses: tuple[Extra, ...] = ()


@dataclass(frozen=True)
class SuiteLine:
    """One figure of a suite, or why an evaluation was not run.

    Attributes:
        title: What the documentation calls it.
        method: What was measured, "" where it was not.
        value: The figure, None where the evaluation was not run.
        command: The command line that prints the figure.
        reason: Why the evaluation was not run.
        is_failure: Whether it failed, rather than lacking an input.
    """

    title: str
    method: str
    value: Value | None
    command: str
    reason: str = ""
    is_failure: bool = False


EXPRESSION = ("mean_correlation", "mean_error", "asymmetry_slope", "neutral_mean")
LANDMARK = ("mean_percent", "median_percent")
STABILITY = ("mean_std", "steady_blendshapes", "steady_clips", "max_std")
OCCLUSION = tuple(figure.name for figure in OcclusionMeasure.figures)
README_SUITE: tuple[SuiteItem, ...] = (
    SuiteItem("fit to annotated landmarks", "fit", "landmark-fit", (*LANDMARK, "mean_abs_shape")),
    SuiteItem(
        "fit to annotated landmarks, scaled orthographic camera",
        "fit",
        "landmark-fit",
        LANDMARK,
        {"focal": "orthographic"},
    ),
    SuiteItem("fit to annotated landmarks on another head model", "fit", "landmark-fit", LANDMARK, {}, ("head",)),
    SuiteItem("landmarks of photos, fit", "fit", "landmarks", LANDMARK, {"count": 400}),
    SuiteItem("landmarks of photos, encoder", "packaged", "landmarks", LANDMARK, {"count": 400}),
    SuiteItem("landmarks of photos, refine", "packaged", "landmarks", LANDMARK, {"count": 400, "method": "refine"}),
    SuiteItem("rendered heads, detector's scores", "detector", "synthetic", EXPRESSION, {"count": 300}),
    SuiteItem(
        "rendered heads, fit without scores", "fit", "synthetic", EXPRESSION, {"count": 300, "use_scores": False}
    ),
    SuiteItem(
        "rendered heads, fit, orthographic camera",
        "fit",
        "synthetic",
        EXPRESSION,
        {"count": 300, "focal": "orthographic"},
    ),
    SuiteItem("rendered heads", "packaged", "synthetic", EXPRESSION, {"count": 300}),
    SuiteItem("another artist's head", "packaged", "character", EXPRESSION, {"count": 480, "seed": 5}, ("character",)),
    SuiteItem("mirror images, fit", "fit", "mirror", ("mean_difference",), {"count": 400}),
    SuiteItem("mirror images, encoder", "packaged", "mirror", ("mean_difference",), {"count": 400}),
    SuiteItem("mirror images, refine", "packaged", "mirror", ("mean_difference",), {"count": 400, "method": "refine"}),
    SuiteItem("jitter, encoder", "packaged", "jitter", ("mean_std",), {"count": 400}),
    SuiteItem("jitter, refine", "packaged", "jitter", ("mean_std",), {"count": 400, "method": "refine"}),
    SuiteItem("emotions by a linear probe, fit", "fit", "probe", ("balanced_recall",), {"count": 400}),
    SuiteItem("emotions by a linear probe, encoder", "packaged", "probe", ("balanced_recall",), {"count": 400}),
    SuiteItem(
        "emotions by a linear probe, refine",
        "packaged",
        "probe",
        ("balanced_recall",),
        {"count": 400, "method": "refine"},
    ),
    SuiteItem("hidden regions", "packaged", "occlusion", OCCLUSION, {"method": "refine"}),
    SuiteItem("cycle consistency", "packaged", "cycle", ("mean_correlation", "mean_error"), {"count": 200}),
    SuiteItem(
        "emotions by linear probes",
        "packaged",
        "probe-comparison",
        ("balanced_recall", "gain_over_detector_low", "gain_over_detector_high"),
        {"seed": 0},
    ),
    SuiteItem(
        "tracking of rendered people",
        "packaged",
        "video-accuracy",
        ("strong_correlation", "strong_high_count", "strong_count", "max_lag_frames", "pose_error_deg"),
        {"method": "refine", "seed": 3, "clips": ClipOptions(people=5)},
    ),
    SuiteItem(
        "tracking of a photo that moves in its plane",
        "packaged",
        "video-stability",
        (*STABILITY, "pose_error_deg", "pose_error_max_deg", "size_error_percent"),
        {"method": "refine"},
    ),
    SuiteItem(
        "tracking of that photo and 20 others",
        "packaged",
        "video-stability",
        STABILITY,
        {"method": "refine", "clips": ClipOptions(people=20)},
        ("photos",),
    ),
    SuiteItem(
        "retargeting to another head model and back",
        "fit",
        "retargeting",
        ("mean_error", "active_error", "max_error", "to_arkit_s", "from_arkit_s"),
        {"seed": 0},
        ("head",),
    ),
)
"""What README.md and docs/benchmarks.md state; speeds are printed by benchmarks/."""
SUITES: dict[str, tuple[SuiteItem, ...]] = {"readme": README_SUITE}


def run_suite(
    name: str, options: EvaluationOptions, open_progress: OpenProgress, run: Run = evaluate
) -> Iterator[SuiteLine]:
    """Yield the figures of a suite as they are measured.

    An evaluation that lacks an input, or fails, is reported as not run, and the suite goes on.

    Args:
        name: Name of the suite.
        options: Inputs: data, split, head, photos, character, device, keep and the largest number of faces.
        open_progress: Makes a display for a number of faces.
        run: Takes the measures.

    Raises:
        UsageError: There is no such suite.
    """
    if name not in SUITES:
        raise UsageError(f"suite {name!r} is unknown; choose of {', '.join(SUITES)}")
    for item in SUITES[name]:
        chosen, command = options_of(item, options), command_of(item, options)
        (measure,) = measures_named((item.measure,))
        needs = measure.needs | frozenset(item.uses)
        if reason := missing_input(needs, chosen):
            yield SuiteLine(item.title, "", None, command, reason)
            continue
        try:
            report = run(chosen, open_progress)
        except Smirk3dError as error:
            yield SuiteLine(item.title, "", None, command, str(error), is_failure=not isinstance(error, UsageError))
            continue
        yield from _lines(item, report.results, command)


def options_of(item: SuiteItem, options: EvaluationOptions) -> EvaluationOptions:
    """Return the options of one evaluation, with the inputs of the suite that belong to it.

    Args:
        item: The evaluation.
        options: Inputs of the suite.
    """
    return replace(
        EvaluationOptions(item.checkpoint, only=(item.measure,)),
        data=options.data if _uses_data(item) else None,
        split=options.split,
        device=options.device,
        keep=options.keep,
        head=options.head if "head" in item.uses else OPEN_HEAD,
        photos=options.photos if "photos" in item.uses else None,
        character=options.character if "character" in item.uses else None,
        **_changes(item, options),
    )


def command_of(item: SuiteItem, options: EvaluationOptions) -> str:
    """Return the command line of one evaluation; inputs that are not named have placeholders."""
    arguments = ["smirk3d evaluate", item.checkpoint, "--only", item.measure]
    if _uses_data(item):
        arguments += ["--data", str(options.data or "DATA")]
    for extra in item.uses:
        arguments += _arguments_of_input(extra, options)
    for name, value in _changes(item, options).items():
        arguments += _arguments_of_change(name, value)
    return " ".join(arguments)


def _changes(item: SuiteItem, options: EvaluationOptions) -> dict[str, Any]:
    """Return the changes of an item, with at most as many faces as the suite is to use."""
    count = min(item.changes.get("count", DEFAULT_COUNT), options.count)
    changes = {name: value for name, value in item.changes.items() if name != "count"}
    return changes if count == DEFAULT_COUNT else {"count": count, **changes}


def _uses_data(item: SuiteItem) -> bool:
    (measure,) = measures_named((item.measure,))
    return bool(measure.needs & {"data", "annotations", "faces"})


def _arguments_of_input(extra: Extra, options: EvaluationOptions) -> list[str]:
    if extra == "character":
        character = options.character
        path, eyes = (Path("HEAD.glb"), ("LEFT", "RIGHT")) if character is None else (character.path, character.eyes)
        return ["--character", str(path), *(["--eyes", *eyes] if eyes else [])]
    if extra == "photos":
        return ["--photos", str(options.photos or "PHOTOS")]
    return ["--head", "MODEL" if options.head == OPEN_HEAD else str(options.head)]


def _arguments_of_change(name: str, value: Any) -> list[str]:
    if isinstance(value, ClipOptions):
        return ["--people", str(value.people)]
    if name == "use_scores":
        return [] if value else ["--no-scores"]
    return [f"--{name}", str(value)]


def _lines(item: SuiteItem, results: Sequence[Result], command: str) -> Iterator[SuiteLine]:
    for result in results:
        for value in result.values:
            if value.name in item.figures:
                yield SuiteLine(item.title, result.method, value, command)


def suite_table(lines: Sequence[SuiteLine]) -> str:
    """Return the figures with values, units and commands, and below what was not run and why."""
    measured = [line for line in lines if line.value is not None]
    rows = [("figure", "method", "", "value", "command")]
    for before, line in zip([None, *measured], measured):
        assert line.value is not None
        is_new = before is None or before.title != line.title
        number = f"{number_text(line.value.number)} {line.value.figure.unit}".strip()
        title, command = (line.title, line.command) if is_new else ("", "")
        rows.append((title, line.method, line.value.name, number, command))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    text = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4]]).rstrip() for row in rows]
    left_out = [line for line in lines if line.value is None]
    return "\n".join(text + [f"{line.title}: not run: {line.reason} ({line.command})" for line in left_out])


def save_suite(lines: Sequence[SuiteLine], path: str | os.PathLike[str]) -> None:
    """Write the figures as JSON, or as CSV where the path ends in .csv, whole or not at all.

    Raises:
        Smirk3dError: The file cannot be written.
    """
    rows = [_row(line) for line in lines]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if Path(path).suffix.lower() == ".csv":
            writer = csv.DictWriter(file, SUITE_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.write(json.dumps(rows, indent=1, allow_nan=False) + "\n")


def _row(line: SuiteLine) -> dict[str, str | float | None]:
    value = line.value
    number = None if value is None or not math.isfinite(value.number) else float(value.number)
    cells = (line.title, line.method, value.name if value else "", number, value.figure.unit if value else "")
    return dict(zip(SUITE_COLUMNS, (*cells, line.command, line.reason)))
