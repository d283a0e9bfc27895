"""A run of the clip network on clips with features that are known, and its report."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted_training import interrupt_in_step
from PIL import Image

from smirk3d.cli.main import main
from smirk3d.errors import UsageError
from smirk3d.fer.clips.agreement import VERDICTS
from smirk3d.fer.clips.frame_features import N_FRAME_FEATURES
from smirk3d.fer.clips.network import load_clip_network
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.train.clip_emotion import real_data
from smirk3d.train.clip_emotion.config import ClipDataConfig, ClipTrainConfig, LabelReviewConfig, SyntheticClipsConfig
from smirk3d.train.clip_emotion.label_report import COLUMNS, write_label_report
from smirk3d.train.clip_emotion.run import train_clip_network, weights_path
from smirk3d.train.clip_emotion.synthetic_data import weight_only_clips
from smirk3d.train.config_file import load_record

RECIPE = Path(__file__).parents[3] / "configs/recipes/rdfer.yaml"


def _known_features(clips: Sequence, *_: object) -> tuple[list[np.ndarray], list]:
    rng = np.random.default_rng(0)
    features = np.zeros((len(clips), 32, N_FRAME_FEATURES), np.float32)
    features[..., :8] = rng.normal(0, 0.3, (len(clips), 32, 8))
    for row, clip in zip(features, clips):
        row[8:20, clip.label] += 2
    return list(features), list(clips)


@pytest.fixture
def data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of clips for two emotions, whose features are made up instead of tracked."""
    monkeypatch.setattr(real_data, "_features", _known_features)
    for emotion in ("happy", "sad"):
        for k in range(15):
            folder = tmp_path / "clips" / emotion / f"{k:02d}"
            folder.mkdir(parents=True)
            for frame in range(2):
                Image.new("RGB", (40, 30), (9 * k, 99, 99 * frame)).save(folder / f"{frame}.png")
    return tmp_path / "clips"


def _config(data_set: Path, out_dir: Path) -> ClipTrainConfig:
    data = ClipDataConfig(synthetic=SyntheticClipsConfig(count=0, weights_only=0), folder=data_set)
    return ClipTrainConfig(kind="clips", data=data, out_dir=out_dir, epochs=20, batch_size=8)


def test_a_run_writes_weights_measures_and_a_report(data_set: Path, tmp_path: Path) -> None:
    config = _config(data_set, tmp_path / "run")
    result, reviewed = train_clip_network(config, report=lambda text: None)
    assert result.measures["uar"] > 80 and len(reviewed.clips) == 24
    load_clip_network(weights_path(config))
    with open(config.out_dir / "confusion.csv", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == list(EMOTIONS) and sum(int(cell) for row in rows[1:] for cell in row[1:]) == 6
    reviewed.review.verdict[:3] = VERDICTS.index("noisy")
    paths = write_label_report(reviewed, config.out_dir)
    with open(paths[0], encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == COLUMNS and [row["verdict"] for row in table[:3]] == ["noisy"] * 3
    assert Image.open(config.out_dir / "labels_noisy.png").size[1] == 3 * (72 + 20)
    with pytest.raises(UsageError, match="not empty"):
        train_clip_network(config, report=lambda text: None)


def test_the_command_trains_by_the_recipe(data_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cli"
    changes = [
        "data.synthetic.count=0",
        "data.synthetic.reanimated=0",
        "data.synthetic.photo_people=null",
        "data.synthetic.weights_only=0",
        "data.synthetic.photos=null",
        "epochs=2",
        "batch_size=8",
    ]
    code = main(["fer", "train", str(RECIPE), f"data.folder={data_set}", f"out_dir={out}", *changes, "--report"])
    assert code == 0 and (out / "labels.csv").is_file() and (out / "clips.safetensors").is_file()
    assert "done: step 6 of 6" in capfd.readouterr().out


def test_a_resumed_run_repeats_an_uninterrupted_one(
    data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = LabelReviewConfig(warm_up=1, every=1)
    whole, cut = (replace(_config(data_set, tmp_path / name), epochs=4, review=review) for name in ("whole", "cut"))
    result, reviewed = train_clip_network(whole, report=lambda text: None)
    with monkeypatch.context() as patch:
        interrupt_in_step(patch, 7)  # in the third of four epochs of three steps
        assert train_clip_network(cut, report=lambda text: None)[0].step == 8
    resumed, again = train_clip_network(cut, resume=True, report=lambda text: None)
    one, other = (load_clip_network(each.weights).state_dict() for each in (result, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one) and resumed.measures == result.measures
    assert np.array_equal(reviewed.review.evidence.noise_score, again.review.evidence.noise_score)


def test_the_recipe_is_a_configuration() -> None:
    config = load_record(ClipTrainConfig, RECIPE, ["data.dfew=dfew", "data.fold=3"])
    assert config.data.dfew == Path("dfew") and config.data.fold == 3


def test_clips_of_weights_alone_have_no_vectors() -> None:
    clips, truth = weight_only_clips(8, 1)
    assert clips.features[..., :256].isnan().all() and not clips.features[..., 256:].isnan().any()
    assert clips.label.tolist() == list(range(8)) == truth.emotion.tolist()
    assert torch.equal(clips.features.nan_to_num(), weight_only_clips(8, 1)[0].features.nan_to_num())


def test_read_features_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_data, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(real_data, "Reconstructor", lambda: nullcontext_with_close())
    calls = []

    class Tracked:
        features = np.ones((20, N_FRAME_FEATURES), np.float32)

    monkeypatch.setattr(real_data, "track_clip", lambda *args, **kwargs: calls.append(1) or Tracked)
    monkeypatch.setattr(real_data, "open_source", lambda *args: None)
    for k in range(2):
        (tmp_path / "set" / "fear" / f"{k}").mkdir(parents=True)
        (tmp_path / "set" / "fear" / f"{k}" / "0.png").write_bytes(b"")
    data = ClipDataConfig(folder=tmp_path / "set")
    for _ in range(2):
        found = real_data.real_clip_set(data, "train", None, lambda text: None)
        assert found is not None and found[0].features.shape == (1, 32, N_FRAME_FEATURES)
    assert len(calls) == 1


def nullcontext_with_close() -> object:
    class Closed(nullcontext):
        def close(self) -> None:
            pass

    return Closed()
