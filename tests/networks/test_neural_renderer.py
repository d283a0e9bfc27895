"""The neural renderer against a second, functional implementation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.color_fill import fill_colors
from smirk3d.networks.neural_renderer import NeuralRenderer


def make(width: int = 4) -> NeuralRenderer:
    torch.manual_seed(0)
    network = NeuralRenderer(width)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.1)  # pyright: ignore
            module.running_var.uniform_(0.5, 1.5)  # pyright: ignore
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.1)
        elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight)  # torch's own draw is so small that depth hardly shows in the output
    nn.init.normal_(network.conv.weight, 0.0, 0.1)  # small enough for the sigmoid not to saturate
    return network.eval()


def pair(height: int = 32, width: int = 48) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, height, width, generator=generator), torch.rand(2, 3, height, width, generator=generator)


def released_names() -> set[str]:
    """List the tensors of the released generator, from the description in docs/method.md alone."""
    names = {f"upconv{level}.{kind}" for level in (1, 2, 3, 4) for kind in ("weight", "bias")}
    names |= {"conv.weight", "conv.bias"}
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    blocks = {f"encoder{n}.enc{n}" for n in (1, 2, 3, 4)} | {f"decoder{n}.dec{n}" for n in (1, 2, 3, 4)}
    for block in blocks | {"bottleneck.bottleneck"}:
        names |= {f"{block}conv{i}.weight" for i in (1, 2)}
        names |= {f"{block}norm{i}.{kind}" for i in (1, 2) for kind in norm}
    for n in range(5):
        names |= {f"resnet_blocks.{n}.conv_block.{conv}.weight" for conv in (1, 5)}
        names |= {f"resnet_blocks.{n}.conv_block.{i}.{kind}" for i in (2, 6) for kind in norm}
    return names


def functional_form(state: dict[str, Tensor], image: Tensor, masked_photo: Tensor) -> Tensor:
    """The network in functional form, on a plain state dict."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias)

    def block(x: Tensor, name: str) -> Tensor:
        for i in (1, 2):
            x = F.relu(norm(F.conv2d(x, state[f"{name}conv{i}.weight"], padding=1), f"{name}norm{i}"))
        return x

    skips = []
    x = torch.cat([image, masked_photo], dim=1)
    for n in (1, 2, 3, 4):
        skips.append(block(x, f"encoder{n}.enc{n}"))
        x = F.max_pool2d(skips[-1], 2)
    x = block(x, "bottleneck.bottleneck")
    for n in range(5):
        name = f"resnet_blocks.{n}.conv_block"
        y = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), state[f"{name}.1.weight"])
        y = F.relu(norm(y, f"{name}.2"))
        y = F.conv2d(F.pad(y, (1, 1, 1, 1), mode="reflect"), state[f"{name}.5.weight"])
        x = x + norm(y, f"{name}.6")
    for n in (4, 3, 2, 1):
        x = F.conv_transpose2d(x, state[f"upconv{n}.weight"], state[f"upconv{n}.bias"], stride=2)
        x = block(torch.cat([x, skips[n - 1]], dim=1), f"decoder{n}.dec{n}")
    return torch.sigmoid(F.conv2d(x, state["conv.weight"], state["conv.bias"]))


def test_names_and_shapes_of_the_released_generator() -> None:
    with torch.device("meta"):
        state = NeuralRenderer().state_dict()
    assert set(state) == released_names()
    shapes = {
        "encoder1.enc1conv1.weight": (32, 6, 3, 3),
        "bottleneck.bottleneckconv1.weight": (512, 256, 3, 3),
        "resnet_blocks.4.conv_block.5.weight": (512, 512, 3, 3),
        "upconv4.weight": (512, 256, 2, 2),
        "decoder4.dec4conv1.weight": (256, 512, 3, 3),
        "decoder1.dec1conv2.weight": (32, 32, 3, 3),
        "conv.weight": (3, 32, 1, 1),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_equals_the_functional_form() -> None:
    network = make()
    with torch.no_grad():
        expected = functional_form(network.state_dict(), *pair())
        torch.testing.assert_close(network(*pair()), expected, atol=1e-5, rtol=1e-5)
    assert 0.05 < expected.std() < 0.4


def test_output_is_an_image_in_range() -> None:
    image, photo = pair()
    out = make()(image, photo)
    assert out.shape == image.shape
    assert out.min() > 0 and out.max() < 1


@pytest.mark.parametrize("size", [(30, 32), (32, 40), (224, 225)])
def test_size_must_be_a_multiple_of_16(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    with pytest.raises(ValueError, match="multiples of 16"):
        make()(image, image)


def test_gradient_reaches_the_shaded_mesh_and_every_weight() -> None:
    image, photo = pair()
    network = make().train()
    network(image.requires_grad_(), photo).mean().backward()
    assert image.grad is not None and image.grad.abs().max() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_copy_for_inference_computes_the_same_numbers() -> None:
    network = make()
    fast = network.for_inference()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    with torch.no_grad():
        torch.testing.assert_close(fast(*pair()), network(*pair()), atol=1e-5, rtol=1e-5)


def test_a_renderer_that_fills_colours_corrects_them() -> None:
    network = NeuralRenderer(4, fills_colors=True).eval()
    image, masked_photo = pair()
    nn.init.zeros_(network.conv.weight)
    nn.init.zeros_(network.conv.bias)
    with torch.no_grad():
        rendered = network(image, masked_photo)
    torch.testing.assert_close(rendered, fill_colors(masked_photo, image).clamp(0.02, 0.98))


def test_a_file_tells_whether_the_renderer_fills_colours(tmp_path: Path) -> None:
    for fills in (False, True):
        network = NeuralRenderer(4, fills_colors=fills).eval()
        save_networks(tmp_path / "renderer.safetensors", neural_renderer=network, meta={})
        again = NeuralRenderer.from_checkpoint(tmp_path / "renderer.safetensors")
        assert again.fills_colors is fills
        with torch.no_grad():
            torch.testing.assert_close(again.for_inference()(*pair()), network(*pair()), atol=1e-5, rtol=1e-5)
