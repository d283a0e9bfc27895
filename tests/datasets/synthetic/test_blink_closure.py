"""Blinks of heads with other lids at rest."""

from __future__ import annotations

import pytest
import torch

from smirk3d.datasets.synthetic.blink_closure import BLINK_COLUMNS, closing_blinks, lid_openings_m
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.params import FaceParams


def resting(head, **weights: float) -> FaceParams:
    expression = torch.zeros(4, len(ARKIT_NAMES))
    for name, weight in weights.items():
        expression[:, ARKIT_NAMES.index(name)] = weight
    return FaceParams(
        shape=torch.randn(4, head.n_shape, generator=torch.Generator().manual_seed(2)), expression=expression
    )


def test_the_open_head_closes_at_one(open_head):
    torch.testing.assert_close(closing_blinks(open_head, resting(open_head)), torch.ones(4, 2), atol=0.05, rtol=0)


@pytest.mark.parametrize("rest", [{"eyeBlinkLeft": 0.3}, {"eyeWideLeft": 0.4}, {"eyeSquintLeft": 0.3}, {}])
def test_lids_meet_just_there(open_head, rest):
    """From its own rest an eye closes linearly, and no further than when it is shut for sure."""
    params = resting(open_head, **rest)
    added = torch.zeros_like(params.expression)
    added[:, BLINK_COLUMNS] = closing_blinks(open_head, params)
    opened, half, shut, beyond = (
        lid_openings_m(open_head(FaceParams(shape=params.shape, expression=params.expression + share * added)))
        for share in (0.0, 0.5, 1.0, 3.0)
    )
    closed = opened - beyond
    assert (opened > 0.003).all()
    assert ((shut - beyond).abs() < 0.05 * closed).all()
    assert ((half - beyond - 0.5 * closed).abs() < 0.06 * closed).all()


def test_eyes_that_are_shut_at_rest_stay_finite(open_head):
    rest = resting(open_head, eyeBlinkLeft=1.2, eyeBlinkRight=1.2)
    assert closing_blinks(open_head, rest).isfinite().all()
