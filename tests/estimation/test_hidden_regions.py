"""Weights of hidden regions shrink to the neutral, those of visible ones stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from smirk3d.estimation.hidden_regions import (
    DIRECTIONS,
    REGION_OF_PREFIX,
    action_factors,
    action_region,
    confidence_factor,
    shrink_factor,
    shrink_hidden,
)
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

ALL, NONE = np.ones((1, 4)), np.zeros((1, 4))
MOUTH_HIDDEN = np.array([[1.0, 0.0, 0.55, 0.55]])
EYES_HIDDEN = np.array([[0.0, 1.0, 0.6, 0.6]])
RIGHT_HIDDEN = np.array([[0.5, 0.5, 1.0, 0.0]])


def factors(visibility: np.ndarray) -> dict[str, float]:
    return dict(zip(ARKIT_NAMES, action_factors(visibility)[0].tolist(), strict=True))


def test_every_action_has_one_region() -> None:
    for name in ARKIT_NAMES:
        assert sum(name.startswith(prefix) for prefix in REGION_OF_PREFIX) == 1
        region, side = action_region(name)
        assert region in ("eyes", "mouth") and (side == "") == (name in DIRECTIONS or name[-4:] not in ("Left", "ight"))


def test_factors_of_the_extremes() -> None:
    assert set(factors(ALL).values()) == {1} and set(factors(NONE).values()) == {0}
    assert confidence_factor(ALL)[0] == 1 and confidence_factor(NONE)[0] == 0


def test_a_hidden_mouth_leaves_the_eyes() -> None:
    found = factors(MOUTH_HIDDEN)
    assert {found[name] for name in ("jawOpen", "mouthSmileLeft", "mouthPucker", "tongueOut", "cheekPuff")} == {0}
    assert {found[name] for name in ("eyeBlinkLeft", "browInnerUp", "eyeLookUpRight", "browDownRight")} == {1}
    assert 0 < confidence_factor(MOUTH_HIDDEN)[0] < 0.8


def test_hidden_eyes_leave_the_mouth() -> None:
    found = factors(EYES_HIDDEN)
    assert {value for name, value in found.items() if name.startswith(("eye", "brow"))} == {0}
    assert {value for name, value in found.items() if name.startswith(("jaw", "mouth"))} == {1}


def test_a_hidden_half_leaves_the_other() -> None:
    found = factors(RIGHT_HIDDEN)
    assert found["mouthSmileLeft"] == found["eyeBlinkLeft"] == 1
    assert found["mouthSmileRight"] == found["eyeBlinkRight"] == 0
    assert 0 < found["jawOpen"] < 1 and found["mouthLeft"] == found["mouthRight"] == found["jawOpen"]


def test_mirrored_visibilities_have_mirrored_factors() -> None:
    visibility = np.random.default_rng(0).random((50, 4))
    mirrored = action_factors(visibility[:, [0, 1, 3, 2]])
    np.testing.assert_allclose(mirrored[:, list(ARKIT_MIRROR)], action_factors(visibility), atol=1e-12)


def test_the_factor_is_smooth_and_rises() -> None:
    share = np.linspace(0, 1, 1001)
    factor = shrink_factor(share)
    slope = np.diff(factor) / np.diff(share)
    assert (slope >= 0).all() and np.abs(np.diff(slope)).max() < 0.1 and factor[0] == 0 and factor[-1] == 1


def test_visible_faces_keep_every_bit_beside_hidden_ones(open_head: HeadModel) -> None:
    arkit = torch.rand(3, 52, generator=torch.Generator().manual_seed(0))
    assert shrink_hidden(open_head, arkit, None, np.ones((3, 4)))[0] is arkit
    shrunk, params = shrink_hidden(open_head, arkit, None, np.concatenate([ALL, MOUTH_HIDDEN, NONE]))
    assert params is None and torch.equal(shrunk[0], arkit[0]) and not shrunk[2].any()
    eyes = [k for k, name in enumerate(ARKIT_NAMES) if action_region(name)[0] == "eyes"]
    assert torch.equal(shrunk[1, eyes], arkit[1, eyes])


def test_the_expression_of_the_open_head_is_the_shrunk_weights(open_head: HeadModel) -> None:
    arkit = torch.rand(1, 52)
    shrunk, params = shrink_hidden(open_head, arkit, FaceParams(expression=arkit), MOUTH_HIDDEN)
    assert params is not None and params.expression is not None and torch.equal(params.expression, shrunk)


@pytest.mark.parametrize("part", ["mouth", "eyes", "all", "nothing"])
def test_parameters_of_another_head_shrink_with_their_regions(flame_head: HeadModel, part: str) -> None:
    visibility = {"mouth": MOUTH_HIDDEN, "eyes": EYES_HIDDEN, "all": NONE, "nothing": ALL}[part]
    random = torch.Generator().manual_seed(0)
    given = FaceParams(
        expression=torch.randn(1, flame_head.n_expression, generator=random),
        jaw=torch.rand(1, 3, generator=random),
        eyelids=torch.rand(1, 2, generator=random),
        eyes=torch.rand(1, 6, generator=random),
    )
    shrunk, params = shrink_hidden(flame_head, torch.rand(1, 52, generator=random), given, visibility)
    assert params is not None and params.jaw is not None and params.eyelids is not None and params.eyes is not None
    assert params.expression is not None and given.expression is not None
    assert (not params.jaw.any()) == (part in ("mouth", "all"))
    assert (not params.eyelids.any()) == (not params.eyes.any()) == (part in ("eyes", "all"))
    if part == "all":
        assert float(params.expression.norm()) < 1e-4 and not shrunk.any()
    if part == "nothing":
        assert params is given
