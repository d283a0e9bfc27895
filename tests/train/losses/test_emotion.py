"""Emotion networks: EMOCA's file loads and others do not, and only the image gets a gradient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published_files import emoca_content, parameters_of
from torch.nn import functional
from training_context import SMALL, learners, seeded, small_batch, small_context, small_head, small_networks

from smirk3d.errors import Smirk3dError
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.train.loss_config import LossWeights
from smirk3d.train.losses.emotion import ResNet50, emotion_features
from smirk3d.train.recipes.analysis_by_synthesis import reconstruction_step


@pytest.fixture(scope="module")
def content() -> dict:
    return emoca_content()


@pytest.fixture(scope="module")
def emoca_file(content, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("emoca") / "dataloader_idx_0=1.27607644.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=False)  # as Lightning did with torch 1.6
    return path


def _direct(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Compute the features from the weights alone."""

    def conv_norm(x: torch.Tensor, conv: str, norm: str, stride: int = 1, padding: int = 0) -> torch.Tensor:
        x = functional.conv2d(x, state[f"backbone.{conv}.weight"], None, stride, padding)
        mean, var, weight, bias = (
            state[f"backbone.{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, var, weight, bias, eps=1e-5)

    x = conv_norm(x, "conv1", "bn1", stride=2, padding=3).clamp_min(0)
    x = functional.pad(x, (0, 1, 0, 1), value=float("-inf"))  # rounding up
    x = functional.max_pool2d(x, 3, 2)
    assert x.shape[-1] == 56
    for row, count in enumerate((3, 4, 6, 3), start=1):
        for k in range(count):
            name, stride = f"layer{row}.{k}.", 2 if k == 0 and row > 1 else 1
            y = conv_norm(x, f"{name}conv1", f"{name}bn1", stride=stride).clamp_min(0)
            y = conv_norm(y, f"{name}conv2", f"{name}bn2", padding=1).clamp_min(0)
            y = conv_norm(y, f"{name}conv3", f"{name}bn3")
            x = conv_norm(x, f"{name}downsample.0", f"{name}downsample.1", stride=stride) if k == 0 else x
            x = (x + y).clamp_min(0)
    return functional.avg_pool2d(x, 7, stride=1).flatten(1)


def test_resnet50_has_the_published_number_of_weights():
    with torch.device("meta"):
        assert parameters_of(ResNet50()) == 25_557_032 - 1000 * 2049  # torchvision's without its last layer


def test_features_are_those_of_a_direct_computation(content, emoca_file):
    image = torch.rand(2, 3, 224, 224, generator=seeded()).requires_grad_()
    features = emotion_features(emoca_file)
    found = features(image)
    assert found.shape == (2, 2048)
    with torch.no_grad():
        wanted = _direct(content["state_dict"], image)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert wanted.std() > 1e-3
    (gradient,) = torch.autograd.grad(found[0].sum(), image)
    assert gradient[0].any() and not gradient[1].any()  # no batch statistics


def test_images_of_other_sizes_are_made_those_of_its_training(emoca_file):
    features, image = emotion_features(emoca_file), torch.rand(1, 3, 112, 112, generator=seeded())
    large = functional.interpolate(image, (224, 224), mode="bilinear")
    torch.testing.assert_close(features(image), features(large), rtol=1e-4, atol=1e-5)


def test_a_step_with_it_teaches_the_expression_encoder_alone(emoca_file):
    head = small_head()
    context = replace(small_context(head, losses=LossWeights(emotion=1.0)), emotion=emotion_features(emoca_file))
    networks, batch = small_networks(head), small_batch(head, 2)
    outcome = reconstruction_step(networks, context, batch, seeded())
    outcome.loss.backward()
    assert learners(networks) == {"expression"} and outcome.terms["emotion"].shape == (2,)


def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "other.ckpt"
    state = {name: tensor for name, tensor in content["state_dict"].items() if "layer4.2" not in name}
    torch.save({**content, "state_dict": state}, path)
    with pytest.raises(Smirk3dError, match=r"other\.ckpt: is no ResNet-50 .*\(layer4\.2.* is missing and .* EMOCA"):
        emotion_features(path)
    torch.save({"state_dict": {"backbone.features.0.weight": torch.ones(3)}}, path)  # EMOCA's VGG
    with pytest.raises(Smirk3dError, match=r"other\.ckpt: is no ResNet-50"):
        emotion_features(path)
    torch.save({"nothing": 1}, path)
    with pytest.raises(Smirk3dError, match=r"other\.ckpt: "):
        emotion_features(path)


def test_released_networks_are_still_told_from_it(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = Encoder(small_head("flame").spec, EncoderConfig(SMALL, SMALL, SMALL))
    path = tmp_path / "flat.pt"
    torch.save({f"smirk_encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}, path)
    with pytest.raises(Smirk3dError, match="does not fit Encoder"):  # of another size, but taken for what it is
        emotion_features(path)
