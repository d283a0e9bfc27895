"""Same places of two faces: the open head with itself, and with a head whose true map is known."""

from dataclasses import replace

import pytest
import torch
from flame_layout import make_flame_layout

from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.correspondence import register_surfaces


def test_a_head_corresponds_to_itself(open_head):
    data = open_head.data
    correspondence = register_surfaces(data, data)
    found = (data.v_template[data.faces[correspondence.face_index]] * correspondence.barycentric[..., None]).sum(1)
    for region in ("face", "eyeballs", "tongue"):
        mask = data.regions[region]
        torch.testing.assert_close(found[mask], data.v_template[mask], atol=1e-6, rtol=0)
        assert correspondence.distance_m[mask].max() < 1e-6
    torch.testing.assert_close(correspondence.linear, torch.eye(3), atol=1e-6, rtol=0)
    offsets = torch.randn(2, len(data.v_template), 3, generator=torch.Generator().manual_seed(0))
    transferred = correspondence.transfer(offsets, data.faces)
    torch.testing.assert_close(
        transferred[:, data.regions["face"]], offsets[:, data.regions["face"]], atol=1e-4, rtol=0
    )
    lips = correspondence.transfer_mask(data.regions["lips"], data.faces)
    assert torch.equal(lips[data.regions["face"]], data.regions["lips"][data.regions["face"]])


def test_lips_of_another_head_are_not_confused(open_head, flame_head):
    layout, correspondence = make_flame_layout(), register_surfaces(open_head.data, flame_head.data)
    corners = open_head.v_template[open_head.faces]
    true = (corners[layout.open_face_index] * torch.from_numpy(layout.open_barycentric).float()[..., None]).sum(1)
    found = (corners[correspondence.face_index] * correspondence.barycentric[..., None]).sum(1)
    miss_m = (found - true).norm(dim=1)
    for region, mean_m, most_m in (("lips", 0.002, 0.01), ("nose", 0.0025, 0.01), ("eye_regions", 0.002, 0.01)):
        inside = miss_m[flame_head.region_mask(region)]
        assert inside.mean() < mean_m and inside.max() < most_m, region
    # The layout is 3 % larger, in the same frame.
    torch.testing.assert_close(correspondence.linear, 1.03 * torch.eye(3), atol=0.05, rtol=0)


def test_scale_and_rotation_are_recovered(open_head):
    turn = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    data = open_head.data
    moved = replace(
        data,
        v_template=0.5 * data.v_template @ turn.T + 0.1,
        expressiondirs=0.5 * torch.einsum("ab,vbe->vae", turn, data.expressiondirs),
    )
    torch.testing.assert_close(register_surfaces(data, moved).linear, 0.5 * turn, atol=1e-4, rtol=0)


def test_without_landmarks_there_is_an_error(open_head):
    bare = replace(open_head.data, landmarks={}, name="bare")
    with pytest.raises(Smirk3dError, match="'bare' has no face landmarks"):
        register_surfaces(open_head.data, bare)
    assert isinstance(HeadModel(bare), HeadModel)
