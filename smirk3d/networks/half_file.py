"""Files of small networks in half precision; they compute in float32."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError


def save_half(network: nn.Module, path: Path, about: Mapping[str, str]) -> None:
    """Write a network in half precision.

    Args:
        network: The network.
        path: The file, .safetensors; its folder is made where missing.
        about: Description for the header of the file.
    """
    tensors = {
        name: value.detach().cpu().half().contiguous() if value.is_floating_point() else value.cpu()
        for name, value in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"about": json.dumps(dict(about))}))


def load_half(network: nn.Module, path: Path, kind: str, remedy: str) -> None:
    """Read the weights of a network.

    Args:
        network: The network; its weights are replaced.
        path: The file.
        kind: What the file should hold, for the message.
        remedy: What the user can do otherwise, for the message.

    Raises:
        Smirk3dError: The file is missing or damaged, or holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        if not all(bool(value.isfinite().all()) for value in state.values()):
            raise ValueError("it has numbers that are not finite")
        network.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
        )
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise Smirk3dError(f"{printable(path)}: cannot be read as {kind} ({one_line(error)}); {remedy}") from error
