"""Kill commands at random moments, run them again, and compare with runs that were left alone.

    python scripts/kill_and_resume.py [--kills 10] [--seed 0] [--only reconstruct features video prepare train]

Each command runs in a forked child on inputs that are made from scikit-image's photo. It is killed by SIGKILL or
SIGTERM at a random time, or before a random operation on a file of its output, some runs twice, and run again with
`--resume` where it has that. The result must equal that of the run that was left alone: the same files, tables row for
row, arrays, meshes, images, checkpoints and weights bit for bit, videos but for the noise of their compression, no
temporary files. Prints each difference; exits with 1 for any.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

from smirk3d.cli.main import main as smirk3d

ROOT = Path(__file__).parents[1]
TWICE_SHARE = 0.3
"""Share of the runs that are killed twice."""
MAX_CODEC_NOISE = 0.5
"""Largest mean difference of two compressed frames, in levels of 255."""
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}(\.\w+)?|.*\.part|.*smirk3d-lock")
_WRITES = os.O_WRONLY | os.O_RDWR
_FILE_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
_TIMED_ROWS = ("faces_per_s",)
_TIMED_FOLDERS = ("tensorboard",)
_UNSEEDED = ("global", "sha256")
"""Parts of a checkpoint that differ between any two runs: generators that nothing uses, and the sum over all parts."""


@dataclass(frozen=True)
class Case:
    """A command.

    Attributes:
        words: Its arguments; the output is `out` in the working folder.
        resume: What is added to them in the rerun.
    """

    words: tuple[str, ...]
    resume: tuple[str, ...] = ("--resume",)


@dataclass(frozen=True)
class Blow:
    """A kill.

    Attributes:
        number: The signal.
        after_s: Time from the start; None: by the count of file operations.
        event: Number of the operation on an output before which it happens, from 1.
    """

    number: int
    after_s: float | None = None
    event: int = 0

    def __str__(self) -> str:
        when = f"file operation {self.event}" if self.after_s is None else f"{self.after_s:.2f} s"
        return f"{signal.Signals(self.number).name} at {when}"


def cases() -> dict[str, Case]:
    """Return the commands by name; paths are relative to the working folder."""
    prepare = ("data", "prepare", "photos", "--out", "out", "--shard-size", "4", "--val-share", "0.3")
    smoke = ("train", str(ROOT / "configs" / "smoke.yaml"), "data.root=shards", "out_dir=out")
    return {
        "reconstruct": Case(("reconstruct", "photos", "--out", "out", "--format", "glb,npz,obj")),
        "features": Case(("features", "photos", "--out", "out/features.npz")),
        "video": Case(("video", "clip.mp4", "--out", "out"), ()),
        "prepare": Case(prepare),
        "train": Case(smoke),
    }


def make_inputs(folder: Path) -> None:
    """Write photos, one of them broken and one without a face, and a clip."""
    (folder / "photos").mkdir()
    photo = Image.fromarray(astronaut())
    for k in range(20):
        shifted = photo.crop((100 + 3 * k, 2 * k, 340 + 3 * k, 240 + 2 * k))
        shifted.save(folder / "photos" / f"{k:02}.png")
    Image.new("RGB", (64, 64), (90, 90, 90)).save(folder / "photos" / "05.png")
    (folder / "photos" / "03.png").write_bytes(b"no photo")
    _write_clip(folder / "clip.mp4", np.asarray(photo))


def _write_clip(path: Path, pixels: np.ndarray) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 240, 240, "yuv420p"
        for k in range(30):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[k : k + 240, 100 + k : 340 + k]), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def start(words: tuple[str, ...], folder: Path, blow: Blow | None = None, events: Path | None = None) -> int:
    """Fork a child that runs a command in a folder; return its process id.

    Args:
        words: Arguments of the command.
        folder: Working folder; the output goes to `out` in it.
        blow: Kill by file operations; None: none.
        events: File that receives the number of operations and the time of the first one.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process_id = os.fork()
    if process_id:
        return process_id
    code = 70
    try:
        os.chdir(folder)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        began_s, seen = time.monotonic(), []

        def note() -> None:
            seen.append(time.monotonic() - began_s)
            if blow is not None and len(seen) == blow.event:
                os.kill(os.getpid(), blow.number)

        _on_file_events(folder / "out", note)
        code = smirk3d(words)
        if events is not None:
            events.write_text(f"{len(seen)} {seen[0]} {time.monotonic() - began_s}")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _on_file_events(out: Path, note: Callable[[], None]) -> None:
    """Call a function before each operation that changes files below a folder."""
    prefix = str(out)

    def hook(name: str, values: tuple[Any, ...]) -> None:
        is_write = name == "open" and len(values) > 2 and isinstance(values[2], int) and bool(values[2] & _WRITES)
        if is_write or name in _FILE_EVENTS:
            path = values[0]
            if isinstance(path, str | bytes | os.PathLike) and os.path.abspath(os.fsdecode(path)).startswith(prefix):
                note()

    sys.addaudithook(hook)


def run_to_end(words: tuple[str, ...], folder: Path, events: Path | None = None) -> int:
    """Run a command and return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(start(words, folder, events=events), 0)[1])


def run_and_kill(words: tuple[str, ...], folder: Path, blow: Blow) -> int:
    """Run a command, kill it, and return its exit code; negative for a signal."""
    process_id = start(words, folder, None if blow.after_s is not None else blow)
    if blow.after_s is not None:
        time.sleep(blow.after_s)
        os.kill(process_id, blow.number)  # an ended child is there until it is waited for
    return os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])


def random_blow(random_: random.Random, n_events: int, first_s: float, end_s: float) -> Blow:
    """Choose a kill: half of them at a time after the first output, half at a file operation."""
    number = random_.choice([signal.SIGKILL, signal.SIGTERM])
    if random_.random() < 0.5:
        return Blow(number, after_s=random_.uniform(0.8 * first_s, end_s))
    return Blow(number, event=random_.randint(1, n_events))


def differences(whole: Path, out: Path) -> Iterator[str]:
    """Yield how two folders differ."""
    files = [set(_files(folder)) for folder in (whole, out)]
    yield from (f"missing: {name}" for name in sorted(files[0] - files[1]))
    yield from (f"left over: {name}" for name in sorted(files[1] - files[0]))
    for name in sorted(files[0] & files[1]):
        if _TEMPORARY.fullmatch(Path(name).name):
            yield f"temporary: {name}"
        elif not _are_equal(whole / name, out / name):
            yield f"differs: {name}"


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in _TIMED_FOLDERS:
            yield str(name)


def _are_equal(a: Path, b: Path) -> bool:
    """Return whether two files are equal, but for times that are stored in them."""
    if a.read_bytes() == b.read_bytes():
        return True
    if a.suffix == ".npz":
        with np.load(a) as first, np.load(b) as second:
            return first.files == second.files and all(
                first[name].dtype == second[name].dtype and first[name].tobytes() == second[name].tobytes()
                for name in first.files
            )
    if a.name == "metrics.csv":
        rows = [[line for line in path.read_text().splitlines() if not _is_timed(line)] for path in (a, b)]
        return rows[0] == rows[1]
    if a.suffix == ".mp4":
        return _are_alike(*(_frames(path) for path in (a, b)))
    if a.suffix == ".pt":
        states = [torch.load(path, weights_only=True) for path in (a, b)]
        return _same(*({key: value for key, value in state.items() if key not in _UNSEEDED} for state in states))
    return False


def _frames(path: Path) -> list[tuple[int, np.ndarray]]:
    import av

    with av.open(str(path)) as container:
        return [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def _are_alike(a: list[tuple[int, np.ndarray]], b: list[tuple[int, np.ndarray]]) -> bool:
    """Return whether two videos show the same: the noise of the compression differs between any two runs."""
    return len(a) == len(b) and all(
        t == u and x.shape == y.shape and np.abs(x.astype(float) - y).mean() < MAX_CODEC_NOISE
        for (t, x), (u, y) in zip(a, b, strict=True)
    )


def _is_timed(line: str) -> bool:
    return any(f",{name}," in line for name in _TIMED_ROWS)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def try_case(name: str, case: Case, folder: Path, kills: int, random_: random.Random) -> int:
    """Kill a command so many times and compare; return the number of runs that differ."""
    events, whole, out = folder / "events.txt", folder / f"whole-{name}", folder / "out"
    code = run_to_end(case.words, folder, events)
    n_events, first_s, end_s = (float(text) for text in events.read_text().split())
    out.rename(whole)
    print(f"{name}: left alone: exit code {code}, {int(n_events)} file operations, {end_s:.1f} s", flush=True)
    n_different, done = 0, 0
    while done < kills:
        blows, words = [], case.words
        while not blows or (done < kills and random_.random() < TWICE_SHARE):
            blow = random_blow(random_, int(n_events), first_s, end_s)
            ended = run_and_kill(words, folder, blow)
            blows.append(f"{blow} -> {ended}")
            words, done = case.words + case.resume, done + 1
        again = run_to_end(words, folder)
        found = list(differences(whole, out))
        found += [f"exit code {again} instead of {code}"] if again != code else []
        n_different += bool(found)
        print(f"{name}: {', '.join(blows)}: {'; '.join(found[:6]) if found else 'equal'}", flush=True)
        shutil.rmtree(out, ignore_errors=True)
    return n_different


def main() -> int:
    """Run all cases; return 1 for any difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="kills of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(cases()), default=list(cases()))
    arguments = parser.parse_args()
    n_different = 0
    with tempfile.TemporaryDirectory(prefix="smirk3d-kills-") as name:
        folder = Path(name).resolve()
        make_inputs(folder)
        if "train" in arguments.only:
            run_to_end(("data", "prepare", "photos", "--out", "shards", "--val-share", "0"), folder)
        for case in arguments.only:
            random_ = random.Random(f"{arguments.seed} {case}")
            n_different += try_case(case, cases()[case], folder, arguments.kills, random_)
    print(f"{n_different} runs differ")
    return 1 if n_different else 0


if __name__ == "__main__":
    sys.exit(main())
