"""Training of a neural renderer from scratch."""

import numpy as np
import pytest
import torch
from evaluation_faces import Silent, photo_set
from evaluation_networks import known_encoder

from smirk3d.evaluation.neural_renderer_probe import _faces_of, train_renderer
from smirk3d.evaluation.options import RendererTraining
from smirk3d.train.losses.perceptual import lite0_features


def test_the_same_seed_gives_the_same_renderer(open_head):
    encoder, features = known_encoder(open_head), lite0_features()
    before = torch.get_rng_state()
    first, again, other = (
        train_renderer(encoder, photo_set(2), features, Silent(), RendererTraining(2, 2, 2), seed).state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv.weight"], other["conv.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_has_every_face_once():
    shown = np.concatenate([_faces_of(step, 7, 3, seed=0) for step in range(7)])
    assert all(sorted(shown[start : start + 7]) == list(range(7)) for start in (0, 7, 14))
    assert shown[:7].tolist() != shown[7:14].tolist()
    assert sorted(_faces_of(0, 2, 5, seed=0).tolist())[::2] in ([0, 0, 1], [0, 1, 1])


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="out of its range"):
        RendererTraining(steps=0)
