"""Files of network weights: the released SMIRK checkpoints, and our own.

Both hold the same tensors under the same names: the encoder's after `smirk_encoder.`, the neural renderer's after
`smirk_generator.`. A released file is a state dict written by `torch.save`; ours is safetensors, and its header
says which layout the encoder has.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.spec import Param, ParamSpec

if TYPE_CHECKING:
    from smirk3d.networks.encoder import Encoder
    from smirk3d.networks.neural_renderer import NeuralRenderer

FORMAT_VERSION = "1"
ENCODER = "smirk_encoder."
NEURAL_RENDERER = "smirk_generator."
_FORMAT_KEY = "smirk3d_networks"
_NAMES_SHOWN = 3
_REMEDY = "use the released SMIRK_em1.pt or a file that smirk3d has saved"


@dataclass(frozen=True)
class EncoderLayout:
    """What must be known to build an encoder before its weights are loaded.

    Attributes:
        spec: Parameters that it emits.
        backbones: Names of the backbones and what else there is to say, by field of `EncoderConfig`.
        size_px: Side of the crops that it was trained for.
        expression_std: (52,) standard deviation of the error of each ARKit weight that is read off the emitted
            expression, measured on faces that the encoder has not learned; None where nobody has.
    """

    spec: ParamSpec
    backbones: Mapping[str, Any]
    size_px: int = 224
    expression_std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class NetworkFile:
    """The content of a file of weights.

    Attributes:
        path: Where it was read, for messages.
        tensors: All tensors by their full names, on the CPU.
        layout: The encoder's layout; None in released files, which do not say.
        meta: Free remarks of whoever saved the file.
        renderer_size_px: Side of the crops that the neural renderer was trained on.
    """

    path: str
    tensors: Mapping[str, Tensor]
    layout: EncoderLayout | None
    meta: Mapping[str, str]
    renderer_size_px: int = 224

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors of one network, without its prefix.

        Raises:
            Smirk3dError: The file holds nothing of that network, or tensors of neither network.
        """
        part = {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}
        if not part:
            raise Smirk3dError(f"{printable(self.path)}: holds no tensors named {prefix}*; {_REMEDY}")
        strangers = [name for name in self.tensors if not name.startswith((ENCODER, NEURAL_RENDERER))]
        if strangers:
            raise Smirk3dError(f"{printable(self.path)}: {_some('unexpected', strangers)}; {_REMEDY}")
        return part

    def load_into(self, network: nn.Module, prefix: str) -> None:
        """Load one network's tensors; every tensor must be there, none may be left over, all shapes must agree.

        Raises:
            Smirk3dError: Something does not fit; the message counts and names it.
        """
        part, wanted = self.part(prefix), network.state_dict()
        missing = [name for name in wanted if name not in part]
        extra = [name for name in part if name not in wanted]
        misshaped = [
            f"{name} is {tuple(part[name].shape)}, not {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in part and part[name].shape != tensor.shape
        ]
        faults = [_some("missing", missing), _some("unexpected", extra), _some("misshaped", misshaped)]
        if any(faults):
            kind = type(network).__name__
            raise Smirk3dError(
                f"{printable(self.path)}: does not fit {kind}: {', '.join(filter(None, faults))}; {_REMEDY}"
            )
        network.load_state_dict(part)


def read_networks(path: str | os.PathLike[str]) -> NetworkFile:
    """Read a released checkpoint or one of ours; which it is, the content says. Nothing in the file is executed.

    Raises:
        Smirk3dError: The file is missing, damaged, of another kind, or a pickle of more than tensors.
    """
    return _read_own(path) if _is_own(path) else _read_released(path)


def read_layout(path: str | os.PathLike[str]) -> EncoderLayout | None:
    """Read the encoder's layout off a header, without the tensors; None for files that do not say.

    Raises:
        Smirk3dError: The file is missing, or of our kind and damaged.
    """
    return _read_own(path, tensors=False).layout if _is_own(path) else None


def save_networks(
    path: str | os.PathLike[str],
    *,
    encoder: Encoder | None = None,
    neural_renderer: NeuralRenderer | None = None,
    expression_std: Sequence[float] | None = None,
    half: bool = False,
    meta: Mapping[str, str],
) -> None:
    """Write networks as one safetensors file, whole or not at all.

    Args:
        path: The file; its folder must exist.
        encoder: Written where given. neural_renderer: Written where given.
        expression_std: (52,) errors of the encoder's ARKit weights, see `EncoderLayout`; left out where not known.
        half: Store numbers as float16, which halves the file; loading makes them float32 again.
        meta: Remarks for people, such as the run that trained the weights.

    Raises:
        ValueError: There is nothing to save, or it is a copy made by `for_inference`, or the errors are not 52
            positive numbers, or a number is too large for float16.
        Smirk3dError: The file cannot be written.
    """
    from smirk3d import __version__

    header = {
        _FORMAT_KEY: FORMAT_VERSION,
        "smirk3d": __version__,
        "torch": torch.__version__,
        "meta": json.dumps(dict(meta)),
    }
    tensors: dict[str, Tensor] = {}
    for prefix, network in ((ENCODER, encoder), (NEURAL_RENDERER, neural_renderer)):
        if network is None:
            continue
        if network.is_folded:
            raise ValueError("a copy for inference has lost its batch norms; save the network that it was made from")
        tensors |= {prefix + name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if not tensors:
        raise ValueError("nothing to save: give an encoder, a neural renderer, or both")
    if half:
        tensors = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ValueError("a number is too large for float16")
    if encoder is not None:
        layout: dict[str, Any] = {"spec": _spec_to_json(encoder.spec), "config": asdict(encoder.config)}
        layout["size_px"] = encoder.size_px
        if expression_std is not None:
            layout["expression_std"] = list(_checked_std(expression_std))
        header["encoder"] = json.dumps(layout)
    if neural_renderer is not None:
        header["neural_renderer"] = json.dumps({"size_px": neural_renderer.size_px})
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=header))


def _checked_std(numbers: Sequence[float]) -> tuple[float, ...]:
    std = tuple(float(number) for number in numbers)
    if len(std) != len(ARKIT_NAMES) or not all(0 < number < math.inf for number in std):
        raise ValueError(f"errors of ARKit weights must be {len(ARKIT_NAMES)} positive numbers")
    return std


def _is_own(path: str | os.PathLike[str]) -> bool:
    """Tell our files from released ones: safetensors starts with its header's length in eight bytes, then JSON."""
    try:
        with open(path, "rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"{printable(path)}: {reason}; give the path of a checkpoint") from error


def _read_own(path: str | os.PathLike[str], *, tensors: bool = True) -> NetworkFile:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = list(file.keys()) if tensors else []
            content = {name: file.get_tensor(name) for name in names}
        if header.get(_FORMAT_KEY) != FORMAT_VERSION:
            raise Smirk3dError(f"{printable(path)}: is no checkpoint of format {FORMAT_VERSION}; {_REMEDY}")
        layout = _layout_from_json(header["encoder"]) if "encoder" in header else None
        meta = json.loads(header["meta"])
        renderer = json.loads(header.get("neural_renderer", "{}"))
        size_px = int(renderer.get("size_px", NetworkFile.renderer_size_px))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error
    return NetworkFile(os.fspath(path), content, layout, meta, size_px)


def _read_released(path: str | os.PathLike[str]) -> NetworkFile:
    try:
        with warnings.catch_warnings():  # about odd pickles, which are refused anyway
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes the reader raises nearly any kind there is
        raise _unreadable(path, error) from error
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) and isinstance(n, str) for n, t in state.items()):
        raise Smirk3dError(f"{printable(path)}: is no flat state dict of tensors; {_REMEDY}")
    return NetworkFile(os.fspath(path), state, None, {})


def _unreadable(path: str | os.PathLike[str], error: Exception) -> Smirk3dError:
    reason = type(error).__name__  # the readers' own texts run over many lines and advise to switch the guard off
    return Smirk3dError(f"{printable(path)}: is damaged, or holds more than tensors ({reason}); {_REMEDY}")


def _some(fault: str, names: list[str]) -> str:
    """Say "4 missing (a, b, c, …)", or nothing for no names."""
    shown = ", ".join(printable(name) for name in names[:_NAMES_SHOWN])
    return f"{len(names)} {fault} ({shown}{', …' if len(names) > _NAMES_SHOWN else ''})" if names else ""


def _spec_to_json(spec: ParamSpec) -> list[dict]:
    """List the parameters; JSON knows no infinity, so that missing bounds stay out."""
    finite = lambda value: not isinstance(value, float) or math.isfinite(value)  # noqa: E731
    return [{key: value for key, value in asdict(param).items() if finite(value)} for param in spec.params]


def _layout_from_json(text: str) -> EncoderLayout:
    layout = json.loads(text)
    params: Iterable[dict] = layout["spec"]
    spec, std = ParamSpec(tuple(Param(**param) for param in params)), layout.get("expression_std")
    size_px = layout.get("size_px", EncoderLayout.size_px)
    return EncoderLayout(spec, layout["config"], size_px, None if std is None else _checked_std(std))
