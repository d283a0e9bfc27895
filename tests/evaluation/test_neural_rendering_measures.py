"""Reconstruction and cycle: paintings that are right, and expressions that are found again."""

import numpy as np
import pytest
import torch
from evaluation_faces import Silent, photo_set, record
from torch import nn

from smirk3d.datasets.synthetic.known_expressions import known_expressions
from smirk3d.evaluation import cycle
from smirk3d.evaluation.cycle import cycle_result, measure_cycle
from smirk3d.evaluation.encoder_predictions import FrozenEncoder
from smirk3d.evaluation.neural_renderer_probe import _faces_of, train_renderer
from smirk3d.evaluation.options import RendererTraining
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.reconstruction import measure_reconstruction, reconstruction_errors
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.params import FaceParams
from smirk3d.train.losses.perceptual import lite0_features

SIZE = 32
CPU = torch.device("cpu")


class KnownEncoder:
    """Says what it is told to say, and remembers what it was shown."""

    def __init__(self, n_shape: int) -> None:
        self.n_shape, self.expression, self.shown = n_shape, None, []

    def __call__(self, crops: torch.Tensor) -> FaceParams:
        count = len(crops)
        self.shown.append(crops)
        expression = torch.zeros(count, 52) if self.expression is None else self.expression
        camera = torch.tensor([[7.0, 0.0, 0.0]]).expand(count, 3)
        return FaceParams(torch.zeros(count, self.n_shape), expression, pose=torch.zeros(count, 3), camera=camera)


class FirstInput(nn.Module):
    """A neural renderer that shows the mesh."""

    def forward(self, image: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        return image


@pytest.fixture
def eye(open_head) -> FrozenEncoder:
    return FrozenEncoder(KnownEncoder(open_head.n_shape), open_head, SIZE, CPU)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def features():
    return lite0_features()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_cycle_figures():
    wanted = known_expressions(60, seeded()).numpy()
    perfect = cycle_result(wanted, wanted).figures
    assert perfect["mean_correlation"] == pytest.approx(1) and perfect["mean_error"] == 0
    assert cycle_result(np.full_like(wanted, 0.1), wanted).figures["mean_correlation"] == 0
    swapped = cycle_result(wanted[:, list(ARKIT_MIRROR)], wanted).blendshapes["correlation"]
    assert swapped[ARKIT_NAMES.index("mouthSmileLeft")] < 0.9 and swapped[ARKIT_NAMES.index("jawOpen")] > 0.99


def test_a_perfect_encoder_finds_every_expression_again(eye, monkeypatch):
    """The encoder says what was put there: whatever is compared with whatever, in all batches, is the same."""
    put = cycle.with_expression

    def told(eye, params, weights):
        eye.encoder.expression = weights
        return put(eye, params, weights)

    def forgotten(eye, params):
        eye.encoder.expression = None
        return params.expression

    monkeypatch.setattr(cycle, "with_expression", told)
    monkeypatch.setattr(cycle, "arkit_of", forgotten)
    display = Silent()
    result = measure_cycle(eye, FirstInput(), photo_set(54), display, seeded(), batch_size=5)
    assert result.figures["mean_correlation"] == pytest.approx(1) and result.figures["mean_error"] == 0
    assert not np.isnan(result.blendshapes["correlation"]).any()
    assert (result.faces, display.count) == (54, 54)


def test_the_encoder_reads_the_painting_of_the_changed_head(eye):
    measure_cycle(eye, FirstInput(), photo_set(2), Silent(), seeded())
    photo, painted = eye.encoder.shown
    neutral = eye.draw(FaceParams(expression=torch.zeros(2, 52), camera=torch.tensor([[7.0, 0.0, 0.0]] * 2))).image
    assert painted.shape == photo.shape == (2, 3, SIZE, SIZE)
    assert 0.001 < (painted - neutral).abs().mean() < 0.1
    outside = (painted.amax(1) == 0) & (neutral.amax(1) == 0)
    assert 0.2 < outside.float().mean() < 0.9 and photo.amax(1)[outside].min() > 0  # a mesh, and no photo behind it


def test_reconstruction_errors(features):
    photo = torch.rand(2, 3, SIZE, SIZE, generator=seeded())
    removed = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool)
    removed[:, :, : SIZE // 4] = True
    assert reconstruction_errors(photo, photo, removed, features).abs().max() == 0
    painted = photo + 0.5 * removed
    whole, inside, perceptual = reconstruction_errors(painted, photo, removed, features).unbind(1)
    assert whole.tolist() == pytest.approx([0.125] * 2) and inside.tolist() == pytest.approx([0.5] * 2)
    assert perceptual.min() > 0


def test_a_fresh_renderer_learns(eye, features):
    photos = PhotoSet((record("a", 5), record("b", 5)))
    errors = []
    for training in (RendererTraining(4, 1, 2, 1e-9), RendererTraining(4, 20, 2, 2e-2)):
        display = Silent()
        renderer = train_renderer(eye, photos, features, display, training, seed=1)
        assert display.count == training.faces and not renderer.training
        result = measure_reconstruction(eye, renderer, photos, features, Silent(), seeded(), batch_size=1)
        errors.append(result.figures)
    # Of such small pictures nothing is left to see: what is learned is the mean.
    assert errors[1]["l1_crop"] < 0.9 * errors[0]["l1_crop"] and errors[1]["l1_face"] < 0.9 * errors[0]["l1_face"]
    assert errors[1]["perceptual"] < 0.8 * errors[0]["perceptual"]


def test_the_same_seed_gives_the_same_renderer(eye, features):
    before = torch.get_rng_state()
    first, again, other = (
        train_renderer(eye, photo_set(2), features, Silent(), RendererTraining(2, 2, 2), seed).state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv.weight"], other["conv.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_every_face_is_shown_before_one_is_shown_again():
    shown = np.concatenate([_faces_of(step, 7, 3, seed=0) for step in range(7)])
    assert all(sorted(shown[start : start + 7]) == list(range(7)) for start in (0, 7, 14))
    assert shown[:7].tolist() != shown[7:14].tolist()
    assert sorted(_faces_of(0, 2, 5, seed=0).tolist())[::2] in ([0, 0, 1], [0, 1, 1])


def test_training_numbers_are_checked():
    with pytest.raises(ValueError, match="out of its range"):
        RendererTraining(steps=0)
