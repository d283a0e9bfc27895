"""Another identity space of the same mesh: the same faces from other coefficients."""

from dataclasses import replace

import pytest
import torch

from smirk3d.errors import UsageError
from smirk3d.head.model import HeadModel
from smirk3d.train.recipes.rebase_shape import rebase_shape, rebasing


def test_new_coefficients_make_the_same_faces(open_head):
    data, random = open_head.data, torch.Generator().manual_seed(0)
    # The same space about another mean, with its components rotated among themselves.
    turn = torch.linalg.qr(torch.randn(data.shapedirs.shape[-1], data.shapedirs.shape[-1], generator=random))[0]
    mean = torch.randn(len(turn), generator=random) * 0.3
    moved = data.v_template + data.shapedirs @ mean + torch.tensor([0.0, 0.02, -0.01])
    other = HeadModel(replace(data, v_template=moved, shapedirs=data.shapedirs @ turn))
    matrix, offset = rebasing(open_head, other)
    shape = 0.8 * torch.randn(5, len(turn), generator=random)
    face = open_head.region_mask("face")
    old, new = open_head.shaped(shape).vertices[:, face], other.shaped(shape @ matrix.T + offset).vertices[:, face]
    distance = ((new - new.mean(1, keepdim=True)) - (old - old.mean(1, keepdim=True))).norm(dim=-1)
    assert 1000 * distance.mean() < 0.2


def test_the_encoder_predicts_the_new_coefficients():
    linear = torch.nn.Linear(4, 5)
    encoder = type("Encoder", (), {"shape_encoder": type("Branch", (), {"linear": linear})})
    features, matrix, offset = torch.randn(3, 4), torch.randn(3, 3), torch.randn(3)
    before = linear(features)
    rebase_shape(encoder, matrix, offset)  # type: ignore[arg-type]
    after = linear(features)
    torch.testing.assert_close(after[:, :3], before[:, :3] @ matrix.T + offset)
    assert after[:, 3:].equal(before[:, 3:])


def test_another_mesh_is_refused(open_head):
    other = HeadModel(replace(open_head.data, faces=open_head.data.faces[:, [1, 2, 0]]))
    with pytest.raises(UsageError, match="different meshes"):
        rebasing(open_head, other)
