"""The table and the JSON."""

import json

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.report import Report, Result
from smirk3d.head.arkit import ARKIT_NAMES


@pytest.fixture
def report() -> Report:
    correlation = np.linspace(1, 0, 52)
    correlation[0] = np.nan
    truth = Result(
        "truth", "fit", 9, {"mean_correlation": 0.5, "smile_gain": float("nan")},
        {"correlation": correlation, "error": np.zeros(52)}, 3, "correlation",
    )  # fmt: skip
    jitter = Result("jitter", "encoder", 4, {"mean_std": 0.01}, {"std": np.linspace(0, 1, 52)})
    return Report({"checkpoint": "a.pt", "data": None}, [truth, jitter], {"cycle": "needs an encoder"}, ["bad.jpg"])


def test_worst_actions(report):
    truth, jitter = report.results
    assert truth.worst_actions().startswith(f"{ARKIT_NAMES[51]} 0.000, {ARKIT_NAMES[50]} 0.020")
    assert jitter.worst_actions().startswith(f"{ARKIT_NAMES[51]} 1.000, ")
    assert Result("a", "b", 1, {}).worst_actions() == ""


def test_table(report):
    lines = report.table().splitlines()
    assert lines[0].split() == ["measure", "method", "faces", "figure", "value"]
    assert lines[1].split() == ["truth", "fit", "9", "mean_correlation", "0.5000"]
    assert lines[2].split() == ["smile_gain", "-"]
    assert lines[3].strip() == "3 more without a face found" and lines[4].startswith("    worst correlation: tongueOut")
    assert lines[-1] == "cycle: not measured: needs an encoder"
    every = report.table(every_action=True)
    assert all(every.count(name) == 2 for name in ARKIT_NAMES if name != "jawOpen") and len(every.splitlines()) == 112


def test_json(report, tmp_path):
    report.save(tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["about"] == {"checkpoint": "a.pt", "data": None}
    truth = content["results"][0]
    assert truth["figures"] == {"mean_correlation": 0.5, "smile_gain": None}
    assert list(truth["actions"]) == list(ARKIT_NAMES)
    assert truth["actions"][ARKIT_NAMES[0]] == {"correlation": None, "error": 0.0}
    assert content["skipped"] == {"cycle": "needs an encoder"} and content["faults"] == ["bad.jpg"]
    with pytest.raises(Smirk3dError, match="cannot write"):
        report.save(tmp_path / "nowhere" / "r.json")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
