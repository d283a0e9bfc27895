"""Runs in this process: each photo in exactly one shard, whatever happens in between."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import size_rows
from size_rows import size_task
from small_photos import check_rows, photo_bytes, read_rows

from smirk3d.batch.naming import Job
from smirk3d.batch.runner import BatchSummary
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.scale.inputs import list_jobs
from smirk3d.scale.result_folder import ResultFolder
from smirk3d.scale.run import ShardOptions, run_sharded
from smirk3d.scale.units import plan_units

SMALL = ShardOptions(shard_size=16)
RESUMED = ShardOptions(resume=True, shard_size=16)


def test_each_photo_has_one_row(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = run_sharded(list_jobs([str(photos)]), ResultFolder(str(out)), size_task(), options=SMALL)
    assert summary == BatchSummary(36, 4, 36, 0)
    check_rows(read_rows(out), photos)
    assert len(list(out.glob("part-*.parquet"))) == 3


def test_rerun_tries_what_failed_and_what_is_new(photos: Path, tmp_path: Path) -> None:
    out = ResultFolder(str(tmp_path / "out"))
    run_sharded(list_jobs([str(photos)]), out, size_task(), options=SMALL)
    (photos / "p03.jpg").write_bytes(photo_bytes(13))
    (photos / "p05b.jpg").write_bytes(photo_bytes(99))
    assert run_sharded(list_jobs([str(photos)]), out, size_task(), options=RESUMED) == BatchSummary(2, 3, 2, 36)
    rows = read_rows(str(out)).set_index("image")
    assert len(rows) == 41 and rows.index.is_unique
    assert rows.loc[str(photos / "p03.jpg"), "width"] == 13 and rows.loc[str(photos / "p05b.jpg"), "width"] == 99


def test_same_in_a_store(photos: Path, tmp_path: Path, make_bucket: Callable[[dict[str, bytes]], str]) -> None:
    bucket = make_bucket({f"in/{path.name}": path.read_bytes() for path in photos.iterdir()})
    out, jobs = ResultFolder(f"{bucket}/some/out"), list_jobs([f"{bucket}/in"])
    assert run_sharded(jobs, out, size_task(), options=SMALL) == BatchSummary(36, 4, 36, 0)
    assert run_sharded(jobs, out, size_task(), options=RESUMED) == BatchSummary(0, 4, 0, 36)
    (tmp_path / "copy").mkdir()
    for name in out.names():
        (tmp_path / "copy" / name).write_bytes(out.read(name, 1 << 20))
    rows = read_rows(tmp_path / "copy")
    rows["image"] = rows["image"].str.replace(f"{bucket}/in", str(photos))
    rows["status"] = rows["status"].str.replace(f"{bucket}/in", str(photos))
    check_rows(rows, photos)


def test_results_of_other_settings_are_not_mixed(photos: Path, tmp_path: Path) -> None:
    out, jobs = ResultFolder(str(tmp_path / "out")), list_jobs([str(photos)])
    run_sharded(jobs, out, size_task(), options=SMALL)
    with pytest.raises(UsageError, match="has shards already; add --resume"):
        run_sharded(jobs, out, size_task(), options=SMALL)
    with pytest.raises(UsageError, match="made with other settings"):
        run_sharded(jobs, out, size_task(version=2), options=RESUMED)


def test_foreign_shard_is_named(photos: Path, tmp_path: Path) -> None:
    out = ResultFolder(str(tmp_path / "out"))
    run_sharded(list_jobs([str(photos)]), out, size_task(), options=SMALL)
    (tmp_path / "out" / "part-x.parquet").write_bytes(b"PAR1")
    with pytest.raises(Smirk3dError, match=r"part-x.parquet: is no shard of smirk3d"):
        run_sharded(list_jobs([str(photos)]), out, size_task(), options=RESUMED)


def test_units_keep_their_bounds_and_names() -> None:
    jobs = [Job(Path(f"{k}.jpg"), str(k)) for k in range(100)]
    all_units = plan_units(jobs, set(), 30)
    assert [unit.size for unit in all_units] == [32, 32, 32, 4]
    assert all(len(block) <= 16 for unit in all_units for block in unit.blocks)
    assert plan_units(jobs, {f"{k}.jpg" for k in range(32, 64)}, 30) == [all_units[0], *all_units[2:]]
    assert len({unit.name for unit in all_units}) == 4


def test_killed_run_goes_on(photos: Path, tmp_path: Path) -> None:
    """The process is killed soon after its first shard; `scripts/kill_sharded_runs.py` does so more often."""
    out = tmp_path / "out"
    command = [sys.executable, size_rows.__file__, str(photos), str(out), "16", "0.05"]
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob("*.parquet")):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert 1 <= len(list(out.glob("part-*.parquet"))) < 3
    run_sharded(list_jobs([str(photos)]), ResultFolder(str(out)), size_task(), options=RESUMED)
    check_rows(read_rows(out), photos)
