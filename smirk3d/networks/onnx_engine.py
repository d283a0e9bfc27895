"""The encoder in ONNX Runtime: equal to torch up to rounding, and several times faster on a CPU."""

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
from smirk3d.networks.threads import network_threads
from smirk3d.params import FaceParams

_INSTALL = "pip install 'smirk3d[onnx]'"
_INPUT = "crops"
_OPSET = 17


class OnnxEncoder:
    """An encoder that runs in ONNX Runtime on the CPU, called like `Encoder`.

    Args:
        source: A file written by `export_onnx`, or an encoder, which is exported to a temporary file.
        n_threads: Threads within an operator; None: as `smirk3d.networks.threads.network_threads`.
        size_px: Side of the crops in pixels, for an encoder; a file has its own.
        expression_only: For an encoder: export only what its expression needs.
        from_windows: With `expression_only`: the input is windows instead of crops, and `size_px` is their side.

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
        """Predict the parameters of the heads in square crops.

        Args:
            crops: (B, 3, S, S) float, RGB in [0, 1], S as exported, on any device.

        Returns:
            Parameters of batch shape (B,), as from `Encoder`, on the device of `crops`.
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
    """Export an encoder to one ONNX file, for any batch size and with one output per parameter.

    Args:
        encoder: Not changed.
        path: The file; its folder must exist.
        size_px: Side of the crops in pixels, fixed in the file because padding depends on it.
        expression_only: Leave out pose, camera and shape.
        from_windows: With `expression_only`: the input is windows, see `Encoder.regress_expression`.

    Raises:
        Smirk3dError: The package onnx is not installed, or the file cannot be written.
    """
    _require("onnx")
    fast = encoder.for_inference()
    run = (fast.regress_expression if from_windows else fast.expression) if expression_only else fast
    flat = _Flat(fast, run).eval()
    crops = torch.rand(1, 3, size_px, size_px, device=next(encoder.parameters()).device)
    with torch.no_grad():
        names = [name for name, _ in flat.named_outputs(crops)]
    axes = {name: {0: "batch"} for name in (_INPUT, *names)}
    with atomic_path(path) as temporary, torch.no_grad(), warnings.catch_warnings():
        # The exporter warns that padding becomes constant, which the fixed size intends, and that it is deprecated;
        # its successor needs a further package and a newer torch.
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
    """Adapter for the exporter, which needs tensors as outputs; `run` is a method of the encoder."""

    def __init__(self, encoder: Encoder, run: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.encoder, self.run = encoder, run

    def named_outputs(self, crops: Tensor) -> list[tuple[str, Tensor]]:
        return list(self.run(crops).items())

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(value for _, value in self.named_outputs(crops))


def _session(path: str | os.PathLike[str], n_threads: int | None):
    onnxruntime = _require("onnxruntime")
    if not Path(path).is_file():
        raise Smirk3dError(f"{printable(path)}: no such file; write it with export_onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads or network_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores are for torch meanwhile
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exception classes of ONNX Runtime have no common base
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
