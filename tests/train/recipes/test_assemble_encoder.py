"""Weight averaging of branches, and the calibration of the output layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from smirk3d.train.recipes.assemble_encoder import AverageOptions, average
from smirk3d.train.tasks.output_calibration import average_states


def state(value: float, count: int) -> dict[str, Tensor]:
    return {"weight": torch.full((2, 3), value), "batches": torch.tensor(count)}


def test_mean_by_shares_keeps_types_and_the_first_count() -> None:
    mean = average_states([state(1.0, 5), state(3.0, 7)], (0.25, 0.75))
    torch.testing.assert_close(mean["weight"], torch.full((2, 3), 2.5))
    assert mean["batches"] == 5 and mean["batches"].dtype == torch.int64


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.6)])
def test_wrong_shares_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        average_states([state(1.0, 5), state(3.0, 7)], shares)


def test_other_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        average_states([state(1.0, 5), {"weight": torch.ones(3, 3), "batches": torch.tensor(1)}], (0.5, 0.5))


def test_the_command_writes_the_mean(tmp_path: Path) -> None:
    paths = (tmp_path / "a.pt", tmp_path / "b.pt")
    for path, value in zip(paths, (1.0, 2.0)):
        torch.save(state(value, 1), path)
    average(AverageOptions(paths, (0.5, 0.5), tmp_path / "new" / "mean.pt"))
    mean = torch.load(tmp_path / "new" / "mean.pt", weights_only=True)
    torch.testing.assert_close(mean["weight"], torch.full((2, 3), 1.5))
