"""MICA: the published file loads and others do not, faces go where ArcFace wants them, and the loss uses it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from published_files import empty_iresnet, mica_content, parameters_of
from skimage.transform import estimate_transform, warp
from torch.nn import functional
from training_context import learners, seeded, small_batch, small_context, small_head, small_networks

from smirk3d.datasets.config import DataConfig
from smirk3d.errors import Smirk3dError
from smirk3d.train.config import StageConfig, TrainConfig
from smirk3d.train.loss_config import LossWeights
from smirk3d.train.loss_context import LossContext
from smirk3d.train.losses.losses import identity_loss, shape_consistency
from smirk3d.train.losses.mica import ARCFACE_POINTS_PX, arcface_crop, mica_identity, similarity_transform
from smirk3d.train.networks import Networks
from smirk3d.train.recipes.analysis_by_synthesis import reconstruction_step


@pytest.fixture(scope="module")
def content() -> dict:
    return mica_content()


@pytest.fixture(scope="module")
def mica_file(content, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mica") / "mica.tar"
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def faces() -> tuple[torch.Tensor, torch.Tensor]:
    """Two crops of smooth colours and landmarks anywhere in them."""
    coarse = torch.rand(2, 3, 6, 6, generator=seeded())
    image = functional.interpolate(coarse, (96, 96), mode="bicubic").clamp(0, 1)
    return image, 1.4 * torch.rand(2, 478, 2, generator=seeded(1)) - 0.7


def _direct(content: dict, images: torch.Tensor) -> torch.Tensor:
    """Compute MICA's shape from its weights alone, of images (B, 3, 112, 112) in [-1, 1]."""
    state = {name: tensor.float() for name, tensor in content["arcface"].items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, var, weight, bias, eps=1e-5)

    x = functional.conv2d(images, state["conv1.weight"], padding=1)
    x = functional.prelu(norm(x, "bn1"), state["prelu.weight"])
    for row, count in enumerate((3, 13, 30, 3), start=1):
        for k in range(count):
            name, stride = f"layer{row}.{k}", 2 if k == 0 else 1
            y = functional.conv2d(norm(x, f"{name}.bn1"), state[f"{name}.conv1.weight"], padding=1)
            y = functional.prelu(norm(y, f"{name}.bn2"), state[f"{name}.prelu.weight"])
            y = norm(functional.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1), f"{name}.bn3")
            if k == 0:
                x = functional.conv2d(x, state[f"{name}.downsample.0.weight"], stride=2)
                x = norm(x, f"{name}.downsample.1")
            x = x + y
    x = functional.linear(norm(x, "bn2").flatten(1), state["fc.weight"], state["fc.bias"])
    x = norm(x, "features")
    x = x / x.norm(dim=1, keepdim=True)
    mapping = content["flameModel"]
    for k in range(4):
        x = x @ mapping[f"regressor.network.{k}.weight"].T + mapping[f"regressor.network.{k}.bias"]
        x = torch.maximum(x, 0.2 * x)
    return x @ mapping["regressor.output.weight"].T + mapping["regressor.output.bias"]


def test_the_networks_have_the_published_number_of_weights():
    assert parameters_of(empty_iresnet()) == 65_156_160  # InsightFace: R100, 65.16 M
    assert parameters_of(empty_iresnet(3, 4, 14, 3)) == 43_590_848  # R50, 43.59 M


def test_the_shape_is_that_of_a_direct_computation(content, mica_file, faces):
    image, landmarks = faces[0][:1], faces[1][:1]
    found = mica_identity(mica_file)(image.clone().requires_grad_(), landmarks)
    assert found.shape == (1, 300) and not found.requires_grad
    with torch.no_grad():
        wanted = _direct(content, 2 * arcface_crop(image, landmarks) - 1)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)
    assert wanted.std() > 1e-2


def test_similarities_are_those_of_scikit_image():
    points = torch.randn(4, 5, 2, generator=seeded(), dtype=torch.float64) * 30 + 80
    places = torch.tensor(ARCFACE_POINTS_PX, dtype=torch.float64).expand(4, 5, 2)
    found = similarity_transform(points, places)
    for each, start in zip(found, points):
        wanted = estimate_transform("similarity", start.numpy(), places[0].numpy())
        np.testing.assert_allclose(each, wanted.params[:2], atol=1e-8)


def test_crops_are_those_of_scikit_image(faces):
    image, landmarks = faces
    # A face as upright and large as most; eyes by their corners.
    points = landmarks.clone()
    five = torch.tensor([[-0.3, -0.25], [0.35, -0.3], [0.05, 0.1], [-0.2, 0.42], [0.3, 0.4]])
    for which, place in zip(((33, 133), (362, 263), (4,), (61,), (291,)), five):
        offset = torch.linspace(-0.08, 0.08, len(which)) if len(which) > 1 else torch.zeros(1)
        points[:, list(which)] = place + offset[:, None]
    found = arcface_crop(image, points)
    assert found.shape == (2, 3, 112, 112)
    # scikit-image too counts from the centre of the first pixel.
    transform = estimate_transform("similarity", ((five + 1) * 48 - 0.5).numpy(), np.array(ARCFACE_POINTS_PX))
    for each, photo in zip(found, image.detach()):
        wanted = warp(photo.permute(1, 2, 0).numpy(), transform.inverse, order=1, output_shape=(112, 112), cval=0)
        inside = (slice(8, -8), slice(8, -8))  # at the border of the crop both fade to black, each in its way
        np.testing.assert_allclose(each.permute(1, 2, 0).detach().numpy()[inside], wanted[inside], atol=1e-4)


def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "other.tar"
    torch.save({"flameModel": content["flameModel"]}, path)
    with pytest.raises(Smirk3dError, match=r"other\.tar: is no MICA \(arcface\.conv1\.weight is missing.*mica\.tar\)$"):
        mica_identity(path)
    small = {name: tensor for name, tensor in content["arcface"].items() if not name.startswith("layer3.2")}
    torch.save({**content, "arcface": small}, path)
    with pytest.raises(Smirk3dError, match=r"other\.tar: is no MICA \(arcface\.layer3\.2"):
        mica_identity(path)
    torch.save({**content, "arcface": {**content["arcface"], "fc.bias": torch.ones(3)}}, path)
    with pytest.raises(Smirk3dError, match=r"fc\.bias is \(3,\), not \(512,\)"):
        mica_identity(path)


def _config(mica: Path | None, losses: LossWeights) -> TrainConfig:
    stage = StageConfig("pretrain", ("pose", "shape", "expression"), losses, steps=1)
    return TrainConfig(data=DataConfig(root=Path("faces")), stage=stage, mica=mica)


def test_only_flame_heads_have_its_shapes_and_only_the_loss_loads_it(mica_file, tmp_path):
    head, losses = small_head(), LossWeights(identity=10)
    with pytest.raises(Smirk3dError, match=r"mica\.tar: .* FLAME's, not those of the head small; set mica=null"):
        LossContext.from_config(_config(mica_file, losses), head, "cpu")
    head.data = replace(head.data, name="flame")
    assert LossContext.from_config(_config(mica_file, losses), head, "cpu").identity is not None
    assert LossContext.from_config(_config(None, losses), head, "cpu").identity is None
    missing = _config(tmp_path / "missing.tar", LossWeights(landmark=1))
    assert LossContext.from_config(missing, head, "cpu").identity is None


def test_the_loss_is_the_distance_from_its_shape_and_teaches_the_shape():
    head, batch = small_head(), small_batch(small_head(), 2)
    wanted = torch.randn(2, 300, generator=seeded())

    def identity(image: torch.Tensor, landmarks_ndc: torch.Tensor) -> torch.Tensor:
        assert image.equal(batch.image) and landmarks_ndc.equal(batch.landmarks_ndc)
        return wanted

    fields = {"trainable": ("pose", "shape", "expression"), "losses": LossWeights(identity=10), "cycle": None}
    context = small_context(head, name="pretrain", **fields)
    networks = Networks(small_networks(head).encoder)
    outcome = reconstruction_step(networks, replace(context, identity=identity), batch, seeded())
    shape = outcome.params.shape
    assert shape is not None and shape.shape == (2, 4)  # the first ones of 300
    torch.testing.assert_close(outcome.terms["identity"], (shape - wanted[:, :4]).square().mean(1))
    outcome.loss.backward()
    assert learners(networks) == {"shape"}
    plain = reconstruction_step(networks, context, batch, seeded())
    assert plain.params.shape is not None
    torch.testing.assert_close(plain.terms["identity"], shape_consistency(plain.params.shape, batch.person))


def test_identity_loss_reaches_the_estimate_alone():
    shape, wanted = torch.randn(2, 5).requires_grad_(), torch.randn(2, 3).requires_grad_()
    identity_loss(shape, wanted).sum().backward()
    assert shape.grad is not None and wanted.grad is None and not shape.grad[:, 3:].any()
