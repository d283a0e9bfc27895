"""Cycle consistency: rendered expressions that are predicted again."""

import numpy as np
import pytest
import torch
from evaluation_faces import Silent, photo_set, seeded
from evaluation_networks import SIZE_PX, MeshRenderer, known_encoder

from smirk3d.datasets.synthetic.known_expressions import known_expressions
from smirk3d.evaluation import cycle
from smirk3d.evaluation.cycle import cycle_result, measure_cycle
from smirk3d.evaluation.encoder_predictions import FrozenEncoder
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.params import FaceParams


@pytest.fixture
def encoder(open_head) -> FrozenEncoder:
    return known_encoder(open_head)


def test_figures_of_perfect_constant_and_mirrored_predictions():
    truth = known_expressions(60, seeded()).numpy()
    perfect = cycle_result(truth, truth).figures
    assert perfect["mean_correlation"] == pytest.approx(1) and perfect["mean_error"] == 0
    assert cycle_result(np.full_like(truth, 0.1), truth).figures["mean_correlation"] == 0
    swapped = cycle_result(truth[:, list(ARKIT_MIRROR)], truth).blendshapes["correlation"]
    assert swapped[ARKIT_NAMES.index("mouthSmileLeft")] < 0.9 and swapped[ARKIT_NAMES.index("jawOpen")] > 0.99


def test_a_perfect_encoder_recovers_every_expression(encoder, monkeypatch):
    """The encoder predicts what was rendered: in all batches, each row is compared with its own."""
    put = cycle.with_expression

    def with_known(encoder, params, weights):
        encoder.encoder.expression = weights
        return put(encoder, params, weights)

    def predicted(encoder, params):
        encoder.encoder.expression = None
        return params.expression

    monkeypatch.setattr(cycle, "with_expression", with_known)
    monkeypatch.setattr(cycle, "arkit_of", predicted)
    display = Silent()
    result = measure_cycle(encoder, MeshRenderer(), photo_set(54), display, seeded(), batch_size=5)
    assert result.figures["mean_correlation"] == pytest.approx(1) and result.figures["mean_error"] == 0
    assert not np.isnan(result.blendshapes["correlation"]).any()
    assert (result.faces, display.count) == (54, 54)


def test_the_encoder_gets_the_rendering_of_the_changed_head(encoder):
    measure_cycle(encoder, MeshRenderer(), photo_set(2), Silent(), seeded())
    photo, image = encoder.encoder.crops
    neutral = encoder.draw(FaceParams(expression=torch.zeros(2, 52), camera=torch.tensor([[7.0, 0.0, 0.0]] * 2))).image
    assert image.shape == photo.shape == (2, 3, SIZE_PX, SIZE_PX)
    assert 0.001 < (image - neutral).abs().mean() < 0.1
    outside = (image.amax(1) == 0) & (neutral.amax(1) == 0)
    assert 0.2 < outside.float().mean() < 0.9 and photo.amax(1)[outside].min() > 0  # a mesh, and no photo behind it
