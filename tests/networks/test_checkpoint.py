"""Checkpoints: both formats, strict loading, refused files."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from smirk3d.errors import Smirk3dError
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.networks.checkpoint import ENCODER, NEURAL_RENDERER, read_layout, read_networks, save_networks
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.networks.face_window import FaceWindow
from smirk3d.networks.neural_renderer import NeuralRenderer

POSE = (Param("pose", 3), Param("camera", 3))
FLAME = ParamSpec((Param("shape", 30), Param("expression", 10), Param("eyelids", 2, 0.0, 1.0), Param("jaw", 3), *POSE))
OPEN = ParamSpec((Param("shape", 20), Param("expression", 52, 0.0, 1.0), *POSE))
SMALL = "tf_mobilenetv3_small_minimal_100"
CONFIG = EncoderConfig(SMALL, SMALL, SMALL)


def randomised(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.2 + 0.01)
        else:
            tensor.fill_(1234)  # num_batches_tracked
    return network.eval()


@pytest.fixture(scope="module")
def networks() -> tuple[Encoder, NeuralRenderer]:
    encoder, renderer = randomised(Encoder(FLAME), 1), randomised(NeuralRenderer(4), 2)
    assert isinstance(encoder, Encoder) and isinstance(renderer, NeuralRenderer)
    return encoder, renderer


@pytest.fixture
def released(networks: tuple[Encoder, NeuralRenderer]) -> dict[str, Tensor]:
    encoder, renderer = networks
    state = {ENCODER + name: tensor for name, tensor in encoder.state_dict().items()}
    return state | {NEURAL_RENDERER + name: tensor for name, tensor in renderer.state_dict().items()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        path = tmp_path / "SMIRK_em1.pt"
        torch.save(content, path)
        return path

    return write


def assert_same(first: nn.Module, second: nn.Module) -> None:
    ours, theirs = first.state_dict(), second.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def refusal(load: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(Smirk3dError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_released_checkpoint_loads_into_both(networks, released, write) -> None:
    path = write(released)
    encoder, renderer = Encoder.from_checkpoint(path), NeuralRenderer.from_checkpoint(path)
    assert_same(encoder, networks[0])
    assert_same(renderer, networks[1])
    assert encoder.spec == FLAME
    assert not encoder.training and not renderer.training
    crops = torch.rand(1, 3, 64, 64)
    for name, value in networks[0](crops).items():
        assert torch.equal(getattr(encoder(crops), name), value), name


def test_released_checkpoint_in_the_legacy_container_loads(networks, released, tmp_path: Path) -> None:
    torch.save(released, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert_same(Encoder.from_checkpoint(tmp_path / "old.pt"), networks[0])


@pytest.mark.parametrize("spec", [FLAME, OPEN])
def test_own_file_keeps_weights_layout_and_meta(spec: ParamSpec, networks, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    encoder = Encoder(spec, CONFIG)
    save_networks(path, encoder=encoder, neural_renderer=networks[1], meta={"run": "first"})
    loaded = Encoder.from_checkpoint(path)
    assert_same(loaded, encoder)
    assert (loaded.spec, loaded.config) == (spec, CONFIG)
    assert_same(NeuralRenderer.from_checkpoint(path), networks[1])
    assert read_networks(path).meta == {"run": "first"}


def test_a_header_with_earlier_names_of_settings_is_read(tmp_path: Path) -> None:
    window = {"size_px": 64, "half_m": 0.1, "center_m": [0.0, 0.0, 0.1], "root_m": [0.0, -0.1, 0.0]}
    backbones = {f"{branch}_backbone": SMALL for branch in ("pose", "shape", "expression")}
    config = EncoderConfig(**backbones, window=FaceWindow(64, 0.1, (0.0, 0.0, 0.1), (0.0, -0.1, 0.0)))
    config = replace(config, flip_tta=True, iterative_pose=True, zoom_tta=0.9)
    encoder = Encoder(OPEN, config, 96)
    save_networks(tmp_path / "new", encoder=encoder, meta={})
    with safe_open(tmp_path / "new", framework="pt") as file:
        header = dict(file.metadata())
    stored = json.loads(header["encoder"])
    assert stored["config"] == backbones | {
        "window": window,
        "flip_tta": True,
        "iterative_pose": True,
        "zoom_tta": 0.9,
    }
    stored["config"] = backbones | {"window": window, "mirrored": True, "second_look": True, "zoom": 0.9}
    header["encoder"] = json.dumps(stored)
    tensors = {ENCODER + name: tensor for name, tensor in encoder.state_dict().items()}
    save_file(tensors, tmp_path / "old", metadata=header)
    assert Encoder.from_checkpoint(tmp_path / "old").config == config


def test_own_file_keeps_the_errors_of_the_expression(networks, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    std = tuple(0.01 * k for k in range(1, 53))
    save_networks(path, encoder=networks[0], expression_std=std, meta={})
    for layout in (read_layout(path), read_networks(path).layout):
        assert layout is not None
        assert (layout.expression_std, layout.spec) == (std, FLAME)
    save_networks(path, encoder=networks[0], meta={})
    layout = read_layout(path)
    assert layout is not None and layout.expression_std is None


def test_released_files_have_no_layout(released, write, tmp_path: Path) -> None:
    assert read_layout(write(released)) is None
    with pytest.raises(Smirk3dError, match="No such file"):
        read_layout(tmp_path / "none.pt")


@pytest.mark.parametrize("std", [[0.1] * 51, [0.1] * 51 + [0.0], [0.1] * 51 + [float("nan")], [float("inf")] * 52])
def test_invalid_expression_errors_are_refused(std: list[float], networks, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    with pytest.raises(ValueError, match="52 positive numbers"):
        save_networks(path, encoder=networks[0], expression_std=std, meta={})
    assert not path.exists()
    layout = json.dumps({"spec": [], "config": {}, "expression_std": std})
    save_file({"x": torch.zeros(1)}, path, metadata={"smirk3d_networks": "1", "meta": "{}", "encoder": layout})
    assert "is damaged" in refusal(read_layout, path)


def test_the_format_is_found_from_the_content(networks, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save_networks(path, neural_renderer=networks[1], meta={})
    assert_same(NeuralRenderer.from_checkpoint(path), networks[1])
    assert f"no tensors named {ENCODER}" in refusal(Encoder.from_checkpoint, path)


def test_own_file_of_a_channels_last_network(networks, tmp_path: Path) -> None:
    import copy

    renderer = copy.deepcopy(networks[1]).to(memory_format=torch.channels_last)
    save_networks(tmp_path / "own.safetensors", neural_renderer=renderer, meta={})
    assert_same(NeuralRenderer.from_checkpoint(tmp_path / "own.safetensors"), networks[1])


def test_nothing_and_folded_networks_are_not_saved(networks, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to save"):
        save_networks(tmp_path / "own", meta={})
    with pytest.raises(ValueError, match="copy for inference"):
        save_networks(tmp_path / "own", neural_renderer=networks[1].for_inference(), meta={})
    assert not list(tmp_path.iterdir())


def test_missing_extra_and_misshaped_tensors_are_counted_and_named(released, write) -> None:
    lost = [name for name in released if name.startswith(f"{ENCODER}pose_encoder.encoder.blocks.4.")]
    for name in lost:
        del released[name]
    released[f"{ENCODER}flame.template"] = torch.zeros(3)
    released[f"{ENCODER}pose_encoder.pose_cam_layers.0.bias"] = torch.zeros(7)
    message = refusal(Encoder.from_checkpoint, write(released))
    assert f"{len(lost)} missing (pose_encoder.encoder.blocks.4.0.conv_pw.weight, " in message and ", …)" in message
    assert "1 unexpected (flame.template)" in message
    assert "1 misshaped (pose_encoder.pose_cam_layers.0.bias is (7,), not (6,))" in message


@pytest.mark.parametrize(
    "name", ["shape_encoder.shape_layers.0.weight", "expression_encoder.expression_layers.0.weight"]
)
@pytest.mark.parametrize("damage", [None, torch.zeros(2, 960), torch.tensor(3.0)])
def test_damaged_last_layers_are_refused(name: str, damage: Tensor | None, released, write) -> None:
    del released[ENCODER + name]
    if damage is not None:
        released[ENCODER + name] = damage
    assert "does not fit Encoder" in refusal(Encoder.from_checkpoint, write(released))


@pytest.mark.parametrize("damage", [None, torch.tensor(3.0), torch.zeros(0, 6, 3, 3)])
def test_damaged_neural_renderer_is_refused(damage: Tensor | None, released, write) -> None:
    del released[f"{NEURAL_RENDERER}encoder1.enc1conv1.weight"]
    if damage is not None:
        released[f"{NEURAL_RENDERER}encoder1.enc1conv1.weight"] = damage
    assert "does not fit NeuralRenderer" in refusal(NeuralRenderer.from_checkpoint, write(released))


def test_tensors_of_no_network_are_refused(released, write) -> None:
    released["module.smirk_encoder.x"] = torch.zeros(1)
    assert "1 unexpected (module.smirk_encoder.x)" in refusal(Encoder.from_checkpoint, write(released))


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"a": {"b": torch.zeros(1)}}, {1: torch.zeros(1)}, {}])
def test_other_content_is_refused(content: object, write) -> None:
    refusal(Encoder.from_checkpoint, write(content))


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 and no zip", b"hello, I am text", b"\x80\x02}q\x00(X", bytes(64)]
)
def test_files_of_no_format_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert "use the released SMIRK_em1.pt" in refusal(Encoder.from_checkpoint, path)


def test_truncated_files_are_refused(networks, released, write, tmp_path: Path) -> None:
    path = write(released)
    path.write_bytes(path.read_bytes()[:-1000])
    refusal(Encoder.from_checkpoint, path)
    own = tmp_path / "own.safetensors"
    save_networks(own, neural_renderer=networks[1], meta={})
    own.write_bytes(own.read_bytes()[:-1000])
    refusal(NeuralRenderer.from_checkpoint, own)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    assert "No such file" in refusal(Encoder.from_checkpoint, tmp_path / "none.pt")
    refusal(Encoder.from_checkpoint, tmp_path)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("container", ["torch", "pickle"])
def test_code_in_a_pickle_is_not_executed(container: str, released, tmp_path: Path) -> None:
    path, target = tmp_path / "weights.pt", tmp_path / "executed"
    content = released | {"x": Malicious(target)}
    if container == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps({"x": Malicious(target)}))
    assert "more than tensors" in refusal(Encoder.from_checkpoint, path)
    assert not target.exists()
    with open(path, "rb"):
        torch.load(path, weights_only=False) if container == "torch" else pickle.loads(path.read_bytes())
    assert target.exists()  # the trap was armed


def test_foreign_safetensors_and_damaged_headers_are_refused(networks, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    assert "no checkpoint of format 1" in refusal(Encoder.from_checkpoint, path)
    tensors = {ENCODER + name: tensor for name, tensor in networks[0].state_dict().items()}
    bounded = '{"spec": [{"name": "shape", "size": 3, "low": [0]}], "config": {}}'
    for header in ("[]", "{}", "no json", '{"spec": [{"size": 3}], "config": {}}', bounded):
        save_file(tensors, path, metadata={"smirk3d_networks": "1", "meta": "{}", "encoder": header})
        assert "is damaged" in refusal(Encoder.from_checkpoint, path)
    windows = ('{"center_m": [[0], 0, 0]}', '{"center_m": [0, 0]}', '{"root_m": "abc"}', '{"half_m": "x"}', "[]", "3")
    configs = ('{"colour": "x"}', "{}", '{"zoom_tta": 0.07}', '{"iterative_pose": true}')
    configs += tuple(f'{{"window": {window}}}' for window in windows)
    for header in (f'{{"spec": [], "config": {config}}}' for config in configs):
        save_file(tensors, path, metadata={"smirk3d_networks": "1", "meta": "{}", "encoder": header})
        assert "header" in refusal(Encoder.from_checkpoint, path)


def test_half_precision_halves_the_file(networks: tuple[Encoder, NeuralRenderer], tmp_path: Path) -> None:
    encoder, _ = networks
    for name, half in (("full", False), ("half", True)):
        save_networks(tmp_path / name, encoder=encoder, half=half, meta={})
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "full").stat().st_size
    loaded, expected = Encoder.from_checkpoint(tmp_path / "half"), encoder.state_dict()
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == expected[name].dtype
        torch.testing.assert_close(tensor, expected[name], atol=1e-3, rtol=1e-3)


def test_values_beyond_float16_are_refused(tmp_path: Path) -> None:
    renderer = NeuralRenderer(4)
    nn.init.constant_(renderer.conv.weight, 1e6)
    with pytest.raises(ValueError, match="float16"):
        save_networks(tmp_path / "a", neural_renderer=renderer, half=True, meta={})
    assert not list(tmp_path.iterdir())
