"""A head reduced to linear landmarks."""

import pytest
import torch

from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.head.mediapipe_points import MIRROR
from smirk3d.pipeline.landmark_model import LandmarkModel, landmark_model
from smirk3d.types import FaceParams

MIRROR_X = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def model(open_head) -> LandmarkModel:
    return landmark_model(open_head)


def test_shapes(model):
    assert model.mean.shape == model.normals.shape == (478, 3) and model.weight.shape == (478,)
    assert model.directions.shape == (478, 3, 202) and model.n_shape == 100
    assert model.low.shape == model.high.shape == (202,)
    assert model.gram.shape == (model.group.shape[1], 3, 3, 202, 202)


def test_points_are_those_of_the_head(open_head, model):
    random = torch.Generator().manual_seed(0)
    coefficients = torch.cat([torch.randn(4, 100, generator=random), torch.zeros(4, 52)], dim=1)
    coefficients[:, 100 + ARKIT_NAMES.index("jawOpen")] = 0.7
    coefficients[:, 100 + ARKIT_NAMES.index("mouthSmileLeft")] = 0.4
    shape, expression = coefficients.split([100, 52], dim=1)
    expected = open_head(FaceParams(shape=shape, expression=expression)).landmarks("mediapipe")
    torch.testing.assert_close(model.points(coefficients), expected, atol=2e-5, rtol=0)


def test_turning_eyes_are_nearly_linear(open_head, model):
    coefficients = torch.zeros(1, 202)
    expression = torch.zeros(1, 52)
    expression[0, ARKIT_NAMES.index("eyeLookOutLeft")] = 0.5
    coefficients[:, 100:] = expression
    exact = open_head(FaceParams(expression=expression)).landmarks("mediapipe")
    found = model.points(coefficients)
    assert (found - model.mean).norm(dim=-1).max() > 0.002
    assert (found - exact).norm(dim=-1).max() < 4e-4


def test_bounds(model):
    assert (model.low[100:] == 0).all() and (model.high[100:] == 1).all()
    assert model.low[:100].isneginf().all() and model.high[:100].isposinf().all()


def test_normals_are_of_unit_length_and_point_out_of_the_face(model):
    torch.testing.assert_close(model.normals.norm(dim=1), torch.ones(478))
    assert (model.normals[[4, 151, 9], 2] > 0.7).all()  # nose, forehead
    assert model.normals[454, 0] > 0.5 and model.normals[234, 0] < -0.5  # cheeks before the ears


@pytest.mark.xfail(strict=True, reason="one triangle's normal stands for a point on the edge of two")
def test_normals_and_groups_are_symmetric(model):
    mirror = list(MIRROR)
    torch.testing.assert_close(model.normals[mirror] * MIRROR_X, model.normals, atol=0.02, rtol=0)
    # A point that looks straight back has no side.
    ahead = model.normals[:, 2] > 0
    assert model.group[mirror].flip(1)[ahead].equal(model.group[ahead])


def test_directions_are_symmetric(open_head, model):
    sign = torch.cat([open_head.data.shape_mirror_sign, torch.ones(52)])
    swap = [*range(100), *(100 + index for index in ARKIT_MIRROR)]
    mirrored = (model.directions[list(MIRROR)] * MIRROR_X[:, None] * sign)[..., swap]
    torch.testing.assert_close(mirrored, model.directions, atol=2e-6, rtol=0)
    torch.testing.assert_close(model.weight[list(MIRROR)], model.weight)


def test_each_point_is_in_one_group_and_the_products_add_up(model):
    assert model.group.sum(1).eq(1).all()
    coefficients = torch.randn(202, generator=torch.Generator().manual_seed(2))
    moved = model.directions @ coefficients
    expected = torch.einsum("l,li,lj->ij", model.weight, moved, moved)
    found = torch.einsum("k,gijkm,m->ij", coefficients, model.gram, coefficients)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_other_landmark_sets(open_head):
    assert landmark_model(open_head, "ibug68").mean.shape == (68, 3)
    with pytest.raises(KeyError, match="no landmarks 'wflw'"):
        landmark_model(open_head, "wflw")
