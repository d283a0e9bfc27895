"""The networks of the transformer engine and their file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError
from smirk3d.networks.half_file import load_half
from smirk3d.reenactment.transformer.expression_code import ExpressionCode
from smirk3d.reenactment.transformer.network import NetworkLayout, SceneTransformer
from smirk3d.zoo.registry import find

KIND = "networks of the transformer engine"
LARGEST_LAYOUT = NetworkLayout(512, 1024, 64, 4096, 24, 24, 256)
_LAYOUT_KEY = "scene.layout_numbers"
_REMEDY = "train them with configs/recipes/fsrt.yaml, or use --engine mesh"


class TransformerNetworks(nn.Module):
    """Both networks.

    Args:
        layout: Sizes.
        surface_m: (478, 3) places of MediaPipe's landmarks on the neutral head, metres; zeros where weights follow.
    """

    def __init__(self, layout: NetworkLayout, surface_m: Tensor) -> None:
        super().__init__()
        self.scene = SceneTransformer(layout, surface_m)
        self.expression = ExpressionCode(layout.code_size)


def load_networks(path: Path | None = None) -> TransformerNetworks:
    """Read networks, in evaluation mode.

    Args:
        path: Their file; None for the packaged one.

    Raises:
        Smirk3dError: The file is missing or damaged, or holds something else.
    """
    path = find("reenactment") if path is None else path
    networks = TransformerNetworks(_stored_layout(path), torch.zeros(478, 3))
    load_half(networks, path, KIND, _REMEDY)
    return networks.eval().requires_grad_(False)


def _stored_layout(path: Path) -> NetworkLayout:
    try:
        with safe_open(path, framework="pt") as file:
            numbers = file.get_tensor(_LAYOUT_KEY).tolist()
        layout = NetworkLayout(*numbers)
        if any(value > most for value, most in zip(vars(layout).values(), vars(LARGEST_LAYOUT).values())):
            raise ValueError("is larger than any such network")
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise Smirk3dError(f"{printable(path)}: cannot be read as {KIND} ({one_line(error)}); {_REMEDY}") from error
    return layout
