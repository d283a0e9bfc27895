"""ARKit weights and faces as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expression_file import read_expressions
from smirk3d.export.tables.motion_file import read_motion
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES

WEIGHTS = np.random.default_rng(0).uniform(0, 1, (6, 52))
FRAMES = [dict(zip(ARKIT_NAMES, row)) for row in WEIGHTS.tolist()]
PAIRS = [[{"index": k, "categoryName": n, "score": s} for k, (n, s) in enumerate(frame.items())] for frame in FRAMES]


def _write(tmp_path: Path, content: Any) -> Path:
    (tmp_path / "weights.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path / "weights.json"


@pytest.mark.parametrize(
    "content",
    [
        FRAMES,
        {"frames": FRAMES},
        {"take": {"name": "x", "frames": [{"time": k / 60, "blendShapes": frame} for k, frame in enumerate(FRAMES)]}},
        [{"arkit": frame, "pose": [0, 0, 0]} for frame in FRAMES],
        [{"faceBlendshapes": [{"categories": pairs}]} for pairs in PAIRS],
        PAIRS,
        {"facsNames": ARKIT_NAMES, "weightMat": WEIGHTS.tolist(), "exportFps": 60},
        {"names": ARKIT_NAMES, "frames": WEIGHTS.tolist()},
        {name: column.tolist() for name, column in zip(ARKIT_NAMES, WEIGHTS.T)},
    ],
)
def test_forms_of_weights(content: Any, tmp_path: Path) -> None:
    found = read_expressions(_write(tmp_path, content))
    np.testing.assert_allclose(found.arrays["arkit"], WEIGHTS, atol=1e-6)
    assert len(found.frames) == 6 and found.notes == ()


@pytest.mark.parametrize("content", [FRAMES[0], PAIRS[0], {"blendshapes": FRAMES[0]}])
def test_one_frame(content: Any, tmp_path: Path) -> None:
    np.testing.assert_allclose(read_expressions(_write(tmp_path, content)).arrays["arkit"], WEIGHTS[:1], atol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        [{"timestamp_ms": 40 * k} | frame for k, frame in enumerate(FRAMES)],
        {"fps": 25, "frames": FRAMES},
        {"time": [k / 25 for k in range(6)]} | {name: column.tolist() for name, column in zip(ARKIT_NAMES, WEIGHTS.T)},
        {"facsNames": ARKIT_NAMES, "weightMat": WEIGHTS.tolist(), "exportFps": 25},
    ],
)
def test_times_and_rates(content: Any, tmp_path: Path) -> None:
    found = read_motion(_write(tmp_path, content), None, lambda _: np.zeros((0, 52)))
    np.testing.assert_allclose(found.keys.time_s, np.arange(6) / 25, atol=1e-9)


def test_frames_without_a_face_are_left_out(tmp_path: Path) -> None:
    found = read_expressions(_write(tmp_path, [FRAMES[0], {}, FRAMES[2]]))
    np.testing.assert_allclose(found.arrays["arkit"], WEIGHTS[[0, 2]], atol=1e-6)
    assert found.frames == ("0", "2")


def test_a_subset_is_said(tmp_path: Path) -> None:
    found = read_expressions(_write(tmp_path, [{"jawOpen": 0.5, "volume": 3}, {"eyeBlink_L": 0.25}]))
    assert found.arrays["arkit"].sum() == 0.75 and found.arrays["arkit"][1, 0] == 0.25
    assert "it has 2 of the 52 ARKit weights" in found.notes[0]


def test_a_face_of_this_package(tmp_path: Path, make_face: Callable[..., Face]) -> None:
    face = make_face()
    found = read_expressions(face.save(tmp_path / "face.json"))
    assert found.head == "open" and found.notes == ()
    np.testing.assert_allclose(found.arrays["arkit"][0], list(face.arkit.values()), atol=1e-5)
    np.testing.assert_allclose(found.arrays["expression"][0], face.expression, atol=1e-5)
    np.testing.assert_allclose(found.arrays["eyes"][0], face.eyes, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is no JSON"),
        ("{", "it is no JSON: Expecting"),
        ("[]", "no frames with weights"),
        ("3", "no frames with weights"),
        ('{"a": [1, 2]}', "no frames with weights"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"jawOpen": NaN}]', "no finite numbers"),
        ('[{"jawOpen": 80}]', "from 80 to 80, expected 0 to 1"),
        ('{"jawOpen": [1, 2], "tongueOut": [1, 2, 3]}', "different lengths"),
        (f'[{{"jawOpen": 1{"0" * 400}}}]', "cannot be read as expressions"),
        ('{"names": ["jawOpen", "mouthPucker"], "weights": [[0, 1], {"a": {}}]}', "row 1 of its matrix"),
        ('{"names": ["jawOpen", "mouthPucker"], "weights": [[0, 1], [0, {}], [1, 1]]}', "row 1 of its matrix"),
        ('{"names": ["jawOpen", "mouthPucker"], "weights": [[0, 1], null]}', "row 1 of its matrix"),
    ],
)
def test_files_that_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(Smirk3dError) as refused:
        read_expressions(tmp_path / "bad.json")
    assert reason in str(refused.value) and "bad.json: " in str(refused.value) and "\n" not in str(refused.value)
