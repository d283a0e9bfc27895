"""Tables of ARKit weights as other programs and spreadsheets write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expression_file import read_expressions
from smirk3d.export.tables.motion_file import read_motion
from smirk3d.head.arkit import ARKIT_NAMES

WEIGHTS = np.random.default_rng(0).uniform(0, 1, (10, 52)).round(4)


def _sided(name: str) -> str:
    return re.sub("(Left|Right)$", lambda match: f"_{match[0][0]}", name)


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def _write(path: Path, header: list[str], rows: np.ndarray, sep: str = ",", decimal: str = ".", **file: str) -> Path:
    lines = [sep.join(header), *(sep.join(str(value).replace(".", decimal) for value in row) for row in rows.tolist())]
    path.write_text("\n".join(lines), **file)
    return path


def _read(path: Path) -> np.ndarray:
    found = read_expressions(path)
    assert found.notes == ()
    return found.arrays["arkit"]


@pytest.mark.parametrize(
    "spelling", [_sided, _snake, "blendShape1.{}".format, str.upper, lambda name: f'"{name}"', lambda name: f" {name} "]
)
def test_names_are_recognised_as_on_characters(spelling: Callable[[str], str], tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", [spelling(name) for name in ARKIT_NAMES], WEIGHTS, encoding="utf-8")
    np.testing.assert_allclose(_read(path), WEIGHTS, atol=1e-6)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(("sep", "decimal"), [(",", "."), (";", "."), ("\t", "."), (";", ","), ("\t", ","), ("|", ".")])
def test_delimiters_decimal_commas_and_encodings(sep: str, decimal: str, encoding: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", list(ARKIT_NAMES), WEIGHTS, sep, decimal, encoding=encoding)
    np.testing.assert_allclose(_read(path), WEIGHTS, atol=1e-6)


def test_the_line_of_excel_that_states_the_delimiter(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", list(ARKIT_NAMES), WEIGHTS, ";", ",", encoding="utf-8")
    path.write_text(f"sep=;\n{path.read_text()}")
    np.testing.assert_allclose(_read(path), WEIGHTS, atol=1e-6)


def test_a_subset_is_read_and_said(tmp_path: Path) -> None:
    names = ["jawOpen", "eyeBlinkLeft", "eyeBlinkRight"]
    found = read_expressions(_write(tmp_path / "t.csv", ["who", *names], WEIGHTS[:, :4]))
    rows = [ARKIT_NAMES.index(name) for name in names]
    np.testing.assert_allclose(found.arrays["arkit"][:, rows], WEIGHTS[:, 1:4], atol=1e-6)
    assert not np.delete(found.arrays["arkit"], rows, axis=1).any()
    assert found.notes == (
        "it has 3 of the 52 ARKit weights; the others are 0 (eyeLookDownLeft, eyeLookInLeft, eyeLookOutLeft, "
        "eyeLookUpLeft, …)",
    )


def test_curves_of_metahuman(tmp_path: Path) -> None:
    """Four curves for one blendshape count as their mean; gaze is matched by direction."""
    names = [f"CTRL_expressions_mouthFunnel{part}" for part in ("UL", "UR", "DL", "DR")]
    names += ["CTRL_expressions_eyeLookRightL", "CTRL_expressions_mouthCornerPullR"]
    found = read_expressions(_write(tmp_path / "t.csv", names, WEIGHTS[:, :6])).arrays["arkit"]
    np.testing.assert_allclose(found[:, ARKIT_NAMES.index("mouthFunnel")], WEIGHTS[:, :4].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(found[:, ARKIT_NAMES.index("eyeLookInLeft")], WEIGHTS[:, 4], atol=1e-6)
    np.testing.assert_allclose(found[:, ARKIT_NAMES.index("mouthSmileRight")], WEIGHTS[:, 5], atol=1e-6)


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    table = pd.DataFrame(WEIGHTS, columns=[_sided(name) for name in ARKIT_NAMES])
    table.assign(time_ms=np.arange(10) * 40, other=[[1, 2]] * 10).to_parquet(tmp_path / "t.parquet")
    np.testing.assert_allclose(_read(tmp_path / "t.parquet"), WEIGHTS, atol=1e-6)
    motion = read_motion(tmp_path / "t.parquet", None, lambda _: np.zeros((0, 52)))
    np.testing.assert_allclose(motion.keys.time_s, np.arange(10) / 25, atol=1e-9)


@pytest.mark.parametrize("rate_fps", [23.976, 24, 25, 50, 60, 120])
@pytest.mark.parametrize(
    ("column", "per_second", "start"),
    [
        ("time", 1, 0),
        ("Time (s)", 1, 0),
        ("timestamp", 1, 1.7e9),
        ("timestamp", 1e3, 1.7e12),
        ("timestamp_ms", 1e3, 0),
        ("timestampMs", 1e3, 5),
        ("time_us", 1e6, 0),
        ("t", 1e9, 0),
        ("seconds", 1, 0),
    ],
)
def test_columns_of_times(column: str, per_second: float, start: float, rate_fps: float, tmp_path: Path) -> None:
    times = start + np.arange(10) / rate_fps * per_second
    path = _write(tmp_path / "t.csv", [column, *ARKIT_NAMES], np.column_stack([times, WEIGHTS]))
    found = read_motion(path, None, lambda _: np.zeros((0, 52)))
    np.testing.assert_allclose(np.diff(found.keys.time_s), 1 / rate_fps, rtol=2e-3)
    assert found.keys.time_s[0] < 1 and not found.note


@pytest.mark.parametrize(
    "texts", [[f"00:00:{k / 25:06.3f}" for k in range(10)], [f"2024-05-01T10:00:00.{40 * k:03d}Z" for k in range(10)]]
)
def test_times_as_text(texts: list[str], tmp_path: Path) -> None:
    table = pd.DataFrame(WEIGHTS, columns=list(ARKIT_NAMES)).assign(timestamp=texts)
    table.to_csv(tmp_path / "t.csv", index=False)
    found = read_motion(tmp_path / "t.csv", None, lambda _: np.zeros((0, 52)))
    np.testing.assert_allclose(found.keys.time_s, np.arange(10) / 25, atol=1e-6)


def test_unreadable_times_are_refused(tmp_path: Path) -> None:
    table = pd.DataFrame(WEIGHTS, columns=list(ARKIT_NAMES)).assign(timestamp="noon")
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(Smirk3dError, match=r"t.csv: 'timestamp' is not a number in all rows"):
        read_motion(tmp_path / "t.csv", None, lambda _: np.zeros((0, 52)))
