"""Smoothing as frames arrive: an exponential mean whose memory gets shorter the faster a value moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OneEuroConfig:
    """How much is smoothed."""

    min_cutoff_hz: float = 1.5
    """Cut-off frequency of values at rest."""
    beta: float = 1.0
    """Hertz that the cut-off rises by for a speed of 1 a second."""
    speed_cutoff_hz: float = 1.0
    """Cut-off frequency of the speed itself."""


class OneEuroFilter:
    """A filter for values (C,) that arrive one after another.

    Source: Casiez, Roussel, Vogel, "1 € Filter", CHI 2012.
    """

    def __init__(self, config: OneEuroConfig = OneEuroConfig()) -> None:
        self.config = config
        self._time_s = 0.0
        self._value: np.ndarray | None = None
        self._speed = np.zeros(())

    def __call__(self, value: np.ndarray, time_s: float) -> np.ndarray:
        """Return the smoothed value at a time later than that of the last call."""
        step_s = time_s - self._time_s
        self._time_s = time_s
        if self._value is None or step_s <= 0:
            self._value, self._speed = np.array(value, dtype=np.float64), np.zeros(np.shape(value))
            return self._value
        share = _smoothing_factor(self.config.speed_cutoff_hz, step_s)
        self._speed = self._speed + share * ((value - self._value) / step_s - self._speed)
        cutoff_hz = self.config.min_cutoff_hz + self.config.beta * np.abs(self._speed)
        self._value = self._value + _smoothing_factor(cutoff_hz, step_s) * (value - self._value)
        return self._value


def _smoothing_factor(cutoff_hz: float | np.ndarray, step_s: float) -> np.ndarray:
    """Return what part of a step an exponential mean of that cut-off frequency takes."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff_hz) * step_s)))
