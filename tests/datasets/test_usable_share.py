"""Training does not start on the few faces that damage has left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_faces import record

from smirk3d.datasets.config import DataConfig, SourceConfig
from smirk3d.datasets.prepare_report import KEPT, Report, ReportRow
from smirk3d.datasets.shards import write_shard
from smirk3d.datasets.sources import open_source
from smirk3d.errors import Smirk3dError
from smirk3d.head.load import load_open_head

FACES = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shard(tmp_path / "train-000000.tar", [record(f"a{k}", seed=k) for k in range(FACES)])
    return tmp_path


def _open(folder: Path):
    data = DataConfig(root=folder, size=32)
    return open_source(SourceConfig(folder), data, load_open_head())


def _damage(folder: Path, first: int, stop: int) -> None:
    path = folder / "train-000000.tar"
    content = bytearray(path.read_bytes())
    begin, end = content.index(f"a{first}.jpg\0".encode()), content.index(f"a{stop}.jpg\0".encode())
    content[begin:end] = np.random.default_rng(0).bytes(end - begin)
    path.write_bytes(content)


def test_one_bad_face_is_told_and_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    _damage(folder, 7, 8)
    source = _open(folder)
    assert len(source) == FACES - 1 and source.faults and "train-000000.tar" in caplog.text


def test_a_shard_that_is_mostly_damaged_is_refused(folder: Path) -> None:
    _damage(folder, 1, 39)
    with pytest.raises(Smirk3dError, match=r"about 3\d of 4\d faces .*train-000000.tar"):
        _open(folder)


def test_a_shard_that_is_cut_off_is_measured_by_the_report_of_its_preparation(folder: Path) -> None:
    path = folder / "train-000000.tar"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"a20.json\0")])
    assert len(_open(folder)) == 20  # nobody knows what it had
    with Report(folder / "report.csv") as report:
        report.add([ReportRow(f"a{k}.png", "0", KEPT, f"a{k}", path.name) for k in range(FACES)])
    with pytest.raises(Smirk3dError, match="about 20 of 40 faces"):
        _open(folder)


def test_a_shard_of_which_one_face_is_left_is_refused(folder: Path) -> None:
    path = folder / "train-000000.tar"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"a1.jpg\0") + 5000])
    with pytest.raises(Smirk3dError, match="faces of its split train are damaged"):
        _open(folder)
