"""The interface of a measure, which the registry lists and the runner runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.result import Figure, Result


class Measure(Protocol):
    """A measure of a method of reconstruction.

    Attributes:
        name: Name on the command line.
        summary: What it measures, one line.
        needs: Names of inputs, keys of `smirk3d.evaluation.needs.NEEDS`.
        figures: What it prints.
        is_default: Whether it is taken where no measures are named.
    """

    name: str
    summary: str
    needs: frozenset[str]
    figures: tuple[Figure, ...]
    is_default: bool

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterable[Result]:
        """Yield what is measured.

        Raises:
            MeasureNotApplicableError: The inputs do not allow the measure.
            Smirk3dError: A file cannot be used.
        """
        ...
