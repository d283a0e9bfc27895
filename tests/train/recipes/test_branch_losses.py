from __future__ import annotations

import torch

from smirk3d.head.model import HeadModel
from smirk3d.networks.face_window import FaceWindow
from smirk3d.train.recipes.branch_losses import BranchLoss


def loss_of(head: HeadModel) -> BranchLoss:
    return BranchLoss("expression", head, FaceWindow(), torch.eye(52), torch.ones(52))


def test_the_loss_of_a_change_ignores_what_both_pictures_share(open_head: HeadModel) -> None:
    loss, generator = loss_of(open_head), torch.Generator().manual_seed(0)
    before, change, rest = (torch.rand(3, 52, generator=generator) for _ in range(3))
    exact = loss.change(before, before + change, change)
    assert torch.allclose(loss.change(before + rest, before + rest + change, change), exact, atol=1e-6)
    assert exact.abs().max() < 1e-6 < loss.change(before, before + 0.5 * change, change).min()


def test_unknown_targets_do_not_count(open_head: HeadModel) -> None:
    loss = loss_of(open_head)
    prediction, target = torch.full((2, 52), 0.5), torch.full((2, 52), 0.5)
    target[:, 3] = 0.9
    known = torch.ones(2, 52, dtype=torch.bool)
    known[0, 3] = False
    error = loss.regression(prediction, target, known)
    assert error[0] == 0 and error[1] > 0
    assert torch.equal(loss.regression(prediction, target)[1], error[1])
