"""Losses of the transformer engine."""

from __future__ import annotations

import torch

from smirk3d.head.landmark_indices import EYE_LEFT, EYE_RIGHT, IRIS_LEFT, IRIS_RIGHT, LIPS_INNER, LIPS_OUTER
from smirk3d.reenactment.transformer.keypoints import DENSE
from smirk3d.train.reenactment.losses import color_loss, edge_loss, face_weight, regularisation


def test_differences_count_where_their_weight_is() -> None:
    truth, weight = torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8)
    weight[:, :4] = 1
    shown = truth.clone()
    shown[:, :, 6:] += 0.3
    assert float(color_loss(shown, truth, weight)) < 1e-6 and float(edge_loss(shown, truth, weight)) < 1e-6
    shown[:, :, :4] += 0.3
    assert 0.28 < float(color_loss(shown, truth, weight)) < 0.3


def test_edges_count_alone_in_their_loss() -> None:
    truth, weight = torch.rand(1, 3, 8, 8), torch.ones(1, 8, 8)
    assert float(edge_loss(truth + 0.2, truth, weight)) < 1e-6
    assert float(edge_loss(torch.zeros(1, 3, 8, 8), truth, weight)) > 0.1


def test_details_are_at_the_mouth() -> None:
    points = torch.full((1, len(DENSE), 2), 0.6)
    lips = [k for k, landmark in enumerate(DENSE) if landmark in {*LIPS_INNER, *LIPS_OUTER}]
    eyes = [k for k, landmark in enumerate(DENSE) if landmark in {*EYE_RIGHT, *EYE_LEFT, *IRIS_RIGHT, *IRIS_LEFT}]
    points[0, lips], points[0, eyes] = torch.tensor([-0.5, -0.5]), torch.tensor([-0.5, 0.6])
    near, details = face_weight(points, 32)
    assert details[0, 7, 7] > 0.9 and details[0, 25, 7] > 0.9 and near[0, 25, 25] > 0.9
    assert details[0, 25, 25] < 0.1 and near[0, 2, 29] < 0.6


def test_expression_codes_shall_agree_vary_and_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    good = torch.randn(4096, 4, generator=generator)
    best = regularisation(good, good)
    assert float(best) < 0.05
    assert regularisation(good, torch.randn(4096, 4, generator=generator)) > best + 1
    constant, repeated = torch.zeros(64, 4), good[:64, :1].repeat(1, 4)
    assert regularisation(constant, constant) > best + 0.1
    assert regularisation(repeated, repeated) > best + 1
