"""Training faces in units, against the local preparation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from smirk3d.batch.runner import BatchSummary
from smirk3d.datasets.prepare import prepare
from smirk3d.datasets.prepare_report import REPORT_COLUMNS, read_report
from smirk3d.datasets.prepared_faces import PrepareOptions
from smirk3d.datasets.shards import SPLITS, Record, read_folder
from smirk3d.detection.detector import Detector
from smirk3d.scale.inputs import list_jobs
from smirk3d.scale.prepare_task import PrepareTask
from smirk3d.scale.result_folder import ResultFolder
from smirk3d.scale.run import ShardOptions, run_sharded

OPTIONS = PrepareOptions(val_share=0.5)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    picture = Image.fromarray(astronaut()[:300, 60:360])
    for k in range(18):
        if k % 9 == 4:
            (folder / f"{k:02d}.jpg").write_bytes(b"no image")
        elif k % 9 < 2:
            picture.rotate(k).save(folder / f"{k:02d}.jpg")
        else:
            Image.fromarray(np.full((64, 64, 3), 9 * k, np.uint8)).save(folder / f"{k:02d}.jpg")
    return folder


def faces_of(folder: Path) -> Iterator[tuple[str, Record]]:
    for split in SPLITS:
        if list(folder.glob(f"{split}-*.tar")):
            yield from ((split, record) for record in read_folder(folder, split))


def test_faces_and_report_are_those_of_the_local_run(photos: Path, tmp_path: Path) -> None:
    import pandas as pd

    local, out = tmp_path / "local", tmp_path / "out"
    with Detector(max_faces=1) as detector:
        prepare([str(photos)], local, detector, OPTIONS)
    options = ShardOptions(resume=True, shard_size=16)
    jobs, task = list_jobs([str(photos)]), PrepareTask(1, OPTIONS)
    assert run_sharded(jobs, ResultFolder(str(out)), task, options=options) == BatchSummary(16, 2, 4, 0)
    (out / "train-0123456789.tar").write_bytes(b"of a unit that was cut off")
    assert run_sharded(jobs, ResultFolder(str(out)), task, options=options) == BatchSummary(0, 2, 0, 16)
    wanted = {record.key: (split, record.jpeg, record.landmarks_px.tobytes()) for split, record in faces_of(local)}
    found = {record.key: (split, record.jpeg, record.landmarks_px.tobytes()) for split, record in faces_of(out)}
    assert found == wanted and len(found) == 4
    rows = pd.concat(map(pd.read_parquet, out.glob("*.parquet"))).sort_values("image", ignore_index=True)
    assert tuple(rows.columns) == REPORT_COLUMNS
    report = read_report(local / "report.csv")
    for name in ("image", "status", "key", "person"):
        assert list(rows[name].fillna("")) == [getattr(row, name) for row in report]
    for name in ("face", "face_px", "sharpness", "inside", "roll_deg"):
        numbers = [float(getattr(row, name) or "nan") for row in report]
        np.testing.assert_array_equal(rows[name].astype(float), numbers)
