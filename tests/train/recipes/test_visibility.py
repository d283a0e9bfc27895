"""The recipe of the visibility network, on a few patches of one photo."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from smirk3d.detection.detector import Detector
from smirk3d.networks.visibility import MIRRORED_REGION
from smirk3d.train.recipes.visibility import Options, calibrate, degraded, header_of, main, mirrored, predict, train
from smirk3d.train.recipes.visibility_patches import Patches, cut_by_border
from smirk3d.zoo.registry import lookup


def patches(count: int = 48) -> Patches:
    """Return noise, and in every other patch a flat lower half, which is hidden."""
    random = np.random.default_rng(0)
    luma = random.integers(0, 255, (count, 64, 64), dtype=np.uint8)
    luma[::2, 32:] = 90
    visible, grid = np.ones((count, 4), np.float32), np.full((count, 8, 8), 255, np.uint8)
    visible[::2], grid[::2, 4:] = [1, 0, 0.5, 0.5], 0
    points = random.uniform(10, 50, (count, 72, 2)).astype(np.float32)
    kind = np.where(np.arange(count) % 2 == 0, "block", "clean")
    return Patches(luma, np.full_like(luma, 255), points, visible, grid, kind, np.arange(count, dtype=np.int32))


def test_a_network_learns_what_is_flat(tmp_path: Path) -> None:
    options = Options(tmp_path, epochs=6, batch=16, learning_rate=5e-3)
    network = train(patches(), options)
    again = train(patches(), options)
    torch.testing.assert_close(network.state_dict(), again.state_dict())
    calibrate(network, patches())
    logits = predict(network, patches())
    assert logits[::2, 1].mean() < logits[1::2, 1].mean() - 1


@pytest.mark.slow
def test_the_recipe_writes_a_file_from_kept_patches(tmp_path: Path) -> None:
    for split in ("train", "val"):
        patches().save(tmp_path / f"{split}.npz")
    read = Patches.read(tmp_path / "val.npz")
    for each in fields(Patches):
        np.testing.assert_array_equal(getattr(read, each.name), getattr(patches(), each.name))
    threads = torch.get_num_threads()
    main(Options(tmp_path, epochs=1, batch=16, threads=threads, patches=tmp_path, out=tmp_path / "v.safetensors"))
    assert (tmp_path / "v.safetensors").stat().st_size < 1_000_000


def test_the_header_names_the_command_and_every_setting_but_no_place(tmp_path: Path) -> None:
    header = header_of(Options(tmp_path, epochs=3, patches=tmp_path, out=tmp_path / "v.safetensors"))
    assert header["command"] == "python -m smirk3d.train.recipes.visibility --photos FOLDER --epochs 3"
    assert header["seed"] == str(Options(tmp_path).seed) and header["epochs"] == "3"
    assert str(tmp_path) not in "".join(header.values())
    assert header_of(Options(tmp_path))["command"] == lookup("visibility").recipe


def test_mirroring_exchanges_the_sides() -> None:
    inputs, visible, grid = torch.rand(2, 3, 64, 64), torch.rand(2, 4), torch.rand(2, 8, 8)
    found = mirrored(inputs, visible, grid, torch.tensor([True, False]))
    torch.testing.assert_close(found[0][0], inputs[0].flip(2))
    torch.testing.assert_close(found[1][0], visible[0, list(MIRRORED_REGION)])
    torch.testing.assert_close(found[2][0], grid[0].flip(1))
    for changed, given in zip(found, (inputs, visible, grid)):
        torch.testing.assert_close(changed[1], given[1])


def test_degraded_patches_stay_in_their_range() -> None:
    luma = torch.full((8, 64, 64), 120.0)
    found = degraded(luma, torch.Generator().manual_seed(0))
    assert found.shape == luma.shape and found.min() >= 0 and found.max() <= 255 and (found != luma).any()


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """The astronaut's landmarks, (478, 2) pixels."""
    with Detector() as detector:
        return detector.detect(astronaut())[0].landmarks_px


@pytest.mark.parametrize("seed", range(6))
def test_a_border_cuts_within_the_face(points: np.ndarray, seed: int) -> None:
    drawn, moved = cut_by_border(astronaut(), points, np.random.default_rng(seed))
    height, width = drawn.shape[:2]
    outside = (moved < 0).any(1) | (moved >= [width, height]).any(1)
    assert 0.02 < outside.mean() < 0.9
    column, row = np.floor(moved[~outside]).astype(int).T
    x, y = np.floor(points[~outside]).astype(int).T
    np.testing.assert_array_equal(drawn[row, column], astronaut()[y, x])
