"""Online smoothing: the 1 € filter, an exponential mean whose cut-off frequency rises with the speed of a value.

Source: G. Casiez, N. Roussel, D. Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OneEuroConfig:
    """Settings of the filter; the paper's names in brackets.

    Attributes:
        min_cutoff_hz: Cut-off frequency of a value at rest (fcmin). Lower values remove more jitter; sensible: 1 to 3.
        beta: Rise of the cut-off frequency in hertz for a speed of one unit a second (β). Higher values reduce the lag
            of fast motion; sensible: 1 to 10, for values of the order of 1.
        derivative_cutoff_hz: Cut-off frequency of the speed (fcd).
    """

    min_cutoff_hz: float = 1.5
    beta: float = 1.0
    derivative_cutoff_hz: float = 1.0


class OneEuroFilter:
    """Smooths values (C,) that arrive one after another.

    Args:
        config: The settings.
    """

    def __init__(self, config: OneEuroConfig = OneEuroConfig()) -> None:
        self.config = config
        self._time_s = 0.0
        self._value: np.ndarray | None = None
        self._speed = np.zeros(())

    def __call__(self, value: np.ndarray, time_s: float) -> np.ndarray:
        """Return the smoothed value (C,) float64.

        Args:
            value: (C,) the next raw value.
            time_s: When it was measured, in seconds; where time does not advance, the filter starts anew.
        """
        step_s = time_s - self._time_s
        self._time_s = time_s
        if self._value is None or step_s <= 0:
            self._value, self._speed = np.array(value, dtype=np.float64), np.zeros(np.shape(value))
            return self._value
        speed = (value - self._value) / step_s
        self._speed = self._speed + _smoothing_factor(self.config.derivative_cutoff_hz, step_s) * (speed - self._speed)
        cutoff_hz = self.config.min_cutoff_hz + self.config.beta * np.abs(self._speed)
        self._value = self._value + _smoothing_factor(cutoff_hz, step_s) * (value - self._value)
        return self._value


def _smoothing_factor(cutoff_hz: float | np.ndarray, step_s: float) -> np.ndarray:
    """Return the weight α of the new value in an exponential mean of this cut-off frequency."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff_hz) * step_s)))
