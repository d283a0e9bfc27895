"""Networks are read once while their files stay as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from smirk3d.fer.network import ExpressionNetwork
from smirk3d.fer.vectors import load_for_inference
from smirk3d.networks.file_cache import cached_by_files
from smirk3d.networks.half_file import save_half


def test_a_file_is_read_again_only_after_a_change(tmp_path: Path) -> None:
    calls: list[tuple[Path | None, ...]] = []

    @cached_by_files
    def load(*paths: Path | None) -> str:
        calls.append(paths)
        return paths[0].read_text() if paths[0] else "packaged"

    path = tmp_path / "a"
    path.write_text("one")
    assert load(path, None) == load(path, None) == "one" and len(calls) == 1
    path.write_text("two")
    os.utime(path, ns=(1, 1))  # clocks of file systems are coarse
    assert load(path, None) == "two" and load(path) == "two" and load(None) == "packaged" and len(calls) == 4
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")


def test_a_network_that_was_trained_anew_is_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "expression.safetensors"
    for temperature in (1.0, 2.0):
        with torch.random.fork_rng():
            network = ExpressionNetwork().eval()
        network.temperature.fill_(temperature)
        save_half(network, path, {})
        os.utime(path, ns=(int(temperature), 1_000_000_000 + int(temperature)))
        assert float(load_for_inference(path).temperature) == temperature
