"""A clip on disk to features, thumbnails, the table and the strips."""

from __future__ import annotations

import csv
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from video_files import write_video

from smirk3d import Reconstructor
from smirk3d.cli.fer_clips import clips_of
from smirk3d.cli.main import main
from smirk3d.errors import UsageError
from smirk3d.fer.clips.frame_features import ANGLES, N_FRAME_FEATURES, RATE_FPS, WEIGHTS
from smirk3d.fer.clips.network import ClipNetwork
from smirk3d.fer.clips.prediction_run import ClipOptions, predict_clips
from smirk3d.fer.clips.tracked_clip import track_clip
from smirk3d.fer.detected_faces import THUMBNAIL_PX
from smirk3d.media.video import open_source
from smirk3d.networks.half_file import save_half
from smirk3d.tracking import track_video


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip of a face, of 1 s, and one without a face."""
    root = tmp_path_factory.mktemp("clips")
    photo = Image.fromarray(astronaut()[:320, 60:380])
    for name in ("face", "nobody"):
        (root / name).mkdir()
    for k in range(9):
        photo.rotate(k - 4, Image.Resampling.BILINEAR).save(root / "face" / f"{k:03d}.jpg")
    for k in range(2):
        Image.new("RGB", (200, 200), (90, 20 * k, 60)).save(root / "nobody" / f"{k:03d}.jpg")
    return root


@pytest.fixture(scope="module")
def reconstructor() -> object:
    with closing(Reconstructor()) as found:
        yield found


def test_the_features_of_a_clip(clips: Path, reconstructor: Reconstructor) -> None:
    found = track_clip(open_source(str(clips / "face"), 8.0), reconstructor)
    assert found.features.shape == (9, N_FRAME_FEATURES) and np.isfinite(found.features).all()
    assert found.times_s == pytest.approx(np.arange(9) / RATE_FPS)
    assert found.features[:, WEIGHTS].min() >= 0 and found.features[:, WEIGHTS].max() <= 1
    roll = found.features[:, ANGLES][:, 2]
    assert abs(np.diff(roll).mean() * 30) == pytest.approx(1, abs=0.4)  # a degree a frame
    assert found.thumbnails.shape == (9, THUMBNAIL_PX, THUMBNAIL_PX, 3)


def test_one_clip_without_a_face_stops_nothing(clips: Path, reconstructor: Reconstructor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "net.safetensors"
    save_half(ClipNetwork(), weights, {})
    paths = clips_of(str(clips))
    assert [path.name for path in paths] == ["face", "nobody"]
    summary = predict_clips(paths, tmp_path / "out", reconstructor, ClipOptions(weights))
    assert (summary.done, summary.failed) == (1, 1)
    again = predict_clips(paths, tmp_path / "out", reconstructor, ClipOptions(weights, resume=True))
    assert (again.done, again.failed, again.skipped) == (0, 1, 1)
    with open(tmp_path / "out" / "clips.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["status"] == "ok" and rows[0]["emotion"] and "no face" in rows[1]["status"]
    assert Image.open(tmp_path / "out" / "clips.png").size[0] >= 3 * THUMBNAIL_PX  # 9 frames of 40 ms


def test_the_command_classifies_clips(clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["fer", "predict", "--clips", str(clips / "face" / ".."), "--out", str(tmp_path)]
    assert main(command) == 1  # one clip has no face
    assert "clips: 1 done, 1 failed" in capfd.readouterr().out and not (tmp_path / "emotions.csv").exists()


def test_folders_without_clips_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no videos"):
        clips_of(str(tmp_path))
    with pytest.raises(UsageError, match="is no folder"):
        clips_of(str(tmp_path / "none"))


def test_videos_among_the_inputs_are_tracked_once(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.asarray(Image.open(path)) for path in sorted((clips / "face").iterdir())]
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "a.mp4", [frame for frame in frames for _ in range(3)], codec="mpeg4", qscale="1")
    passes = []
    run_once = track_video.run_detection_pass
    monkeypatch.setattr(track_video, "run_detection_pass", lambda *a, **k: passes.append(1) or run_once(*a, **k))
    assert main(["fer", "predict", str(tmp_path / "in"), "--out", str(tmp_path / "both")]) == 0
    assert len(passes) == 1
    assert main(["fer", "predict", "--clips", str(tmp_path / "in"), "--out", str(tmp_path / "alone")]) == 0
    tables = [(tmp_path / name / "clips.csv").read_text() for name in ("both", "alone")]
    assert tables[0] == tables[1] and "a.mp4" in tables[0]
    assert (tmp_path / "both" / "clips.png").read_bytes() == (tmp_path / "alone" / "clips.png").read_bytes()
