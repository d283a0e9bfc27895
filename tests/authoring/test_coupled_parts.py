"""What lies behind the skin stays there on every identity: eyeballs, sockets, and the inside of the lips."""

import pytest
import torch

from smirk3d.authoring.closure import measure_closure
from smirk3d.authoring.coupled_parts import couple_eyeball, couple_socket, socket_share
from smirk3d.authoring.edge_loops import Rims
from smirk3d.authoring.makehuman import load_makehuman
from smirk3d.authoring.openings import LID_INSIDE, LIP_SEAM, find_openings

DIFFICULT = ((7, 54), (2, 29))
"""Seeds and numbers of random people with shallow lids, and with a lower lip far behind the upper one."""


@pytest.fixture(scope="module")
def openings(open_head):
    return find_openings(load_makehuman(), open_head.v_template, open_head.data.mirror_vertices)


@pytest.mark.parametrize(("seed", "number"), DIFFICULT)
def test_lids_and_lips_of_difficult_people_close(open_head, seed, number):
    shapes = torch.randn(80, open_head.n_shape, generator=torch.Generator().manual_seed(seed))
    closure = measure_closure(open_head, shapes[number - 1])
    assert -0.03 <= closure.lid_gap <= 0.06 and closure.visible_at_1 <= 0.02
    assert 0.4 < closure.visible_at_half < 0.6
    assert abs(closure.lip_gap) <= 0.01 and abs(closure.closed_mouth_gap) <= 0.015


def test_an_eyeball_follows_lids_that_move_and_grow_with_it(open_head, openings):
    mean, data = open_head.v_template, open_head.data
    center, shift, growth = torch.tensor([0.03, 0.02, 0.1]), torch.tensor([0.001, -0.002, 0.003]), 0.05
    wanted = (shift + growth * (mean - center))[..., None]
    eyeball = data.regions["left_eyeball"]
    skin = data.regions["left_eye_region"]
    untouched = wanted.clone()
    untouched[eyeball] = 0.0
    coupled = couple_eyeball(mean, untouched, eyeball, skin, openings.left_eye)
    torch.testing.assert_close(coupled, wanted, atol=1e-6, rtol=0)


def test_a_socket_goes_over_from_the_lids_to_the_eyeball(open_head, openings):
    data, eye = open_head.data, openings.left_eye
    share = socket_share(data.regions["eye_sockets"], data.faces, eye)
    assert share.unique().tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (open_head.v_template[share > 0, 0] > 0).all()  # not the other socket
    directions = torch.zeros(len(share), 3, 1)
    directions[data.regions["left_eyeball"], 2] = 1.0
    coupled = couple_socket(open_head.v_template, directions, data.regions["left_eyeball"], share, eye)
    torch.testing.assert_close(coupled[share > 0, 2, 0], share[share > 0], atol=1e-5, rtol=0)


def test_sockets_are_inside_the_eyeballs(open_head, openings):
    data, mean = open_head.data, open_head.v_template
    for side, eye in (("left", openings.left_eye), ("right", openings.right_eye)):
        deep = socket_share(data.regions["eye_sockets"], data.faces, eye) == 1
        eyeball = mean[data.regions[f"{side}_eyeball"]]
        center = (eyeball.amin(0) + eyeball.amax(0)) / 2
        assert (mean[deep] - center).norm(dim=1).max() < (eyeball - center).norm(dim=1).min()


def test_the_loop_behind_the_seam_of_the_lips_keeps_its_place(open_head, openings):
    for rim in (openings.mouth.upper, openings.mouth.lower):
        inside, seam = open_head.shapedirs[rim[LIP_SEAM + 1]], open_head.shapedirs[rim[LIP_SEAM]]
        torch.testing.assert_close(inside, seam, atol=1e-7, rtol=0)


def test_the_corners_of_closed_lids_lie_between_their_neighbours(open_head, openings):
    blink = open_head.expressiondirs[..., open_head.expression_names.index("eyeBlinkLeft")]
    closed = open_head.v_template + blink
    rims: Rims = openings.left_eye
    for loop in range(6, LID_INSIDE):
        for end, beside in ((0, 1), (-1, -2)):
            neighbors = torch.stack([closed[rim[loop, beside]] for rim in (rims.upper, rims.lower)])
            assert (closed[rims.upper[loop, end]] - neighbors.mean(0)).norm() < 0.0015
