"""The triplet loss of expression vectors."""

from __future__ import annotations

import pytest
import torch

from smirk3d.train.expression_vector.triplets import MARGIN, triplet_loss


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _two_groups(count: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Return targets of two opposite kinds, and the kind of each face."""
    kind = torch.arange(count) % 2
    return torch.eye(8)[kind], kind


def test_vectors_apart_as_their_targets_cost_nothing() -> None:
    targets, kind = _two_groups()
    assert triplet_loss(5 * torch.eye(16)[kind], targets, _generator()) == 0


def test_equal_vectors_cost_the_margin() -> None:
    targets, _ = _two_groups()
    assert triplet_loss(torch.ones(32, 16), targets, _generator()) == pytest.approx(MARGIN)


def test_the_length_of_a_vector_does_not_count() -> None:
    targets, _ = _two_groups()
    vectors = torch.randn(32, 16, generator=_generator(1))
    one, other = (triplet_loss(scale * vectors, targets, _generator()) for scale in (1.0, 7.0))
    assert one > MARGIN / 2 and one == pytest.approx(float(other), rel=1e-4)


def test_unclear_triplets_are_left_out() -> None:
    vectors = torch.randn(32, 16, generator=_generator(1)).requires_grad_()
    loss = triplet_loss(vectors, torch.ones(32, 8) / 8, _generator())
    loss.backward()
    assert loss == 0 and vectors.grad is not None and not vectors.grad.any()


def test_descent_brings_similar_faces_together() -> None:
    targets, kind = _two_groups()
    vectors = torch.randn(32, 16, generator=_generator(1)).requires_grad_()
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    for step in range(150):
        optimizer.zero_grad()
        triplet_loss(vectors, targets, _generator(step)).backward()
        optimizer.step()
    distances = torch.cdist(*[torch.nn.functional.normalize(vectors.detach(), dim=1)] * 2)
    alike = kind[:, None] == kind
    assert distances[alike].max() < distances[~alike].min()
