"""The encoder through ONNX Runtime: the same numbers as torch, several times faster on a CPU."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.networks.encoder import Encoder
from smirk3d.params import FaceParams

_INSTALL = "pip install 'smirk3d[onnx]'"
_INPUT = "crops"
_OPSET = 17


class OnnxEncoder:
    """An encoder that runs in ONNX Runtime on the CPU, called like `Encoder`.

    Args:
        source: A file that `export_onnx` has written, or an encoder, which is exported on the spot.
        n_threads: Threads within an operator; ONNX Runtime's choice for None.
        size_px: Height and width of the crops where `source` is an encoder; a file knows its own.
        expression_only: Export no more of such an encoder than its expression needs.
        from_windows: With `expression_only`: read windows instead of crops; `size_px` is theirs then.

    Raises:
        Smirk3dError: ONNX Runtime is not installed, or the file is not an exported encoder.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Encoder,
        *,
        n_threads: int | None = None,
        size_px: int = 224,
        expression_only: bool = False,
        from_windows: bool = False,
    ) -> None:
        if isinstance(source, Encoder):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "encoder.onnx"
                export_onnx(source, path, size_px=size_px, expression_only=expression_only, from_windows=from_windows)
                self._session = _session(path, n_threads)
        else:
            self._session = _session(source, n_threads)
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, crops: Tensor) -> FaceParams:
        """Estimate the parameters of the heads in square crops.

        Args:
            crops: (B, 3, S, S) RGB in [0, 1], S as exported, on any device.

        Returns:
            Parameters of batch shape (B,), as `Encoder` returns them, on the device of `crops`.
        """
        arrays = self._session.run(self._names, {_INPUT: crops.detach().float().cpu().numpy()})
        return FaceParams(**{name: torch.from_numpy(a).to(crops.device) for name, a in zip(self._names, arrays)})


def export_onnx(
    encoder: Encoder,
    path: str | os.PathLike[str],
    *,
    size_px: int = 224,
    expression_only: bool = False,
    from_windows: bool = False,
) -> None:
    """Write an encoder as one ONNX file: any batch size, activations included, an output for each parameter.

    Args:
        encoder: Stays as it is.
        path: The file; its folder must exist.
        size_px: Height and width of the crops, fixed in the file because padding depends on them.
        expression_only: Emit neither pose nor camera nor shape.
        from_windows: With `expression_only`: read windows, see `Encoder.regress_expression`, instead of crops.

    Raises:
        Smirk3dError: The package onnx is not installed, or the file cannot be written.
    """
    _require("onnx")
    fast = encoder.for_inference()
    run = (fast.regress_expression if from_windows else fast.expression) if expression_only else fast
    flat = _Flat(fast, run).eval()
    crops = torch.rand(1, 3, size_px, size_px, device=next(encoder.parameters()).device)
    with torch.no_grad():
        names = [name for name, _ in flat.emitted(crops)]
    axes = {name: {0: "batch"} for name in (_INPUT, *names)}
    with atomic_path(path) as temporary, torch.no_grad(), warnings.catch_warnings():
        # The exporter warns that padding becomes constant, which the fixed size intends, and that it is the older
        # of two; the newer one needs a further package and a newer torch.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            flat,
            (crops,),
            str(temporary),
            input_names=[_INPUT],
            output_names=names,
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )


class _Flat(nn.Module):
    """Tensors out, in the order of their names, as the exporter wants them; `run` is a way to call the encoder."""

    def __init__(self, encoder: Encoder, run: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.encoder, self.run = encoder, run

    def emitted(self, crops: Tensor) -> list[tuple[str, Tensor]]:
        return list(self.run(crops).items())

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(value for _, value in self.emitted(crops))


def _session(path: str | os.PathLike[str], n_threads: int | None):
    onnxruntime = _require("onnxruntime")
    if not Path(path).is_file():
        raise Smirk3dError(f"{printable(path)}: no such file; write it with export_onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads or 0
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exception classes have no common base
        raise Smirk3dError(f"{printable(path)}: is no ONNX model ({type(error).__name__}); use export_onnx") from error
    fields = FaceParams.__dataclass_fields__
    if [i.name for i in session.get_inputs()] != [_INPUT] or any(o.name not in fields for o in session.get_outputs()):
        raise Smirk3dError(f"{printable(path)}: is an ONNX model of something else; use export_onnx")
    return session


def _require(package: str) -> ModuleType:
    try:
        return import_module(package)
    except ImportError as error:
        raise Smirk3dError(f"ONNX needs the package {package}; {_INSTALL}") from error
