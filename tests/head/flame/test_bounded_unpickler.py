"""Pickles are read in time and memory that grow no faster than the file."""

from __future__ import annotations

import pickle
import struct
import sys
import tracemalloc
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.head.checked import checked_array
from smirk3d.head.flame import safe_pickle
from smirk3d.head.flame.safe_pickle import read_pickle
from smirk3d.networks.torch_file import read_parts
from smirk3d.networks.torch_reader import TorchReader

MAX_BYTES, MAX_CALLS_PER_BYTE = 64 << 20, 20


class CountsHashes(type):
    """A class of which each use as a key, or in one, is counted; the first ends what would take for ever."""

    count = 0

    def __hash__(cls) -> int:
        CountsHashes.count += 1
        raise ValueError("it is used as a key")


class Leaf(metaclass=CountsHashes):
    """What the nested tuples are made of."""


def _nested(depth: int, width: int) -> bytes:
    """Return opcodes of a tuple of tuples, each `width` times the one before."""
    parts = [b"cprobe\nLeaf\n\x85q\x00"]
    parts += [
        b"0(" + b"h" + bytes([k]) + (b"h" + bytes([k])) * (width - 1) + b"tq" + bytes([k + 1]) for k in range(depth)
    ]
    return b"\x80\x02" + b"".join(parts)


_TUPLE = _nested(30, 10)
BOMBS = {
    "tuple as key": _TUPLE + b"0}h\x1eK\x01s.",
    "tuples as keys": _TUPLE + b"0}(h\x1eK\x01u.",
    "tuple as key of a whole dictionary": _TUPLE + b"0(h\x1eK\x01d.",
    "tuple in a set": _TUPLE.replace(b"\x80\x02", b"\x80\x04") + b"0\x8f(h\x1e\x90.",
    "tuple in a frozen set": _TUPLE.replace(b"\x80\x02", b"\x80\x04") + b"0(h\x1e\x91.",
    "set of a list": _TUPLE + b"0cbuiltins\nset\n(h\x1eltR.".replace(b"(h\x1eltR", b"]h\x1ea\x85R"),
    "ordered dictionary": _TUPLE
    + b"0ccollections\nOrderedDict\n](h\x1eK\x01ea\x85R.".replace(b"](h\x1eK\x01ea", b"]h\x1eK\x01\x86a"),
    "index of the memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"a.",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "many long keys": b"\x80\x02}(" + (b"X" + struct.pack("<I", 5000) + b"a" * 5000 + b"N") * 3 + b"u.",
}


@pytest.fixture
def counted_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files refer to `Leaf`."""
    for reader in (safe_pickle._Unpickler, TorchReader):
        find = reader.find_class
        monkeypatch.setattr(
            reader,
            "find_class",
            lambda self, module, name, find=find: Leaf if name == "Leaf" else find(self, module, name),
        )
    CountsHashes.count = 0


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("container", ["head", "torch"])
def test_a_bomb_ends_at_once_with_one_line(name: str, container: str, tmp_path: Path, counted_leaf: None) -> None:
    path, calls = tmp_path / "bomb.pkl", 0
    legacy = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    path.write_bytes(BOMBS[name] if container == "head" else legacy + BOMBS[name])

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    sys.setprofile(count)
    try:
        with pytest.raises(Smirk3dError, match=r"bomb\.pkl") as caught:
            read_pickle(path) if container == "head" else read_parts(path, ("a",), "remedy")
    finally:
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MAX_BYTES and calls < MAX_CALLS_PER_BYTE * path.stat().st_size + 1000
    assert CountsHashes.count == 0 and "\n" not in str(caught.value)


def test_the_leaf_would_be_noticed(tmp_path: Path, counted_leaf: None) -> None:
    (tmp_path / "a.pkl").write_bytes(_nested(0, 1) + b"0}h\x00K\x01s.")  # a short tuple may be a key
    with pytest.raises(Smirk3dError, match="used as a key"):
        read_pickle(tmp_path / "a.pkl")
    assert CountsHashes.count == 1


def test_short_tuples_are_keys(tmp_path: Path) -> None:
    content = {(1, "a"): 2, "b": {3, (4, 5)}, 6: None}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, 4))
    assert read_pickle(tmp_path / "a.pkl") == content


def test_lists_that_stand_for_billions_of_numbers_become_no_array(tmp_path: Path) -> None:
    value: list = [1.0]
    for _ in range(12):
        value = [value] * 10
    with pytest.raises(Smirk3dError, match="no array of numbers"):
        checked_array(tmp_path / "a.pkl", "v", value)
    itself: list = []
    itself.append(itself)
    with pytest.raises(Smirk3dError, match="no array of numbers"):
        checked_array(tmp_path / "a.pkl", "v", itself)
    np.testing.assert_array_equal(checked_array(tmp_path / "a.pkl", "v", [[1, 2], [3, 4]]), [[1, 2], [3, 4]])


def _sparse(**state: object) -> bytes:
    from scipy import sparse

    matrix = sparse.csc_matrix(np.eye(3))
    for name, value in state.items():
        setattr(matrix, name, value)
    return pickle.dumps(matrix, 2)


SPARSE = {
    "pointers of millions of values": {"indptr": np.array([0, 500_000_000, 500_000_000, 500_000_000])},
    "pointers that go back": {"indptr": np.array([0, 5, -2, 3])},
    "a huge matrix": {"_shape": (1 << 20, 1 << 20)},
    "long text as numbers": {"_shape": (4000, 4000), "data": np.array(["x" * 2000] * 3)},
}


@pytest.mark.parametrize("name", SPARSE)
def test_a_sparse_matrix_takes_no_more_than_it_states(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(_sparse(**SPARSE[name]))
    tracemalloc.start()
    with pytest.raises(Smirk3dError, match=r"a\.pkl"):
        read_pickle(tmp_path / "a.pkl")
    assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    tracemalloc.stop()


def test_many_sparse_matrices_have_one_limit(tmp_path: Path) -> None:
    from scipy import sparse

    matrices = [sparse.csc_matrix((4000, 4000)) for _ in range(40)]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(matrices, 2))
    with pytest.raises(Smirk3dError, match="sparse matrices of more than"):
        read_pickle(tmp_path / "a.pkl")
