"""Regions of the open head are where their names state, and fit together."""

from itertools import combinations

import pytest
import torch

APART = ("face", "ears", "neck", "scalp", "eyeballs", "mouth_interior")
SYMMETRIC = (
    "face", "lips", "nose", "forehead", "eye_regions", "ears", "neck", "scalp", "eyes", "eyeballs",
    "mouth_interior", "tongue", "lower_teeth", "upper_teeth", "eye_sockets",
)  # fmt: skip


def test_names(open_head):
    sided = {f"{side}_{part}" for side in ("left", "right") for part in ("eyeball", "eye_region")}
    assert set(open_head.data.regions) == {*SYMMETRIC, *sided}


def test_masks_are_not_empty_and_hold_triangles(open_head):
    for name in open_head.data.regions:
        mask = open_head.region_mask(name)
        assert mask.dtype == torch.bool and 0 < mask.sum() < len(mask) / 2, name
        assert len(open_head.region_faces(name)) > 0, name


@pytest.mark.parametrize(("a", "b"), combinations(APART, 2))
def test_main_regions_share_no_triangle(open_head, a, b):
    # Vertices on a common rim may belong to both; triangles may not.
    both = open_head.region_mask(a)[open_head.faces].all(1) & open_head.region_mask(b)[open_head.faces].all(1)
    assert both.sum() == 0


def test_every_vertex_belongs_to_some_region(open_head):
    covered = torch.stack([open_head.region_mask(name) for name in open_head.data.regions]).any(0)
    assert covered.float().mean() > 0.99


@pytest.mark.parametrize("name", SYMMETRIC)
def test_regions_are_symmetric(open_head, name):
    mask = open_head.region_mask(name)
    assert mask.equal(mask[open_head.data.mirror_vertices])


@pytest.mark.parametrize("part", ["eyeball", "eye_region"])
def test_left_and_right(open_head, part):
    left, right = open_head.region_mask(f"left_{part}"), open_head.region_mask(f"right_{part}")
    assert open_head.v_template[left, 0].min() > 0 > open_head.v_template[right, 0].max()
    assert left[open_head.data.mirror_vertices].equal(right)
    assert (left | right).equal(open_head.region_mask("eyeballs" if part == "eyeball" else "eye_regions"))


def test_regions_contain_their_parts(open_head):
    for part, whole in (
        ("lips", "face"),
        ("nose", "face"),
        ("forehead", "face"),
        ("eye_regions", "face"),
        ("tongue", "mouth_interior"),
        ("lower_teeth", "mouth_interior"),
        ("upper_teeth", "mouth_interior"),
        ("eyeballs", "eyes"),
    ):
        inside = open_head.region_mask(whole)[open_head.region_mask(part)].float().mean()
        assert inside > 0.9, (part, whole)


def test_from_top_to_bottom_and_from_front_to_back(open_head):
    def middle(name: str) -> torch.Tensor:
        return open_head.v_template[open_head.region_mask(name)].mean(0)

    order = ["forehead", "eye_regions", "nose", "upper_teeth", "lower_teeth"]
    heights = [float(middle(name)[1]) for name in order]
    assert heights == sorted(heights, reverse=True)
    depths = [float(middle(name)[2]) for name in ("nose", "lips", "upper_teeth", "ears")]
    assert depths == sorted(depths, reverse=True)
