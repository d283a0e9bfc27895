"""Time reconstruction from a photo to a head, without export; run it on an otherwise idle machine.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/reconstruct.py

Prints medians in milliseconds: detection, fit and everything for one 640×480 photo, and the fit of 64 faces at once.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import skimage.data
from peers import MEDIAPIPE, mediapipe_alone
from PIL import Image
from timing import Action, Row, alternate, median, rows

from smirk3d import Reconstructor
from smirk3d.estimation.reconstructor import DetectedPhoto
from smirk3d.media.images import Photo

RUNS = 15
METHODS: dict[str, dict[str, Any]] = {
    "default method": {},
    "`encoder`": {"method": "encoder"},
    "`fit`": {"method": "fit"},
    "default method, ONNX Runtime": {"engine": "onnx"},
}
"""Settings of `Reconstructor` by title."""


def photo() -> np.ndarray:
    """Return a photo of one face, (480, 640, 3) uint8 RGB."""
    return np.asarray(Image.fromarray(skimage.data.astronaut()[:384]).resize((640, 480)))


def compare() -> list[Row]:
    """Return a row for each method on a warm 640×480 photo, beside MediaPipe's landmarker alone."""
    pixels = photo()
    with ExitStack() as stack:
        actions: dict[str, Action] = {}
        for title, settings in METHODS.items():
            reconstructor = stack.enter_context(Reconstructor(**settings))
            actions[f"photo 640×480 → 52 weights, {title}"] = lambda each=reconstructor: each(pixels)
        alone = stack.enter_context(mediapipe_alone())
        actions[MEDIAPIPE] = lambda: alone(pixels)
        return rows(alternate(actions, RUNS, warm_up=2), MEDIAPIPE)


def median_ms(action: Action, runs: int = RUNS) -> float:
    """Return the median wall-clock time of an action in milliseconds."""
    return median(alternate({"": action}, runs, warm_up=2)[""]).wall_ms


def main() -> None:
    """Time and print."""
    pixels = photo()
    with Reconstructor() as reconstructor:
        detections = tuple(reconstructor.detect(pixels))
        one = DetectedPhoto(Photo(pixels, None, 1.0, ()), detections[:1])
        print(f"detection, 640x480:     {median_ms(lambda: reconstructor.detect(pixels)):7.1f} ms")
        print(f"fit, 1 face:            {median_ms(lambda: reconstructor.solve([one])):7.1f} ms")
        print(f"whole path, 640x480:    {median_ms(lambda: reconstructor(pixels)):7.1f} ms")
        print(f"fit, 64 faces at once:  {median_ms(lambda: reconstructor.solve([one] * 64), 7):7.1f} ms")


if __name__ == "__main__":
    main()
