"""Time from the start of a process to its first result, beside a process that only lets MediaPipe find the face.

python benchmarks/first_result.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from reconstruct import photo
from timing import COMMAND, HEADINGS, Row, alternate, rows

PEER = "fresh process: MediaPipe alone on one photo"
_MEDIAPIPE = """
import sys
import mediapipe.tasks.python.vision  # as other programs do, with all that it imports
import numpy as np
from PIL import Image
sys.path.insert(0, sys.argv[1])
from peers import mediapipe_alone
with mediapipe_alone() as detect:
    detect(np.asarray(Image.open(sys.argv[2])))
"""


def compare(rounds: int = 5) -> list[Row]:
    """Return rows for fresh processes on one photo of 640×480 pixels; files and packages are in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        Image.fromarray(photo()).save(path)
        command = [*COMMAND, "reconstruct", str(path), "--out", str(Path(folder) / "out")]
        features = [*COMMAND, "features", str(path), "--out", str(Path(folder) / "out.csv")]
        peer = [sys.executable, "-c", _MEDIAPIPE, str(Path(__file__).parent), str(path)]
        actions = {
            "fresh process: `reconstruct` of one photo, all files": lambda: call(command),
            "fresh process: `reconstruct --no-overlay`": lambda: call([*command, "--no-overlay"]),
            "fresh process: `features` of one photo": lambda: call(features),
            PEER: lambda: call(peer),
        }
        return rows(alternate(actions, rounds), PEER)


def call(command: list[str]) -> None:
    """Run a program to its end."""
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    """Print the table."""
    for cells in (HEADINGS, *(row.cells() for row in compare())):
        print(" | ".join(cells))


if __name__ == "__main__":
    main()
