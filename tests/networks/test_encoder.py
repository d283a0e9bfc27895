"""The encoder: layout, ranges, initial values, gradients and the copy for inference."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import nn

from smirk3d.errors import Smirk3dError
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.networks.backbones import ARCHITECTURES, Backbone
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.inference import has_bfloat16
from smirk3d.networks.packaged import packaged_encoder

POSE = (Param("pose", 3), Param("camera", 3))
FLAME = ParamSpec((Param("shape", 30), Param("expression", 10), Param("eyelids", 2, 0.0, 1.0), Param("jaw", 3), *POSE))
OPEN = ParamSpec((Param("shape", 20), Param("expression", 52, 0.0, 1.0), *POSE))
SMALL = "tf_mobilenetv3_small_minimal_100"
CONFIG = EncoderConfig(SMALL, SMALL, SMALL)


def crops(count: int = 2, size: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(3))


def make(spec: ParamSpec, *, wild: bool = False) -> Encoder:
    """Build a small encoder; with `wild` it has large random weights in its last layers."""
    torch.manual_seed(0)
    encoder = Encoder(spec, CONFIG).eval()
    if wild:
        for branch in (encoder.pose_encoder, encoder.shape_encoder, encoder.expression_encoder):
            nn.init.normal_(branch.linear.weight, 0.0, 0.2)
    return encoder


@pytest.mark.parametrize("spec", [FLAME, OPEN])
def test_predicts_the_parameters_of_the_head(spec: ParamSpec) -> None:
    params = make(spec)(crops())
    assert {name: tuple(value.shape) for name, value in params.items()} == {p.name: (2, p.size) for p in spec.params}


def test_released_layout_and_sizes() -> None:
    spec = ParamSpec((Param("shape", 300), Param("expression", 50), *FLAME.params[2:]))
    with torch.device("meta"):
        encoder = Encoder(spec)
    state = encoder.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if "_layers" in name}
    assert shapes == {
        "pose_encoder.pose_cam_layers.0.weight": (6, 576),
        "pose_encoder.pose_cam_layers.0.bias": (6,),
        "shape_encoder.shape_layers.0.weight": (300, 960),
        "shape_encoder.shape_layers.0.bias": (300,),
        "expression_encoder.expression_layers.0.weight": (55, 960),
        "expression_encoder.expression_layers.0.bias": (55,),
    }
    prefixes = ("pose_encoder", "shape_encoder", "expression_encoder")
    names = [name for name in state if "_layers" not in name]
    assert len(names) == 204 + 276 + 276
    assert all(name.startswith(tuple(f"{prefix}.encoder." for prefix in prefixes)) for name in names)


def test_order_of_the_expression_layer_is_expression_eyelids_jaw() -> None:
    encoder = make(FLAME)
    nn.init.zeros_(encoder.expression_encoder.linear.weight)
    encoder.expression_encoder.linear.bias.data = torch.arange(15.0) / 100
    params = encoder(crops(1))
    outputs = torch.cat([params.expression, params.eyelids, params.jaw], dim=1)
    assert outputs[0].tolist() == pytest.approx([i / 100 for i in range(15)])


def test_order_of_the_pose_layer_is_pose_camera() -> None:
    encoder = make(FLAME)
    nn.init.zeros_(encoder.pose_encoder.linear.weight)
    encoder.pose_encoder.linear.bias.data = torch.arange(6.0)
    params = encoder(crops(1))
    assert params.pose.tolist() == [[0, 1, 2]] and params.camera.tolist() == [[3, 4, 5]]


def test_outputs_stay_in_range() -> None:
    params = make(FLAME, wild=True)(crops(4))
    assert params.eyelids.min() >= 0 and params.eyelids.max() <= 1
    assert params.jaw[:, 0].min() >= 0
    assert params.jaw[:, 1:].abs().max() <= 0.2
    assert params.expression.min() < -1 and params.expression.max() > 1  # unbounded on FLAME, so the net was wild
    weights = make(OPEN, wild=True)(crops(4)).expression
    assert weights.min() == 0 and weights.max() == 1


def test_initial_prediction_is_a_neutral_mean_head_in_the_center() -> None:
    params = make(OPEN).train()(crops(8))
    assert torch.equal(params.shape, torch.zeros(8, 20))
    assert params.pose.abs().max() < 0.05
    assert torch.equal(params.camera[:, 0], torch.full((8,), 7.0))
    assert params.camera[:, 1:].abs().max() < 0.05
    assert 0.03 < params.expression.mean() < 0.08
    assert make(FLAME).train()(crops(8)).expression.abs().max() < 0.5


def test_batch_equals_loop() -> None:
    encoder = make(FLAME, wild=True)
    batch, images = encoder(crops(3)), crops(3)
    for index in range(3):
        for name, value in encoder(images[index : index + 1]).items():
            torch.testing.assert_close(value[0], getattr(batch, name)[index], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("bias", "target"), [(0.05, 0.5), (-3.0, 0.5), (3.0, 0.5)])
def test_gradient_reaches_every_parameter_also_from_beyond_the_bounds(bias: float, target: float) -> None:
    encoder = make(OPEN).train()
    nn.init.constant_(encoder.expression_encoder.linear.bias, bias)
    (encoder(crops()).expression - target).square().mean().backward()
    for name, parameter in encoder.expression_encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_branches_can_be_frozen_one_by_one() -> None:
    encoder = make(OPEN)
    encoder.pose_encoder.requires_grad_(False)
    params = encoder(crops())
    assert not params.camera.requires_grad
    assert params.shape.requires_grad and params.expression.requires_grad


def test_head_without_expression_is_refused() -> None:
    with pytest.raises(KeyError, match="expression"):
        Encoder(ParamSpec((Param("shape", 3), *POSE)), CONFIG)


def test_unknown_backbone_is_refused() -> None:
    with pytest.raises(Smirk3dError if find_spec("timm") else ValueError, match="nonsense"):
        Encoder(FLAME, EncoderConfig(pose_backbone="nonsense"))


def test_copy_for_inference_computes_the_same_numbers() -> None:
    encoder = make(FLAME, wild=True).train()
    with torch.no_grad():
        for _ in range(20):
            encoder(crops(4))  # statistics unlike the initial zeros and ones
    fast = encoder.for_inference()
    assert encoder.training and any(isinstance(m, nn.BatchNorm2d) for m in encoder.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    for name, value in encoder.eval()(crops()).items():
        torch.testing.assert_close(getattr(fast(crops()), name), value.detach(), atol=1e-4, rtol=1e-4)


def test_rounded_copy_is_near_and_has_the_same_types() -> None:
    encoder = Encoder.from_checkpoint(packaged_encoder())
    windows = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        exact = encoder.for_inference().regress_expression(windows)["expression"]
        rounded = encoder.for_inference(rounded=True).regress_expression(windows)["expression"]
    assert rounded.dtype == torch.float32
    assert rounded.equal(exact) != has_bfloat16()
    torch.testing.assert_close(rounded, exact, atol=0.03, rtol=0)


def test_copy_of_the_expression_branch_alone() -> None:
    encoder, windows = make(FLAME), crops()
    fast = encoder.for_inference(expression_only=True)
    assert [name for name, _ in fast.named_children()] == ["expression_encoder"]
    assert len(list(encoder.children())) == 3
    with torch.no_grad():
        for name, value in encoder.eval().regress_expression(windows).items():
            torch.testing.assert_close(fast.regress_expression(windows)[name], value, atol=1e-4, rtol=1e-4)


def test_copy_for_inference_leaves_other_backbones_unchanged() -> None:
    encoder = make(FLAME)
    encoder.pose_encoder.encoder = nn.Sequential(nn.Conv2d(3, 576, 1), nn.BatchNorm2d(576))  # pyright: ignore
    fast = encoder.for_inference()
    assert isinstance(fast.pose_encoder.encoder[1], nn.BatchNorm2d)  # pyright: ignore
    assert isinstance(fast.shape_encoder.encoder, Backbone)


def test_default_backbones_need_no_other_package() -> None:
    names = {value for name, value in vars(EncoderConfig()).items() if name.endswith("_backbone")}
    assert names <= set(ARCHITECTURES)
