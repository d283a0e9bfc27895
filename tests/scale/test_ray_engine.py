"""Runs on a cluster of two worker processes on this machine; slow, because a cluster takes seconds to start."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import size_rows
from small_photos import check_rows, read_rows

from smirk3d.errors import Smirk3dError
from smirk3d.scale.ray_engine import RayEngine
from smirk3d.scale.result_folder import ResultFolder
from smirk3d.scale.units import Unit

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")


def command(photos: Path, out: Path, seconds: float) -> list[str]:
    return [sys.executable, size_rows.__file__, str(photos), str(out), "8", str(seconds), "local"]


@needs_ray
@pytest.mark.slow
def test_killed_driver_goes_on(photos: Path, tmp_path: Path) -> None:
    out, generator = tmp_path / "out", random.Random(0)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, filter(None, sys.path)))}
    for _ in range(2):
        process = subprocess.Popen(command(photos, out, 0.2), env=environment, stderr=subprocess.DEVNULL)
        before = len(list(out.glob("*.parquet")))
        while process.poll() is None and len(list(out.glob("*.parquet"))) == before:
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 2))
        process.kill()
        process.wait()
    assert list(out.glob("part-*.parquet"))
    subprocess.run(command(photos, out, 0.0), env=environment, check=True, timeout=300)
    check_rows(read_rows(out), photos)


def test_missing_cluster_is_one_line(tmp_path: Path) -> None:
    unit = Unit("name", ())
    with pytest.raises(Smirk3dError, match=r"--ray 127\.0\.0\.1:1: no cluster there") as caught:
        list(RayEngine("127.0.0.1:1")([unit], size_rows.size_task(), ResultFolder(str(tmp_path))))
    assert "\n" not in str(caught.value)


def test_no_units_start_no_cluster(tmp_path: Path) -> None:
    assert list(RayEngine("127.0.0.1:1")([], size_rows.size_task(), ResultFolder(str(tmp_path)))) == []
