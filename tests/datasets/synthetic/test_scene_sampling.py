"""Random images: ground truth and kinds of expressions."""

import numpy as np
import pytest
import torch

from smirk3d.datasets.synthetic.scene_sampling import Sample, SampleRanges, random_expression, random_sample
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES, mirror_name
from smirk3d.params import FaceParams
from smirk3d.render.appearance.procedural_face import ProceduralFaceRenderer

SIZE = 96
KINDS = ("neutral", "single", "one_sided", "combination")
GAZE = [ARKIT_NAMES.index(name) for name in GAZE_NAMES]


@pytest.fixture(scope="module")
def painter(open_head) -> ProceduralFaceRenderer:
    return ProceduralFaceRenderer(open_head)


@pytest.fixture(scope="module")
def sample(painter) -> Sample:
    return random_sample(painter, "combination", SIZE, torch.Generator().manual_seed(5))


def expressions(kind, count: int = 100) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.stack([random_expression(kind, generator) for _ in range(count)])


def weight(expression: torch.Tensor, name: str) -> float:
    return float(expression[ARKIT_NAMES.index(name)])


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_weights_and_repeatable(kind):
    weights = expressions(kind)
    assert weights.shape == (100, 52) and weights.min() >= 0 and weights.max() <= 1
    assert weights.equal(expressions(kind))


def test_neutral_is_all_zero():
    assert not expressions("neutral").any()


def test_single_is_one_action_with_both_sides_alike():
    for expression in expressions("single"):
        expression[GAZE] = 0
        names = {ARKIT_NAMES[index] for index in expression.nonzero()[:, 0].tolist()}
        groups = {frozenset((name, mirror_name(name))) for name in names}
        helped = bool(names & {"mouthClose", "tongueOut"})  # these open the jaw as well
        assert len(groups) == (2 if helped else 1)
        if not names & {"jawLeft", "jawRight", "mouthLeft", "mouthRight"}:
            assert expression.equal(expression[list(ARKIT_MIRROR)])


def test_one_sided_is_really_one_sided():
    sides = []
    for expression in expressions("one_sided"):
        assert (expression > 0).sum() == 1
        (index,) = expression.nonzero()[:, 0].tolist()
        assert expression[ARKIT_MIRROR[index]] == 0 and index not in GAZE
        sides.append(ARKIT_NAMES[index].endswith("Left"))
        assert mirror_name(ARKIT_NAMES[index]) != ARKIT_NAMES[index]
    assert 0.3 < np.mean(sides) < 0.7


def test_combinations_have_several_actions_and_gaze():
    weights = expressions("combination")
    assert (weights[:, GAZE] > 0).any(1).all()
    without_gaze = weights.clone()
    without_gaze[:, GAZE] = 0
    assert ((without_gaze > 0).sum(1) >= 2).float().mean() > 0.8
    assert not (without_gaze == without_gaze[:, list(ARKIT_MIRROR)]).all()


def test_both_eyes_look_the_same_way():
    for expression in expressions("combination"):
        assert weight(expression, "eyeLookOutLeft") == weight(expression, "eyeLookInRight")
        assert weight(expression, "eyeLookInLeft") == weight(expression, "eyeLookOutRight")
        assert weight(expression, "eyeLookUpLeft") == weight(expression, "eyeLookUpRight")
        assert weight(expression, "eyeLookUpLeft") * weight(expression, "eyeLookDownLeft") == 0


def test_a_closed_mouth_and_a_tongue_need_an_open_jaw():
    for kind in ("single", "combination"):
        for expression in expressions(kind):
            assert weight(expression, "jawOpen") >= weight(expression, "mouthClose") - 1e-6
            assert weight(expression, "jawOpen") >= 0.5 * weight(expression, "tongueOut") - 1e-6


def test_every_action_is_drawn():
    drawn = expressions("combination", 600).amax(0) > 0
    assert [ARKIT_NAMES[index] for index in (~drawn).nonzero()[:, 0].tolist()] == []


def test_the_same_seed_gives_the_same_image(painter, sample):
    again = random_sample(painter, "combination", SIZE, torch.Generator().manual_seed(5))
    other = random_sample(painter, "combination", SIZE, torch.Generator().manual_seed(6))
    for name in ("image", "shape", "expression", "rotmat", "translation_m", "vertices_px"):
        assert getattr(sample, name).equal(getattr(again, name)), name
        assert not getattr(sample, name).equal(getattr(other, name)), name


def test_shapes_and_ranges(open_head, sample):
    assert sample.image.shape == (3, SIZE, SIZE) and sample.image.min() >= 0 and sample.image.max() <= 1
    assert sample.kind == "combination"
    assert sample.shape.shape == (open_head.n_shape,) and sample.expression.shape == (52,)
    torch.testing.assert_close(sample.rotmat @ sample.rotmat.T, torch.eye(3), atol=1e-5, rtol=0)


def test_vertices_are_where_a_camera_sees_them(open_head, sample):
    camera = Camera(
        sample.rotmat.double().numpy(),
        sample.translation_m.double().numpy(),
        np.array([SIZE / 2, SIZE / 2]),
        -sample.focal_px / float(sample.translation_m[2]),
        sample.focal_px,
    )
    vertices = open_head(FaceParams(shape=sample.shape, expression=sample.expression)).vertices
    expected = camera.project(vertices.double().numpy())
    np.testing.assert_allclose(sample.vertices_px.numpy(), expected, atol=2e-3)


def test_the_head_is_where_the_ground_truth_is(painter):
    # The hull of the vertices is drawn, the rest is a soft background.
    for seed in range(4):
        found = random_sample(painter, "neutral", SIZE, torch.Generator().manual_seed(seed))
        face = found.vertices_px[painter.head.region_mask("face")]
        assert (face.mean(0) - SIZE / 2).abs().max() < 0.2 * SIZE
        height = float(face[:, 1].max() - face[:, 1].min())
        assert 0.3 * SIZE < height < 0.95 * SIZE


def test_ranges_are_kept(painter):
    ranges = SampleRanges(yaw_deg=5.0, pitch_deg=2.0, roll_deg=1.0, distance_m=(0.5, 0.6), shape_std=0.0)
    for seed in range(4):
        found = random_sample(painter, "neutral", 32, torch.Generator().manual_seed(seed), ranges)
        angles = np.abs(angles_from_rotation(found.rotmat.numpy()))
        assert (angles <= (5.001, 2.001, 1.001)).all() and angles.max() > 0
        assert 0.5 <= -float(found.translation_m[2]) <= 0.6 and not found.shape.any()
