"""Photos a second of a local Ray cluster of two workers, and of the local engine, which computes with two threads.

    python benchmarks/cluster.py [--photos 96]

Both write the same Parquet shards. A short and a long run of each are timed, and the difference counts: what a photo
takes once cluster and models are there. The local engine detects in one thread and computes in another, so that both
use two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from photos import make_photos

from smirk3d import Reconstructor
from smirk3d.batch.naming import plan_outputs
from smirk3d.scale.ray_engine import RayEngine
from smirk3d.scale.result_folder import ResultFolder
from smirk3d.scale.run import Engine, ShardOptions, compute_here, run_sharded
from smirk3d.scale.tables import features_task

SHARD = 32
LONG = 4
"""The long run has so many times the photos of the short one."""


def photos_a_second(engine: Engine, photos: Path, out: Path, count: int) -> float:
    """Return the rate of an engine beyond its start; the folder has at least `LONG * count` photos."""
    jobs, seconds = plan_outputs([photos]), []
    for name, part in (("short", jobs[:count]), ("long", jobs[: LONG * count])):
        began_s = time.perf_counter()
        task = features_task(Reconstructor, {})
        summary = run_sharded(part, ResultFolder(str(out / name)), task, engine, ShardOptions(False, SHARD))
        assert summary.done == len(part), f"{summary.failed} photos failed"
        seconds.append(time.perf_counter() - began_s)
    return (LONG - 1) * count / (seconds[1] - seconds[0])


def measure(count: int) -> str:
    """Return both rates and their ratio in one line."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        make_photos(photos, 256, LONG * count)
        engines: dict[str, Engine] = {"local": compute_here, "ray": RayEngine(workers=2)}
        rates = {name: photos_a_second(engine, photos, Path(folder) / name, count) for name, engine in engines.items()}
    ratio = rates["ray"] / rates["local"]
    return f"{rates['ray']:.1f} photos/s, the local engine {rates['local']:.1f}: {100 * ratio:.0f} % of it per core"


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=96, help="photos of the short run")
    print(f"local Ray cluster of two workers: {measure(parser.parse_args().photos)}")


if __name__ == "__main__":
    main()
