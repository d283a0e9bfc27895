"""Recordings of Face Cap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expression_file import read_expressions
from smirk3d.export.tables.face_cap import FACE_CAP_NAMES
from smirk3d.export.tables.motion_file import read_motion
from smirk3d.head.arkit import ARKIT_NAMES

JAW = FACE_CAP_NAMES.index("jawOpen")


def _write(path: Path, names: bool = True, end: str = "") -> Path:
    """Write ten frames at 60 frames per second in which the jaw opens."""
    lines = ["info,1.0,iPhone"] + ([f"bs,{','.join(FACE_CAP_NAMES)}"] if names else [])
    for k in range(10):
        weights = [k / 9 if column == JAW else 0.25 for column in range(52)]
        numbers = [k * 1000 / 60, 0.1, 0.2, 0.3, 10, 20, 30, 1, 2, 3, 4, *weights]
        lines.append(",".join(["k", *map(str, numbers)]) + end)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("names", "end"), [(True, ""), (False, ""), (True, ",")])
def test_weights_and_times(names: bool, end: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "take.txt", names, end)
    found = read_expressions(path)
    jaw = ARKIT_NAMES.index("jawOpen")
    np.testing.assert_allclose(found.arrays["arkit"][:, jaw], np.arange(10) / 9, atol=1e-6)
    assert (np.delete(found.arrays["arkit"], jaw, axis=1) == 0.25).all()
    assert found.notes == ("not used: position and angles of the head, angles of the eyes",)
    motion = read_motion(path, None, lambda _: np.zeros((0, 52)))
    np.testing.assert_allclose(motion.keys.time_s, np.arange(10) / 60, atol=1e-6)
    assert "not used: position and angles of the head" in motion.note


def test_all_blendshapes_have_a_place() -> None:
    assert len({*FACE_CAP_NAMES}) == 52


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no frames of Face Cap"),
        ("bs,jawOpen\n", "no frames of Face Cap"),
        ("bs,jawOpen\nk,0,1,2\n", "line 2: has 3 numbers, expected 12"),
        ("bs,jawOpen\nk,0,0,0,0,0,0,0,0,0,0,0,x\n", "line 2: could not convert"),
        ("bs,a\nk,0,0,0,0,0,0,0,0,0,0,0,1\n", "none of its columns is named"),
    ],
)
def test_damaged_recordings_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(Smirk3dError, match=f"bad.txt: .*{reason}"):
        read_expressions(tmp_path / "bad.txt")
