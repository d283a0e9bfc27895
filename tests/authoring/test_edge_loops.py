"""Edge loops around eyes and mouth: closed, nested, and cut at the corners."""

import pytest
import torch

from smirk3d.authoring.edge_loops import QuadGraph, along, opposite
from smirk3d.authoring.makehuman import load_makehuman
from smirk3d.authoring.openings import LEFT_EYE_LOOPS, LIP_SEAM, MOUTH_LOOPS, find_openings


@pytest.fixture(scope="module")
def openings(open_head):
    return find_openings(load_makehuman(), open_head.v_template, open_head.data.mirror_vertices)


def test_rims_share_their_corners_and_nothing_else(openings):
    for eye in (openings.left_eye, openings.right_eye, openings.mouth):
        for upper, lower in zip(eye.upper.tolist(), eye.lower.tolist(), strict=True):
            assert set(upper) & set(lower) == {upper[0], upper[-1]}
            assert len(set(upper)) == len(upper) and len(set(lower)) == len(lower)
    assert len(openings.left_eye.upper) == len(LEFT_EYE_LOOPS) and len(openings.mouth.upper) == len(MOUTH_LOOPS)


def test_upper_rims_are_above_and_run_from_right_to_left(openings, open_head):
    vertices = open_head.v_template
    for eye in (openings.left_eye, openings.right_eye):
        assert (vertices[eye.upper, 1].mean(1) > vertices[eye.lower, 1].mean(1)).all()
        assert (vertices[eye.upper[:, 0], 0] < vertices[eye.upper[:, -1], 0]).all()


def test_places_opposite_lie_at_the_same_part_of_the_way(openings, open_head):
    rim, other = openings.mouth.upper[LIP_SEAM], openings.mouth.lower[LIP_SEAM]
    index, weight = opposite(rim, other, open_head.v_template)
    assert torch.isin(index, other).all()
    torch.testing.assert_close(weight.sum(1), torch.ones(len(rim)))
    there = (open_head.v_template[index, 0] * weight).sum(1)
    here = along(rim, open_head.v_template)
    ends = open_head.v_template[rim[[0, -1]], 0]
    torch.testing.assert_close((there - ends[0]) / (ends[1] - ends[0]), here, atol=2e-3, rtol=0)


def test_another_mesh_is_refused():
    graph = QuadGraph(load_makehuman())
    with pytest.raises(ValueError, match="does not close"):
        graph.loop(MOUTH_LOOPS[0][0], LEFT_EYE_LOOPS[0][0])
