"""MediaPipe is imported without Matplotlib, and its drawing functions get it at their first use."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from smirk3d.detection.mediapipe_import import without_pyplot
with without_pyplot():
    from mediapipe.tasks.python.vision import drawing_utils
assert not [name for name in sys.modules if name.startswith("matplotlib")]
figure = drawing_utils.plt.figure
import matplotlib.pyplot
assert figure is matplotlib.pyplot.figure
with without_pyplot():
    import matplotlib
assert matplotlib is sys.modules["matplotlib"] and matplotlib.pyplot.figure is figure
"""


def test_pyplot_is_imported_at_its_first_use() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
