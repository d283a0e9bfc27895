"""Several processes learn as one, and what cannot be had is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from training_context import small_head, small_networks
from training_run import PRETRAIN, stand_in, tiny_run

from smirk3d.errors import Smirk3dError
from smirk3d.train import engine, loop
from smirk3d.train.config import EngineConfig, StageConfig
from smirk3d.train.config_file import to_yaml
from smirk3d.train.loss_config import LossWeights
from smirk3d.train.metrics import read_metrics
from smirk3d.train.networks import Networks

SCRIPT = Path(__file__).parents[1] / "fixtures" / "training_run.py"


class Pair:
    """Stands in for Fabric: two processes, of which the other has given tensors, joined."""

    world_size, device = 2, torch.device("cpu")

    def __init__(self, others: Tensor) -> None:
        self._others = others

    def all_reduce(self, tensor: Tensor, reduce_op: str) -> None:
        assert reduce_op == "mean" and tensor.shape == self._others.shape
        tensor.add_(self._others).div_(2)


def test_gradients_are_averaged_where_there_are_any() -> None:
    first, second, third = (nn.Parameter(torch.zeros(size)) for size in ((2, 2), (3,), (1,)))
    first.grad, third.grad = torch.arange(4.0).view(2, 2), torch.tensor([8.0])
    engine.average_gradients([first, second, third], Pair(torch.tensor([2.0, 1.0, 0.0, 5.0, 0.0])))  # type: ignore[arg-type]
    assert first.grad.tolist() == [[1, 1], [1, 4]] and second.grad is None and third.grad.tolist() == [4]


def test_statistics_are_averaged_and_nothing_else() -> None:
    encoder = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    encoder.register_buffer("limit", torch.tensor([7.0]))
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    engine.average_statistics(Networks(encoder), Pair(torch.tensor([2.0, 4.0, 3.0, 5.0])))  # type: ignore[arg-type]
    expected = before | {"1.running_mean": torch.tensor([1.0, 2.0]), "1.running_var": torch.tensor([2.0, 3.0])}
    for name, tensor in encoder.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], msg=name)


def test_flags_and_values_of_both_processes() -> None:
    assert engine.any_of(False, Pair(torch.tensor([1.0]))) and engine.any_of(True, Pair(torch.tensor([0.0])))  # type: ignore[arg-type]
    assert not engine.any_of(False, Pair(torch.tensor([0.0])))  # type: ignore[arg-type]
    others = Pair(torch.tensor([3.0, 4.0], dtype=torch.float64))
    assert engine.average_values({"a": 1.0, "b": 0.0}, others) == {"a": 2.0, "b": 2.0}  # type: ignore[arg-type]


def test_two_processes_learn_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = StageConfig("pretrain", PRETRAIN.trainable, LossWeights(landmark=100, target=1, expression=1), 3)
    config = tiny_run(tmp_path / "one", stage)
    stand_in(monkeypatch.setattr, with_norms=False)
    loop.train(config)
    (tmp_path / "run.yaml").write_text(to_yaml(config), encoding="utf-8")
    overrides = [f"out_dir={tmp_path / 'two'}", "engine.devices=2"]
    done = run_script("train", str(tmp_path / "run.yaml"), *overrides)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1:] == [f"done: step 3 of 3; weights: {tmp_path / 'two' / 'networks.safetensors'}"]
    one, two = read_metrics(tmp_path / "one"), read_metrics(tmp_path / "two")
    assert one.keys() == two.keys() and list(two["reconstruction/total"]) == [0, 1, 2]
    for name in one.keys() - {"faces_per_s"}:
        assert two[name] == pytest.approx(one[name], rel=1e-4), name


def run_script(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment["PYTHONPATH"] = os.pathsep.join([str(SCRIPT.parents[2]), environment.get("PYTHONPATH", "")])
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


def test_networks_compute_in_bfloat16_and_answer_in_float32() -> None:
    networks = small_networks(small_head("arkit"))
    names = list(networks.encoder.state_dict())
    dtypes: list[torch.dtype] = []
    layer = networks.encoder.get_submodule("pose_encoder.encoder.0")
    layer.register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype))
    fabric = engine.launch(EngineConfig("cpu", precision="bf16-mixed"))
    engine.move_to_device(networks, fabric)
    params = networks.encoder(torch.rand(2, 3, 64, 64))
    assert dtypes == [torch.bfloat16] and {value.dtype for _, value in params.items()} == {torch.float32}
    assert list(networks.encoder.state_dict()) == names
    fabric.backward(torch.cat([value for _, value in params.items()], dim=1).square().sum())
    gradients = [parameter.grad for parameter in networks.encoder.parameters()]
    assert {gradient.dtype for gradient in gradients if gradient is not None} == {torch.float32}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (EngineConfig("cpu", precision="16-mixed"), "needs CUDA"),
        (EngineConfig("cuda", devices=99), "engine"),
    ],
)
def test_what_is_not_to_be_had(config: EngineConfig, words: str) -> None:
    with pytest.raises(Smirk3dError, match=words) as caught:
        engine.launch(config)
    assert "\n" not in str(caught.value)


def test_processes_that_do_not_fit_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(Smirk3dError, match=r"3 processes were started, and engine\.devices"):
        engine.launch(EngineConfig("cpu"))


def test_without_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(Smirk3dError, match=r"pip install 'smirk3d\[train\]'"):
        engine.launch(EngineConfig("cpu"))
