"""Repair of windows: what stays as it is, what follows the radius, and the estimator in scikit-learn's conventions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

from smirk3d.fer import OcclusionRepair
from smirk3d.fer.occlusion.network import OcclusionNetwork
from smirk3d.fer.occlusion.patches import GRID, PATCH_PX
from smirk3d.fer.occlusion.repair import (
    core_patches,
    flattened,
    hidden_patches,
    patch_distances,
    rebuilt_windows,
    reduced,
    repair_windows,
)
from smirk3d.fer.occlusion.sheet import MAX_FACES, repair_cell, repair_sheet
from smirk3d.networks.half_file import save_half


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights: what is tested here does not depend on them."""
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_half(OcclusionNetwork(), path, {})
    return path


@pytest.fixture(params=[48, 96])
def windows(request: pytest.FixtureRequest) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, request.param, request.param), dtype=np.uint8)


def test_windows_without_occluded_patches_stay(windows: np.ndarray, weights: Path) -> None:
    result = repair_windows(windows, weights, radius=np.inf)
    assert np.array_equal(result.windows, windows) and not result.hidden.any() and not result.shares.any()
    assert result.distances.shape == (3, GRID, GRID)


def test_only_pixels_in_and_next_to_occluded_patches_change(windows: np.ndarray, weights: Path) -> None:
    hidden = np.zeros((3, GRID, GRID), dtype=bool)
    hidden[:, 3:6, 4:8] = True
    rebuilt = rebuilt_windows(windows, hidden, weights)
    step = PATCH_PX * windows.shape[1] // 96
    seam = 2 * windows.shape[1] // 96
    inside = np.zeros(windows.shape[1:], dtype=bool)
    inside[3 * step - seam : 6 * step + seam, 4 * step - seam : 8 * step + seam] = True
    assert np.array_equal(rebuilt[:, ~inside], windows[:, ~inside]) and rebuilt.dtype == np.uint8
    other = windows.copy()
    other[:, 3 * step : 6 * step, 4 * step : 8 * step] = 7
    again = rebuilt_windows(other, hidden, weights)
    core = (slice(None), slice(3 * step + 2, 6 * step - 2), slice(4 * step + 2, 8 * step - 2))
    # At the smaller size the pixels about a hidden patch are enlarged from both sides of its edge.
    assert np.abs(again[core].astype(int) - rebuilt[core]).max() <= (0 if windows.shape[1] == 96 else 12)


def test_windows_without_visible_patches_stay(windows: np.ndarray, weights: Path) -> None:
    result = repair_windows(windows, weights, radius=-1.0)
    assert np.array_equal(result.windows, windows) and result.shares == pytest.approx(np.ones(3))


def test_an_edge_belongs_to_what_is_hidden() -> None:
    distances = np.zeros((1, GRID, GRID), dtype=np.float32)
    distances[0, 4:8, 4:8] = 2.0
    distances[0, 4:8, 8] = 0.7  # an edge runs through it
    distances[0, 0, 0] = 9.0  # alone
    hidden = hidden_patches(distances, radius=1.0)
    assert hidden[0, 4:8, 5:9].all() and not hidden[0, 0, 0] and not hidden[0, :, 9:].any()
    core = core_patches(distances, radius=1.0)
    assert not (core & ~hidden).any() and core[0, 5:7, 5:7].all() and not core[0, :, 8].any()


def test_windows_that_are_left_as_they_are_have_no_core(windows: np.ndarray, weights: Path) -> None:
    assert not repair_windows(windows, weights, radius=-1.0).core.any()


def test_flattening_keeps_the_order_and_follows_the_share() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1]] * 3, dtype=np.float32)
    result = flattened(probabilities, np.array([0.0, 0.2, 0.6]))
    assert result.sum(axis=1) == pytest.approx(np.ones(3)) and np.allclose(result[0], probabilities[0], atol=1e-6)
    assert result[0, 0] > result[1, 0] > result[2, 0] and (np.diff(result, axis=1) < 0).all()


def test_reduced_pixels_are_means() -> None:
    assert reduced(np.arange(16, dtype=np.uint8).reshape(4, 4), 2).tolist() == [[2, 4], [10, 12]]


def test_the_estimator_follows_the_conventions(windows: np.ndarray, weights: Path) -> None:
    repair = OcclusionRepair(weights)
    assert repair.radius_ == pytest.approx(1.0)
    fitted = clone(OcclusionRepair(weights, clean_share=0.9)).fit(windows)
    assert fitted.radius_ == pytest.approx(np.quantile(patch_distances(windows, weights), 0.9))
    expected = repair_windows(windows, weights, fitted.radius_)
    assert np.array_equal(fitted.transform(windows), expected.windows)
    assert np.array_equal(fitted.detect(windows), expected.hidden)
    with pytest.raises(ValueError, match="clean_share must be between"):
        OcclusionRepair(weights, clean_share=1.0).fit(windows)
    with pytest.raises(ValueError, match=r"windows must be .* not \(3, 40, 40\)"):
        repair.detect(windows[:, :40, :40])


def test_a_sheet_shows_three_pictures_of_a_face() -> None:
    window, hidden = np.full((96, 96), 100, dtype=np.uint8), np.zeros((GRID, GRID), dtype=bool)
    hidden[:3] = True
    cell = repair_cell("long" * 30, np.zeros((50, 50, 3), dtype=np.uint8), window, hidden, window)
    photo, found, repaired = np.split(cell.pixels, 3, axis=1)
    assert cell.caption.endswith(": 25 % occluded") and len(cell.caption) < 70
    assert not photo.any() and (repaired == 100).all()
    assert (found[: len(found) // 5, :, 0] > found[: len(found) // 5, :, 1]).all() and (found[-60:] == 100).all()
    assert repair_sheet([cell] * MAX_FACES).shape[0] > 10 * cell.pixels.shape[0]
