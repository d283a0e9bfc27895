"""Records are appended whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from smirk3d.append_file import AppendFile
from smirk3d.assets import is_disk_full
from smirk3d.errors import Smirk3dError

FILL = """
import resource, sys
from pathlib import Path
from smirk3d.append_file import AppendFile
from smirk3d.errors import Smirk3dError
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (25, 25))
with AppendFile(path, "free space") as file:
    for _ in range(3):
        try:
            file.append(b"0123456789")
        except Smirk3dError as error:
            print(error)
"""


def test_records_are_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"head\n")
    with AppendFile(path, "free space", durable=True) as file:
        file.append(b"one\n")
        assert path.read_bytes() == b"head\none\n"
        file.append(b"two\n")
    file.close()
    assert path.read_bytes() == b"head\none\ntwo\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes")
def test_a_record_for_which_there_is_no_space_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.touch()
    done = subprocess.run([sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, check=True)
    assert path.read_bytes() == 2 * b"0123456789"
    assert done.stdout == f"cannot write {path}: File too large; free space\n"


def test_links_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for name in ("link", "missing"):
        with pytest.raises(Smirk3dError, match=f"cannot write .*{name}: .*; remove it"):
            AppendFile(tmp_path / name, "remove it")


def test_a_full_disk_is_found_behind_other_errors() -> None:
    for number, expected in ((28, True), (13, False)):
        try:
            try:
                raise OSError(number, "why")
            except OSError as error:
                raise Smirk3dError("cannot write") from error
        except Smirk3dError as error:
            assert is_disk_full(error) == expected
