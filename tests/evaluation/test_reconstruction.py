"""Errors of photos that are rendered from predictions."""

import pytest
import torch
from evaluation_faces import Silent, record, seeded
from evaluation_networks import SIZE_PX, known_encoder

from smirk3d.evaluation.neural_renderer_probe import train_renderer
from smirk3d.evaluation.options import RendererTraining
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.reconstruction import measure_reconstruction, reconstruction_errors
from smirk3d.train.losses.perceptual import lite0_features


@pytest.fixture(scope="module")
def features():
    return lite0_features()


def test_reconstruction_errors(features):
    photo = torch.rand(2, 3, SIZE_PX, SIZE_PX, generator=seeded())
    removed = torch.zeros(2, 1, SIZE_PX, SIZE_PX, dtype=torch.bool)
    removed[:, :, : SIZE_PX // 4] = True
    assert reconstruction_errors(photo, photo, removed, features).abs().max() == 0
    image = photo + 0.5 * removed
    whole, inside, perceptual = reconstruction_errors(image, photo, removed, features).unbind(1)
    assert whole.tolist() == pytest.approx([0.125] * 2) and inside.tolist() == pytest.approx([0.5] * 2)
    assert perceptual.min() > 0


def test_a_fresh_renderer_learns(open_head, features):
    encoder, photos = known_encoder(open_head), PhotoSet((record("a", 5), record("b", 5)))
    errors = []
    for training in (RendererTraining(4, 1, 2, 1e-9), RendererTraining(4, 20, 2, 2e-2)):
        display = Silent()
        renderer = train_renderer(encoder, photos, features, display, training, seed=1)
        assert display.count == training.faces and not renderer.training
        result = measure_reconstruction(encoder, renderer, photos, features, Silent(), seeded(), batch_size=1)
        errors.append(result.figures)
    # Nothing is left to see of such small masked photos: the renderer learns their mean.
    assert errors[1]["l1_crop"] < 0.9 * errors[0]["l1_crop"] and errors[1]["l1_face"] < 0.9 * errors[0]["l1_face"]
    assert errors[1]["perceptual"] < 0.8 * errors[0]["perceptual"]
