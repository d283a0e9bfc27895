"""What has been measured is kept when another measure cannot run."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.evaluation import runner
from smirk3d.evaluation.options import EvaluationOptions
from smirk3d.evaluation.result import MeasureNotApplicableError, Result


class _Measure:
    needs: frozenset[str] = frozenset()

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self._error = name, error

    def run(self, method: object, data: object) -> Iterator[Result]:
        yield Result(self.name, "fit", 1, ())
        if self._error is not None:
            raise self._error


class _Late(_Measure):
    def run(self, method: object, data: object) -> Iterator[Result]:
        raise self._error or AssertionError
        yield


def _evaluate(monkeypatch: pytest.MonkeyPatch, *measures: _Measure):
    class Data:
        def __init__(self, options: EvaluationOptions, open_progress: object) -> None:
            self.options, self.method, self.faults = options, SimpleNamespace(method="fit"), ()

        def __enter__(self):
            return self

        def __exit__(self, *exc_info: object) -> None:
            pass

    monkeypatch.setattr(runner, "EvaluationData", Data)
    monkeypatch.setattr(runner, "about", lambda data: {})
    monkeypatch.setattr(runner, "measures_named", lambda only: measures)
    only = tuple(measure.name for measure in measures)
    return runner.evaluate(EvaluationOptions("fit", only=only), lambda total: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [Smirk3dError("a.tar: damaged"), MeasureNotApplicableError("needs b"), RuntimeError("out of memory")]
)
def test_the_other_measures_are_kept(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    report = _evaluate(monkeypatch, _Measure("first"), _Late("second", error), _Measure("third"))
    assert [result.measure for result in report.results] == ["first", "third"]
    assert list(report.failures) == ["second"] and "second: failed: " in report.table()


def test_an_error_is_raised_where_nothing_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="only: needs b"):
        _evaluate(monkeypatch, _Late("only", MeasureNotApplicableError("needs b")))
    with pytest.raises(Smirk3dError, match="damaged"):
        _evaluate(monkeypatch, _Late("only", Smirk3dError("a.tar: damaged")))
