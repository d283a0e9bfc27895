"""Time that runs, stops, jumps and repeats."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Clock:
    """The time of a clip that is shown, in seconds; it follows the clock on the wall, so late frames are left out.

    Attributes:
        start_s: Time of the first frame. lasting_s: From there to the end of the last.
        speed: Clip seconds in a second. loop: Whether it starts again at the end.
        now_s: Monotonic seconds.
    """

    start_s: float
    lasting_s: float
    speed: float = 1.0
    loop: bool = True
    now_s: Callable[[], float] = field(default=time.monotonic, repr=False)
    _shown_s: float = field(default=0.0, init=False)
    _since_s: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._shown_s = self.start_s

    @property
    def is_running(self) -> bool:
        """Whether time runs; without `loop` it stops at the end."""
        return self._since_s is not None and (self.loop or self.time_s < self.start_s + self.lasting_s)

    @property
    def has_ended(self) -> bool:
        """Whether it came to the end by itself and nobody has stopped it since."""
        return self._since_s is not None and not self.is_running

    @property
    def time_s(self) -> float:
        """Time in the clip now."""
        passed_s = 0.0 if self._since_s is None else (self.now_s() - self._since_s) * self.speed
        ahead_s = self._shown_s - self.start_s + passed_s
        if self.loop and self._since_s is not None:
            return self.start_s + ahead_s % self.lasting_s
        return self.start_s + min(ahead_s, self.lasting_s)

    def run(self) -> None:
        """Let time run; from the start where it has come to the end."""
        if self.time_s >= self.start_s + self.lasting_s - 1e-9:
            self._shown_s = self.start_s
        self._since_s = self.now_s()

    def stop(self) -> None:
        """Stop time where it is."""
        self._shown_s, self._since_s = self.time_s, None

    def jump(self, time_s: float) -> None:
        """Go to a time of the clip; it runs on from there if it runs."""
        self._shown_s = min(max(time_s, self.start_s), self.start_s + self.lasting_s)
        self._since_s = None if self._since_s is None else self.now_s()

    def change(self, *, speed: float | None = None, loop: bool | None = None) -> None:
        """Change speed or repetition without a jump."""
        self.jump(self.time_s)
        self.speed = self.speed if speed is None else speed
        self.loop = self.loop if loop is None else loop
