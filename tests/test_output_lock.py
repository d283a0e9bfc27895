"""Locks of outputs, links in them, and what killed processes leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smirk3d.assets import atomic_path, temporary_name
from smirk3d.errors import Smirk3dError
from smirk3d.output_lock import (
    LOCK_SUFFIX,
    STALE_AFTER_S,
    links_below,
    locked_file,
    locked_folder,
    refuse_links,
    sweep_temporaries,
)

HOLD = """
import sys, time
from pathlib import Path
from smirk3d.output_lock import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
LEAVE = """
import os, sys
from pathlib import Path
from smirk3d.assets import atomic_path
with atomic_path(Path(sys.argv[1]) / "a.glb") as temporary:
    temporary.write_bytes(b"half")
    os._exit(9)
"""


@contextmanager
def _holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds a folder."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    out = tmp_path / "out.v1"
    with _holder(out) as process:
        with pytest.raises(Smirk3dError, match=r"out\.v1: another process of smirk3d writes there"), locked_folder(out):
            pass
        with locked_folder(tmp_path / "other"), locked_file(out / "a.csv"):
            pass
        process.kill()
        process.wait()
    with locked_folder(out):  # a killed process holds nothing
        pass
    assert not list(out.iterdir())


def test_one_process_cannot_hold_a_file_twice(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "f.csv"
    with locked_file(path):
        with pytest.raises(Smirk3dError, match="another process"), locked_file(path):
            pass
        with locked_file(path.with_name("g.csv")):
            pass
    with locked_file(path):
        assert path.parent.is_dir()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Smirk3dError, match=r"file.*choose another place"), locked_folder(tmp_path / "file" / "out"):
        pass


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path)], check=False).returncode == 9
    (left,) = tmp_path.iterdir()
    own, foreign = tmp_path / temporary_name(".npz"), tmp_path / f".{'0' * 8}{'1' * 24}.npz"
    others = [tmp_path / name for name in (".hidden", "a.glb", f".{'0' * 31}.npz", f".{'0' * 32}")]
    for path in (own, foreign, *others[:3]):
        path.write_bytes(b"")
    assert sweep_temporaries([tmp_path, tmp_path / "missing"]) == 1
    assert not left.exists() and own.exists() and foreign.exists()
    old_s = time.time() - STALE_AFTER_S - 1
    os.utime(foreign, (old_s, old_s))
    with locked_folder(tmp_path):
        assert not foreign.exists() and own.exists() and all(path.exists() for path in others[:3])


def test_a_running_process_keeps_its_temporary_file(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.glb") as temporary:
        temporary.write_bytes(b"whole")
        assert sweep_temporaries([tmp_path]) == 0
    assert (tmp_path / "a.glb").read_bytes() == b"whole"


def test_links_among_outputs(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    assert links_below(out, ["a", "sub/b", "new/c"]) == set()
    (out / "a_0.glb").symlink_to(tmp_path / "nowhere")
    (out / "folder").symlink_to(tmp_path / "elsewhere")
    assert links_below(out, ["a", "sub/b", "folder/x/c"]) == {"a_0.glb", "folder"}
    for stem in ("a", "folder/x/c"):
        with pytest.raises(Smirk3dError, match="is a symbolic link; remove it"):
            refuse_links(out, stem)
    for stem in ("ab", "sub/b"):
        refuse_links(out, stem)


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / LOCK_SUFFIX).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Smirk3dError, match="cannot write"), locked_folder(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_stays_empty_is_removed(tmp_path: Path) -> None:
    for hold in (locked_folder(tmp_path / "new"), locked_file(tmp_path / "new" / "f.csv")):
        with hold:
            assert (tmp_path / "new").is_dir()
        assert not (tmp_path / "new").exists()
    with locked_folder(tmp_path / "new"):
        (tmp_path / "new" / "a").touch()
    assert (tmp_path / "new" / "a").exists()
