"""Parts of the training of the network of identity."""

from pathlib import Path

import pytest
import torch

from smirk3d.estimation.shape_window import WINDOW_PX, n_features
from smirk3d.evaluation.neutral_meshes import face_errors_mm, neutral_vertices
from smirk3d.networks.shape_network import ShapeNetwork
from smirk3d.train.recipes.identity_network import Examples, Options, augmented, mesh_metric, train


def test_the_metric_is_the_distance_of_aligned_faces(open_head):
    random = torch.Generator().manual_seed(0)
    true = torch.randn(6, open_head.n_shape, generator=random)
    error = 0.1 * torch.randn(6, open_head.n_shape, generator=random)
    rms = (error @ mesh_metric(open_head)).square().sum(1).sqrt()
    found, truth = (neutral_vertices(open_head, each.numpy()) for each in (true + error, true))
    mean = torch.from_numpy(face_errors_mm(open_head, found, truth))
    # The mean of distances is a little less than the root of the mean of their squares.
    ratio = mean / rms
    assert ratio.min() > 0.8 and ratio.max() < 1.0


def test_augmented_textures_keep_their_range():
    random = torch.Generator().manual_seed(1)
    textures = torch.randn(16, *WINDOW_PX, generator=random)
    made = augmented(textures, random)
    assert made.shape == textures.shape and made.isfinite().all()
    torch.testing.assert_close(made.mean((1, 2)), torch.zeros(16), atol=1e-4, rtol=0)
    assert (made - textures).abs().mean((1, 2)).min() > 0.05


def test_the_network_begins_with_the_regression_on_the_features(open_head):
    random = torch.Generator().manual_seed(2)
    features = torch.randn(1000, 200, generator=random)
    shape = features[:, :3] @ torch.randn(3, 5, generator=random) + 2.0
    network = ShapeNetwork(200, 5).eval()
    network.start(features, shape, ridge=1e-3)
    torch.testing.assert_close(network.regression(features), shape, atol=1e-2, rtol=0)
    components = network.components(features)
    torch.testing.assert_close(components.T @ components / 1000, torch.eye(components.shape[1]), atol=1e-2, rtol=0)
    # The perceptron corrects little at first.
    first = network(torch.randn(1000, *WINDOW_PX, generator=random), features)
    assert (first - shape).abs().mean() < 0.2


@pytest.mark.slow
def test_pixels_are_learned(open_head):
    """The brightness of a half of the texture tells a coefficient that the landmarks do not."""
    random = torch.Generator().manual_seed(3)
    shape = torch.randn(256, open_head.n_shape, generator=random)
    textures = torch.randint(90, 110, (256, *WINDOW_PX), generator=random, dtype=torch.uint8)
    textures[:, 40:60] += (20 * shape[:, :1, None].clamp(-3, 3) + 60).byte()
    data = Examples(textures, torch.randn(256, n_features(), generator=random), shape)
    network = train(open_head, data, Options(folder=Path(), epochs=8, batch=32, ridge=1e6))
    from smirk3d.estimation.shape_window import normalised

    with torch.no_grad():
        found = network(normalised(textures.float()), data.features)[:, 0]
    assert torch.corrcoef(torch.stack([found, shape[:, 0]]))[0, 1] > 0.6
