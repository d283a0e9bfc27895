"""Jaw, eyelids and eyes of heads with and without parameters of their own."""

from dataclasses import replace

import torch

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.explicit_joints import resolve_explicit_joints
from smirk3d.params import FaceParams


def test_parameters_of_the_head_are_passed_on(tiny_data):
    params = FaceParams(
        expression=torch.rand(2, 3), jaw=torch.rand(2, 3), eyelids=torch.rand(2, 2), eyes=torch.rand(2, 6)
    )
    found = resolve_explicit_joints(HeadModel(tiny_data), params, torch.zeros(2, 52))
    for name in ("jaw", "eyelids", "eyes"):
        assert found[name] is getattr(params, name)


def test_the_expression_of_the_open_head_gives_all_three(open_head):
    arkit = torch.zeros(1, 52)
    for name, weight in {"jawOpen": 0.5, "eyeBlinkRight": 0.75, "eyeLookUpLeft": 1.0}.items():
        arkit[0, ARKIT_NAMES.index(name)] = weight
    found = resolve_explicit_joints(open_head, FaceParams(expression=arkit), arkit)
    assert found["eyelids"].tolist() == [[0.0, 0.75]]
    assert found["jaw"].shape == (1, 3) and found["jaw"][0, 0] > 0.05  # a rotation about +X opens the jaw
    left, right = found["eyes"][0, :3], found["eyes"][0, 3:]
    assert left[0] < -0.1 and right.abs().max() == 0  # about -X: upwards


def test_a_head_without_any_jaw_has_a_jaw_at_rest(tiny_data):
    params = FaceParams(expression=torch.rand(2, 3))
    arkit = torch.rand(2, 52)
    found = resolve_explicit_joints(HeadModel(replace(tiny_data, jaw_readout=None)), params, arkit)
    assert not found["jaw"].any() and not found["eyes"].any() and found["jaw"].shape == (2, 3)
