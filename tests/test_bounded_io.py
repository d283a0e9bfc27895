"""Files of others are read within limits of memory and time, and everything wrong is one line."""

from __future__ import annotations

import io
import json
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import yaml

from smirk3d.bounded_io import (
    MAX_YAML_NODES,
    check_plain_file,
    open_plain,
    open_plain_text,
    parse_json,
    parse_npy,
    parse_yaml,
    read_bytes,
    read_npz,
)

MAX_BYTES, MAX_CALLS = 64 << 20, 100_000
MAX_BUILT = 100
"""Letters of the longest YAML of which anything may be built before it is refused."""


@contextmanager
def bounded() -> Iterator[None]:
    """Assert that little memory and few calls are needed, whatever the machine does besides."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    sys.setprofile(count)
    try:
        yield
        sys.setprofile(None)
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES and calls < MAX_CALLS
    finally:
        sys.setprofile(None)
        tracemalloc.stop()


def _npy(array: np.ndarray, **kind: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **kind)
    return file.getvalue()


def _header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text.encode() + b"\n"


ARRAYS = {
    "numbers": np.arange(12, dtype=np.float32).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "big-endian": np.arange(5, dtype=">i2"),
    "text": np.array(["a", "bcd"]),
    "one": np.array(3.5),
    "none": np.zeros((0, 3)),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_as_numpy_reads_them(name: str, tmp_path: Path) -> None:
    array = ARRAYS[name]
    np.savez_compressed(tmp_path / "a.npz", given=array, other=array)
    for found in (parse_npy(_npy(array)), read_npz(tmp_path / "a.npz", ["given"])["given"]):
        assert found.dtype == array.dtype and found.flags.writeable
        np.testing.assert_array_equal(found, array)
    assert set(read_npz(tmp_path / "a.npz", ["given", "missing"])) == {"given"}
    assert set(read_npz(tmp_path / "a.npz")) == {"given", "other"}


BAD_ARRAYS = {
    "objects": _npy(np.array([None, {}]), allow_pickle=True),
    "records": _npy(np.zeros(2, dtype=[("a", "f4")])),
    "huge": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"),
    "huge and empty": _header("{'descr': '|S0', 'fortran_order': False, 'shape': (1099511627776,), }"),
    "negative": _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }") + bytes(8),
    "deep header": _header("(" * 5000),
    "cut off": _npy(np.zeros(100))[:-1],
    "longer": _npy(np.zeros(100)) + b"\0",
    "other version": b"\x93NUMPY\x09\x00" + bytes(100),
    "nothing": b"",
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_a_lying_array_is_refused_before_memory_is_taken(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", BAD_ARRAYS[name])
    with bounded():
        for read in (lambda: parse_npy(BAD_ARRAYS[name]), lambda: read_npz(tmp_path / "a.npz")):
            with pytest.raises(ValueError) as caught:
                read()
            assert "\n" not in str(caught.value)


def test_a_compressed_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        file.write(_header("{'descr': '|u1', 'fortran_order': False, 'shape': (300000000,), }"))
        for _ in range(300):
            file.write(bytes(1_000_000))
    with bounded(), pytest.raises(ValueError, match="the limit is"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04xx", b"text", bytes(100)])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError):
        read_npz(tmp_path / "a.npz")


def test_pipes_and_folders_are_refused_without_opening_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError):
            check_plain_file(path, 100)
    (tmp_path / "file").write_bytes(bytes(101))
    with pytest.raises(ValueError, match="101 bytes"):
        check_plain_file(tmp_path / "file", 100)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 80 + "]" * 80, '{"a":' * 300 + "1" + "}" * 300, "NaN", "[Infinity]", "{", "9" * 5000]
)
def test_json_that_is_deep_or_none_is_refused(text: str) -> None:
    with bounded(), pytest.raises(ValueError):
        parse_json(text)


def test_json_comes_back() -> None:
    content = {"a": [1, 2.5, None, {"b": "ü"}], "c": [[[[]]]]}
    assert parse_json(json.dumps(content)) == parse_json(json.dumps(content).encode()) == content
    with pytest.raises(ValueError, match="limit"):
        parse_json(" " * 101, max_bytes=100)


_CHAIN = "a0: &a0 [1]\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 30))
BAD_YAML = {
    "deep list": "[" * 20_000,
    "deep mapping": "".join(f"{' ' * k}a:\n" for k in range(500)),
    "deep entries": "- " * 5_000,
    "aliases": _CHAIN,
    "merged aliases": _CHAIN.replace("[", "{<<: [").replace("]", "]}").replace("[1]", "[{x: 1}]"),
    "itself": "&a [*a]",
    "empty number": "a: !!int ''",
    "text as truth": "a: !!bool foo",
    "text as time": "a: !!timestamp foo",
    "long number": "a: " + "9" * 500_000,
    "long time": "a: " + ":".join(["1"] * 200_000),
    "code": "a: !!python/object/apply:os.system [true]",
    "unclosed": "a: 'b",
    "long": "a" * (1 << 21),
    "many": "- 1\n" * 60_000,
}


@pytest.mark.parametrize("name", BAD_YAML)
def test_yaml_that_is_deep_or_large_or_none_is_refused_before_it_is_built(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, built, parse, load = [0], [0], yaml.parse, yaml.load

    def counted(*arguments: Any) -> Iterator[yaml.Event]:
        for event in parse(*arguments):
            events[0] += 1
            yield event

    def recorded(text: str, loader: Any) -> Any:
        built.append(len(text))
        return load(text, loader)

    monkeypatch.setattr(yaml, "parse", counted)
    monkeypatch.setattr(yaml, "load", recorded)
    with pytest.raises(ValueError) as caught:
        parse_yaml(BAD_YAML[name])
    # Parsing takes a time for each event; what is built can be far larger than the text.
    assert events[0] <= MAX_YAML_NODES + 10 and max(built) <= MAX_BUILT and "\n" not in str(caught.value)


def test_yaml_comes_back() -> None:
    text = "a: &x {b: [1, 2.5, null, yes]}\nc: *x\nd: {<<: *x, e: 2020-01-01}\nf: 0x10\n"
    assert parse_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a pipe"])
def test_only_plain_files_are_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    for read in (open_plain, read_bytes, check_plain_file):
        with pytest.raises(OSError, match="it is a folder" if kind == "folder" else "it is no plain file") as refused:
            read(path)
        assert isinstance(refused.value, ValueError)


def test_a_plain_file_is_opened_and_a_larger_one_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with open_plain(tmp_path / "file", 3) as file:
        assert file.read() == read_bytes(tmp_path / "file") == b"abc"
    with pytest.raises(ValueError, match="it has 3 bytes, the limit is 2"):
        open_plain(tmp_path / "file", 2)
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "missing")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["", "a", "image,label\r\né.jpg,ängstlich\r\n" * 20])
def test_texts_of_any_program_are_read(encoding: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding=encoding, newline="")
    with open_plain_text(path) as file:
        assert file.read() == text


def test_other_bytes_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "photo.csv"
    path.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0" * 20)
    with open_plain_text(path) as file, pytest.raises(UnicodeDecodeError):
        file.read()
