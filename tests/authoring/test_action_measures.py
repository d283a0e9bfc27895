"""The blendshapes have Apple's amplitudes, and the measures that say so are right on made-up motions."""

import pytest
import torch

from smirk3d.authoring.action_measures import MEASURES, Amplitude, measure_actions, within
from smirk3d.authoring.arkit_amplitudes import amplitudes, point_motion
from smirk3d.authoring.closure import measure_closure
from smirk3d.authoring.face_points import FacePointFinder, first_hits
from smirk3d.head.arkit import ARKIT_NAMES


def test_rays_meet_the_foremost_triangle():
    square = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    vertices = torch.cat([square, square + torch.tensor([0.0, 0.0, 2.0])])
    hits = first_hits(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.tensor([[0.25, 0.25], [0.9, 0.9]]))
    assert hits.face.tolist() == [1, -1]
    torch.testing.assert_close(hits.barycentric[0], torch.tensor([0.5, 0.25, 0.25]))


def test_points_are_mirrored_and_follow_the_surface(open_head):
    points = FacePointFinder(open_head).find()
    found = points.of(open_head.v_template)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    for name, place in found.items():
        if name.startswith("left_"):
            other = found[name.replace("left_", "right_")]
            assert (place * flip - other).norm() < 6e-4, name
    moved = points.of(2 * open_head.v_template + 1)
    assert all((moved[name] - (2 * place + 1)).abs().max() < 1e-4 for name, place in found.items())
    assert 0.055 < points.unit_m < 0.07


def test_the_mean_head_is_within_a_quarter_of_apples_amplitudes(open_head):
    first, every = within(measure_actions(open_head))
    assert len(MEASURES) == 34 and first >= 31 and every >= 25


def test_other_people_are_within_a_quarter_in_most_actions(open_head):
    shape = 0.8 * torch.randn(open_head.n_shape, generator=torch.Generator().manual_seed(1))
    first, every = within(measure_actions(open_head, shape))
    assert first >= 31 and every >= 25


def test_within_counts_actions_not_measures():
    rows = [Amplitude(name, measure, 1.0, 1.0) for name, measures in MEASURES.items() for measure in measures]
    assert within(rows) == (34, 34)
    wrong = [row if row.measure != "chin_dy" else Amplitude(row.action, row.measure, 2.0, 1.0) for row in rows]
    assert within(wrong) == (34, 32)  # jawOpen and mouthShrugLower, by a later measure


def test_apples_table_names_every_action_and_measured_points():
    known = set(amplitudes())
    one_sided = {name for name in ARKIT_NAMES if not name.endswith("Right")} - {"tongueOut"}
    assert known == one_sided
    smile = point_motion("mouthSmileLeft")
    assert smile["left_mouth_corner"].tolist() == pytest.approx([0.1288, 0.1588, -0.1856])
    assert smile["left_lid_upper"][0].isnan() and smile["left_lid_upper"][1] == 0


def test_lids_and_lips_close(open_head):
    for seed in (None, 2):
        shape = None if seed is None else torch.randn(open_head.n_shape, generator=torch.Generator().manual_seed(seed))
        found = measure_closure(open_head, shape)
        assert -0.03 <= found.lid_gap <= 0.06 and found.visible_at_1 <= 0.02 and 0.35 < found.visible_at_half < 0.65
        assert abs(found.lip_gap) <= 0.01 and abs(found.closed_mouth_gap) <= 0.015
