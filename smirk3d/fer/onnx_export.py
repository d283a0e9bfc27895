"""The expression network as an ONNX file, for programs without torch."""

from __future__ import annotations

import json
import os
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.face_windows import WINDOW_PX
from smirk3d.fer.network import ExpressionNetwork, enlarged
from smirk3d.fer.vectors import load_for_inference
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES

INPUT, OUTPUTS = "windows", ("vector", "probabilities", "arkit")
TOLERANCE = 1e-4
"""Largest difference of an output of the file from torch's, absolute and relative."""
_OPSET, _CHECKED_WINDOWS = 17, 5


class _Flat(nn.Module):
    """Adapter for the exporter: windows (B, 48, 48) uint8 to the tensors `OUTPUTS`."""

    def __init__(self, network: ExpressionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # As `ExpressionNetwork.predict`, but in two passes: a divided batch would fix the batch size in the file.
        images = enlarged(windows[:, None].float() / 255, int(self.network.input_px))
        one, other = self.network(images), self.network(images.flip(3))
        arkit = (one.arkit + other.arkit.index_select(1, torch.tensor(ARKIT_MIRROR))) / 2
        probabilities = self.network.probabilities((one.logits + other.logits) / 2)
        return (one.vector + other.vector) / 2, probabilities, arkit


def export_expression_network(weights: str | os.PathLike[str] | None, path: Path) -> float:
    """Write a network as ONNX, and compare its results with torch's.

    The input `windows` is (B, 48, 48) uint8, see `smirk3d.fer.face_windows`; the outputs are `vector` (B, 256),
    calibrated `probabilities` (B, 8) and `arkit` (B, 52). The names of emotions and weights are in the metadata of the
    file, as JSON.

    Args:
        weights: File of `smirk3d fer train`; None: the packaged network.
        path: The file; its folder exists.

    Returns:
        The largest difference, relative where values exceed 1.

    Raises:
        Smirk3dError: onnx or onnxruntime is missing, the weights cannot be read, the file cannot be written, or its
            results differ by more than `TOLERANCE`; then it is not there.
    """
    onnx, _ = _require("onnx"), _require("onnxruntime")
    network = load_for_inference(weights)
    flat = _Flat(network).eval()
    with atomic_path(path) as temporary:
        _export(flat, Path(temporary))
        model = onnx.load(os.fspath(temporary))
        onnx.helper.set_model_props(model, {"emotions": json.dumps(EMOTIONS), "arkit": json.dumps(ARKIT_NAMES)})
        onnx.save(model, os.fspath(temporary))
        difference = _largest_difference(network, Path(temporary))
        if not difference <= TOLERANCE:
            raise Smirk3dError(
                f"{printable(path)}: not written, it would differ by {difference:.2g} from torch; use other versions "
                "of torch, onnx and onnxruntime"
            )
    return difference


def _export(flat: _Flat, path: Path) -> None:
    windows = torch.zeros(2, WINDOW_PX, WINDOW_PX, dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter warns that it is deprecated; its successor needs a further package and a newer torch.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            flat,
            (windows,),
            str(path),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in (INPUT, *OUTPUTS)},
            opset_version=_OPSET,
            dynamo=False,
        )


def _largest_difference(network: ExpressionNetwork, path: Path) -> float:
    """Return the largest difference of an exported file's outputs on random windows of another batch size."""
    windows = np.random.default_rng(0).integers(0, 256, (_CHECKED_WINDOWS, WINDOW_PX, WINDOW_PX), dtype=np.uint8)
    session = _require("onnxruntime").InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    found = session.run(list(OUTPUTS), {INPUT: windows})
    with torch.no_grad():
        predicted = network.predict(torch.from_numpy(windows))
        expected = [predicted.vector, network.probabilities(predicted.logits), predicted.arkit]
    return max(
        float((np.abs(a - b) / np.maximum(np.abs(b), 1)).max()) for a, b in zip(found, map(np.asarray, expected))
    )


def _require(package: str) -> ModuleType:
    try:
        return import_module(package)
    except ImportError as error:
        raise Smirk3dError(f"ONNX needs the package {package}; pip install 'smirk3d[onnx]'") from error
