"""Teeth and tongue of the open head behind its lips."""

from __future__ import annotations

import pytest
import torch

from smirk3d.authoring.bite import INCISOR_DEPTH_M, INCISOR_DISPLAY_M, OVERBITE_M, OVERJET_M
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.params import FaceParams

UPPER_LIP, LOWER_LIP = 13, 14
"""MediaPipe's landmarks on the seam of the lips."""


def posed(head, shape=None, **weights: float):
    expression = torch.zeros(1, len(ARKIT_NAMES))
    for name, weight in weights.items():
        expression[0, ARKIT_NAMES.index(name)] = weight
    return head(FaceParams(shape=shape, expression=expression))


def incisors(head, mesh, name: str) -> torch.Tensor:
    teeth = mesh.vertices[0, head.region_mask(name)]
    rest = head.v_template[head.region_mask(name), 2]
    return teeth[rest > rest.max() - INCISOR_DEPTH_M]


def test_upper_incisors_show_below_the_upper_lip(open_head):
    mesh = posed(open_head)
    lip_y = mesh.landmarks("mediapipe")[0, UPPER_LIP, 1]
    upper, lower = (incisors(open_head, mesh, f"{name}_teeth") for name in ("upper", "lower"))
    edge_y = upper[:, 1].min()
    assert float(lip_y - edge_y) == pytest.approx(INCISOR_DISPLAY_M, abs=3e-4)
    assert float(lower[:, 1].max() - edge_y) == pytest.approx(OVERBITE_M, abs=1e-4)
    assert float(upper[:, 2].max() - lower[:, 2].max()) == pytest.approx(OVERJET_M, abs=1e-4)


@pytest.mark.parametrize("weights", [{"jawOpen": 0.3}, {"jawOpen": 0.2, "mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}])
def test_an_open_mouth_shows_upper_teeth_on_every_head(open_head, weights):
    generator = torch.Generator().manual_seed(1)
    for _ in range(8):
        mesh = posed(open_head, 0.8 * torch.randn(1, open_head.n_shape, generator=generator), **weights)
        lips_y = mesh.landmarks("mediapipe")[0, [UPPER_LIP, LOWER_LIP], 1]
        edge_y = incisors(open_head, mesh, "upper_teeth")[:, 1].min()
        assert lips_y[1] < edge_y < lips_y[0] - 0.001


def test_teeth_stay_behind_closed_lips(open_head):
    generator = torch.Generator().manual_seed(2)
    for _ in range(8):
        mesh = posed(open_head, 0.8 * torch.randn(1, open_head.n_shape, generator=generator))
        seam = mesh.landmarks("mediapipe")[0, [UPPER_LIP, LOWER_LIP]]
        for name in ("upper_teeth", "lower_teeth", "tongue"):
            front = mesh.vertices[0, open_head.region_mask(name), 2].max()
            assert front < seam[:, 2].min() - 0.002


def test_the_tongue_sinks_with_the_jaw(open_head):
    mesh = posed(open_head, jawOpen=0.6)
    tongue = mesh.vertices[0, open_head.region_mask("tongue")]
    upper, lower = (incisors(open_head, mesh, f"{name}_teeth") for name in ("upper", "lower"))
    tip = tongue[tongue[:, 2] > tongue[:, 2].max() - INCISOR_DEPTH_M]
    assert tip[:, 1].max() < lower[:, 1].max() + 0.004
    assert tip[:, 1].max() < upper[:, 1].min() - 0.003
