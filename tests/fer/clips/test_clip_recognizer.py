"""Features of clips to results, tables and strips."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from smirk3d.fer.clips.clips_csv import CLIP_COLUMNS, clip_row, failed_row, write_clip_table
from smirk3d.fer.clips.frame_features import N_FRAME_FEATURES, RATE_FPS
from smirk3d.fer.clips.network import ClipNetwork
from smirk3d.fer.clips.recognizer import ClipEmotion, classify_clip, clip_parts
from smirk3d.fer.clips.strip import N_THUMBNAILS, clip_strip, strip_sheet
from smirk3d.fer.clips.tracked_clip import TrackedClip
from smirk3d.fer.emotions import EMOTIONS


def _tracked(n_frames: int) -> TrackedClip:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n_frames, N_FRAME_FEATURES)).astype(np.float32)
    times_s = 2 + np.arange(n_frames) / RATE_FPS
    return TrackedClip(features, times_s, np.zeros((n_frames, 72, 72, 3), np.uint8), times_s)


def _found(key_s: tuple[float, float, float] | None) -> ClipEmotion:
    probabilities = dict.fromkeys(EMOTIONS, 0.05) | {"fear": 0.65}
    return ClipEmotion(probabilities, key_s, 0.9, _tracked(20))


@pytest.mark.parametrize("n_frames", [1, 2, 20, 32, 48, 49, 200])
def test_parts_cover_the_clip(n_frames: int) -> None:
    ramp = np.arange(n_frames, dtype=np.float32)[:, None]
    parts, frames = clip_parts(ramp)
    assert parts.shape[1:] == (32, 1)
    assert parts[..., 0] == pytest.approx(frames)
    assert frames.min() == 0 and frames.max() == n_frames - 1
    assert len(parts) == 1 or n_frames > 48


@pytest.mark.parametrize("n_frames", [1, 24, 100])
def test_a_clip_of_any_length_is_classified(n_frames: int) -> None:
    torch.manual_seed(0)
    network = ClipNetwork().eval()
    with torch.no_grad():
        network.head.bias[0] = -20  # never neutral
    tracked = _tracked(n_frames)
    found = classify_clip(tracked, network)
    assert sum(found.probabilities.values()) == pytest.approx(1) and 0 <= found.agreement <= 1
    assert found.key_s is not None
    start, middle, end = found.key_s
    assert tracked.times_s[0] <= start <= middle <= end <= tracked.times_s[-1] + 1e-6


def test_a_neutral_clip_has_no_key_expression() -> None:
    torch.manual_seed(0)
    network = ClipNetwork().eval()
    with torch.no_grad():
        network.head.bias[0] = 20
    assert classify_clip(_tracked(20), network).key_s is None


def test_the_table(tmp_path: Path) -> None:
    rows = [clip_row("a.mp4", _found((2.5, 3.0, 3.5))), clip_row("b", _found(None)), failed_row("c", "no face")]
    write_clip_table(tmp_path / "clips.csv", rows)
    with open(tmp_path / "clips.csv", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(CLIP_COLUMNS)
    assert CLIP_COLUMNS[:2] == ("clip", "emotion") and CLIP_COLUMNS[2:10] == EMOTIONS
    assert read[0]["key_middle_s"] == "3.000" and read[0]["emotion"] == "fear" and read[0]["fear"] == "0.65000"
    assert read[1]["key_start_s"] == "" and read[2]["status"] == "no face" and read[2]["emotion"] == ""


def test_the_key_expression_is_framed() -> None:
    strip = clip_strip("x" * 200, _found((2.5, 3.0, 3.5)))
    assert strip.pixels.shape == (72, 72 * N_THUMBNAILS, 3)
    framed = strip.pixels[0, ::72].any(axis=1)
    assert 0 < framed.sum() < N_THUMBNAILS
    assert not clip_strip("x", _found(None)).pixels.any()
    assert len(strip.caption) < 140
    assert strip_sheet([strip, strip]).shape[0] > 2 * 72
