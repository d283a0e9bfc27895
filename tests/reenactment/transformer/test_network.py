"""The network before any training: a set of sources, shares, and what keypoints alone show."""

from __future__ import annotations

import pytest
import torch

from smirk3d.head.landmark_indices import POINT_COUNT
from smirk3d.reenactment.transformer.expression_code import CROP_PX, ExpressionCode, face_crops
from smirk3d.reenactment.transformer.network import (
    FaceState,
    NetworkLayout,
    SceneTransformer,
    blended,
    warped_sources,
)

LAYOUT = NetworkLayout(size_px=32, width=24, heads=2, hidden=32, encoder_layers=1, decoder_layers=1, code_size=4)


def _states(*counts: int) -> FaceState:
    generator = torch.Generator().manual_seed(1)
    points = 1.2 * torch.rand(*counts, POINT_COUNT, 2, generator=generator) - 0.6
    weights, pose, codes = (torch.rand(*counts, n, generator=generator) for n in (52, 3, 4))
    return FaceState(points, weights, pose, codes)


def _network() -> SceneTransformer:
    torch.manual_seed(3)
    network = SceneTransformer(LAYOUT, torch.randn(POINT_COUNT, 3))
    for each in network.parameters():  # so that no part is near 0, as after training
        torch.nn.init.normal_(each, std=0.2)
    return network.eval()


def _permuted(state: FaceState, order: list[int]) -> FaceState:
    return FaceState(*(each[:, order] for each in vars(state).values()))


@torch.no_grad()
def test_further_sources_are_a_set() -> None:
    network, images, sources, driving = _network(), torch.rand(2, 3, 3, 32, 32), _states(2, 3), _states(2)
    order = [0, 2, 1]
    one = network(network.encode(images, sources), driving)
    other = network(network.encode(images[:, order], _permuted(sources, order)), driving)
    torch.testing.assert_close(one.color, other.color, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one.shares, other.shares[:, [*order, 3]], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one.correction, other.correction[:, order], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_every_source_and_all_that_describes_a_face_tells_the_answer() -> None:
    network, images, sources, driving = _network(), torch.rand(1, 2, 3, 32, 32), _states(1, 2), _states(1)
    decoded = network(network.encode(images, sources), driving)
    for k in range(2):
        changed = images.clone()
        changed[:, k] += 0.3
        assert not torch.allclose(network(network.encode(changed, sources), driving).color, decoded.color, atol=1e-4)
    for name, values in vars(driving).items():
        other = FaceState(**{**vars(driving), name: values + 0.1})
        assert not torch.allclose(network(network.encode(images, sources), other).color, decoded.color, atol=1e-4), name


@torch.no_grad()
def test_shares_sum_to_one_and_a_face_that_rests_shows_the_source() -> None:
    network = SceneTransformer(LAYOUT, torch.randn(POINT_COUNT, 3)).eval()
    images, sources = torch.rand(1, 1, 3, 32, 32), _states(1, 1)
    scene, driving = network.encode(images, sources), FaceState(*(each[:, 0] for each in vars(sources).values()))
    decoded = network(scene, driving)
    torch.testing.assert_close(decoded.shares.sum(1), torch.ones(1, 32, 32))
    decoded.correction.zero_()
    shown = warped_sources(scene, driving, decoded)
    torch.testing.assert_close(shown[:, 0], images[:, 0], atol=1e-4, rtol=0)
    decoded.shares[:] = torch.tensor([1.0, 0.0])[None, :, None, None]
    torch.testing.assert_close(blended(decoded, shown), images[:, 0], atol=1e-4, rtol=0)


def test_the_expression_code_does_not_know_place_and_size() -> None:
    network = ExpressionCode(4).eval()
    line = torch.linspace(-1, 1, 64)
    y, x = torch.meshgrid(line, line, indexing="ij")

    def picture(x0: float, y0: float, scale: float) -> torch.Tensor:
        u, v = (x - x0) / scale, (y - y0) / scale
        return torch.stack([(3 * u).sin(), (3 * v).cos(), (2 * (u + v)).sin()])[None] / 2 + 0.5

    points = 0.8 * torch.rand(1, POINT_COUNT, 2) - 0.4
    crops = [
        face_crops(picture(*place, scale), points * scale + torch.tensor(place), torch.zeros(1, 4))
        for place, scale in (((0.0, 0.0), 1.0), ((0.15, -0.1), 1.4))
    ]
    assert crops[0].shape == (1, 3, CROP_PX, CROP_PX)
    torch.testing.assert_close(crops[0], crops[1], atol=0.02, rtol=0)
    torch.testing.assert_close(network(crops[0]), network(crops[1]), atol=0.02, rtol=0)


@pytest.mark.parametrize("change", [{"size_px": 36}, {"width": 25}, {"heads": 0}])
def test_impossible_sizes_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiple"):
        NetworkLayout(**{**vars(LAYOUT), **change})
