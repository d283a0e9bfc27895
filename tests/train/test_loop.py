"""A whole run: what it leaves behind, that it can be stopped and go on, and what it refuses."""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from training_context import SIZE, small_head, small_networks
from training_run import CORE, PRETRAIN, SmallFaces, stand_in, tiny_run

from smirk3d.datasets.config import AugmentConfig
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.networks.checkpoint import ENCODER, NEURAL_RENDERER, read_networks, save_networks
from smirk3d.output_lock import LOCK_SUFFIX
from smirk3d.train import loop
from smirk3d.train.config import EngineConfig
from smirk3d.train.config_file import load_config
from smirk3d.train.loop import TrainResult, train
from smirk3d.train.loss_config import LossWeights
from smirk3d.train.metrics import read_metrics
from smirk3d.train.preview import MIN_SIDE_PX
from smirk3d.train.run_folder import CONFIG_NAME, WEIGHTS_NAME, claimed_folder
from smirk3d.train.tasks import run_sampler, synthesis

Numbers = dict[str, dict[int, float]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch.setattr)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of four steps without a stop."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        stand_in(monkeypatch.setattr)
        assert train(tiny_run(folder)) == TrainResult(4, False, 0)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(read_networks(folder / WEIGHTS_NAME).tensors)


def numbers(folder: Path) -> Numbers:
    found = read_metrics(folder)
    found.pop("faces_per_s")
    return found


def assert_same_run(folder: Path, other: Path) -> None:
    assert numbers(folder) == numbers(other)
    mine, theirs = weights(folder), weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def break_at(step: int, monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Do something in the middle of a step, as a crash or a signal would come."""

    class Faces(SmallFaces):
        def batches(self, start: int, stop: int, rank: int = 0, world: int = 1) -> Iterator[TrainingBatch]:
            for number, batch in enumerate(super().batches(start, stop, rank, world), start):
                if number == step:
                    act()
                yield batch

    monkeypatch.setattr(run_sampler, "BatchSampler", Faces)


def crash() -> None:
    raise OSError("the machine has gone")


def test_what_a_run_leaves_behind(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    checkpoints = {"step_00000002.pt", "step_00000004.pt"}
    assert names == checkpoints | {CONFIG_NAME, WEIGHTS_NAME, "metrics.csv", "tensorboard", "previews"}
    assert load_config(whole / CONFIG_NAME) == tiny_run(whole)
    file = read_networks(whole / WEIGHTS_NAME)
    assert file.state_dict(ENCODER) and file.state_dict(NEURAL_RENDERER) and file.meta["step"] == "4"
    found = read_metrics(whole)
    for name in (
        "reconstruction/total",
        "reconstruction/landmark",
        "rate/encoder",
        "rate/neural_renderer",
        "faces_per_s",
    ):
        assert list(found[name]) == [0, 1, 2, 3], name
    assert list(found["cycle_encoder/total"]) == [0, 2] and list(found["cycle_neural_renderer/total"]) == [1, 3]
    assert found["rate/encoder"][0] == 0.25 * found["rate/neural_renderer"][0] == 0.25e-3
    assert {"reconstruction/gradient_encoder", "cycle_neural_renderer/gradient_neural_renderer"} <= set(found)
    total = {step: 100 * found["reconstruction/landmark"][step] for step in range(4)}
    for name, weight in (("photo", 10), ("expression", 1e-3)):
        total = {step: value + weight * found[f"reconstruction/{name}"][step] for step, value in total.items()}
    assert total == pytest.approx(found["reconstruction/total"], rel=1e-5)


def test_previews(whole: Path) -> None:
    assert {path.name for path in (whole / "previews").iterdir()} == {"step_00000002.png", "step_00000004.png"}
    with Image.open(whole / "previews" / "step_00000004.png") as sheet:
        pictures = np.asarray(sheet)
    factor = math.ceil(MIN_SIDE_PX / SIZE)
    side = factor * SIZE
    assert pictures.shape == (4 * (side + 16), 8 * side, 3)  # four faces; four pictures of each path
    photo = SmallFaces(tiny_run(whole).data, AugmentConfig(), 0, small_head("arkit")).batch(3).image[0]
    shown = torch.from_numpy(pictures[:side:factor, :side:factor].copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(shown, photo, atol=1 / 255, rtol=0)


def test_tensorboard_has_the_same_numbers(whole: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(whole / "tensorboard")).Reload()
    for name, values in read_metrics(whole).items():
        assert {event.step: event.value for event in board.Scalars(name)} == pytest.approx(values, rel=1e-6), name


def test_frozen_networks_stay_as_they_are(whole: Path) -> None:
    before = small_networks(small_head("arkit"))
    after = read_networks(whole / WEIGHTS_NAME)
    for network, prefix in ((before.encoder, ENCODER), (before.neural_renderer, NEURAL_RENDERER)):
        assert network is not None
        part = after.state_dict(prefix)
        for name, tensor in network.state_dict().items():
            is_frozen = name.startswith(("pose_encoder", "shape_encoder"))
            same = torch.equal(tensor, part[name])
            assert same if is_frozen else not same or "bias" in name, name


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_that_broke_goes_on_as_if_it_had_not(
    step: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, messages = tiny_run(tmp_path / "run"), []
    break_at(step, monkeypatch, crash)
    with pytest.raises(OSError, match="has gone"):
        train(config)
    assert len(numbers(config.out_dir)["reconstruction/total"]) == step
    monkeypatch.setattr(run_sampler, "BatchSampler", SmallFaces)
    assert train(config, resume=True, report=messages.append) == TrainResult(4, False, 0)
    assert any("no checkpoint yet" in line for line in messages) == (step == 1)
    assert_same_run(config.out_dir, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_step(
    number: signal.Signals, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, messages = tiny_run(tmp_path / "run", engine=EngineConfig("cpu", save_every=100, preview_every=0)), []
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    break_at(2, monkeypatch, lambda: os.kill(os.getpid(), number))
    assert train(config, report=messages.append) == TrainResult(3, True, 0)
    assert messages[0].startswith("stopping after this step")
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not list((config.out_dir / "previews").iterdir())
    monkeypatch.setattr(run_sampler, "BatchSampler", SmallFaces)
    assert train(config, resume=True) == TrainResult(4, False, 0)
    assert_same_run(config.out_dir, whole)
    assert train(config, resume=True) == TrainResult(4, False, 0)  # nothing is left to do
    assert_same_run(config.out_dir, whole)


def test_stage_core_starts_from_pretraining(tmp_path: Path) -> None:
    messages: list[str] = []
    first = tiny_run(tmp_path / "a", PRETRAIN)
    train(first)
    assert {name.split(".")[0] for name in weights(first.out_dir)} == {"smirk_encoder"}
    second = tiny_run(tmp_path / "b", replace(CORE, steps=1), init=first.out_dir / WEIGHTS_NAME)
    train(second, report=messages.append)
    assert any("no neural renderer; its training starts from random weights" in line for line in messages)
    trained, started = weights(second.out_dir), weights(first.out_dir)
    kept = [name for name in started if ".pose_encoder" in name or ".shape_encoder" in name]
    assert kept and all(torch.equal(trained[name], started[name]) for name in kept)


def test_init_of_another_build_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    networks = small_networks(small_head("flame"))
    save_networks(path, encoder=networks.encoder, meta={})  # type: ignore[arg-type]
    with pytest.raises(Smirk3dError, match="was trained for another head"):
        train(tiny_run(tmp_path / "a", init=path))
    networks = small_networks(small_head("arkit"))
    save_networks(path, encoder=networks.encoder, meta={})  # type: ignore[arg-type]
    config = tiny_run(tmp_path / "a", init=path)
    other = replace(config.encoder, pose_backbone="tf_efficientnet_lite0")
    with pytest.raises(Smirk3dError, match=r"set encoder\.pose_backbone=tf_mobilenetv3_small"):
        train(replace(config, encoder=other))
    stage = replace(CORE, trainable=("expression",))
    with pytest.raises(Smirk3dError, match="would stay random; add neural_renderer to"):
        train(replace(config, stage=stage))
    with pytest.raises(Smirk3dError, match=r"none\.safetensors: No such file"):
        train(replace(config, init=tmp_path / "none.safetensors"))
    assert not (tmp_path / "a").exists()


def test_folders_that_are_taken(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--resume"):
        train(tiny_run(whole))
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="holds no run"):
        train(tiny_run(tmp_path), resume=True)
    with pytest.raises(Smirk3dError, match="is no folder"):
        train(tiny_run(tmp_path / "holiday.jpg"))
    other = tiny_run(whole, replace(CORE, losses=LossWeights(landmark=1)))
    with pytest.raises(Smirk3dError, match=r"stage\.losses\.landmark was 100"):
        train(other, resume=True)


def test_a_second_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_run(tmp_path / "run")

    def train_again() -> None:
        for resume in (False, True):
            with pytest.raises(Smirk3dError, match="another process of smirk3d writes there"):
                train(config, resume=resume)
        monkeypatch.setenv("LOCAL_RANK", "1")
        with claimed_folder(config.out_dir):  # a further process of the same run
            pass
        monkeypatch.delenv("LOCAL_RANK")

    break_at(1, monkeypatch, train_again)
    assert train(config) == TrainResult(4, False, 0)


@pytest.mark.parametrize("left", [(), (CONFIG_NAME,), (CONFIG_NAME, "previews/")])
def test_a_run_that_was_killed_at_its_start_goes_on(left: tuple[str, ...], whole: Path, tmp_path: Path) -> None:
    config = tiny_run(tmp_path / "run")
    config.out_dir.mkdir()
    for name in (LOCK_SUFFIX, *left):  # a killed process leaves its lock
        (config.out_dir / name).mkdir() if name.endswith("/") else (config.out_dir / name).write_text("")
    assert train(config, resume=True) == TrainResult(4, False, 0)
    assert_same_run(config.out_dir, whole)


def test_an_interruption_leaves_the_checkpoints_of_a_whole_run(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_run(tmp_path / "run")
    break_at(2, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert train(config) == TrainResult(3, True, 0)
    assert train(config, resume=True) == TrainResult(4, False, 0)
    assert {path.name for path in config.out_dir.iterdir()} == {path.name for path in whole.iterdir()}


@pytest.mark.parametrize("name", [CONFIG_NAME, "metrics.csv", "previews", "step_00000002.pt"])
def test_nothing_is_written_through_a_link(name: str, tmp_path: Path) -> None:
    config = tiny_run(tmp_path / "run")
    config.out_dir.mkdir()
    (config.out_dir / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Smirk3dError, match=f"{name}: is a symbolic link; remove it"):
        train(config, resume=True)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_numbers_that_are_not_finite_end_the_run(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_run(tmp_path / "run")

    class Faces(SmallFaces):
        def batch(self, step: int) -> TrainingBatch:
            batch = super().batch(step)
            if step == 3 and where == "loss":
                batch.landmarks_ndc[0, 0] = 1e25
            return batch

    if where == "gradient":
        step_of = synthesis.reconstruction_step

        def poisoned(networks: Any, context: Any, batch: Any, generator: Any) -> Any:
            outcome = step_of(networks, context, batch, generator)
            if len(list(tmp_path.glob("run/step_*2.pt"))):
                expression = outcome.params.expression
                assert expression is not None
                expression.register_hook(lambda gradient: gradient * float("inf"))
            return outcome

        monkeypatch.setattr(synthesis, "reconstruction_step", poisoned)
    monkeypatch.setattr(run_sampler, "BatchSampler", Faces)
    with pytest.raises(Smirk3dError) as caught:
        train(config)
    expected = "step 3: the loss is not finite (landmark" if where == "loss" else "step 2: the gradient is not finite"
    assert str(caught.value).startswith(expected)
    assert f"init={config.out_dir / WEIGHTS_NAME}" in str(caught.value)
    assert [path.name for path in config.out_dir.glob("step_*")] == ["step_00000002.pt"]
    assert all(tensor.isfinite().all() for tensor in weights(config.out_dir).values())


def test_in_16_bits_the_scale_of_the_losses_is_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.precision import MixedPrecision

    scalers: list[torch.amp.GradScaler] = []

    def launch(config: EngineConfig) -> Fabric:  # on a CPU, where the configuration does not offer it
        start = 2.0**4 if len(scalers) == 2 else 2.0**17  # the third run shall not go by it
        scalers.append(torch.amp.GradScaler("cpu", init_scale=start))
        return Fabric(accelerator="cpu", plugins=MixedPrecision("16-mixed", "cpu", scalers[-1]))

    monkeypatch.setattr(loop, "launch", launch)
    config = tiny_run(tmp_path / "a", engine=EngineConfig("cuda", precision="16-mixed", preview_every=0))
    train(config)
    broken = replace(config, out_dir=tmp_path / "b")
    train(replace(broken, stage=replace(CORE, steps=2)))
    train(broken, resume=True)
    whole, first, second = (scaler.get_scale() for scaler in scalers)
    assert whole == second <= first < 2.0**17  # steps in which a gradient overflowed were left out
    mine, theirs = weights(broken.out_dir), weights(config.out_dir)
    assert all(torch.equal(mine[name], tensor) and tensor.isfinite().all() for name, tensor in theirs.items())
    assert len(set(numbers(config.out_dir)["reconstruction/total"].values())) == 4


def test_losses_that_teach_nobody_are_refused(tmp_path: Path) -> None:
    stage = replace(CORE, trainable=("neural_renderer",), losses=LossWeights(landmark=1), cycle=None)
    with pytest.raises(Smirk3dError, match="the losses landmark teach nothing to neural_renderer"):
        train(tiny_run(tmp_path / "run", stage))


@pytest.mark.parametrize("state", ["of another step", "missing", "damaged"])
def test_weights_that_are_not_of_the_checkpoint_are_written_anew(state: str, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    path, wanted, told = folder / WEIGHTS_NAME, weights(whole), []
    if state == "of another step":  # as after a kill between the checkpoint and the weights
        save_networks(path, encoder=small_networks(small_head()).encoder, meta={"step": "2"})
    elif state == "missing":
        path.unlink()
    else:
        path.write_bytes(b"{" * 100)
    assert train(tiny_run(folder), resume=True, report=told.append) == TrainResult(4, False, 0)
    assert any(WEIGHTS_NAME in line for line in told)
    found = weights(folder)
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
