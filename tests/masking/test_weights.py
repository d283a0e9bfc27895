"""Sampling density of the triangles of a head."""

from dataclasses import replace

import pytest
import torch

from smirk3d.head.model import HeadModel
from smirk3d.masking import RegionWeights, sampling_weights


def of_region(head, weights, name):
    return weights[head.region_mask(name)[head.faces].all(dim=1)]


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("lips", 0.5),
        ("nose", 0.5),
        ("forehead", 1.0),
        ("left_eye_region", 1.0),
        ("right_eye_region", 1.0),
        ("ears", 0.0),
        ("neck", 0.0),
        ("scalp", 0.0),
        ("eyeballs", 0.0),
        ("mouth_interior", 0.0),
        ("eye_sockets", 0.0),
    ],
)
def test_defaults_of_the_open_head(open_head, name, weight):
    weights = of_region(open_head, sampling_weights(open_head), name)
    assert len(weights) and (weights == weight).all()


def test_clean_face_is_sampled_and_nothing_outside_the_face(open_head):
    weights = sampling_weights(open_head)
    in_face = open_head.region_mask("face")[open_head.faces].all(dim=1)
    assert weights.shape == (len(open_head.faces),)
    assert (weights[~in_face] == 0).all() and (weights[in_face] >= 0.5).all()


def test_missing_regions_are_skipped(tiny_data):
    head = HeadModel(tiny_data)  # it has a "face" only
    expected = head.region_mask("face")[head.faces].all(dim=1).float()
    assert torch.equal(sampling_weights(head), expected)


def test_later_regions_count_and_single_eye_regions_suffice(tiny_data):
    some, all_vertices = torch.arange(14) < 9, torch.ones(14, dtype=torch.bool)
    head = HeadModel(replace(tiny_data, regions={"left_eye_region": some, "face": all_vertices}))
    weights = sampling_weights(head, RegionWeights(face=0.25, eye_regions=4.0))
    in_region = some[head.faces].all(dim=1)
    assert 0 < in_region.sum() < len(head.faces)
    assert torch.equal(weights, torch.where(in_region, 4.0, 0.25))


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_negative_weights_are_refused(weight):
    with pytest.raises(ValueError, match="lips"):
        RegionWeights(lips=weight)
