"""Emotions over time: rows, order, gaps, and equality with the same faces as photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from synthetic_track import synthetic_track
from video_files import write_video

from smirk3d.errors import UsageError
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.export.tables.expressions_csv import read_table
from smirk3d.fer.clip_emotions import ClipEmotions
from smirk3d.fer.emotion_curves import EMOTION_COLORS, draw_emotion_curves
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.emotions_csv import CLIP_EMOTION_COLUMNS
from smirk3d.fer.fex_layout import FEX_UNITS, fex_columns
from smirk3d.fer.inputs import is_video, plan_recognition
from smirk3d.fer.network import ExpressionNetwork
from smirk3d.fer.prediction_run import PredictionOptions, predict_emotions
from smirk3d.fer.recognizer import EmotionRecognizer
from smirk3d.networks.half_file import save_half
from smirk3d.track import Clip, Status

FACE = np.asarray(Image.fromarray(astronaut()[:, :400]).resize((250, 320)))
HIDDEN = FACE.copy()
HIDDEN[30:140, 100:190] = FACE[200:310, 20:110]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    save_half(ExpressionNetwork().eval(), path, {})
    return path


@pytest.fixture(scope="module")
def reconstructor() -> Iterator[Reconstructor]:
    with Reconstructor(method="fit") as made:
        yield made


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    Image.fromarray(FACE).save(folder / "b.png")
    Image.fromarray(FACE[:, ::-1]).save(folder / "c.png")
    (folder / "bad.png").write_bytes(b"no image")
    write_video(folder / "a.mp4", [*[FACE] * 3, *[HIDDEN] * 2, *[FACE] * 3, *[HIDDEN] * 4], codec="mpeg4", qscale="1")
    return folder


@pytest.fixture(scope="module")
def results(
    inputs: Path, weights: Path, reconstructor: Reconstructor, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("results")
    summary = predict_emotions(plan_recognition([inputs], out), out, reconstructor, PredictionOptions(weights))
    assert (summary.photos, summary.clips, summary.failed, summary.frames, summary.faces) == (2, 1, 1, 12, 2)
    return out


def test_a_folder_of_photos_and_videos_makes_one_table(results: Path, inputs: Path) -> None:
    rows = read_table(results / "emotions.csv", CLIP_EMOTION_COLUMNS)
    names = [Path(row["image"]).name for row in rows]
    assert names == ["a.mp4"] * 12 + ["b.png", "bad.png", "c.png"]
    clip = rows[:12]
    assert [row["status"] for row in clip] == [*["ok"] * 3, *["filled"] * 2, *["ok"] * 3, *["lost"] * 4]
    assert [row["frame"] for row in clip] == [str(k) for k in range(12)]
    assert [float(row["time_s"]) for row in clip] == pytest.approx([k / 25 for k in range(12)])
    assert {row["track"] for row in clip} == {"0"} and clip[0]["face"] == "0" and clip[11]["face"] == ""
    for row in clip[:8]:
        assert sum(float(row[name]) for name in EMOTIONS) == pytest.approx(1, abs=1e-4)
    between = [np.array([float(clip[k][name]) for name in EMOTIONS]) for k in (2, 3, 4, 5)]
    assert between[1] == pytest.approx((2 * between[0] + between[3]) / 3, abs=2e-5)
    assert not any(clip[11][name] for name in CLIP_EMOTION_COLUMNS[6:])
    assert all(row["frame"] == row["time_s"] == row["track"] == "" for row in rows[12:])
    assert Image.open(results / "a_emotions.png").size == (1280, 720) and (results / "sheet.png").is_file()


def test_frames_are_read_as_photos_are(results: Path) -> None:
    rows = read_table(results / "emotions.csv", CLIP_EMOTION_COLUMNS)
    frame, photo = (np.array([float(row[name]) for name in EMOTIONS]) for row in (rows[0], rows[12]))
    assert frame == pytest.approx(photo, abs=0.03)  # the video is compressed


def test_photos_in_batches_are_as_one_at_a_time(
    results: Path, inputs: Path, weights: Path, reconstructor: Reconstructor
) -> None:
    rows = {Path(row["image"]).name: row for row in read_table(results / "emotions.csv", CLIP_EMOTION_COLUMNS)}
    recognizer = EmotionRecognizer(weights=weights, reconstructor=reconstructor)
    for name in ("b.png", "c.png"):
        (found,) = recognizer(inputs / name)
        values = found.probabilities | found.action_units | {"valence": found.valence, "arousal": found.arousal}
        assert {key: float(rows[name][key]) for key in values} == pytest.approx(values, abs=1e-4)


def test_parquet_has_the_values_of_the_table(results: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    csv, parquet = pandas.read_csv(results / "emotions.csv"), pandas.read_parquet(results / "emotions.parquet")
    assert list(parquet.columns) == list(CLIP_EMOTION_COLUMNS)
    for name in CLIP_EMOTION_COLUMNS:
        assert (csv[name].isna() == parquet[name].isna()).all()
        assert (csv[name].dropna() == parquet[name].dropna()).all()


def test_resume_tries_failures_alone_and_leaves_an_equal_table(
    results: Path, inputs: Path, weights: Path, reconstructor: Reconstructor
) -> None:
    before = (results / "emotions.csv").read_bytes()
    options = PredictionOptions(weights, resume=True)
    summary = predict_emotions(plan_recognition([inputs], results), results, reconstructor, options)
    assert (summary.photos, summary.clips, summary.failed, summary.skipped) == (0, 0, 1, 3)
    assert (results / "emotions.csv").read_bytes() == before


def test_the_layout_of_py_feat(
    results: Path, inputs: Path, weights: Path, reconstructor: Reconstructor, tmp_path: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    jobs = plan_recognition([inputs / "a.mp4", inputs / "b.png", inputs / "bad.png"], tmp_path)
    options = PredictionOptions(weights, layout="fex")
    assert predict_emotions(jobs, tmp_path, reconstructor, options).failed == 1
    table = pandas.read_csv(tmp_path / "emotions.csv")
    assert tuple(table.columns) == fex_columns(with_videos=True)
    clip, photo, bad = table.iloc[:12], table.iloc[12], table.iloc[13]
    assert clip["frame"].tolist() == list(range(12)) and set(clip["approx_time"]) == {"00:00"}
    assert photo["frame"] == 1 and (photo["FrameWidth"], photo["FrameHeight"]) == (250, 320)
    for name in ("AU11", "X", "gaze_yaw", "Identity_1", "Identity_512", "Identity"):
        assert table[name].isna().all()
    numbers = [name for name in FEX_UNITS if name != "AU11"]
    assert photo[numbers].between(0, 1).all() and clip[numbers].iloc[11].isna().all() and bad[numbers].isna().all()
    row = read_table(results / "emotions.csv", CLIP_EMOTION_COLUMNS)[12]
    differences_deg = np.array([photo[name] for name in ("Yaw", "Roll", "Pitch")])
    differences_deg += np.array([float(row[name]) for name in ("yaw", "roll", "pitch")]) * (1, 1, -1)
    assert (abs(differences_deg.round(6)) <= 1e-3).all()  # of tables with three decimals
    assert photo["AU12_L"] == float(row["AU12_left"]) and photo["AU12"] == max(photo["AU12_L"], photo["AU12_R"])
    assert photo["FaceRectX"] + photo["FaceRectWidth"] == pytest.approx(float(row["x1"]), abs=0.02)
    points_x = np.array([photo[f"x_{k}"] for k in range(68)])
    assert abs(points_x - photo["FaceRectX"] - photo["FaceRectWidth"] / 2).max() < 0.6 * photo["FaceRectWidth"]


def test_columns_of_py_feat_without_videos() -> None:
    columns = fex_columns(with_videos=False)
    assert columns[:5] == ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore")
    assert columns[5:141] == tuple(f"{axis}_{k}" for axis in "xy" for k in range(68))
    assert columns[141:147] == ("Pitch", "Roll", "Yaw", "X", "Y", "Z")
    units = "AU01 AU02 AU04 AU05 AU06 AU07 AU09 AU10 AU11 AU12 AU14 AU15 AU17 AU20 AU23 AU24 AU25 AU26 AU28 AU43"
    assert columns[147:167] == tuple(units.split())
    assert columns[167:174] == ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    assert columns[174] == "Identity_1" and columns[685:689] == ("Identity_512", "gaze_pitch", "gaze_yaw", "gaze_angle")
    assert columns[689:694] == ("FrameHeight", "FrameWidth", "input", "frame", "Identity")
    assert columns[694:696] == ("AU02_L", "AU02_R") and columns[-1] == "status"
    assert len(set(columns)) == len(columns)


def test_inputs_are_photos_and_videos_but_not_results(tmp_path: Path) -> None:
    for name in ("a.MP4", "b.jpg", "c.txt", "out/b_emotions.png", "out/sheet.png", "sub/d.mov"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    jobs = plan_recognition([tmp_path], tmp_path / "out", ("sheet.png",))
    assert [(job.stem, is_video(job)) for job in jobs] == [("a", True), ("b", False), ("sub/d", True)]
    with pytest.raises(UsageError):
        plan_recognition([tmp_path / "out"], tmp_path / "out", ("sheet.png",))


def test_the_larger_face_of_a_frame_comes_first_whatever_its_track(open_head) -> None:
    track = synthetic_track(open_head, 4, lost=slice(2, 3), first_frame=0)
    small = track.replace(number=1, box_px=track.box_px / 2)
    probabilities = np.where(track.known[:, None], np.eye(8)[1], np.nan)
    clip = Clip("a.mp4", 25.0, track.image_size, 4, (small.replace(number=0), track.replace(number=1)))
    records = list(ClipEmotions(clip, (probabilities, probabilities), ()).records("a.mp4"))
    assert [(each.picture, each.track, each.face) for each in records] == [
        *((k, t, None if k == 2 else 1 - t) for k in range(4) for t in range(2))
    ]
    assert [each.status for each in records[4:6]] == ["lost", "lost"] and records[4].values is None
    assert records[0].values is not None and records[0].values.emotion == "happiness"


def test_curves_show_the_probabilities_and_where_the_face_was_lost(open_head) -> None:
    track = synthetic_track(open_head, 40, lost=slice(10, 20))
    probabilities = np.where(track.known[:, None], np.eye(8)[EMOTIONS.index("anger")], np.nan)
    picture = draw_emotion_curves(track, probabilities)
    anger = np.array([int(EMOTION_COLORS["anger"][k : k + 2], 16) for k in (1, 3, 5)])
    share = (np.abs(picture[90:430, 90:1030].astype(int) - anger).max(axis=2) < 3).mean()
    assert share == pytest.approx((track.status != Status.LOST).mean(), abs=0.05)
