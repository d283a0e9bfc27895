"""What the networks of a run start with."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from smirk3d.authoring.load import load_head
from smirk3d.datasets.config import DataConfig, SourceConfig
from smirk3d.errors import Smirk3dError
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.networks.backbones import create_backbone
from smirk3d.networks.checkpoint import ENCODER, NEURAL_RENDERER, read_networks
from smirk3d.networks.encoder import EncoderConfig
from smirk3d.networks.imagenet import pretrained_efficientnet_lite0
from smirk3d.networks.packaged import packaged_encoder, packaged_neural_renderer
from smirk3d.train import initialization
from smirk3d.train.config import StageConfig, TrainConfig
from smirk3d.train.config_file import load_config
from smirk3d.train.initialization import RENDERER_TRAINED, build_networks, load_initial
from smirk3d.train.loss_config import LossWeights

SPEC = ParamSpec((Param("shape", 3), Param("expression", 4, 0.0, 1.0), Param("pose", 3), Param("camera", 3)))
CONFIGS = Path(__file__).parents[2] / "configs"
LITE0, SMALL = "tf_efficientnet_lite0_stride16", "tf_mobilenetv3_small_minimal_100"


def config(pose: str = LITE0, **changes) -> TrainConfig:
    stage = StageConfig("pretrain", ("pose",), LossWeights(landmark=1), 1)
    data = DataConfig((SourceConfig(kind="rendered"),), size=64)
    return TrainConfig(encoder=EncoderConfig(pose, LITE0, LITE0), data=data, stage=stage, **changes)


def test_backbones_start_from_imagenet_where_that_is_asked_for() -> None:
    wanted, messages = pretrained_efficientnet_lite0(), []
    chosen = config(backbone_init="imagenet")
    networks = build_networks(chosen, SPEC)
    load_initial(networks, chosen, messages.append)
    for branch in ("pose_encoder", "shape_encoder", "expression_encoder"):
        state = getattr(networks.encoder, branch).encoder.state_dict()
        assert state and all(torch.equal(tensor, wanted[name]) for name, tensor in state.items())
    plain = build_networks(config(), SPEC)
    load_initial(plain, config(), messages.append)
    assert not torch.equal(plain.encoder.pose_encoder.encoder.conv_stem.weight, wanted["conv_stem.weight"])
    assert messages == []


def test_other_backbones_need_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    chosen = config(SMALL, backbone_init="imagenet")
    with pytest.raises(Smirk3dError, match=f"{SMALL} come through timm.*backbone {LITE0.removesuffix('_stride16')}"):
        load_initial(build_networks(chosen, SPEC), chosen, print)


def test_other_backbones_come_through_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = create_backbone(SMALL)

    def create_model(name: str, *, features_only: bool, pretrained: bool) -> nn.Module:
        assert (name, features_only, pretrained) == (SMALL, True, True)
        return wanted

    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model))
    chosen = config(SMALL, backbone_init="imagenet")
    networks = build_networks(chosen, SPEC)
    load_initial(networks, chosen, print)
    state = networks.encoder.get_submodule("pose_encoder.encoder").state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in wanted.state_dict().items())


def test_the_packaged_networks_are_two_files() -> None:
    packaged = load_config(CONFIGS / "small.yaml", ["data.root=faces"])
    networks = build_networks(packaged, load_head("open").spec)
    assert load_initial(networks, packaged, print) == {RENDERER_TRAINED: True}
    encoder, renderer = packaged_encoder(), packaged_neural_renderer()
    assert encoder is not None and renderer is not None and networks.neural_renderer is not None
    files = (encoder, networks.encoder, ENCODER), (renderer, networks.neural_renderer, NEURAL_RENDERER)
    for path, network, prefix in files:
        saved = read_networks(path).state_dict(prefix)
        assert all(torch.equal(tensor, saved[name].to(tensor)) for name, tensor in network.state_dict().items())
    named = replace(packaged, init=encoder, init_neural_renderer=renderer)
    again = build_networks(named, load_head("open").spec)
    load_initial(again, named, print)
    assert again.neural_renderer is not None
    both = zip(networks.neural_renderer.parameters(), again.neural_renderer.parameters())
    assert all(torch.equal(*each) for each in both)


def test_a_neural_renderer_can_start_from_random_weights_under_a_packaged_encoder() -> None:
    overrides = ["data.root=faces", "init_neural_renderer=random", "stage.trainable=[neural_renderer]"]
    chosen = load_config(CONFIGS / "small.yaml", overrides)
    networks, wanted = (build_networks(chosen, load_head("open").spec) for _ in range(2))
    lines: list[str] = []
    assert load_initial(networks, chosen, lines.append) == {}
    assert lines == ["no neural renderer; its training starts from random weights"]
    assert networks.neural_renderer is not None and wanted.neural_renderer is not None
    both = zip(networks.neural_renderer.parameters(), wanted.neural_renderer.parameters(), strict=True)
    assert all(torch.equal(*each) for each in both)


def test_an_installation_without_packaged_weights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initialization, "packaged_encoder", lambda: None)
    chosen = config(init=Path("packaged"))
    with pytest.raises(Smirk3dError, match="this installation has no packaged weights"):
        load_initial(build_networks(chosen, SPEC), chosen, print)
