"""Temperature scaling and the expected calibration error."""

from __future__ import annotations

import pytest
import torch

from smirk3d.fer.calibration import expected_calibration_error, fit_temperature


def _drawn(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels that are drawn from their probabilities."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, 8, generator=generator)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_a_factor_on_the_logits(factor: float) -> None:
    logits, label = _drawn(20000, 0)
    shares = torch.nn.functional.one_hot(label, 8).float()
    assert fit_temperature(factor * logits, shares) == pytest.approx(factor, rel=0.05)


def test_the_error_is_small_for_true_probabilities_and_large_for_too_sure_ones() -> None:
    logits, label = _drawn(20000, 1)
    assert expected_calibration_error(logits.softmax(1), label) < 0.02
    assert expected_calibration_error((4 * logits).softmax(1), label) > 0.1


def test_the_error_by_hand() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    label = torch.tensor([0, 1, 1, 1])
    assert expected_calibration_error(probabilities, label) == pytest.approx((0.4 + 0.4) / 2)


def test_logits_that_tell_nothing_have_a_finite_temperature() -> None:
    logits, label = _drawn(400, 2)
    shares = torch.nn.functional.one_hot(label.roll(7), 8).float()
    assert 1 < fit_temperature(-logits, shares) <= 20.0
