"""Files of other projects, with their exact layout and random weights, and a megabyte small."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from smirk3d.train.iresnet import IResNet

WIDTHS = (64, 128, 256, 512)


class Callback:
    """A class of a package that is not there when the file is read."""

    def __init__(self) -> None:
        self.kept = {"path": Path("somewhere")}


class Weights:
    """Random numbers for tensors of any size, all out of the same pool."""

    def __init__(self, seed: int = 0) -> None:
        self._pool = 0.04 * torch.randn(200_000, generator=torch.Generator().manual_seed(seed))
        self._start = 0

    def __call__(self, *size: int) -> Tensor:
        """Return a tensor whose file holds no more than the pool."""
        steps = [1 + 30 * k for k in range(len(size))]
        self._start = (self._start + 37) % 1000  # no two tensors are alike
        room = len(self._pool) - 1001
        stride = [min(step, room // (len(size) * max(1, n - 1))) for step, n in zip(steps, size)]
        return self._pool.as_strided(size, stride, self._start)

    def norm(self, channels: int) -> dict[str, Tensor]:
        """Return a batch norm that leaves its input about as it is."""
        zeros, ones = torch.zeros(1).expand(channels), torch.ones(1).expand(channels)
        own = {"weight": ones, "bias": self(channels), "running_mean": zeros, "running_var": ones}
        return own | {"num_batches_tracked": torch.tensor(7)}


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def arcface_state(weights: Weights, blocks: tuple[int, ...] = (3, 13, 30, 3)) -> dict[str, Tensor]:
    """Return InsightFace's iResNet-100 by its names."""
    state = {"conv1.weight": weights(64, 3, 3, 3), "prelu.weight": weights(64)} | prefixed("bn1.", weights.norm(64))
    channels = 64
    for row, (width, count) in enumerate(zip(WIDTHS, blocks), start=1):
        for k in range(count):
            block = {"conv1.weight": weights(width, channels, 3, 3), "conv2.weight": weights(width, width, 3, 3)}
            block |= {"prelu.weight": weights(width)} | prefixed("bn1.", weights.norm(channels))
            block |= prefixed("bn2.", weights.norm(width)) | prefixed("bn3.", weights.norm(width))
            if k == 0:
                block |= {"downsample.0.weight": weights(width, channels, 1, 1)}
                block |= prefixed("downsample.1.", weights.norm(width))
            state |= prefixed(f"layer{row}.{k}.", block)
            channels = width
    state |= prefixed("bn2.", weights.norm(512)) | prefixed("features.", weights.norm(512))
    return state | {"fc.weight": weights(512, 25088), "fc.bias": weights(512)}


def mica_content(seed: int = 0) -> dict:
    """Return what `mica.tar` holds: both networks, a FLAME head, and what its training left behind."""
    weights = Weights(seed)
    mapping = {f"network.{k}.weight": weights(300, 512 if k == 0 else 300) for k in range(4)}
    mapping |= {f"network.{k}.bias": weights(300) for k in range(4)}
    mapping |= {"output.weight": weights(300, 300), "output.bias": weights(300)}
    model = prefixed("regressor.", mapping) | {"generator.shapedirs": weights(100, 3, 300)}
    training = {"opt": {"state": {0: weights(5)}, "param_groups": [{"lr": 1e-5}]}, "validator": Callback(), "epoch": 3}
    return {"flameModel": model, "arcface": arcface_state(weights), **training}


def emoca_content(seed: int = 0) -> dict:
    """Return what EMOCA's Lightning checkpoint holds: ResNet-50 with two last layers, settings and callbacks."""
    weights = Weights(seed)
    state = {"conv1.weight": weights(64, 3, 7, 7)} | prefixed("bn1.", weights.norm(64))
    channels = 64
    for row, (width, count) in enumerate(zip(WIDTHS, (3, 4, 6, 3)), start=1):
        for k in range(count):
            block = {
                "conv1.weight": weights(width, channels, 1, 1),
                "conv2.weight": weights(width, width, 3, 3),
                "conv3.weight": weights(4 * width, width, 1, 1),
            }
            for n, size in ((1, width), (2, width), (3, 4 * width)):
                block |= prefixed(f"bn{n}.", weights.norm(size))
            if k == 0:
                block |= {"downsample.0.weight": weights(4 * width, channels, 1, 1)}
                block |= prefixed("downsample.1.", weights.norm(4 * width))
            state |= prefixed(f"layer{row}.{k}.", block)
            channels = 4 * width
    state |= {"fc.weight": weights(8631, 2048), "fc.bias": weights(8631)}
    whole = prefixed("backbone.", state) | {"linear.weight": weights(11, 2048), "linear.bias": weights(11)}
    return {
        "epoch": 1,
        "pytorch-lightning_version": "1.4.9",
        "state_dict": whole,
        "callbacks": {Callback: {"best_model_path": "x"}},
        "hyper_parameters": Callback(),
    }


def parameters_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def empty_iresnet(*blocks: int) -> IResNet:
    with torch.device("meta"):
        return IResNet(blocks) if len(blocks) == 4 else IResNet()
