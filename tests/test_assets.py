"""Names are printable, checksums notice changes, and files are written whole or not at all."""

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from smirk3d.assets import (
    atomic_path,
    cache_dir,
    check_writable,
    checksum_matches,
    printable,
    sha256,
    write_checksum,
)
from smirk3d.errors import Smirk3dError

GOOD = b"the right bundle"


def put(path: Path, content: bytes = GOOD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_sha256_agrees_with_the_published_value_of_abc(tmp_path):
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(put(tmp_path / "abc", b"abc")) == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SMIRK3D_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, Path("/own")),
        ({"XDG_CACHE_HOME": "/xdg"}, Path("/xdg/smirk3d")),
    ],
)
def test_cache_dir_follows_the_environment(monkeypatch, variables, expected):
    for name in ("SMIRK3D_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == expected


def test_cache_dir_without_variables_lies_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("SMIRK3D_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert tmp_path in cache_dir().parents and cache_dir().name == "smirk3d"


def test_atomic_path_replaces_on_success_and_keeps_the_suffix(tmp_path):
    target = put(tmp_path / "table.csv", b"old")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".csv" and not temporary.exists()
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new" and os.listdir(tmp_path) == ["table.csv"]


def test_atomic_path_leaves_the_target_alone_on_failure(tmp_path):
    target = put(tmp_path / "table.csv", b"old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["table.csv"]


def test_atomic_path_gives_the_usual_permissions(tmp_path):
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"")
    put(tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_atomic_path_follows_a_link(tmp_path):
    target = put(tmp_path / "real", b"old")
    (tmp_path / "link").symlink_to(target)
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "link").is_symlink() and target.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["missing/file.csv", ".", os.devnull])
def test_atomic_path_refuses_what_is_no_place_for_a_file(tmp_path, name):
    with pytest.raises(Smirk3dError, match="cannot write"), atomic_path(tmp_path / name):
        pytest.fail("the block must not run")


def test_atomic_path_reports_a_full_disk_in_one_line(tmp_path):
    with pytest.raises(Smirk3dError, match=r"table\.csv.*No space left"), atomic_path(tmp_path / "table.csv"):
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_printable_escapes_control_characters_and_undecodable_bytes():
    assert printable("gr\u00fcn.jpg") == "gr\u00fcn.jpg"
    assert printable(Path(os.fsdecode(b"a\xff\nb.jpg"))) == "a\\udcff\\nb.jpg"


def test_a_check_of_a_place_leaves_it_as_it_was(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    check_writable(tmp_path / "a.csv")
    check_writable(tmp_path / "b.csv")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    with pytest.raises(Smirk3dError, match="missing"):
        check_writable(tmp_path / "missing" / "b.csv")


def test_the_reason_is_given_where_nothing_can_be_cleaned_up(tmp_path, monkeypatch):
    def refuse(self, *arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    for name in ("write_bytes", "unlink"):
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(Smirk3dError, match=r"cannot write .*a\.csv: Read-only file system; check") as error:
        check_writable(tmp_path / "a.csv")
    assert not re.search(r"\.[0-9a-f]{32}", str(error.value))


def test_a_checksum_notices_a_change(tmp_path):
    path = put(tmp_path / "a.pack")
    assert checksum_matches(path) is None
    write_checksum(path)
    assert checksum_matches(path) is True
    path.write_bytes(GOOD[:-1] + b"!")
    assert checksum_matches(path) is False
    path.unlink()
    assert checksum_matches(path) is None
