"""What a measure returns: numbers with units and directions, for a report to lay out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from smirk3d.errors import Smirk3dError

Direction = Literal["lower", "higher", ""]
"""Which values are better; "" where neither is."""
_NO_COLUMNS: Mapping[str, np.ndarray] = MappingProxyType({})
_NO_SAMPLES: Mapping[str, float] = MappingProxyType({})


class MeasureNotApplicableError(Smirk3dError):
    """A measure lacks what it needs; an error only where the measure was requested by name."""


@dataclass(frozen=True)
class Figure:
    """A number that a measure prints.

    Attributes:
        name: Its name; ends in the unit where there is one.
        unit: "%", "deg", "mm", "s", "px", or "" for a plain number.
        better: Whether lower or higher values are better.
    """

    name: str
    unit: str = ""
    better: Direction = ""


@dataclass(frozen=True)
class Value:
    """A figure and its number, NaN where it is not defined."""

    figure: Figure
    number: float

    @property
    def name(self) -> str:
        """The name of the figure."""
        return self.figure.name


def values_of(figures: Iterable[Figure], numbers: Mapping[str, float]) -> tuple[Value, ...]:
    """Return the numbers with the units and directions of their figures, in the order of the numbers.

    Args:
        figures: Figures of a measure; more than there are numbers is allowed.
        numbers: Numbers by the names of the figures.

    Raises:
        KeyError: A number belongs to none of the figures.
    """
    known = {figure.name: figure for figure in figures}
    return tuple(Value(known[name], float(number)) for name, number in numbers.items())


@dataclass(frozen=True, eq=False)
class Result:
    """What one measure found of one method.

    Attributes:
        measure: Name of the measure.
        method: What was measured, such as "encoder", "refine", "fit" or "detector".
        faces: How many faces, or clips, were measured.
        values: The numbers.
        blendshapes: Columns (52,) by name, one number an ARKit blendshape in Apple's order, NaN where there is none.
        by_sample: One number a face or clip by its name; high ones are bad.
        left_out: How many more faces could not be measured, because none was found in their photos.
        worst: Which numbers of the first column of `blendshapes` are the worst; "" where they are no errors.
    """

    measure: str
    method: str
    faces: int
    values: tuple[Value, ...]
    blendshapes: Mapping[str, np.ndarray] = field(default_factory=lambda: _NO_COLUMNS)
    by_sample: Mapping[str, float] = field(default_factory=lambda: _NO_SAMPLES)
    left_out: int = 0
    worst: Literal["low", "high", ""] = "high"

    @property
    def figures(self) -> dict[str, float]:
        """Numbers by the names of their figures."""
        return {value.name: value.number for value in self.values}
