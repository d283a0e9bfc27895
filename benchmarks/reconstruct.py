"""Time reconstruction from a photo to a head, without export; run it on an otherwise idle machine.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/reconstruct.py

Prints medians in milliseconds: detection, fit and everything for one 640×480 photo, and the fit of 64 faces at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import skimage.data
from PIL import Image

from smirk3d import Reconstructor
from smirk3d.estimation.reconstructor import DetectedPhoto
from smirk3d.media.images import Photo

RUNS = 15


def median_ms(action: Callable[[], object], runs: int = RUNS) -> float:
    """Return the median wall-clock time of an action in milliseconds.

    Args:
        action: What is timed.
        runs: Number of timings, after two for warm-up.
    """
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def main() -> None:
    """Time and print."""
    astronaut = Image.fromarray(skimage.data.astronaut()[:384]).resize((640, 480))
    pixels = np.asarray(astronaut)
    with Reconstructor() as reconstructor:
        detections = tuple(reconstructor.detect(pixels))
        one = DetectedPhoto(Photo(pixels, None, 1.0, ()), detections[:1])
        print(f"detection, 640x480:     {median_ms(lambda: reconstructor.detect(pixels)):7.1f} ms")
        print(f"fit, 1 face:            {median_ms(lambda: reconstructor.solve([one])):7.1f} ms")
        print(f"whole path, 640x480:    {median_ms(lambda: reconstructor(pixels)):7.1f} ms")
        print(f"fit, 64 faces at once:  {median_ms(lambda: reconstructor.solve([one] * 64), 7):7.1f} ms")


if __name__ == "__main__":
    main()
