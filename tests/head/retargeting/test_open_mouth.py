"""Every kind of head can open its mouth."""

from dataclasses import replace

import pytest
import torch

from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.open_mouth import JAW_OPEN_RAD, JAW_OPEN_WEIGHT, open_mouth
from smirk3d.params import FaceParams


def test_a_blendshape_opens_the_mouth_of_the_open_head(open_head):
    params = open_mouth(open_head)
    assert params.jaw is None and params.expression is not None
    assert params.expression[open_head.expression_names.index("jawOpen")] == JAW_OPEN_WEIGHT
    assert params.expression.count_nonzero() == 1
    lips = open_head.landmark_embedding("mediapipe").take(torch.tensor([13, 14]))
    closed, opened = (lips.points(open_head(p).vertices, open_head.faces) for p in (FaceParams(), params))
    gap_m = (opened[0] - opened[1]).norm() - (closed[0] - closed[1]).norm()
    assert 0.008 < gap_m < 0.025


def test_a_jaw_joint_is_rotated(tiny_data):
    shape = torch.ones(4)
    params = open_mouth(HeadModel(tiny_data), shape)
    assert params.shape is shape and params.expression is None and params.jaw is not None
    assert params.jaw.tolist() == pytest.approx([JAW_OPEN_RAD, 0.0, 0.0])


def test_a_jaw_in_the_expression_is_rotated_by_the_smallest_expression(tiny_data):
    # The second component rotates the jaw by 0.5 rad per unit, the others do not.
    readout = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    params = open_mouth(HeadModel(replace(tiny_data, jaw_readout=readout)))
    assert params.jaw is None and params.expression is not None
    assert params.expression.tolist() == pytest.approx([0.0, JAW_OPEN_RAD / 0.5, 0.0], rel=1e-3)
