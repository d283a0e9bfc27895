"""What a run loads beside its networks: what its losses need, and nothing else."""

from pathlib import Path

import pytest
import torch
from training_context import SMALL, seeded, small_head, small_networks

from smirk3d.datasets.config import DataConfig
from smirk3d.errors import Smirk3dError
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.train.config import StageConfig, TrainConfig
from smirk3d.train.loss_config import CycleConfig, LossWeights
from smirk3d.train.loss_context import LossContext, emotion_features
from smirk3d.train.networks import Networks


def config(losses: LossWeights, cycle: CycleConfig | None = None, **changes) -> TrainConfig:
    stage = StageConfig("core", ("expression", "neural_renderer"), losses, steps=1, cycle=cycle)
    return TrainConfig(data=DataConfig(root=Path("faces")), stage=stage, **changes)


@pytest.fixture(scope="module")
def networks_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("networks") / "networks.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = Encoder(small_head("arkit").spec, EncoderConfig(SMALL, SMALL, SMALL))
    save_networks(path, encoder=encoder, meta={})
    return path


def test_parts_have_the_names_of_the_configuration():
    networks = small_networks(small_head())
    assert set(networks.parts()) == {"pose", "shape", "expression", "neural_renderer"}
    assert set(Networks(networks.encoder).parts()) == {"pose", "shape", "expression"}
    assert networks.parts()["shape"] is networks.encoder.get_submodule("shape_encoder")


def test_only_what_is_needed_is_loaded():
    context = LossContext.from_config(
        config(LossWeights(photo=1.0), emotion=Path("missing")), small_head("arkit"), "cpu"
    )
    assert (context.perceptual, context.emotion, context.templates) == (None, None, None)
    context = LossContext.from_config(config(LossWeights(photo=1.0), CycleConfig()), small_head("arkit"), "cpu")
    assert context.templates is not None and context.templates.batch_shape[0] > 30


def test_features_are_loaded_and_stand_still(networks_file):
    given = config(LossWeights(perceptual=1.0, emotion=1.0), emotion=networks_file)
    context = LossContext.from_config(given, small_head("arkit"), "cpu")
    image = torch.rand(2, 3, 64, 64, generator=seeded()).requires_grad_()
    assert context.perceptual is not None and len(context.perceptual(image)) == 4
    assert context.emotion is not None
    features = context.emotion(image)
    (gradient,) = torch.autograd.grad(features.square().sum(), image)
    assert features.shape[0] == 2 and features.ndim == 2 and gradient.any()
    assert torch.equal(context.emotion(image), features)


def test_emotion_is_what_the_expression_encoder_sees(networks_file):
    branch = Encoder.from_checkpoint(networks_file).expression_encoder
    image = torch.rand(2, 3, 64, 64, generator=seeded())
    features = emotion_features(networks_file)(image)
    torch.testing.assert_close(features, branch.encoder(image).mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)
    assert not features.requires_grad


def test_files_that_cannot_be_used_are_named(tmp_path):
    missing = tmp_path / "missing.pt"
    with pytest.raises(Smirk3dError, match=r"missing\.pt"):
        LossContext.from_config(config(LossWeights(emotion=1.0), emotion=missing), small_head("arkit"), "cpu")
    with pytest.raises(Smirk3dError, match=r"missing\.pt"):
        LossContext.from_config(
            config(LossWeights(perceptual=1.0), perceptual=str(missing)), small_head("arkit"), "cpu"
        )
