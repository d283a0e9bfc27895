"""Playback time of a clip."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Clock:
    """Playback time in seconds; it follows the wall clock, so that late frames are skipped.

    Attributes:
        start_s: Time of the first frame.
        duration_s: From there to the end of the last frame, > 0.
        speed: Seconds of the clip per second, > 0.
        loop: Whether playback starts again at the end.
        now_s: Returns monotonic seconds.
    """

    start_s: float
    duration_s: float
    speed: float = 1.0
    loop: bool = True
    now_s: Callable[[], float] = field(default=time.monotonic, repr=False)
    _paused_s: float = field(default=0.0, init=False)
    _started_s: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._paused_s = self.start_s

    @property
    def is_running(self) -> bool:
        """Whether time advances; without `loop` it stops at the end."""
        return self._started_s is not None and (self.loop or self.time_s < self.start_s + self.duration_s)

    @property
    def has_ended(self) -> bool:
        """Whether playback reached the end and has not been stopped since."""
        return self._started_s is not None and not self.is_running

    @property
    def time_s(self) -> float:
        """Present time of the clip in seconds."""
        elapsed_s = 0.0 if self._started_s is None else (self.now_s() - self._started_s) * self.speed
        offset_s = self._paused_s - self.start_s + elapsed_s
        if self.loop and self._started_s is not None:
            return self.start_s + offset_s % self.duration_s
        return self.start_s + min(offset_s, self.duration_s)

    def run(self) -> None:
        """Start; from the beginning where the end has been reached."""
        if self.time_s >= self.start_s + self.duration_s - 1e-9:
            self._paused_s = self.start_s
        self._started_s = self.now_s()

    def stop(self) -> None:
        """Stop at the present time."""
        self._paused_s, self._started_s = self.time_s, None

    def jump(self, time_s: float) -> None:
        """Jump to a time of the clip; playback goes on from there if it is running.

        Args:
            time_s: Seconds, clamped to the clip.
        """
        self._paused_s = min(max(time_s, self.start_s), self.start_s + self.duration_s)
        self._started_s = None if self._started_s is None else self.now_s()

    def change(self, *, speed: float | None = None, loop: bool | None = None) -> None:
        """Change speed or looping without a jump.

        Args:
            speed: Seconds of the clip per second, > 0; None keeps it.
            loop: Whether playback starts again at the end; None keeps it.
        """
        self.jump(self.time_s)
        self.speed = self.speed if speed is None else speed
        self.loop = self.loop if loop is None else loop
