"""The table of a run's numbers survives whatever ends a run."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pandas as pd
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.train.metrics import TABLE_NAME, MetricsLog, read_metrics


def test_a_table_that_was_cut_off_is_mended_and_continued(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, 0) as log:
        for step in range(5):
            log.write(step, {"loss": step / 3, "cycle/loss": math.inf} if step % 2 else {"loss": step / 3})
    path = tmp_path / TABLE_NAME
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "5,loss,1.2", encoding="utf-8")  # killed while it wrote
    assert 5 not in read_metrics(tmp_path)["loss"]
    with MetricsLog(tmp_path, 4) as log:
        log.write(4, {"loss": -1.0})
    expected = {"loss": {0: 0.0, 1: 1 / 3, 2: 2 / 3, 3: 1.0, 4: -1.0}, "cycle/loss": {1: math.inf, 3: math.inf}}
    assert read_metrics(tmp_path) == expected
    table = pd.read_csv(path).pivot(index="step", columns="name", values="value")
    assert list(table.columns) == ["cycle/loss", "loss"] and table["loss"].tolist() == list(expected["loss"].values())


def test_numbers_are_there_at_once(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, 0) as log:
        log.write(0, {"loss": 0.1})
        assert read_metrics(tmp_path) == {"loss": {0: 0.1}}


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(Smirk3dError, match=r"pip install 'smirk3d\[train\]'"):
        MetricsLog(tmp_path, 0)
    assert not list(tmp_path.iterdir())
