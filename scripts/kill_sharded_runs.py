"""Kill runs on Ray at random moments, let them go on, and compare with a run that was left alone.

    python scripts/kill_sharded_runs.py [--photos 500] [--kills 5] [--seed 0] [--shard-size 16] [--after 10 60]

A server of S3's protocol on this machine holds small photos, made from scikit-image's, some of them broken. The driver
of `smirk3d features s3://… --out s3://… --ray --resume` with two workers is killed by SIGKILL at random moments; the
last run is left alone. Its rows must be those of the local run over the same photos on disk, each exactly once. Prints
what each run found; exits with 1 for any difference.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
from moto.server import ThreadedMotoServer
from PIL import Image
from skimage.data import astronaut

BUCKET = "photos"


def make_photos(folder: Path, count: int, seed: int) -> None:
    """Write faces at random places and angles, every 17th file broken, every 29th without a face."""
    generator, picture = np.random.default_rng(seed), Image.fromarray(astronaut())
    folder.mkdir()
    for k in range(count):
        path = folder / f"p{k:04d}.jpg"
        if k % 17 == 5:
            path.write_bytes(b"broken")
        elif k % 29 == 7:
            Image.new("RGB", (96, 96)).save(path)
        else:
            x, y, side = generator.integers((60, 0, 220), (120, 20, 300)).tolist()
            part = picture.crop((x, y, x + side, y + side)).rotate(generator.uniform(-8, 8))
            part.resize((192, 192)).save(path, quality=85)


def upload(folder: Path, endpoint: str) -> None:
    """Put all files of a folder into the bucket, below `in/`."""
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=BUCKET)
    for path in sorted(folder.iterdir()):
        client.put_object(Bucket=BUCKET, Key=f"in/{path.name}", Body=path.read_bytes())


def download(endpoint: str, folder: Path) -> None:
    """Copy the shards to a folder."""
    client = boto3.client("s3", endpoint_url=endpoint)
    folder.mkdir(exist_ok=True)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="out/"):
        for each in page.get("Contents", []):
            (folder / Path(each["Key"]).name).write_bytes(
                client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
            )


def count_shards(endpoint: str) -> int:
    """Return the number of objects below `out/`."""
    pages = boto3.client("s3", endpoint_url=endpoint).get_paginator("list_objects_v2")
    return sum(len(page.get("Contents", [])) for page in pages.paginate(Bucket=BUCKET, Prefix="out/"))


def smirk3d(*words: str) -> list[str]:
    """Return a command line of the program."""
    return [sys.executable, "-m", "smirk3d.cli.main", *words]


def run_killed(command: list[str], endpoint: str, wait_s: float) -> str:
    """Run a command, kill it some time after its first new shard, and return what became of it."""
    before, process = (
        count_shards(endpoint),
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
    )
    while process.poll() is None and count_shards(endpoint) == before:
        time.sleep(0.2)
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return f"killed {wait_s:.1f} s after its first shard, {count_shards(endpoint) - before} new files"
    return f"ended with {process.returncode} before it was killed"


def differences(shards: Path, local: Path, photos: Path) -> list[str]:
    """Return what differs between the shards and the local run, in words."""
    features = [pd.read_parquet(path) for path in sorted(shards.glob("part-*.parquet"))]
    failed = [pd.read_parquet(path) for path in sorted(shards.glob("_failed-*.parquet"))]
    rows, wanted = pd.concat(features), pd.read_parquet(local).sort_values("key", ignore_index=True)
    names = [*rows["key"].str.partition("#")[0].unique(), *pd.concat(failed)["image"]]
    found = []
    if sorted(names) != [f"s3://{BUCKET}/in/{path.name}" for path in sorted(photos.iterdir())]:
        found.append(f"{len(names)} photos with rows, {len(set(names))} different ones")
    if not rows["key"].is_unique:
        found.append("a face has two rows")
    rows["key"] = rows["key"].str.replace(f"s3://{BUCKET}/in", str(photos))
    rows = rows.sort_values("key", ignore_index=True)
    if not rows.equals(wanted):
        found.append("the rows are not those of the local run")
    return found


def main() -> int:
    """Run the check and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard-size", type=int, default=16)
    parser.add_argument("--after", type=float, nargs=2, default=(0.0, 10.0), help="seconds after the first new shard")
    options = parser.parse_args()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    generator = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        photos, local = root / "photos", root / "local.parquet"
        make_photos(photos, options.photos, options.seed)
        upload(photos, endpoint)
        words = ("--ray", "--workers", "2", "--shard-size", str(options.shard_size), "--resume")
        command = smirk3d("features", f"s3://{BUCKET}/in", "--out", f"s3://{BUCKET}/out", *words)
        for k in range(options.kills):
            print(f"run {k + 1}: {run_killed(command, endpoint, generator.uniform(*options.after))}", flush=True)
        print(f"last run: {subprocess.run(command, capture_output=True, text=True).stdout.strip()}", flush=True)
        done = subprocess.run(smirk3d("features", str(photos), "--out", str(local)), capture_output=True, text=True)
        print(f"local run: {done.stdout.strip()}", flush=True)
        download(endpoint, root / "shards")
        found = differences(root / "shards", local, photos)
    server.stop()
    print("\n".join(found) or "each photo exactly once, rows equal to those of the local run")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
