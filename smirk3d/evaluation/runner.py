"""Runs measures of one checkpoint, of the landmark fit, or of the detector's scores."""

from __future__ import annotations

from smirk3d.errors import UsageError
from smirk3d.evaluation.data import EvaluationData, OpenProgress
from smirk3d.evaluation.measure import Measure
from smirk3d.evaluation.needs import missing_input
from smirk3d.evaluation.options import EvaluationOptions
from smirk3d.evaluation.registry import measures_named
from smirk3d.evaluation.report import Report
from smirk3d.evaluation.result import MeasureNotApplicableError, Result


def evaluate(options: EvaluationOptions, open_progress: OpenProgress) -> Report:
    """Take the measures of the options; where none are named, the default ones that apply.

    Args:
        options: What is measured.
        open_progress: Makes a display for a number of faces.

    Raises:
        UsageError: A measure is unknown, or one that was named does not apply.
        Smirk3dError: A file cannot be used.
    """
    measures = measures_named(options.only)
    results: list[Result] = []
    skipped: dict[str, str] = {}
    with EvaluationData(options, open_progress) as data:
        for measure in measures:
            try:
                results += _run(measure, data)
            except MeasureNotApplicableError as error:
                if options.only:
                    raise UsageError(f"{measure.name}: {error}") from error
                skipped[measure.name] = str(error)
        return Report(about(data), results, skipped, data.faults)


def _run(measure: Measure, data: EvaluationData) -> list[Result]:
    if reason := missing_input(measure.needs, data.options):
        raise MeasureNotApplicableError(reason)
    return list(measure.run(data.method, data))


def about(data: EvaluationData) -> dict[str, str | int | None]:
    """Return what is measured, for a report."""
    from smirk3d import __version__

    options = data.options
    return {
        "smirk3d": __version__,
        "checkpoint": options.checkpoint,
        "method": data.method.method,
        "head": data.head.data.name,
        "data": None if options.data is None else str(options.data),
        "split": options.split,
        "count": options.count,
        "seed": options.seed,
        "focal": str(options.focal),
        "renderer_steps": options.renderer.steps,
        "renderer_width": options.renderer.width,
    }
