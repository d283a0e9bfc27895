"""The expression network and its file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from smirk3d.errors import Smirk3dError
from smirk3d.fer.network import ExpressionNetwork, load_expression_network
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.networks.half_file import save_half


@pytest.fixture(scope="module")
def network() -> ExpressionNetwork:
    torch.manual_seed(0)
    return ExpressionNetwork().eval()


def _windows(count: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_mirrored_face_has_mirrored_predictions(network: ExpressionNetwork) -> None:
    own, mirrored = network.predict(_windows()), network.predict(_windows().flip(2))
    assert torch.allclose(own.vector, mirrored.vector, atol=1e-4)
    assert torch.allclose(own.logits, mirrored.logits, atol=1e-4)
    assert torch.allclose(own.arkit, mirrored.arkit[:, list(ARKIT_MIRROR)], atol=1e-4)


@torch.no_grad()
def test_brightness_and_contrast_hardly_count(network: ExpressionNetwork) -> None:
    dim = network.predict((_windows().float() * 0.5 + 40).to(torch.uint8)).vector
    own = network.predict(_windows()).vector
    assert (dim - own).norm() < 0.2 * own.norm()


def test_probabilities_follow_the_temperature(network: ExpressionNetwork) -> None:
    logits = torch.tensor([[2.0, 0, 0, 0, 0, 0, 0, 0]])
    network.temperature.fill_(2.0)
    assert torch.allclose(network.probabilities(logits), (logits / 2).softmax(1))
    network.temperature.fill_(1.0)


@torch.no_grad()
def test_a_file_holds_the_network_and_its_description(network: ExpressionNetwork, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_half(network, path, {"seed": "3"})
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["about"]) == {"seed": "3"}
    assert path.stat().st_size < 6e6
    found = load_expression_network(path).predict(_windows()).vector
    assert torch.allclose(found, network.predict(_windows()).vector, rtol=0.05, atol=0.02)


def test_another_file_is_an_error_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"no")
    for each in (path, tmp_path / "missing.safetensors"):
        with pytest.raises(Smirk3dError, match="expression network") as caught:
            load_expression_network(each)
        assert "\n" not in str(caught.value)
