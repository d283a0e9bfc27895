"""The linear landmark model of a head."""

from dataclasses import fields, replace

import pytest
import torch

from smirk3d.estimation.landmark_model import EXPRESSION_LANDMARKS, SHAPE_LIMIT, LandmarkModel, landmark_model
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.params import FaceParams

MIRROR_X = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def model(open_head) -> LandmarkModel:
    return landmark_model(open_head)


def test_shapes(open_head, model):
    assert model.mean.shape == model.normals.shape == (478, 3) and model.weight.shape == (478,)
    assert model.index.equal(torch.arange(478)) and model.n_shape == open_head.n_shape
    size = model.n_shape + 52
    assert model.directions.shape == (478, 3, size) and model.low.shape == model.high.shape == (size,)


def test_points_are_those_of_the_head(open_head, model):
    random = torch.Generator().manual_seed(0)
    coefficients = torch.cat([torch.randn(4, model.n_shape, generator=random), torch.zeros(4, 52)], dim=1)
    coefficients[:, model.n_shape + ARKIT_NAMES.index("jawOpen")] = 0.7
    coefficients[:, model.n_shape + ARKIT_NAMES.index("mouthSmileLeft")] = 0.4
    shape, expression = coefficients.split([model.n_shape, 52], dim=1)
    expected = open_head(FaceParams(shape=shape, expression=expression)).landmarks("mediapipe")
    torch.testing.assert_close(model.points(coefficients), expected, atol=2e-5, rtol=0)


def test_rotating_eyes_are_nearly_linear(open_head, model):
    expression = torch.zeros(1, 52)
    expression[0, ARKIT_NAMES.index("eyeLookOutLeft")] = 0.5
    coefficients = torch.cat([torch.zeros(1, model.n_shape), expression], dim=1)
    exact = open_head(FaceParams(expression=expression)).landmarks("mediapipe")
    found = model.points(coefficients)
    assert (found - model.mean).norm(dim=-1).max() > 0.002
    assert (found - exact).norm(dim=-1).max() < 4e-4


def _coefficients(model: LandmarkModel, **weights: float) -> torch.Tensor:
    expression = torch.tensor([[weights.get(name, 0.0) for name in ARKIT_NAMES]])
    return torch.cat([torch.zeros(1, model.n_shape), expression], dim=1)


@pytest.mark.parametrize(("jaw_open", "mouth_close"), [(0.5, 0.5), (0.8, 0.4), (0.0, 0.5), (0.3, 0.8)])
def test_mouth_close_follows_the_head_up_to_the_jaw_and_beyond(open_head, model, jaw_open, mouth_close):
    coefficients = _coefficients(model, jawOpen=jaw_open, mouthClose=mouth_close)
    exact = open_head(FaceParams(expression=coefficients[:, model.n_shape :])).landmarks("mediapipe")
    lips = [13, 14, 82, 87, 312, 317]
    assert (model.points(coefficients) - exact)[0, lips].norm(dim=-1).max() < 1e-3


@pytest.mark.parametrize("mouth_close", [0.2, 0.7])
def test_jacobian_is_the_derivative_of_the_points(model, mouth_close):
    coefficients = _coefficients(model, jawOpen=0.4, mouthClose=mouth_close).double()
    exact = replace(
        model,
        **{
            f.name: x.double()
            for f in fields(model)
            if (x := getattr(model, f.name)) is not None and isinstance(x, torch.Tensor) and x.is_floating_point()
        },
    )
    image = torch.tensor([[1.0, 0.2, 0.1], [0.0, 1.0, -0.3]]).double()
    expected = torch.autograd.functional.jacobian(lambda c: exact.points(c)[0] @ image.T, coefficients)[:, :, 0]
    found = exact.jacobian(coefficients, image.T[None, ..., None].expand(1, 3, 2, 478)).permute(0, 3, 2, 1)
    torch.testing.assert_close(found[0], expected)


def test_bounds(model):
    n = model.n_shape
    assert (model.low[n:] == 0).all() and (model.high[n:] == 1).all()
    assert (model.low[:n] == -SHAPE_LIMIT).all() and (model.high[:n] == SHAPE_LIMIT).all()


def test_normals_are_of_unit_length_and_point_out_of_the_face(model):
    torch.testing.assert_close(model.normals.norm(dim=1), torch.ones(478))
    assert (model.normals[[4, 151, 9], 2] > 0.7).all()  # nose, forehead
    assert model.normals[454, 0] > 0.5 and model.normals[234, 0] < -0.5  # cheeks before the ears


def test_normals_are_symmetric(model):
    torch.testing.assert_close(model.normals[list(MIRROR)] * MIRROR_X, model.normals, atol=1e-6, rtol=0)


def test_directions_are_symmetric(open_head, model):
    sign = torch.cat([open_head.data.shape_mirror_sign, torch.ones(52)])
    swap = [*range(model.n_shape), *(model.n_shape + index for index in ARKIT_MIRROR)]
    mirrored = (model.directions[list(MIRROR)] * MIRROR_X[:, None] * sign)[..., swap]
    # Points on an edge are put on either of its triangles, to within 0.1 mm of their partner's mirror image.
    torch.testing.assert_close(mirrored, model.directions, atol=5e-5, rtol=0)
    torch.testing.assert_close(model.weight[list(MIRROR)], model.weight)


# Fewer points


@pytest.fixture(scope="module", params=[0.004, 0.01])
def spacing_m(request) -> float:
    return request.param


def test_fewer_points_are_rows_of_all_points(open_head, model, spacing_m):
    few = landmark_model(open_head, spacing_m=spacing_m)
    assert 100 < len(few.index) < 478 and (few.index.diff() > 0).all()
    for name in ("mean", "directions", "normals", "weight"):
        assert getattr(few, name).equal(getattr(model, name)[few.index]), name
    assert few.n_shape == model.n_shape and few.low.equal(model.low) and few.high.equal(model.high)


def test_fewer_points_are_symmetric_and_keep_the_rims(open_head, spacing_m):
    kept = set(landmark_model(open_head, spacing_m=spacing_m).index.tolist())
    assert {MIRROR[index] for index in kept} == kept
    assert set(EXPRESSION_LANDMARKS) <= kept


def test_kept_points_are_apart_and_no_point_is_far_from_one(open_head, model, spacing_m):
    index = landmark_model(open_head, spacing_m=spacing_m).index
    free = torch.tensor([k not in EXPRESSION_LANDMARKS for k in range(478)])
    distance = torch.cdist(model.mean[index], model.mean[index]).fill_diagonal_(1.0)
    # Both of a mirrored pair are kept together, however near the middle line they lie.
    partner = torch.tensor(MIRROR)[index, None] == index
    assert distance[free[index]].masked_fill(partner[free[index]], 1.0).min() > spacing_m - 1e-4
    assert torch.cdist(model.mean, model.mean[index]).min(1).values.max() < spacing_m + 1e-4


def test_other_landmark_sets(open_head):
    assert landmark_model(open_head, "ibug68").mean.shape == (68, 3)
    with pytest.raises(KeyError, match="no landmarks 'wflw'"):
        landmark_model(open_head, "wflw")
