"""Checkpoint files: the released SMIRK checkpoints, and the package's own.

Both hold the same tensors under the same names: the encoder's after `smirk_encoder.`, the neural renderer's after
`smirk_generator.`. A released file is a state dict written by `torch.save`. The package writes safetensors, whose
header also holds the parameters and the configuration of the encoder.

This module knows neither network class: a file is read into state dicts and a record, and each class builds itself
from these in its `from_checkpoint`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor, nn

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import open_plain, parse_json
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.networks.torch_file import read_state_dict
from smirk3d.safetensors_bytes import to_safetensors

FORMAT_VERSION = "1"
ENCODER = "smirk_encoder."
NEURAL_RENDERER = "smirk_generator."
_FORMAT_KEY = "smirk3d_networks"
MAX_PARAMS, MAX_CROP_PX = 100_000, 4096
"""Largest number of parameters that an encoder predicts, and side of its crops: networks are built from the header."""
_MAX_NAMES_LISTED = 3
_REMEDY = "use the released SMIRK_em1.pt or a file that smirk3d has saved"


class SavableNetwork(Protocol):
    """A network that can be written to a checkpoint."""

    @property
    def size_px(self) -> int:
        """Side of the crops that the network is trained for, in pixels."""
        ...

    @property
    def is_folded(self) -> bool:
        """Whether the batch norms are folded into the convolutions; such a copy cannot be saved."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """Return the tensors by name."""
        ...


class SavableEncoder(SavableNetwork, Protocol):
    """An encoder that can be written to a checkpoint."""

    @property
    def spec(self) -> ParamSpec:
        """Parameters that the encoder predicts."""
        ...

    @property
    def config(self) -> Any:
        """Configuration, a dataclass of plain values."""
        ...


@dataclass(frozen=True)
class EncoderLayout:
    """What an encoder is built from before its weights are loaded.

    Attributes:
        spec: Parameters that it predicts.
        config: Fields of `EncoderConfig` as plain values, under the names of the version that wrote the file.
        size_px: Side of the crops that it was trained for, in pixels.
        expression_std: 52 standard deviations, in (0, inf), of the error of each ARKit weight on faces that the
            encoder was not trained on; for encoders of other heads, of the weights retargeted from the predicted
            expression. None where they were not measured.
    """

    spec: ParamSpec
    config: Mapping[str, Any]
    size_px: int = 224
    expression_std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class NetworkFile:
    """Content of a checkpoint.

    Attributes:
        path: The file, for error messages.
        tensors: All tensors by their full names, on the CPU.
        layout: Layout of the encoder; None in released files, which do not store it, and in files without an encoder.
        meta: Free remarks of the run that saved the file.
        renderer_size_px: Side of the crops that the neural renderer was trained on, in pixels.
    """

    path: str
    tensors: Mapping[str, Tensor]
    layout: EncoderLayout | None
    meta: Mapping[str, str]
    renderer_size_px: int = 224

    def state_dict(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors of one network, without the prefix of their names.

        Args:
            prefix: `ENCODER` or `NEURAL_RENDERER`.

        Raises:
            Smirk3dError: The file holds no tensor of that network, or tensors of neither network.
        """
        state = {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}
        if not state:
            raise Smirk3dError(f"{printable(self.path)}: holds no tensors named {prefix}*; {_REMEDY}")
        unknown = [name for name in self.tensors if not name.startswith((ENCODER, NEURAL_RENDERER))]
        if unknown:
            raise Smirk3dError(f"{printable(self.path)}: {_count_and_names('unexpected', unknown)}; {_REMEDY}")
        return state

    def load_into(self, network: nn.Module, prefix: str) -> None:
        """Load the tensors of one network, strictly: none missing, none left over, all shapes equal.

        Args:
            network: Changed in place.
            prefix: `ENCODER` or `NEURAL_RENDERER`.

        Raises:
            Smirk3dError: The tensors do not fit; the message counts and names them.
        """
        state, expected = self.state_dict(prefix), network.state_dict()
        missing = [name for name in expected if name not in state]
        extra = [name for name in state if name not in expected]
        misshaped = [
            f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in state and state[name].shape != tensor.shape
        ]
        faults = [
            _count_and_names("missing", missing),
            _count_and_names("unexpected", extra),
            _count_and_names("misshaped", misshaped),
        ]
        if any(faults):
            kind = type(network).__name__
            raise Smirk3dError(
                f"{printable(self.path)}: does not fit {kind}: {', '.join(filter(None, faults))}; {_REMEDY}"
            )
        network.load_state_dict(state)


def read_networks(path: str | os.PathLike[str]) -> NetworkFile:
    """Read a released checkpoint or one of the package; the format is found from the content.

    Nothing in the file is executed.

    Args:
        path: The file.

    Raises:
        Smirk3dError: The file is missing, damaged, of another kind, or a pickle of more than tensors.
    """
    return _read_safetensors(path) if _is_safetensors(path) else _read_released(path)


def read_layout(path: str | os.PathLike[str]) -> EncoderLayout | None:
    """Read the encoder's layout from the header of a file, without its tensors.

    Args:
        path: The file.

    Returns:
        The layout; None for released files and for files without an encoder.

    Raises:
        Smirk3dError: The file is missing, or one of the package's and damaged.
    """
    return _read_safetensors(path, tensors=False).layout if _is_safetensors(path) else None


def read_remarks(path: str | os.PathLike[str]) -> Mapping[str, str]:
    """Read the remarks of the run that saved a file, without its tensors.

    Args:
        path: The file; released ones have none.

    Raises:
        Smirk3dError: The file is missing, or one of the package's and damaged.
    """
    return _read_safetensors(path, tensors=False).meta if _is_safetensors(path) else {}


def save_networks(
    path: str | os.PathLike[str],
    *,
    encoder: SavableEncoder | None = None,
    neural_renderer: SavableNetwork | None = None,
    expression_std: Sequence[float] | None = None,
    half: bool = False,
    meta: Mapping[str, str],
) -> None:
    """Write networks as one safetensors file, atomically.

    Args:
        path: The file; its folder must exist.
        encoder: The encoder; None writes none.
        neural_renderer: The neural renderer; None writes none.
        expression_std: 52 errors of the ARKit weights, see `EncoderLayout`; None where they were not measured.
        half: Store floats as float16, which halves the file; loading converts them back to float32.
        meta: Remarks, such as the training run that produced the weights.

    Raises:
        ValueError: No network is given, one is a copy made by `for_inference`, `expression_std` is not 52 positive
            numbers, or a value overflows float16.
        Smirk3dError: The file cannot be written.
    """
    from smirk3d import __version__

    networks = {ENCODER: encoder, NEURAL_RENDERER: neural_renderer}
    tensors = _tensors_to_save({prefix: network for prefix, network in networks.items() if network is not None})
    if half:
        tensors = _as_half(tensors)
    header = {
        _FORMAT_KEY: FORMAT_VERSION,
        "smirk3d": __version__,
        "torch": torch.__version__,
        "meta": json.dumps(dict(meta)),
    }
    if encoder is not None:
        layout: dict[str, Any] = {"spec": _spec_to_json(encoder.spec), "config": asdict(encoder.config)}
        layout["size_px"] = encoder.size_px
        if expression_std is not None:
            layout["expression_std"] = list(_checked_std(expression_std))
        header["encoder"] = json.dumps(layout)
    if neural_renderer is not None:
        header["neural_renderer"] = json.dumps({"size_px": neural_renderer.size_px})
    with atomic_path(path) as temporary:
        temporary.write_bytes(to_safetensors(tensors, header))


def _tensors_to_save(networks: Mapping[str, SavableNetwork]) -> dict[str, Tensor]:
    """Collect the tensors of networks by their full names, on the CPU; the keys of `networks` are the prefixes."""
    if any(network.is_folded for network in networks.values()):
        raise ValueError("a copy for inference has lost its batch norms; save the network that it was made from")
    if not networks:
        raise ValueError("nothing to save: give an encoder, a neural renderer, or both")
    # safetensors needs contiguous tensors; channels-last weights are not.
    return {
        prefix + name: tensor.detach().cpu().contiguous()
        for prefix, network in networks.items()
        for name, tensor in network.state_dict().items()
    }


def _as_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    if not all(tensor.isfinite().all() for tensor in halved.values()):
        raise ValueError("a number is too large for float16")
    return halved


def _checked_std(values: Sequence[float]) -> tuple[float, ...]:
    std = tuple(float(value) for value in values)
    if len(std) != len(ARKIT_NAMES) or not all(0 < value < math.inf for value in std):
        raise ValueError(f"errors of ARKit weights must be {len(ARKIT_NAMES)} positive numbers")
    return std


def _is_safetensors(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is safetensors: eight bytes with the length of the header, then JSON."""
    try:
        with open_plain(path) as file:
            return file.read(9)[8:] == b"{"
    except (OSError, ValueError) as error:
        reason = printable(getattr(error, "strerror", None) or str(error))
        raise Smirk3dError(f"{printable(path)}: {reason}; give the path of a checkpoint") from error


def _read_safetensors(path: str | os.PathLike[str], *, tensors: bool = True) -> NetworkFile:
    try:
        # safetensors holds no code, and its reader checks offsets and sizes.
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = list(file.keys()) if tensors else []
            content = {name: file.get_tensor(name) for name in names}
        if header.get(_FORMAT_KEY) != FORMAT_VERSION:
            raise Smirk3dError(f"{printable(path)}: is no checkpoint of format {FORMAT_VERSION}; {_REMEDY}")
        layout = _layout_from_json(header["encoder"]) if "encoder" in header else None
        meta = parse_json(header["meta"])
        renderer = parse_json(header.get("neural_renderer", "{}"))
        size_px = _checked_size(renderer.get("size_px", NetworkFile.renderer_size_px))
    except Smirk3dError:
        raise
    except Exception as error:  # the header is JSON of others: its parts may be of any kind
        raise _unreadable(path, error) from error
    return NetworkFile(os.fspath(path), content, layout, meta, size_px)


def _read_released(path: str | os.PathLike[str]) -> NetworkFile:
    try:
        state = read_state_dict(path)
    except Exception as error:  # on damaged bytes the reader raises exceptions of nearly any class
        raise _unreadable(path, error) from error
    if state is None:
        raise Smirk3dError(f"{printable(path)}: is no flat state dict, or holds more than tensors; {_REMEDY}")
    return NetworkFile(os.fspath(path), state, None, {})


def _unreadable(path: str | os.PathLike[str], error: Exception) -> Smirk3dError:
    # The readers' own messages run over many lines and advise to load with weights_only=False.
    reason = type(error).__name__
    return Smirk3dError(f"{printable(path)}: is damaged, or holds more than tensors ({reason}); {_REMEDY}")


def _count_and_names(fault: str, names: list[str]) -> str:
    """Return "4 missing (a, b, c, …)", or "" for no names."""
    if not names:
        return ""
    listed = ", ".join(printable(name) for name in names[:_MAX_NAMES_LISTED])
    return f"{len(names)} {fault} ({listed}{', …' if len(names) > _MAX_NAMES_LISTED else ''})"


def _spec_to_json(spec: ParamSpec) -> list[dict]:
    """Return the parameters as JSON objects, without infinite bounds, which JSON cannot express."""
    finite = lambda value: not isinstance(value, float) or math.isfinite(value)  # noqa: E731
    return [{key: value for key, value in asdict(param).items() if finite(value)} for param in spec.params]


def _checked_size(size_px: Any) -> int:
    if not isinstance(size_px, int) or not 0 < size_px <= MAX_CROP_PX:
        raise ValueError("crops of an impossible size")
    return size_px


def _layout_from_json(text: str) -> EncoderLayout:
    layout = parse_json(text)
    params: Iterable[dict] = layout["spec"]
    spec, std = ParamSpec(tuple(Param(**param) for param in params)), layout.get("expression_std")
    if not all(isinstance(value, int | float) for param in spec.params for value in (param.low, param.high)):
        raise ValueError("parameters with bounds that are no numbers")
    if not 0 <= sum(int(param.size) for param in spec.params) <= MAX_PARAMS:
        raise ValueError("parameters of an impossible size")
    size_px = _checked_size(layout.get("size_px", EncoderLayout.size_px))
    return EncoderLayout(spec, layout["config"], size_px, None if std is None else _checked_std(std))
