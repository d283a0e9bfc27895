"""Peers that are timed beside smirk3d: MediaPipe in this process, others in environments of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from timing import Cost

from smirk3d.detection.landmarker import LandmarkerOptions, create_landmarker
from smirk3d.detection.landmarker_file import find_landmarker

MEDIAPIPE = "MediaPipe alone"
"""The peer's name in tables."""


class PeerMissingError(Exception):
    """A peer is not installed, or does not work here; the message is one line."""


@contextmanager
def mediapipe_alone() -> Iterator[Callable[[np.ndarray], object]]:
    """Yield MediaPipe's face landmarker, one face with its blendshape scores, for (H, W, 3) uint8 RGB pixels."""
    landmarker, to_image = create_landmarker(LandmarkerOptions(find_landmarker(None), 1, 0.5))
    with closing(landmarker):
        yield lambda pixels: landmarker.detect(to_image(pixels))


def environment(folder: Path, *packages: Sequence[str]) -> Path:
    """Return the interpreter of a virtual environment, made where it is missing.

    Args:
        folder: Of the environment.
        packages: Arguments of pip, one call each.

    Raises:
        PeerMissingError: It cannot be made.
    """
    python = folder / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
            for each in packages:
                subprocess.run([str(python), "-m", "pip", "install", "-q", *each], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerMissingError(f"{folder.name} cannot be installed ({error})") from error
    return python


class PeerProcess:
    """A program that answers each empty line by the milliseconds of one run, by the clock and of processors.

    Its first line says what it is. A context manager.

    Args:
        command: Program and arguments.

    Raises:
        PeerMissingError: It ends at once.
    """

    def __init__(self, command: Sequence[object]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(list(map(str, command)), stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.name = self._line()

    def __call__(self) -> Cost:
        """Return the cost of one run."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        wall_ms, cpu_ms = self._line().split()
        return Cost(float(wall_ms), float(cpu_ms))

    def _line(self) -> str:
        assert self._process.stdout is not None and self._process.stderr is not None
        line = self._process.stdout.readline().strip()
        if not line:
            reason = (self._process.stderr.read().strip().splitlines() or ["no answer"])[-1]
            raise PeerMissingError(reason)
        return line

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._process.communicate()
