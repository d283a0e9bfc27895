"""The table, the JSON and the CSV."""

import csv
import json

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.report import Report, worst_blendshapes
from smirk3d.evaluation.result import Figure, Result, values_of
from smirk3d.head.arkit import ARKIT_NAMES

FIGURES = (Figure("mean_correlation", better="higher"), Figure("smile_slope"), Figure("mean_percent", "%", "lower"))


@pytest.fixture
def report() -> Report:
    correlation = np.linspace(1, 0, 52)
    correlation[0] = np.nan
    numbers = {"mean_correlation": 0.5, "smile_slope": float("nan")}
    columns = {"correlation": correlation, "error": np.zeros(52)}
    synthetic = Result("synthetic", "fit", 9, values_of(FIGURES, numbers), columns, left_out=3, worst="low")
    values = values_of(FIGURES, {"mean_percent": 0.01})
    jitter = Result("jitter", "encoder", 4, values, {"std": np.linspace(0, 1, 52)}, {"a": 1.0, "b": 2.0})
    return Report({"checkpoint": "a.pt", "data": None}, [synthetic, jitter], {"cycle": "needs an encoder"}, ["bad.jpg"])


def test_worst_blendshapes(report):
    synthetic, jitter = report.results
    assert worst_blendshapes(synthetic).startswith(f"{ARKIT_NAMES[51]} 0.000, {ARKIT_NAMES[50]} 0.020")
    assert worst_blendshapes(jitter).startswith(f"{ARKIT_NAMES[51]} 1.000, ")
    assert worst_blendshapes(Result("a", "b", 1, ())) == ""


def test_table(report):
    lines = report.table().splitlines()
    assert lines[0].split() == ["measure", "method", "faces", "figure", "value"]
    assert lines[1].split() == ["synthetic", "fit", "9", "mean_correlation", "0.5000"]
    assert lines[2].split() == ["smile_slope", "-"]
    assert lines[3].strip() == "3 more without a face found" and lines[4].startswith("    worst correlation: tongueOut")
    assert lines[6] == "    worst: b 2.000, a 1.000"
    assert lines[-1] == "cycle: not measured: needs an encoder"
    every = report.table(every_action=True)
    assert all(every.count(name) == 2 for name in ARKIT_NAMES if name != "jawOpen") and len(every.splitlines()) == 113


def test_json(report, tmp_path):
    report.save(tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["about"] == {"checkpoint": "a.pt", "data": None}
    synthetic, jitter = content["results"]
    assert synthetic["figures"] == {"mean_correlation": 0.5, "smile_slope": None}
    assert synthetic["better"] == {"mean_correlation": "higher"} and jitter["units"] == {"mean_percent": "%"}
    assert list(synthetic["actions"]) == list(ARKIT_NAMES)
    assert synthetic["actions"][ARKIT_NAMES[0]] == {"correlation": None, "error": 0.0}
    assert jitter["by_sample"] == {"a": 1.0, "b": 2.0}
    assert content["skipped"] == {"cycle": "needs an encoder"} and content["faults"] == ["bad.jpg"]
    with pytest.raises(Smirk3dError, match="cannot write"):
        report.save(tmp_path / "nowhere" / "r.json")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_csv(report, tmp_path):
    report.save(tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["figure"] for row in rows] == ["mean_correlation", "smile_slope", "mean_percent"]
    assert [row["value"] for row in rows] == ["0.5", "", "0.01"]
    assert rows[2] | {"value": ""} == {
        "measure": "jitter", "method": "encoder", "faces": "4", "figure": "mean_percent", "value": "", "unit": "%",
        "better": "lower",
    }  # fmt: skip


def test_a_number_without_a_figure_is_an_error():
    with pytest.raises(KeyError, match="unknown"):
        values_of(FIGURES, {"unknown": 1.0})
