"""Initial weights of a run: random, from ImageNet, or from a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.head.spec import ParamSpec
from smirk3d.networks.checkpoint import ENCODER, NEURAL_RENDERER, NetworkFile, read_networks
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.imagenet import pretrained_backbone
from smirk3d.networks.neural_renderer import NeuralRenderer, renderer_fills_colors
from smirk3d.networks.packaged import packaged_encoder, packaged_neural_renderer
from smirk3d.train.config import PACKAGED, RANDOM, AnyStage, StageConfig, TrainConfig
from smirk3d.train.networks import ENCODERS, Networks
from smirk3d.train.stages import RegressionStage, RendererStage

RENDERER_TRAINED = "neural_renderer_trained"
"""Entry of the run's record: the neural renderer has learned, in an earlier stage or before the run."""


def build_networks(config: TrainConfig, spec: ParamSpec) -> Networks:
    """Return the networks of a run with random weights, on the CPU.

    Args:
        config: Training run; there is a neural renderer where a stage trains or uses one. Its seed decides the weights.
        spec: Parameters of the head.

    Raises:
        Smirk3dError: A backbone is unknown.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = Encoder(spec, config.encoder, config.data.size)
        size = _renderer_size(config)
        file = None if size is None else _renderer_file(config)
        fills_colors = config.neural_renderer_fills_colors if file is None else renderer_fills_colors(file)
        width = config.neural_renderer_width
        renderer = None if size is None else NeuralRenderer(width, size, fills_colors=fills_colors)
    for network in filter(None, (encoder, renderer)):
        # Speeds up depthwise convolutions by a quarter, the neural renderer with its gradient by a tenth.
        network.to(memory_format=torch.channels_last)  # type: ignore
    return Networks(encoder, renderer)


def _renderer_size(config: TrainConfig) -> int | None:
    """Return the side of the crops that the neural renderer is last trained on, or used with; None without one."""
    users = [stage for stage in config.all_stages if uses_renderer(stage)]
    trainers = [stage for stage in users if trains_renderer(stage)]
    file = _renderer_file(config) if users and not trainers else None
    if file is not None:
        return file.renderer_size_px  # that for which it was trained
    return config.for_stage((trainers or users)[-1]).data.size if users else None


def uses_renderer(stage: AnyStage) -> bool:
    """Return whether a stage needs a neural renderer."""
    if isinstance(stage, StageConfig):
        return stage.name == "core"
    return isinstance(stage, RendererStage) or (isinstance(stage, RegressionStage) and stage.repainted_weight > 0)


def trains_renderer(stage: AnyStage) -> bool:
    """Return whether a stage trains the neural renderer."""
    return isinstance(stage, RendererStage) or (isinstance(stage, StageConfig) and "neural_renderer" in stage.trainable)


def load_initial(networks: Networks, config: TrainConfig, report: Callable[[str], None]) -> dict[str, bool]:
    """Load the weights of `config.init` and `config.init_neural_renderer`, or ImageNet weights, in place.

    A run that trains the neural renderer may start from a file without one, as the stage pretrain writes it.

    Args:
        networks: Made by `build_networks`.
        config: Training run.
        report: Receives a line about a network that keeps random weights or is left out.

    Returns:
        Facts for the run's record: whether the neural renderer is trained.

    Raises:
        Smirk3dError: A file cannot be read or does not fit; a frozen network would keep random weights; or the
            ImageNet weights are not installed, or not for these backbones.
    """
    path = _initial_files(config)[0]
    file = None if path is None else read_networks(path)
    if file is None and config.backbone_init == "imagenet":
        load_imagenet(networks.encoder, config.encoder)  # type: ignore[arg-type]
    if file is not None:
        _check_layout(file, networks.encoder, config)  # type: ignore[arg-type]
        file.load_into(networks.encoder, ENCODER)
    renderer = _renderer_file(config)
    if networks.neural_renderer is None:
        if renderer is not None:
            report(f"{printable(Path(renderer.path))}: the run has no use for its neural renderer")
        return {}
    if renderer is not None:
        renderer.load_into(networks.neural_renderer, NEURAL_RENDERER)
        return {RENDERER_TRAINED: True}
    if not trains_renderer(next(stage for stage in config.all_stages if uses_renderer(stage))):
        raise Smirk3dError(
            "the neural renderer does not learn and would stay random; add neural_renderer to stage.trainable, or give "
            "init a file that has one"
        )
    if file is not None:
        where = "" if config.init_neural_renderer == RANDOM else f"{config.init}: has "
        report(f"{where}no neural renderer; its training starts from random weights")
    return {}


def _initial_files(config: TrainConfig) -> tuple[Path | None, Path | None]:
    """Return the files of the encoder and, where it is another one, of the neural renderer."""
    if config.init != PACKAGED:
        return config.init, config.init_neural_renderer
    encoder, renderer = packaged_encoder(), packaged_neural_renderer()
    if encoder is None or renderer is None:
        raise Smirk3dError("init=packaged: this installation has no packaged weights; give init a file")
    return encoder, config.init_neural_renderer or renderer


def _renderer_file(config: TrainConfig) -> NetworkFile | None:
    """Return the file of the neural renderer with which a run starts; None where it starts from random weights."""
    encoder, renderer = _initial_files(config)
    path = renderer or encoder
    if path is None or renderer == RANDOM:
        return None
    file = read_networks(path)
    return file if any(name.startswith(NEURAL_RENDERER) for name in file.tensors) else None


def load_imagenet(encoder: Encoder, config: EncoderConfig, branches: Sequence[str] = ENCODERS) -> None:
    """Load ImageNet weights into the backbones of branches, in place; EfficientNet-Lite0 may be truncated.

    Args:
        encoder: The encoder.
        config: Its architecture.
        branches: Names of the branches.

    Raises:
        Smirk3dError: There are no weights for a backbone.
    """
    for branch in branches:
        backbone = getattr(encoder, f"{branch}_encoder").encoder
        weights = pretrained_backbone(getattr(config, f"{branch}_backbone"))
        missing = [name for name in backbone.state_dict() if name not in weights]
        if missing:
            raise Smirk3dError(
                f"the ImageNet weights do not fit encoder.{branch}_backbone ({len(missing)} are missing); set "
                "backbone_init=random"
            )
        backbone.load_state_dict({name: weights[name] for name in backbone.state_dict()})


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
