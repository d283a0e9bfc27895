"""Templates: what their names promise, on any head; and those of a user's folder."""

import csv

import numpy as np
import pytest
import torch

from smirk3d.datasets.synthetic.expression_templates import (
    ARKIT_TEMPLATES,
    read_templates,
    template_tensor,
    templates_for,
)
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, resolve_antagonists
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.params import FaceParams

NAMES = list(ARKIT_TEMPLATES)


def row(name: str) -> torch.Tensor:
    return template_tensor()[NAMES.index(name)]


def test_templates_are_plausible_arkit_weights():
    weights = template_tensor()
    assert weights.shape == (len(NAMES), 52) and weights.dtype == torch.float32 and 40 <= len(NAMES) <= 60
    assert all(set(named) <= set(ARKIT_NAMES) for named in ARKIT_TEMPLATES.values())
    assert weights.min() == 0 and weights.max() == 1
    assert ((weights > 0).sum(dim=1) <= 16).all() and (weights.max(dim=1).values >= 0.6).all()
    assert torch.equal(resolve_antagonists(weights), weights)
    closed, opened = (weights[:, ARKIT_NAMES.index(name)] for name in ("mouthClose", "jawOpen"))
    assert (closed <= opened).all()
    distance = torch.cdist(weights, weights) + 9 * torch.eye(len(weights))
    assert distance.min() > 0.25  # no two are the same


def test_right_mirrors_left_and_the_others_are_even():
    for name in NAMES:
        mirrored = row(name)[list(ARKIT_MIRROR)]
        if name.endswith("_left"):
            assert torch.equal(mirrored, row(name.removesuffix("left") + "right")), name
            assert not torch.equal(mirrored, row(name)), name
        elif not name.endswith("_right"):
            assert torch.equal(mirrored, row(name)), name


def test_every_action_of_mouth_brows_and_lids_occurs():
    used = {ARKIT_NAMES[k] for k in torch.nonzero(template_tensor().any(dim=0))[:, 0].tolist()}
    assert set(ARKIT_NAMES) - used == {name for name in ARKIT_NAMES if name.startswith("eyeLook")}


@pytest.mark.parametrize(
    ("name", "axis", "sign"), [("mouth_left", 0, 1), ("jaw_right", 0, -1), ("wide_eyes_open_mouth", 1, -1)]
)
def test_left_is_the_subjects_left_and_open_is_down(open_head, name, axis, sign):
    still, moved = (open_head(FaceParams(expression=w)).landmarks("ibug68")[57] for w in (torch.zeros(52), row(name)))
    assert sign * (moved - still)[axis] > 0.004  # the lower lip's middle, in metres


def test_the_open_head_takes_the_weights_as_they_are(open_head):
    params = templates_for(open_head)
    assert [name for name, _ in params.items()] == ["expression"]
    assert params.expression is not None and torch.equal(params.expression, template_tensor())


def test_a_head_of_flames_layout_shows_the_templates(flame_head):
    params = templates_for(flame_head)
    assert [name for name, _ in params.items()] == ["expression", "eyelids", "jaw"]
    assert all(value.shape == (len(NAMES), flame_head.spec[name].size) for name, value in params.items())
    assert params.jaw is not None and params.eyelids is not None
    assert params.jaw[NAMES.index("yawn"), 0] > 0.15 and params.jaw[NAMES.index("kiss"), 0].abs() < 0.1
    assert params.eyelids[NAMES.index("smile_and_wink_left"), 0] > 0.5 > params.eyelids[NAMES.index("laugh"), 1]
    carry = find_retargeter(flame_head)
    assert carry is not None
    found = carry.to_arkit(params).weights
    wanted = template_tensor().clone()
    wanted[:, ARKIT_NAMES.index("tongueOut")] = 0
    assert (found - wanted).abs().mean() < 0.02


@pytest.fixture
def tiny_head(tiny_data) -> HeadModel:
    return HeadModel(tiny_data)


def write_table(path, **weights: float) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([ARKIT_NAMES, [weights.get(name, 0.0) for name in ARKIT_NAMES]])


def test_a_folder_of_arkit_weights_follows_the_built_in_templates(open_head, tmp_path):
    write_table(tmp_path / "b.csv", jawOpen=0.5)
    np.savez(tmp_path / "a.npz", arkit=np.full((2, 52), 0.25))
    (tmp_path / "notes.txt").write_text("not a template")
    own = read_templates(tmp_path, open_head).expression
    assert own is not None and own.shape == (3, 52)
    assert own[:2].eq(0.25).all() and own[2].nonzero().tolist() == [[ARKIT_NAMES.index("jawOpen")]]
    both = templates_for(open_head, tmp_path).expression
    assert both is not None and torch.equal(both, torch.cat([template_tensor(), own]))


def test_a_heads_own_coefficients_may_be_fewer_and_without_a_jaw(tiny_head, tmp_path):
    np.savez(tmp_path / "a.npz", expression=[[1.0, 2.0]], jaw=[[0.3, 0, 0]], eyelids=[[0.5, 7.0]], shape=np.ones(4))
    np.savez(tmp_path / "b.npz", expression=[[3.0, 4.0, 5.0]], arkit=np.zeros((1, 52)), head="tiny")
    found = read_templates(tmp_path, tiny_head)
    assert found.expression is not None and found.expression.tolist() == [[1, 2, 0], [3, 4, 5]]
    assert found.jaw is not None and found.jaw[1].tolist() == [0, 0, 0] and found.jaw[0, 0] == pytest.approx(0.3)
    assert found.eyelids is not None and found.eyelids.tolist() == [[0.5, 1.0], [0, 0]]
    assert found.shape is None


def test_what_does_not_fit_is_refused_by_name(tiny_head, tmp_path):
    with pytest.raises(Smirk3dError, match=r"no templates; give a folder"):
        read_templates(tmp_path / "nowhere", tiny_head)
    np.savez(tmp_path / "a.npz", expression=np.zeros((1, 50)))
    with pytest.raises(Smirk3dError, match=r"a\.npz: .*with 50 coefficients do not fit the head 'tiny'.*retarget"):
        read_templates(tmp_path, tiny_head)
    np.savez(tmp_path / "a.npz", expression=np.zeros((1, 3)), head="other")
    with pytest.raises(Smirk3dError, match=r"of the head 'other' do not fit"):
        read_templates(tmp_path, tiny_head)
    (tmp_path / "a.npz").write_bytes(b"PK")
    with pytest.raises(Smirk3dError, match=r"a\.npz: cannot be read"):
        read_templates(tmp_path, tiny_head)
