"""`smirk3d train`: words, exit codes, and the shipped configuration for a first try."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from smirk3d import Encoder, NeuralRenderer
from smirk3d.cli.main import main
from smirk3d.train import loop
from smirk3d.train.config import TrainConfig
from smirk3d.train.loop import TrainResult
from smirk3d.train.metrics import read_metrics

CONFIGS = Path(__file__).parents[2] / "configs"
SMOKE = str(CONFIGS / "smoke.yaml")


def lines(capsys: pytest.CaptureFixture) -> tuple[list[str], list[str]]:
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_help(capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("usage: smirk3d train", "CONFIG", "KEY=VALUE...", "--resume", "--debug", "networks.safetensors"):
        assert words in text


@pytest.mark.parametrize(
    ("finished", "code", "said"),
    [
        (TrainResult(6, False, 0), 0, "done: step 6 of 6; weights: o/networks.safetensors"),
        (TrainResult(2, True, 0), 130, "stopped at step 2 of 6; weights: o/networks.safetensors"),
        (TrainResult(2, True, 1), 0, ""),
    ],
)
def test_exit_codes(
    finished: TrainResult, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: list[tuple[TrainConfig, bool]] = []

    def train(config: TrainConfig, *, resume: bool, report: object) -> TrainResult:
        asked.append((config, resume))
        return finished

    monkeypatch.setattr(loop, "train", train)
    assert main(["train", SMOKE, "out_dir=o", "data.batch_size=8", "--resume"]) == code
    ((config, resume),) = asked
    assert (str(config.out_dir), config.data.batch_size, resume) == ("o", 8, True)
    assert lines(capsys) == ([said] if said else [], [])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["none.yaml"], 1, "none.yaml: cannot be read as YAML"),
        ([SMOKE, "data.siez=3"], 1, "the nearest one is data.size"),
        ([SMOKE, "head=none.pkl", "out_dir=new"], 1, "none.pkl"),
        ([SMOKE, "out_dir=."], 2, "is not empty; go on with --resume, or give another out_dir"),
        ([SMOKE, "out_dir=new", "engine.devices=3", "data.batch_size=5"], 1, "engine.devices must"),
        ([SMOKE, "out_dir=new", "init=nothing.pt"], 1, "nothing.pt"),
    ],
)
def test_errors_are_one_line(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holiday.txt").write_text("")
    assert main(["train", *words]) == code
    stdout, stderr = lines(capsys)
    assert not stdout and len(stderr) == 1 and said in stderr[0], stderr
    assert os.listdir(tmp_path) == ["holiday.txt"]


@pytest.mark.slow
def test_the_smoke_configuration_with_a_kill_and_a_signal(tmp_path: Path) -> None:
    """The real command on rendered heads: killed, resumed, interrupted, resumed; then as if nothing had been."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert _start(whole).wait() == 0
    process = _start(broken)
    _wait_for(broken / "step_00000002.pt")
    process.kill()
    process.wait()
    process = _start(broken, "--resume")
    _wait_for(broken / "step_00000004.pt")
    process.send_signal(signal.SIGTERM)
    assert process.wait() in (130, 0)  # 0: it was through
    assert _start(broken, "--resume").wait() == 0
    found, expected = read_metrics(broken), read_metrics(whole)
    for name in expected.keys() - {"faces_per_s"}:
        assert found[name] == expected[name], name
    for network in (Encoder, NeuralRenderer):
        both = [network.from_checkpoint(folder / "networks.safetensors").state_dict() for folder in (whole, broken)]
        assert all(torch.equal(tensor, both[1][name]) for name, tensor in both[0].items())
    assert {path.name for path in (whole / "previews").iterdir()} == {"step_00000003.png", "step_00000006.png"}


def _start(out_dir: Path, *flags: str) -> subprocess.Popen[bytes]:
    words = ["train", SMOKE, f"out_dir={out_dir}", "data.root=null", "data.sources=[{kind: rendered, count: 16}]"]
    environment = os.environ | {"PYTHONPATH": str(CONFIGS.parent)}
    return subprocess.Popen([sys.executable, "-m", "smirk3d.cli.main", *words, *flags], env=environment)


def _wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < deadline_s, path
        time.sleep(0.05)
