"""Devices, precision and data parallelism.

Lightning Fabric starts the processes and chooses device and precision. Gradients are averaged here rather than by
DistributedDataParallel, which requires every step to be one call of one module: the two paths of a step call parts of
the networks, some frozen, some more than once.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.train.config import EngineConfig
from smirk3d.train.networks import Networks

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def launch(config: EngineConfig) -> Fabric:
    """Start the processes of a run, or join them where a launcher (torchrun, a cluster) has started this one.

    Where this process starts the others, they run the same command line.

    Args:
        config: Devices and precision.

    Raises:
        Smirk3dError: Lightning Fabric is not installed, or devices, processes or precision are not available.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.utilities.exceptions import MisconfigurationException
    except ImportError as error:
        raise Smirk3dError("training needs lightning-fabric; pip install 'smirk3d[train]'") from error
    accelerator = config.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cpu" and config.precision == "16-mixed":
        raise Smirk3dError("engine.precision 16-mixed needs CUDA; on a CPU take 32-true or bf16-mixed")
    processes = config.devices * config.nodes
    started = int(os.environ.get("WORLD_SIZE", processes))
    if started != processes:
        raise Smirk3dError(
            f"{started} processes were started, and engine.devices × engine.nodes is {processes}; make them the same"
        )
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            strategy="ddp" if processes > 1 else "auto",
            precision=config.precision,
        )
        fabric.launch()
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise Smirk3dError(f"engine: {printable(str(error))}; change the keys of engine") from error
    return fabric


def move_to_device(networks: Networks, fabric: Fabric) -> None:
    """Move networks to the run's device and set its precision, in place; their state dicts stay the same.

    On CUDA, batch norms are synchronised over the processes. On a CPU, where torch has no synchronised batch norm, each
    normalises by its own share of the batch, and `average_statistics` keeps the running statistics equal.

    Args:
        networks: Networks on the CPU.
        fabric: Launched Fabric.
    """
    for network in _each(networks):
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(network)
        network.to(fabric.device).train()
    if fabric.strategy.precision.precision != "32-true":
        for part in networks.parts().values():
            _compute_in_precision(part, fabric)


def average_gradients(parameters: Iterable[nn.Parameter], fabric: Fabric) -> None:
    """Replace gradients by their means over the processes, in place: the gradients of the joint batch."""
    _average([parameter.grad for parameter in parameters if parameter.grad is not None], fabric)


def average_statistics(networks: Networks, fabric: Fabric) -> None:
    """Replace the running statistics of batch norms by their means over the processes, in place."""
    norms = [
        part
        for network in _each(networks)
        for part in network.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm)
    ]
    statistics = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var)]
    _average([tensor for tensor in statistics if tensor is not None], fabric)


def any_of(flag: bool, fabric: Fabric) -> bool:
    """Return whether a flag is set in any process; to be called by all."""
    total = torch.tensor(float(flag), device=fabric.device)
    _average([total], fabric)
    return bool(total > 0)


def average_values(values: Mapping[str, float], fabric: Fabric) -> dict[str, float]:
    """Return the means of values over the processes; the names must be the same in all."""
    joined = torch.tensor(list(values.values()), dtype=torch.float64, device=fabric.device)
    _average([joined], fabric)
    return dict(zip(values, joined.tolist()))


def _each(networks: Networks) -> list[nn.Module]:
    return [network for network in (networks.encoder, networks.neural_renderer) if network is not None]


def _average(tensors: list[Tensor], fabric: Fabric) -> None:
    if fabric.world_size == 1 or not tensors:
        return
    joined = torch.cat([tensor.flatten() for tensor in tensors])
    fabric.all_reduce(joined, reduce_op="mean")
    for tensor, mean in zip(tensors, joined.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(mean.view_as(tensor))


def _compute_in_precision(network: nn.Module, fabric: Fabric) -> None:
    """Run a network in the run's precision; rendering and losses need float32."""
    forward = network.forward

    @functools.wraps(forward)
    def in_precision(*inputs: Tensor) -> Any:
        with fabric.autocast():
            return _as_float32(forward(*inputs))

    network.forward = in_precision  # type: ignore[method-assign]


def _as_float32(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_float32(item) for name, item in value.items()}
    return value.float()
