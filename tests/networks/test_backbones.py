"""The backbones against timm: directly where timm can be imported, else against numbers that timm gave.

The literals in `TIMM` were printed by this, with timm 1.0.31 and torch 2.13.0:

    for name in TIMM:
        model = timm.create_model(name, features_only=True).eval()
        names, digest = signature(model)
        fill(model)
        maps = model.double()(picture(65, 98))[-1]
        print(name, names, digest, tuple(maps.shape), maps.mean().item(), maps.std().item(), maps.max().item())
"""

from __future__ import annotations

import hashlib
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from smirk3d.errors import Smirk3dError
from smirk3d.networks.backbones import ARCHITECTURES, SHORTENED, create_backbone
from smirk3d.networks.convolutions import SameConv2d

# name: (number of tensors, SHA-256 of the names and shapes, shape of the last map, mean, deviation, maximum)
TIMM: dict[str, tuple] = {
    "tf_mobilenetv3_small_minimal_100": (204, "22ce7c7df34ae290", (1, 576, 3, 4), 162079.596, 252140.414, 1492104.64),
    "tf_mobilenetv3_large_minimal_100": (276, "08b61f2280877094", (1, 960, 3, 4), 18.4781617, 37.509738, 293.840888),
    "efficientnet_lite0": (288, "a4935993db845ac0", (1, 320, 3, 4), -0.0360124457, 16.2345298, 38.4061776),
    "tf_efficientnet_lite0": (288, "a4935993db845ac0", (1, 320, 3, 4), -0.0359625176, 16.2175893, 38.3680004),
}


def signature(model: nn.Module) -> tuple[int, str]:
    """Return the number of tensors, and the digest of one line "name shape" a tensor."""
    lines = [f"{name} {tuple(tensor.shape)}" for name, tensor in model.state_dict().items()]
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def fill(model: nn.Module) -> None:
    """Fill all weights and statistics by a formula."""
    for index, (name, tensor) in enumerate(model.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        wave = torch.sin(0.37 * torch.arange(tensor.numel(), dtype=torch.float64) + index).reshape(tensor.shape)
        if tensor.ndim == 4:
            tensor.copy_(wave * (2.0 / tensor[0].numel()) ** 0.5)
        else:
            tensor.copy_(1.0 + 0.5 * wave if name.endswith(("weight", "running_var")) else 0.2 * wave)


def picture(height: int, width: int) -> Tensor:
    """Return a (1, 3, height, width) float64 image in [0, 1]."""
    index = torch.arange(3 * height * width, dtype=torch.float64)
    return (0.5 + 0.5 * torch.sin(0.11 * index)).reshape(1, 3, height, width)


def import_timm() -> ModuleType:
    """Import timm, or skip: it also fails where torchvision does not fit torch."""
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm cannot be imported: {error}")
    return timm


@pytest.mark.parametrize("name", TIMM)
def test_same_names_shapes_and_numbers_as_recorded_from_timm(name: str) -> None:
    n_tensors, digest, shape, mean, deviation, maximum = TIMM[name]
    model = create_backbone(name).eval()
    assert signature(model) == (n_tensors, digest)
    fill(model)
    with torch.no_grad():
        maps = model.double()(picture(65, 98))
    assert tuple(maps.shape) == shape
    assert model.out_channels == shape[1]
    found = [maps.mean().item(), maps.std().item(), maps.max().item()]
    assert found == pytest.approx([mean, deviation, maximum], rel=1e-6)


def test_all_architectures_are_recorded() -> None:
    assert set(TIMM) == set(ARCHITECTURES)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_equals_timm(name: str) -> None:
    timm = import_timm()
    own, theirs = create_backbone(name).eval(), timm.create_model(name, features_only=True).eval()
    assert [(k, v.shape) for k, v in own.state_dict().items()] == [(k, v.shape) for k, v in theirs.state_dict().items()]
    theirs.load_state_dict(own.state_dict(), strict=True)
    fill(theirs)
    own.load_state_dict(theirs.state_dict(), strict=True)
    for size in ((224, 224), (128, 128), (97, 130)):
        images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            torch.testing.assert_close(own(images), theirs(images)[-1], atol=1e-5, rtol=1e-5)


def test_other_backbones_come_from_timm_under_its_names() -> None:
    timm = import_timm()
    model = create_backbone("resnet18").eval()
    assert list(model.state_dict()) == list(timm.create_model("resnet18", features_only=True).state_dict())
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, model.out_channels, 2, 2)


def test_unknown_backbone_is_refused_by_timm() -> None:
    import_timm()
    with pytest.raises(Smirk3dError, match=r"timm has no backbone 'nonsense'.*tf_mobilenetv3_small"):
        create_backbone("nonsense")


def test_without_timm_the_known_backbones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(Smirk3dError, match=r"'resnet18' needs timm.*efficientnet_lite0.*pip install timm") as caught:
        create_backbone("resnet18")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(31, 32), (33, 64), (64, 97)])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_map_is_a_32nd_rounded_up(name: str, size: tuple[int, int]) -> None:
    model = create_backbone(name).eval()
    with torch.no_grad():
        maps = model(torch.rand(1, 3, *size))
    assert maps.shape == (1, model.out_channels, -(-size[0] // 32), -(-size[1] // 32))


def test_shortened_backbone_is_the_first_part_of_the_whole_one() -> None:
    whole, part = create_backbone("tf_efficientnet_lite0").eval(), create_backbone(*SHORTENED).eval()
    state = whole.state_dict()
    part.load_state_dict({name: state[name] for name in part.state_dict()})
    images = torch.rand(1, 3, 64, 48)
    with torch.no_grad():
        expected = whole.blocks[:5](whole.act1(whole.bn1(whole.conv_stem(images))))
        torch.testing.assert_close(part(images), expected)
    assert expected.shape == (1, part.out_channels, 4, 3)


def test_same_padding_equals_its_definition() -> None:
    """The padded stem equals the sum over taps that TensorFlow's definition gives, computed one output at a time."""
    stem = create_backbone("tf_mobilenetv3_small_minimal_100").conv_stem
    for height, width in ((6, 6), (5, 8)):
        image = torch.rand(3, height, width)
        with torch.no_grad():
            out = stem(image[None])[0]
        surplus = [max((-(-size // 2) - 1) * 2 + 3 - size, 0) // 2 for size in (height, width)]
        for row in range(out.shape[1]):
            for column in range(out.shape[2]):
                total = torch.zeros(out.shape[0])
                for dy in range(3):
                    for dx in range(3):
                        y, x = 2 * row + dy - surplus[0], 2 * column + dx - surplus[1]
                        if 0 <= y < height and 0 <= x < width:
                            total += stem.weight[:, :, dy, dx].detach() @ image[:, y, x]
                torch.testing.assert_close(out[:, row, column], total, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(14, 28), (15, 14), (7, 9)])
def test_strided_depthwise_convolutions_are_the_same_in_inference(kernel: int, size: tuple[int, int]) -> None:
    conv = SameConv2d(8, 8, kernel, 2, groups=8)
    image = torch.rand(2, 8, *size)
    trained = conv(image)
    with torch.no_grad():
        torch.testing.assert_close(conv(image), trained.detach())
