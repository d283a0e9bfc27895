"""Labels by first names, and a network that learns from windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from smirk3d.estimation.sex_typical_look import WINDOW_PX, normalised
from smirk3d.train.recipes.sex_typical_look import LabelledWindows, first_names, predict, train


def test_only_clear_names_are_labels(tmp_path: Path) -> None:
    (tmp_path / "dist.female.first").write_text("MARY 2.6 2.6 1\nKIM 0.1 3 2\nRARE 0.001 4 3\n")
    (tmp_path / "dist.male.first").write_text("JAMES 3.3 3.3 1\nKIM 0.05 4 2\nMARY 0.01 5 3\n")
    names = first_names(tmp_path)
    assert names["mary"] and not names["james"] and "kim" not in names and "rare" not in names


def test_training_finds_a_pattern_in_windows() -> None:
    random = np.random.default_rng(0)
    windows = random.uniform(60, 160, (256, *WINDOW_PX)).astype(np.float32)
    female = (np.arange(256) % 2).astype(np.float32)
    windows[female > 0, 20:28] += 80
    data = LabelledWindows(
        torch.from_numpy(windows), torch.from_numpy(female), torch.arange(256), torch.ones(256, dtype=torch.bool)
    )
    network = train(data, torch.arange(192), 12, seed=0)
    logits = predict(network, data.windows[192:])
    assert ((logits > 0) == (data.female[192:] > 0)).float().mean() > 0.9
    flipped = predict(network, data.windows[192:].flip(2))
    torch.testing.assert_close(flipped, logits, atol=1e-4, rtol=1e-4)


def test_normalised_windows_ignore_gain_and_offset() -> None:
    window = np.random.default_rng(1).uniform(0, 255, WINDOW_PX).astype(np.float32)
    np.testing.assert_allclose(normalised(window + 20), normalised(window), atol=1e-5)
