"""Checkpoints: a run that was stopped goes on as if it had not been, and what does not fit is refused."""

from __future__ import annotations

import logging
import os
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR

from smirk3d.datasets.config import DataConfig, SourceConfig
from smirk3d.errors import Smirk3dError
from smirk3d.train import checkpoint
from smirk3d.train.checkpoint import TrainingState, resume_training, save_training
from smirk3d.train.checkpoint_folder import checkpoint_path, keep_last, latest_checkpoint
from smirk3d.train.config import EngineConfig, OptimizerConfig, StageConfig, TrainConfig
from smirk3d.train.config_file import to_yaml
from smirk3d.train.loss_config import CycleConfig, LossWeights

STEPS, FACES, BATCH = 20, 24, 4
CONFIG = TrainConfig(
    data=DataConfig((SourceConfig(Path("faces")),)),
    stage=StageConfig("core", ("expression", "neural_renderer"), LossWeights(landmark=1), steps=STEPS),
)


def tiny_state(seed: int) -> TrainingState:
    """A network with all that has a state: weights, batch statistics, dropout, Adam, cosine, generators."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))
    adam = torch.optim.Adam(net.parameters(), lr=0.05)
    generators = {name: torch.Generator().manual_seed(seed + i) for i, name in enumerate(("order", "noise"))}
    return TrainingState(
        0, {"net": net}, {"adam": adam}, {"cosine": CosineAnnealingLR(adam, STEPS)}, generators, CONFIG, "abc"
    )


def train(state: TrainingState, first: int, last: int) -> list[float]:
    """Do steps `first` to `last` - 1 on shuffled data, with random numbers from every source."""
    faces = torch.randn(FACES, 3, generator=torch.Generator().manual_seed(9))
    net, adam = state.modules["net"], state.optimizers["adam"]
    losses = []
    for _ in range(first, last):
        index = torch.randperm(FACES, generator=state.generators["order"])[:BATCH]
        noise = torch.randn(BATCH, 3, generator=state.generators["noise"])
        scale = 1 + 0.1 * np.random.standard_normal() + 0.1 * random.gauss(0, 1)
        loss = (net(faces[index] * scale + 0.1 * noise) - faces[index].sum(1, keepdim=True)).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        state.schedulers["cosine"].step()
        losses.append(loss.item())
    return losses


def tensors(state: TrainingState) -> dict[str, Tensor]:
    moments = state.optimizers["adam"].state_dict()["state"]
    found = {f"net.{name}": tensor for name, tensor in state.modules["net"].state_dict().items()}
    found |= {f"adam.{i}.{name}": tensor for i, each in moments.items() for name, tensor in each.items()}
    found |= {f"generator.{name}": generator.get_state() for name, generator in state.generators.items()}
    return found | {"torch": torch.get_rng_state(), "numpy": torch.rand(1) * 0 + np.random.rand()}


@dataclass(frozen=True)
class Run:
    losses: list[float]
    tensors: dict[str, Tensor]
    rates: list[float]


def finished(state: TrainingState, losses: list[float]) -> Run:
    return Run(losses, tensors(state), [group["lr"] for group in state.optimizers["adam"].param_groups])


@pytest.fixture(scope="module")
def whole_run() -> Run:
    state = tiny_state(0)
    return finished(state, train(state, 0, STEPS))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    state = tiny_state(0)
    train(state, 0, 3)
    path = checkpoint_path(tmp_path, 3)
    save_training(path, replace(state, step=3))
    return path


def refusal(path: Path, state: TrainingState) -> str:
    """Return the one-line message of a refused resumption, which must change nothing."""
    before = [tensor.clone() for tensor in tensors(state).values()]
    with pytest.raises(Smirk3dError) as caught:
        resume_training(path, state)
    assert all(torch.equal(a, b) for a, b in zip(before[:-2], list(tensors(state).values())[:-2]))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


@pytest.mark.parametrize("stop", [0, 1, 7, 13, STEPS])
def test_stopped_and_resumed_run_equals_the_whole_one(stop: int, whole_run: Run, tmp_path: Path) -> None:
    state = tiny_state(0)
    losses = train(state, 0, stop)
    save_training(tmp_path / "run.pt", replace(state, step=stop))

    fresh = tiny_state(1234)  # other weights, other random numbers
    train(fresh, 0, 2)  # and moments that must go
    assert resume_training(tmp_path / "run.pt", fresh) == stop
    run = finished(fresh, losses + train(fresh, stop, STEPS))

    assert run.losses == whole_run.losses and run.rates == whole_run.rates
    assert run.tensors.keys() == whole_run.tensors.keys()
    assert all(torch.equal(run.tensors[name], tensor) for name, tensor in whole_run.tensors.items())


def test_saving_changes_nothing(whole_run: Run, tmp_path: Path) -> None:
    state, losses = tiny_state(0), []
    for step in range(STEPS):
        losses += train(state, step, step + 1)
        save_training(tmp_path / "run.pt", replace(state, step=step + 1))
    assert losses == whole_run.losses


def test_half_a_pair_of_normal_numbers_is_kept(tmp_path: Path) -> None:
    """NumPy and Python make normal numbers in pairs and keep the second one."""
    state = tiny_state(0)
    np.random.randn(1)
    random.gauss(0, 1)
    save_training(tmp_path / "run.pt", state)
    wanted = np.random.randn(), random.gauss(0, 1)
    resume_training(tmp_path / "run.pt", tiny_state(5))
    assert (np.random.randn(), random.gauss(0, 1)) == wanted


@pytest.mark.parametrize(
    "make", [lambda adam: MultiStepLR(adam, [2, 5]), lambda adam: LambdaLR(adam, lambda i: 0.9**i)]
)
def test_other_schedulers_go_on(make: Callable, tmp_path: Path) -> None:
    def scheduled() -> TrainingState:
        state = tiny_state(0)
        return replace(state, schedulers={"cosine": make(state.optimizers["adam"])})

    state, fresh = scheduled(), scheduled()
    train(state, 0, 4)
    save_training(tmp_path / "run.pt", state)
    resume_training(tmp_path / "run.pt", fresh)
    assert train(fresh, 4, 9) == train(scheduled(), 0, 9)[4:]


def test_the_file_loads_without_executing_anything(saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    assert content["step"] == 3 and isinstance(content["modules"]["net"], OrderedDict)


class Executed:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_a_file_with_code_is_refused_and_not_run(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = torch.load(saved, weights_only=True)
    torch.save({**content, "extra": Executed()}, saved)
    assert "holds no whole training state" in refusal(saved, tiny_state(1))
    assert not Path("executed").exists()


def test_a_state_that_could_not_be_read_back_is_not_saved(tmp_path: Path) -> None:
    state = tiny_state(0)
    state.optimizers["adam"].param_groups[0]["lr"] = np.float64(0.1)
    with pytest.raises(ValueError, match=r"optimizers\.adam\.param_groups\.0\.lr is a float64"):
        save_training(tmp_path / "run.pt", state)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_file_before(saved: Path) -> None:
    resource = pytest.importorskip("resource")
    content = saved.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # as a full disk would
        with pytest.raises(Smirk3dError, match=r"cannot write .*too large") as caught:
            save_training(saved, tiny_state(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert saved.read_bytes() == content and list(saved.parent.iterdir()) == [saved]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match="folder does not exist"):
        save_training(tmp_path / "none" / "run.pt", tiny_state(0))


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (replace(CONFIG, seed=1), ["seed was 0, now 1"]),
        (replace(CONFIG, head="flame.pkl"), ["head was 'open', now 'flame.pkl'"]),
        (
            replace(CONFIG, optimizer=OptimizerConfig(lr=0.5), init=Path("a.pt")),
            ["optimizer.lr was 0.001, now 0.5", "init was None, now 'a.pt'"],
        ),
        (
            replace(CONFIG, data=DataConfig((SourceConfig(Path("a")), SourceConfig(Path("b"))))),
            ["data.sources.0.path was 'faces', now 'a'", "data.sources.1.path was nothing, now 'b'"],
        ),
        (
            replace(CONFIG, stage=replace(CONFIG.stage, cycle=CycleConfig())),
            ["stage.cycle was None, now nothing", "stage.cycle.losses.jaw was nothing, now 10.0"],
        ),
    ],
)
def test_another_configuration_is_refused_and_its_keys_are_listed(
    config: TrainConfig, names: list[str], saved: Path
) -> None:
    found = refusal(saved, replace(tiny_state(1), config=config))
    assert all(name in found for name in names)


def test_only_differing_keys_are_listed(saved: Path) -> None:
    found = refusal(saved, replace(tiny_state(1), config=replace(CONFIG, seed=1)))
    assert found.count(" was ") == 1


def test_engine_folder_and_length_may_differ(saved: Path) -> None:
    config = replace(
        CONFIG,
        out_dir=Path("elsewhere"),
        engine=EngineConfig(accelerator="cpu", save_every=1, precision="bf16-mixed"),
        stage=replace(CONFIG.stage, steps=99),
    )
    assert resume_training(saved, replace(tiny_state(1), config=config)) == 3


def test_a_configuration_with_earlier_names_of_keys_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "to_yaml", lambda config: to_yaml(config).replace("  flip_tta:", "  mirrored:"))
        save_training(checkpoint_path(tmp_path, 3), replace(tiny_state(0), step=3))
    path = checkpoint_path(tmp_path, 3)
    assert "  mirrored: false\n" in torch.load(path, weights_only=True)["config"]
    assert resume_training(path, tiny_state(1)) == 3


def test_a_checkpoint_with_old_names_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tiny_state(0)
    state.optimizers["adam"].param_groups[0]["name"] = "generator"
    text = to_yaml(CONFIG).replace("\nencoder:", "\nbackbones:").replace("max_per_person", "most_per_person")
    assert "backbones:" in text and "most_per_person" in text
    monkeypatch.setattr(checkpoint, "to_yaml", lambda config: text)
    save_training(tmp_path / "old.pt", replace(state, step=2, modules={"generator": state.modules["net"]}))
    monkeypatch.undo()
    again = tiny_state(1)
    again = replace(again, modules={"neural_renderer": again.modules["net"]})
    assert resume_training(tmp_path / "old.pt", again) == 2
    assert again.optimizers["adam"].param_groups[0]["name"] == "neural_renderer"
    before, after = state.modules["net"].state_dict(), again.modules["neural_renderer"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_head_is_refused(saved: Path) -> None:
    assert "the head was abc, now xyz" in refusal(saved, replace(tiny_state(1), head_hash="xyz"))


def test_other_networks_are_refused(saved: Path) -> None:
    state = tiny_state(1)
    layers = list(state.modules["net"].children())
    wider = nn.Sequential(nn.Linear(3, 9), *layers[1:])
    assert "net: 2 misshaped (0.weight, 0.bias)" in refusal(saved, replace(state, modules={"net": wider}))
    deeper = nn.Sequential(*layers, nn.Linear(1, 1))
    assert "net: 2 missing (5.weight, 5.bias)" in refusal(saved, replace(state, modules={"net": deeper}))
    shorter = nn.Sequential(*layers[:4])
    assert "net: 2 unexpected (4.weight, 4.bias)" in refusal(saved, replace(state, modules={"net": shorter}))


@pytest.mark.parametrize("part", ["modules", "optimizers", "schedulers", "generators"])
def test_every_object_must_be_there_and_none_left_over(part: str, saved: Path) -> None:
    state = tiny_state(1)
    group = dict(getattr(state, part))
    more = replace(state, **{part: {**group, "other": next(iter(group.values()))}})
    assert f"{part}: 1 missing (other)" in refusal(saved, more)
    save_training(saved, more)
    assert f"{part}: 1 unexpected (other)" in refusal(saved, state)


def test_other_parameter_groups_are_refused(saved: Path) -> None:
    state = tiny_state(1)
    adam = torch.optim.Adam(list(state.modules["net"].parameters())[:2])
    found = refusal(saved, replace(state, optimizers={"adam": adam}))
    assert "adam has parameter groups of [6] tensors, expected [2]" in found


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.pt", tiny_state(1))
    (tmp_path / "text.pt").write_text("hello")
    assert "is damaged or no checkpoint" in refusal(tmp_path / "text.pt", tiny_state(1))
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    assert "is no training checkpoint of format 2" in refusal(tmp_path / "other.pt", tiny_state(1))
    torch.save({"smirk3d_training": 2, "step": 3}, tmp_path / "part.pt")
    assert "part.pt: is damaged; resume from" in refusal(tmp_path / "part.pt", tiny_state(1))


def test_a_file_that_was_cut_short_is_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for length in [0, 1, 100, *range(1000, len(content), 4999), len(content) - 1]:
        saved.write_bytes(content[:length])
        assert "damaged" in refusal(saved, tiny_state(1))


def test_changed_bytes_are_refused_or_have_no_effect(saved: Path) -> None:
    content = saved.read_bytes()
    reference = tiny_state(1)
    resume_training(saved, reference)
    wanted, refused = list(tensors(reference).values()), 0
    for at in range(0, len(content), 397):
        saved.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        state = tiny_state(1)
        try:
            resume_training(saved, state)
        except Smirk3dError as error:
            assert "\n" not in str(error)
            refused += 1
        else:  # padding between the parts
            assert all(torch.equal(a, b) for a, b in zip(wanted, tensors(state).values()))
    assert refused > 0


def test_the_newest_checkpoint_is_found(saved: Path, tmp_path: Path) -> None:
    for step in (20_000_000, 100_000_000):
        save_training(checkpoint_path(tmp_path, step), tiny_state(0))
    (tmp_path / "step_00000999.txt").write_text("no checkpoint")
    (tmp_path / "best.pt").write_text("neither")
    assert latest_checkpoint(tmp_path) == checkpoint_path(tmp_path, 100_000_000)
    assert checkpoint_path(tmp_path, 3) == saved == tmp_path / "step_00000003.pt"


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "none") is None


def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_taken(
    saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newest = checkpoint_path(saved.parent, 4)
    newest.write_bytes(saved.read_bytes()[:-300])
    with caplog.at_level(logging.WARNING):
        assert latest_checkpoint(saved.parent) == saved
    assert str(newest) in caplog.text and "damaged" in caplog.text and str(saved) not in caplog.text


def test_nothing_but_damaged_checkpoints_is_an_error(saved: Path) -> None:
    saved.write_bytes(b"")
    with pytest.raises(Smirk3dError, match="all 1 checkpoints are damaged"):
        latest_checkpoint(saved.parent)


def test_old_checkpoints_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for step in (9, 10, 100_000_000, 20_000_000):
        checkpoint_path(tmp_path, step).touch()
    (tmp_path / "best.pt").touch()
    keep_last(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "step_100000000.pt", "step_20000000.pt"]
    keep_last(tmp_path, 5)
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(ValueError, match="at least 1"):
        keep_last(tmp_path, 0)


@pytest.mark.parametrize(
    ("steps", "n", "kept"),
    [
        ((10, 20, 23), 2, {20, 23}),  # the newest is always kept
        ((20, 23, 30), 2, {20, 30}),
        ((20, 23, 25), 2, {20, 25}),
        ((3, 10), 2, {10}),
        ((23, 30), 2, {23, 30}),  # of a run with another interval
        ((10, 20, 30), 2, {20, 30}),
    ],
)
def test_checkpoints_of_an_interruption_do_not_count(steps: Any, n: int, kept: set[int], tmp_path: Path) -> None:
    for step in steps:
        checkpoint_path(tmp_path, step).touch()
    keep_last(tmp_path, n, every=10)
    assert {path for path in tmp_path.iterdir()} == {checkpoint_path(tmp_path, step) for step in kept}


def test_later_damaged_checkpoints_cost_no_intact_one(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        checkpoint_path(tmp_path, step).touch()
    keep_last(tmp_path, 1, every=10, newest=20)
    assert sorted(tmp_path.iterdir()) == [checkpoint_path(tmp_path, step) for step in (20, 30)]
