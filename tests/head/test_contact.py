"""Lids and lips that meet: on everyone, in every sum of blendshapes, differentiably."""

from dataclasses import replace

import pytest
import torch

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams


def weights(**values: float) -> torch.Tensor:
    expression = torch.zeros(len(ARKIT_NAMES))
    for name, value in values.items():
        expression[ARKIT_NAMES.index(name)] = value
    return expression


def people(head: HeadModel, count: int) -> torch.Tensor:
    return 0.8 * torch.randn(count, head.n_shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_a_full_blink_brings_the_edges_of_both_lids_together_on_everyone(open_head, side):
    lids, pairs, shape = open_head.data.lid_closure, open_head.data.contacts, people(open_head, 12)
    edge = torch.isin(pairs.vertex, lids.vertex[lids.closing == ARKIT_NAMES.index(f"eyeBlink{side}")])
    opened = pairs.height(open_head(FaceParams(shape=shape)).vertices)[:, edge]
    blink = weights(**{f"eyeBlink{side}": 1.0})
    closed = pairs.height(open_head(FaceParams(shape=shape, expression=blink)).vertices)[:, edge]
    assert (closed.abs().mean(1) < 0.02 * opened.amax(1)).all() and closed.abs().max() < 0.001
    half = pairs.height(open_head(FaceParams(shape=shape, expression=blink / 2)).vertices)[:, edge]
    torch.testing.assert_close(half, opened / 2, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "mixture",
    [
        {"eyeBlinkLeft": 1.0, "eyeSquintLeft": 1.0},
        {"eyeBlinkLeft": 1.0, "eyeLookDownLeft": 1.0, "cheekSquintLeft": 1.0},
        {"mouthClose": 1.0},
        {"mouthPressLeft": 1.0, "mouthPressRight": 1.0, "mouthShrugLower": 1.0},
    ],
)
def test_margins_do_not_pass_through_each_other(open_head, mixture):
    pairs, shape = open_head.data.contacts, people(open_head, 6)
    neutral = open_head(FaceParams(shape=shape)).vertices
    moved = open_head(FaceParams(shape=shape, expression=weights(**mixture))).vertices
    free = HeadModel(replace(open_head.data, contacts=None))
    overlap = -pairs.height(free(FaceParams(shape=shape, expression=weights(**mixture))).vertices)
    assert overlap.max() > 0.001  # they would
    deeper = -pairs.height(moved) - (-pairs.height(neutral)).clamp_min(0)
    assert deeper.max() < 0.6 * overlap.max() and deeper.mean() < 1e-4


def test_mouth_close_shuts_any_open_jaw(open_head):
    inner = ((13, 14), (82, 87), (312, 317), (80, 88), (310, 318))
    for opening in (0.2, 0.5, 1.0):
        points = open_head(
            FaceParams(shape=people(open_head, 5), expression=weights(jawOpen=opening, mouthClose=opening))
        ).landmarks("mediapipe")
        for upper, lower in inner:
            assert (points[:, upper] - points[:, lower]).norm(dim=1).max() < 6e-4


def test_neutral_lips_touch_on_everyone(open_head):
    points = open_head(FaceParams(shape=people(open_head, 20))).landmarks("mediapipe")
    assert (points[:, 13] - points[:, 14]).norm(dim=1).max() < 6e-4


def test_gradients_flow_where_margins_touch(open_head):
    expression = weights(eyeBlinkLeft=1.0, eyeSquintLeft=1.0).requires_grad_()
    open_head(FaceParams(shape=people(open_head, 1)[0], expression=expression)).vertices.sum().backward()
    assert expression.grad is not None and expression.grad.isfinite().all() and expression.grad.abs().max() > 0


def test_a_blink_beyond_the_components_in_use_is_left_out(open_head):
    few = HeadModel(open_head.data, n_expression=3)
    shape = people(open_head, 1)
    both = weights(eyeBlinkLeft=0.7)
    torch.testing.assert_close(
        few(FaceParams(shape=shape, expression=both[:3])).vertices,
        open_head(FaceParams(shape=shape, expression=both)).vertices,
        atol=1e-6,
        rtol=0,
    )
