"""The file of the networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.networks.half_file import save_half
from smirk3d.reenactment.transformer.network import NetworkLayout
from smirk3d.reenactment.transformer.weights import TransformerNetworks, load_networks

LAYOUT = NetworkLayout(32, 24, 2, 32, 1, 1, 4)


def test_sizes_and_weights_come_from_the_file(tmp_path: Path) -> None:
    networks = TransformerNetworks(LAYOUT, torch.randn(478, 3))
    save_half(networks, tmp_path / "net.safetensors", {})
    read = load_networks(tmp_path / "net.safetensors")
    assert read.scene.layout == LAYOUT and not read.training
    for name, value in networks.state_dict().items():
        torch.testing.assert_close(read.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_what_is_no_such_file_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(Smirk3dError, match="--engine mesh"):
        load_networks(path)
    huge = TransformerNetworks(LAYOUT, torch.zeros(478, 3))
    huge.scene.layout_numbers.copy_(torch.tensor([32, 24, 2, 2**30, 1, 1, 4]))
    save_half(huge, path, {})
    with pytest.raises(Smirk3dError, match="larger than any"):
        load_networks(path)
