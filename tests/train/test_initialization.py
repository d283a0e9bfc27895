"""What the networks of a run start with."""

from __future__ import annotations

import sys

import pytest
import torch

from smirk3d.datasets.config import DataConfig, SourceConfig
from smirk3d.errors import Smirk3dError
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.networks.encoder import EncoderConfig
from smirk3d.networks.imagenet import pretrained_efficientnet_lite0
from smirk3d.train.config import StageConfig, TrainConfig
from smirk3d.train.initialization import build_networks, load_initial
from smirk3d.train.loss_config import LossWeights

SPEC = ParamSpec((Param("shape", 3), Param("expression", 4, 0.0, 1.0), Param("pose", 3), Param("camera", 3)))
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
