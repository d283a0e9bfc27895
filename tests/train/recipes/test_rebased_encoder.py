"""An encoder that is transferred to a rebuilt head: weights of smaller blendshapes grow, others keep their size."""

from dataclasses import replace

import pytest
import torch

from smirk3d.errors import UsageError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.networks.encoder import Encoder
from smirk3d.train.recipes.branch_data import CONFIG, SIZE_PX
from smirk3d.train.recipes.rebased_encoder import MAX_GAIN, carry_over, expression_gains, rebasing

BLINK, SMILE, LOOK = (ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "mouthSmileLeft", "eyeLookUpLeft"))


@pytest.fixture
def rebuilt(open_head) -> HeadModel:
    """The open head with a smaller blink, a larger smile and eyes that turn less."""
    factors = torch.ones(len(ARKIT_NAMES))
    factors[BLINK], factors[SMILE] = 0.8, 2.0
    turns = torch.ones(len(ARKIT_NAMES))
    turns[LOOK] = 0.1
    data = open_head.data
    return HeadModel(
        replace(
            data,
            expressiondirs=data.expressiondirs * factors,
            expression_rotvec=data.expression_rotvec * turns[:, None, None],
        )
    )


def test_gains_make_up_for_smaller_blendshapes(open_head, rebuilt):
    gains = expression_gains(open_head.data, rebuilt.data)
    assert gains[BLINK] == pytest.approx(1 / 0.8, rel=1e-4) and gains[SMILE] == 1 and gains[LOOK] == MAX_GAIN
    others = [row for row in range(len(ARKIT_NAMES)) if row not in (BLINK, SMILE, LOOK)]
    torch.testing.assert_close(gains[others], torch.ones(len(others)), atol=1e-4, rtol=0)


def test_the_encoder_s_weights_grow_by_the_gains(open_head, rebuilt):
    torch.manual_seed(0)
    encoder = Encoder(open_head.spec, CONFIG, SIZE_PX).eval()
    torch.nn.init.normal_(encoder.expression_encoder.linear.weight, std=1e-3)
    windows = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        before = encoder.expression_encoder.linear(encoder.expression_encoder.features(windows))
        carry_over(encoder, open_head, rebuilt)
        after = encoder.expression_encoder.linear(encoder.expression_encoder.features(windows))
    torch.testing.assert_close(after, before * expression_gains(open_head.data, rebuilt.data), atol=1e-4, rtol=1e-4)


def test_the_same_head_changes_nothing(open_head):
    torch.manual_seed(0)
    encoder = Encoder(open_head.spec, CONFIG, SIZE_PX)
    linear = encoder.expression_encoder.linear
    before = linear.weight.clone()
    carry_over(encoder, open_head, open_head)
    torch.testing.assert_close(linear.weight, before)


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


def test_another_mesh_is_refused(open_head):
    other = HeadModel(replace(open_head.data, faces=open_head.data.faces[:, [1, 2, 0]]))
    with pytest.raises(UsageError, match="different meshes"):
        rebasing(open_head, other)
