"""Retargeting: exact on the open head, close on a head with the layout of FLAME."""

import pytest
import torch
from flame_layout import make_flame_layout

from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, resolve_antagonists
from smirk3d.head.retargeting.retargeter import FRAMES_PER_CHUNK, Retargeter, find_retargeter
from smirk3d.params import FaceParams


@pytest.fixture(scope="module")
def own(open_head) -> Retargeter:
    return Retargeter(open_head, open_head)


@pytest.fixture(scope="module")
def flame(flame_head, open_head) -> Retargeter:
    return Retargeter(flame_head, open_head)


def random_weights(count: int, seed: int = 0, tongue: bool = False) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    active = torch.rand(count, 52, generator=random) < 0.15
    weights = resolve_antagonists(torch.rand(count, 52, generator=random) * active)
    weights[:, ARKIT_NAMES.index("tongueOut")] *= tongue
    return weights


def one(name: str, weight: float = 0.8) -> torch.Tensor:
    weights = torch.zeros(1, 52)
    weights[0, ARKIT_NAMES.index(name)] = weight
    return weights


def strongest(weights: torch.Tensor) -> str:
    return ARKIT_NAMES[int(weights[0].argmax())]


def test_the_open_head_is_retargeted_to_itself_exactly(own):
    weights = random_weights(200, tongue=True)
    found = own.to_arkit(FaceParams(expression=weights))
    torch.testing.assert_close(found.weights, weights, atol=5e-3, rtol=0)
    assert found.residual_mm.max() < 0.02 and found.size_mm.mean() > 1
    assert torch.equal(own.from_arkit(weights).expression, weights)


def test_each_blendshape_survives_the_round_trip_through_flame(flame):
    weights = 0.8 * torch.eye(52)[:-1]  # there is no tongue
    found = flame.to_arkit(flame.from_arkit(weights))
    torch.testing.assert_close(found.weights, weights, atol=0.1, rtol=0)
    assert (found.weights - weights).abs().mean() < 0.003


def test_mixtures_survive_the_round_trip_through_flame(flame):
    weights = random_weights(150)
    found = flame.to_arkit(flame.from_arkit(weights))
    error = (found.weights - weights).abs()
    assert error.mean() < 0.004 and error.mean(0).max() < 0.03
    assert (found.residual_mm < 0.2 * found.size_mm.clamp_min(0.5)).all()


def test_flame_moves_as_the_open_head_does(flame, flame_head, open_head):
    weights = random_weights(40, seed=3)
    layout, skin = make_flame_layout(), flame_head.region_mask("face") & ~flame_head.region_mask("eyeballs")
    corners = open_head.expressiondirs[open_head.faces[torch.from_numpy(layout.open_face_index)]]
    blendshapes = torch.einsum("vcke,vc->evk", corners, torch.from_numpy(layout.open_barycentric).float())
    wanted = 1.03 * torch.einsum("be,evk->bvk", weights, blendshapes)[:, skin]
    moved = (flame_head(flame.from_arkit(weights)).vertices - flame_head.v_template)[:, skin]
    missing = (moved - wanted).norm(dim=2).mean() / wanted.norm(dim=2).mean()
    assert missing < 0.25


def test_flame_parameters_give_the_corresponding_weights(flame, flame_head):
    nothing = torch.zeros(1, flame_head.n_expression)
    turned = {
        "jawOpen": FaceParams(expression=nothing, jaw=torch.tensor([[0.25, 0.0, 0.0]])),
        "eyeBlinkLeft": FaceParams(expression=nothing, eyelids=torch.tensor([[1.0, 0.0]])),
        "eyeBlinkRight": FaceParams(expression=nothing, eyelids=torch.tensor([[0.0, 1.0]])),
        # Positive about +Y is towards the subject's left: out for the left eye, in for the right one.
        "eyeLookOutLeft": FaceParams(expression=nothing, eyes=torch.tensor([[0.0, 0.4, 0.0, 0.0, 0.0, 0.0]])),
        "eyeLookInRight": FaceParams(expression=nothing, eyes=torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.4, 0.0]])),
        "eyeLookUpLeft": FaceParams(expression=nothing, eyes=torch.tensor([[-0.4, 0.0, 0.0, 0.0, 0.0, 0.0]])),
    }
    for name, params in turned.items():
        found = flame.to_arkit(params).weights
        assert strongest(found) == name and found.max() > 0.45, name


def test_left_stays_left(flame):
    for name in ("mouthSmileLeft", "browDownLeft", "eyeBlinkLeft", "mouthLeft"):
        found = flame.to_arkit(flame.from_arkit(one(name))).weights[0]
        mirrored = ARKIT_MIRROR[ARKIT_NAMES.index(name)]
        assert found[ARKIT_NAMES.index(name)] > 0.7 and found[mirrored] < 0.05


def test_neutral_gives_zeros_and_the_pose_is_ignored(flame, flame_head):
    still = flame.to_arkit(FaceParams(expression=torch.zeros(2, 50), shape=torch.ones(2, 10)))
    assert still.weights.max() < 1e-4 and still.residual_mm.max() < 1e-3
    neutral = flame.from_arkit(torch.zeros(1, 52))
    assert all(value.abs().max() < 1e-4 for _, value in neutral.items())
    params = flame.from_arkit(one("jawOpen"))
    posed = params.replace(pose=torch.ones(1, 3), neck=torch.ones(1, 3), camera=torch.ones(1, 3))
    torch.testing.assert_close(flame.to_arkit(posed).weights, flame.to_arkit(params).weights)


def test_the_residual_is_what_the_blendshapes_cannot_explain(flame, flame_head):
    weights = random_weights(20, seed=5)
    params = flame.from_arkit(weights)
    assert params.expression is not None
    noise = torch.randn(params.expression.shape, generator=torch.Generator().manual_seed(0))
    clean, noisy = (flame.to_arkit(params.replace(expression=params.expression + k * noise)) for k in (0.0, 1.0))
    assert noisy.residual_mm.mean() > 5 * clean.residual_mm.mean()
    assert ((noisy.weights >= 0) & (noisy.weights <= 1)).all()


def test_frames_do_not_depend_on_each_other(flame):
    weights = random_weights(FRAMES_PER_CHUNK + 3, seed=6)
    params = flame.from_arkit(weights, shape=torch.ones(7))
    assert params.shape is not None and torch.equal(params.shape, torch.ones(7))
    many = flame.to_arkit(params.replace(shape=None))
    last = flame.to_arkit(flame.from_arkit(weights[-2:]))
    torch.testing.assert_close(many.weights[-2:], last.weights, atol=1e-3, rtol=0)
    assert many.weights.shape == (FRAMES_PER_CHUNK + 3, 52) and many.residual_mm.shape == (FRAMES_PER_CHUNK + 3,)


def test_only_heads_without_arkit_coefficients_need_a_retargeter(open_head, flame_head):
    assert find_retargeter(open_head) is None
    with pytest.raises(ValueError, match="'flame' is no reference"):
        Retargeter(open_head, flame_head)
