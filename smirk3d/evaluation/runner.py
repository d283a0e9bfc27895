"""Runs measures of one checkpoint, of the landmark fit, or of the detector's scores."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from smirk3d.errors import UsageError
from smirk3d.evaluation.data import EvaluationData, OpenProgress
from smirk3d.evaluation.measure import Measure
from smirk3d.evaluation.needs import missing_input
from smirk3d.evaluation.options import EvaluationOptions
from smirk3d.evaluation.registry import measures_named
from smirk3d.evaluation.report import Report
from smirk3d.evaluation.result import MeasureNotApplicableError, Result

_log = logging.getLogger(__name__)


def evaluate(options: EvaluationOptions, open_progress: OpenProgress) -> Report:
    """Take the measures of the options; where none are named, the default ones that apply.

    Args:
        options: What is measured.
        open_progress: Makes a display for a number of faces.

    Raises:
        UsageError: A measure is unknown, or nothing could be measured and one that was named does not apply.
        Smirk3dError: A file cannot be used, and nothing could be measured. Otherwise the report names what failed.
    """
    measures = measures_named(options.only)
    results: list[Result] = []
    skipped: dict[str, str] = {}
    failures: dict[str, Exception] = {}
    with EvaluationData(options, open_progress) as data:
        for measure in measures:
            try:
                for result in _run(measure, data):
                    results.append(result)
            except Exception as error:  # what has been measured is kept, whatever happens to the next measure
                if isinstance(error, MeasureNotApplicableError) and not options.only:
                    skipped[measure.name] = str(error)
                    continue
                _log.debug("%s failed", measure.name, exc_info=True)
                failures[measure.name] = _failure(measure, error)
        if failures and not results:
            raise next(iter(failures.values()))
        reasons = {name: str(error) for name, error in failures.items()}
        return Report(about(data), results, skipped, data.faults, reasons)


def _failure(measure: Measure, error: Exception) -> Exception:
    """Return the error of a measure, where nothing else was measured."""
    if isinstance(error, MeasureNotApplicableError):
        named = UsageError(f"{measure.name}: {error}")
        named.__cause__ = error
        return named
    return error


def _run(measure: Measure, data: EvaluationData) -> Iterator[Result]:
    if reason := missing_input(measure.needs, data.options):
        raise MeasureNotApplicableError(reason)
    yield from measure.run(data.method, data)


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
