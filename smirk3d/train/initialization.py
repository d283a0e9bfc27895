"""Initial weights of a run: random, from ImageNet, or from a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.head.spec import ParamSpec
from smirk3d.networks.checkpoint import ENCODER, NEURAL_RENDERER, NetworkFile, read_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.imagenet import pretrained_efficientnet_lite0
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.train.config import TrainConfig
from smirk3d.train.networks import Networks

IMAGENET_BACKBONE = "tf_efficientnet_lite0"
"""The backbone, complete or truncated, that the ImageNet weights belong to."""


def build_networks(config: TrainConfig, spec: ParamSpec) -> Networks:
    """Return the networks of a stage with random weights, on the CPU.

    Args:
        config: Training run; the stage core has a neural renderer, pretrain has none. Its seed decides the weights.
        spec: Parameters of the head.

    Raises:
        Smirk3dError: A backbone is unknown.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        # Channels last speeds up depthwise convolutions by a quarter, and slows down the neural renderer's.
        encoder = Encoder(spec, config.encoder, config.data.size).to(memory_format=torch.channels_last)  # type: ignore
        is_core = config.stage.name == "core"
        renderer = NeuralRenderer(config.neural_renderer_width, config.data.size) if is_core else None
    return Networks(encoder, renderer)


def load_initial(networks: Networks, config: TrainConfig, report: Callable[[str], None]) -> None:
    """Load the weights of the checkpoint `config.init`, or ImageNet weights, in place.

    A stage that trains the neural renderer may start from a file without one, as the stage pretrain writes it.

    Args:
        networks: Made by `build_networks`.
        config: Training run.
        report: Receives a line about a network that keeps random weights or is left out.

    Raises:
        Smirk3dError: The file cannot be read or does not fit; a frozen network would keep random weights; or the
            ImageNet weights are not installed, or not for these backbones.
    """
    file = None if config.init is None else read_networks(config.init)
    if file is None and config.backbone_init == "imagenet":
        _load_imagenet(networks.encoder, config)  # type: ignore[arg-type]
    if file is not None:
        _check_layout(file, networks.encoder, config)  # type: ignore[arg-type]
        file.load_into(networks.encoder, ENCODER)
    has_renderer = file is not None and any(name.startswith(NEURAL_RENDERER) for name in file.tensors)
    if networks.neural_renderer is None:
        if has_renderer:
            report(f"{config.init}: the stage {config.stage.name} has no use for its neural renderer")
        return
    if file is not None and has_renderer:
        file.load_into(networks.neural_renderer, NEURAL_RENDERER)
    elif "neural_renderer" not in config.stage.trainable:
        raise Smirk3dError(
            "the neural renderer does not learn and would stay random; add neural_renderer to stage.trainable, or give "
            "init a file that has one"
        )
    elif file is not None:
        report(f"{config.init}: has no neural renderer; its training starts from random weights")


def _load_imagenet(encoder: Encoder, config: TrainConfig) -> None:
    """Load EfficientNet-Lite0's weights into all backbones, which may be truncated."""
    weights = pretrained_efficientnet_lite0()
    for key in ("pose_backbone", "shape_backbone", "expression_backbone"):
        name = getattr(config.encoder, key)
        if not name.startswith(IMAGENET_BACKBONE):
            raise Smirk3dError(
                f"backbone_init=imagenet is for {IMAGENET_BACKBONE}, not {printable(name)}; set "
                f"encoder.{key}={IMAGENET_BACKBONE}, or backbone_init=random"
            )
        backbone = getattr(encoder, key.replace("backbone", "encoder")).encoder
        backbone.load_state_dict({tensor: weights[tensor] for tensor in backbone.state_dict()})


def head_fingerprint(head: HeadModel) -> str:
    """Return a hexadecimal digest of a head's surface, bases, joints and landmarks, on which training depends."""
    digest = hashlib.sha256()
    for name, tensor in sorted(head.named_buffers()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for name, embedding in sorted(head.data.landmarks.items()):
        digest.update(name.encode())
        digest.update(embedding.barycentric.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_layout(file: NetworkFile, encoder: Encoder, config: TrainConfig) -> None:
    """Refuse an encoder with other backbones or another head; released files do not hold this information."""
    if file.layout is None:
        return
    wanted, saved = asdict(config.encoder), file.layout.config
    names = [name for name in saved if name.endswith("_backbone") and saved[name] != wanted.get(name)]
    differing = [f"encoder.{name}={saved[name]}" for name in names]
    where = printable(Path(file.path))
    if differing:
        raise Smirk3dError(f"{where}: its encoder has other backbones; set {' '.join(differing)}")
    if file.layout.spec != encoder.spec:
        raise Smirk3dError(f"{where}: was trained for another head than {printable(config.head)}; change head or init")
