"""Pickled files give arrays, and nothing in them is ever executed."""

from __future__ import annotations

import builtins
import collections
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.head.flame import allowed_names, safe_stub
from smirk3d.head.flame.safe_pickle import read_npy, read_pickle

ARRAY = np.arange(6.0).reshape(2, 3)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# Pickles of Python 2, opcode by opcode


def text(value: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(value)) + value


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def old_array(array: np.ndarray, core: str = "numpy.core") -> bytes:
    code = array.dtype.str[1:].encode()
    state_of_type = b"(K\x03" + text(array.dtype.str[:1].encode()) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    dtype = named("numpy", "dtype") + b"(" + text(code) + b"K\x00K\x01tR" + state_of_type
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
    made = (
        named(f"{core}.multiarray", "_reconstruct") + b"(" + named("numpy", "ndarray") + b"(K\x00t" + text(b"b") + b"tR"
    )
    return made + b"(K\x01" + shape + dtype + b"\x89" + text(array.tobytes()) + b"tb"


def old_object(module: str, name: str, **state: bytes) -> bytes:
    items = b"".join(text(key.encode()) + value for key, value in state.items())
    return named(module, name) + b")\x81}(" + items + b"ub"


def old_set() -> bytes:
    return named("__builtin__", "set") + b"(]tR"


def old_file(**items: bytes) -> bytes:
    return b"\x80\x02}(" + b"".join(text(key.encode()) + value for key, value in items.items()) + b"u."


def test_a_file_of_python_2(tmp_path):
    sparse = scipy.sparse.csc_matrix(np.array([[0.0, 2, 0], [1, 0, 3]]))
    parts = {name: old_array(getattr(sparse, name)) for name in ("data", "indices", "indptr")}
    matrix = old_object("scipy.sparse.csc", "csc_matrix", _shape=b"(K\x02K\x03t", maxprint=b"K\x32", **parts)
    inner = old_object("chumpy.ch", "Ch", x=old_array(ARRAY), _dirty_vars=old_set())
    wrapped = old_object("chumpy.reordering", "Reshape", x=inner)
    content = old_file(plain=old_array(ARRAY), ch=inner, wrapped=wrapped, matrix=matrix, style=text(b"l\xe9"))
    read = read_pickle(write(tmp_path / "old.pkl", content))
    assert isinstance(read, dict) and read["style"] == "lé"
    for name in ("plain", "ch", "wrapped"):
        assert type(read[name]) is np.ndarray and read[name].dtype == np.float64
        np.testing.assert_array_equal(read[name], ARRAY)
    np.testing.assert_array_equal(read["matrix"], sparse.toarray())


def test_a_chumpy_object_without_numbers_stays_a_stub(tmp_path):
    read = read_pickle(write(tmp_path / "a.pkl", b"\x80\x02" + old_object("chumpy.ch", "Ch", a=b"K\x01") + b"."))
    assert isinstance(read, safe_stub.Chumpy) and read.state == {"a": 1}


def test_a_chumpy_object_that_contains_itself(tmp_path):
    content = b"\x80\x02" + named("chumpy", "Ch") + b")\x81q\x01}" + text(b"x") + b"h\x01sb."
    assert isinstance(read_pickle(write(tmp_path / "a.pkl", content)), safe_stub.Chumpy)


# Pickles of Python 3


VALUES = {
    "f8": ARRAY,
    "f4 big-endian": ARRAY.astype(">f4"),
    "uint32": np.arange(3, dtype=np.uint32),
    "int64 by columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "bool": np.array([True, False]),
    "text": np.array(["face", "é"]),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", VALUES)
def test_arrays_of_every_protocol(tmp_path, protocol, name):
    read = read_pickle(write(tmp_path / "a.pkl", pickle.dumps({"v": VALUES[name]}, protocol)))
    assert isinstance(read, dict) and type(read["v"]) is np.ndarray
    np.testing.assert_array_equal(read["v"], VALUES[name])
    assert read["v"].dtype.newbyteorder("=") == VALUES[name].dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol(tmp_path, protocol):
    value = {
        "a": [1, 2.5, None, True],
        "b": (b"\xff\0", b"", "é"),
        3: {4, 5},
        "f": frozenset("x"),
        "s": np.float32(1.5),
    }
    value |= {
        "o": collections.OrderedDict(k=np.int64(-7)),
        "twice": value["a"],
        "objects": np.array([{1: 2}, [3]], object),
    }
    read = read_pickle(write(tmp_path / "a.pkl", pickle.dumps(value, protocol)))
    assert isinstance(read, dict) and read.pop("objects") == [{1: 2}, [3]]
    assert read == {key: item for key, item in value.items() if key != "objects"}
    assert read["twice"] is read["a"]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["csc", "csr", "coo"])
@pytest.mark.parametrize("what", ["matrix", "array"])
def test_sparse_matrices_become_dense(tmp_path, protocol, kind, what):
    dense = np.array([[0.0, 2, 0, 1], [0, 0, 3, 0]])
    matrix = getattr(scipy.sparse, f"{kind}_{what}")(dense)
    read = read_pickle(write(tmp_path / "a.pkl", pickle.dumps([matrix], protocol)))
    np.testing.assert_array_equal(read[0], dense)  # type: ignore[index]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_torch_tensors_become_arrays(tmp_path, protocol):
    tensor = torch.arange(12.0).reshape(3, 4)
    value = {
        "all": tensor,
        "part": tensor[:, 1:],
        "turned": tensor.T,
        "whole": torch.tensor([[3, 1]]),
        "one": torch.tensor(2.0),
    }
    read = read_pickle(write(tmp_path / "a.pkl", pickle.dumps(value, protocol)))
    assert isinstance(read, dict)
    for name, expected in value.items():
        np.testing.assert_array_equal(read[name], expected.numpy())


def test_any_byte_in_text_of_protocol_0(tmp_path):
    assert read_pickle(write(tmp_path / "a.pkl", b"S'\\xe9\\x00'\n.")) == "é\0"


def test_lists_that_contain_themselves(tmp_path):
    value: list = [1]
    value.append(value)
    read = read_pickle(write(tmp_path / "a.pkl", pickle.dumps(value)))
    assert isinstance(read, list) and read[0] == 1 and read[1] is read


def test_npy_files(tmp_path):
    table = {"idx": torch.arange(3), "w": ARRAY, "list": [[1, 2]]}
    np.save(tmp_path / "t.npy", np.array(table, dtype=object), allow_pickle=True)
    read = read_npy(tmp_path / "t.npy")
    assert isinstance(read, dict) and read["list"] == [[1, 2]]
    np.testing.assert_array_equal(read["idx"], [0, 1, 2])
    for array in (ARRAY, np.asfortranarray(ARRAY), np.zeros((0, 3), np.float32), np.array(3)):
        np.save(tmp_path / "a.npy", array)
        plain = read_npy(tmp_path / "a.npy")
        assert isinstance(plain, np.ndarray) and plain.dtype == array.dtype
        np.testing.assert_array_equal(plain, array)


# Refusals


class Reduce:
    """Pickles as a call of any function."""

    def __init__(self, function: object, *arguments: object):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def stack_global(module: str, name: str) -> bytes:
    def short(value: str) -> bytes:
        return b"\x8c" + bytes([len(value)]) + value.encode()

    return b"\x80\x04" + short(module) + short(name) + b"\x93" + short("touch hacked") + b"\x85R."


GADGETS = {
    "os.system": (b"cos\nsystem\n(S'touch hacked'\ntR.", "os.system"),
    "os.system by INST": (b"(S'touch hacked'\nios\nsystem\n.", "os.system"),
    "by protocol 4": (stack_global("posix", "system"), "posix.system"),
    "a dotted name": (stack_global("numpy", "core.os.system"), "numpy.core.os.system"),
    "a dotted name of an allowed module": (stack_global("builtins", "set.__class__"), "builtins.set.__class__"),
    "collections' own imports": (stack_global("collections", "_sys.modules"), "collections._sys.modules"),
    "the name of a stand-in": (
        stack_global("smirk3d.head.flame.array_stubs", "DType"),
        "smirk3d.head.flame.array_stubs.DType",
    ),
    "eval": (pickle.dumps(Reduce(builtins.eval, "open('hacked', 'w')"), 4), "builtins.eval"),
    "eval of Python 2": (b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),
    "getattr": (pickle.dumps(Reduce(getattr, Reduce(__import__, "os"), "system"), 2), "__builtin__.getattr"),
    "subprocess": (b"csubprocess\nPopen\n(S'touch hacked'\ntR.", "subprocess.Popen"),
    "numpy.testing": (b"cnumpy.testing._private.utils\nrunstring\n.", "numpy.testing._private.utils.runstring"),
    "numpy.distutils": (b"cnumpy.distutils.exec_command\nexec_command\n.", "numpy.distutils.exec_command.exec_command"),
    "numpy.load": (b"cnumpy\nload\n(S'a.npy'\nI01\nI01\ntR.", "numpy.load"),
    "torch.load": (b"ctorch\nload\n(S'a.pt'\ntR.", "torch.load"),
    "pickle.loads": (b"c_pickle\nloads\n(S'a'\ntR.", "_pickle.loads"),
    "a line break in a name": (stack_global("os", "system\nignore me"), r"os.system\nignore me"),
    "inside chumpy": (b"\x80\x02" + old_object("chumpy.ch", "Ch", x=named("os", "system")) + b".", "os.system"),
    "functools.partial": (b"cfunctools\npartial\n(S'a'\ntR.", "functools.partial"),
}  # fmt: skip


@pytest.mark.parametrize("name", GADGETS)
@pytest.mark.parametrize("npy", [False, True])
def test_other_names_are_refused_before_anything_is_called(tmp_path, monkeypatch, name, npy):
    monkeypatch.chdir(tmp_path)
    content, refused = GADGETS[name]
    if npy:
        np.save(tmp_path / "evil.npy", np.array(None, dtype=object), allow_pickle=True)
        whole = (tmp_path / "evil.npy").read_bytes()
        content = whole[: whole.index(b"\n") + 1] + content
    with pytest.raises(Smirk3dError) as error:
        (read_npy if npy else read_pickle)(write(tmp_path / "evil.npy", content))
    message = str(error.value)
    assert message.endswith(f"evil.npy: refers to {refused}, which is not allowed in a head file; it is not executed")
    assert "\n" not in message and os.listdir(tmp_path) == ["evil.npy"]


def new(module: str, name: str) -> bytes:
    return named(module, name) + b")\x81"


HUGE_SHAPE = b"(" + b"J\xff\xff\xff\x7f" * 2 + b"t"
RECONSTRUCT = named("numpy.core.multiarray", "_reconstruct")
BROKEN = {
    "empty": b"",
    "text": b"hello, this is no pickle",
    "a photo": b"\xff\xd8\xff\xe0" * 20,
    "no end": pickle.dumps({"a": ARRAY})[:-1],
    "half": pickle.dumps({"a": ARRAY})[:90],
    "nothing but an end": b".",
    "a huge string": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"abc.",
    "a huge byte array": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",
    "a huge frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 50) + b"N.",
    "a huge memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a protocol of the future": b"\x80\x63N.",
    "a persistent id": b"\x80\x02K\x01Q.",
    "an extension": b"\x80\x02\x82\x01.",
    "a buffer from outside": b"\x80\x05\x97.",
    "an array of a size that is not there": old_array(ARRAY).replace(b"J\x03\0\0\0t", b"J\xff\xff\xff\x7ft") + b".",
    "an array of a negative size": old_array(ARRAY).replace(b"J\x03\0\0\0t", b"J\xff\xff\xff\xfft") + b".",
    "an array of records": named("numpy", "dtype") + b"(" + text(b"V8") + b"K\x00K\x01tR.",
    "an array of pointers without objects": old_array(ARRAY).replace(text(b"f8"), text(b"O8")) + b".",
    "the array class called": named("numpy", "ndarray") + b"(J\xff\xff\xff\x7ftR.",
    "an array of another class": RECONSTRUCT + b"(" + named("chumpy", "Ch") + b"(K\0tK\0tR.",
    "a function given a state": RECONSTRUCT + b"}" + text(b"x") + b"K\x01sb.",
    "a class given attributes": named("chumpy", "Ch") + b"N}" + text(b"__setstate__") + b"K\x01s\x86b.",
    "set given attributes": named("__builtin__", "set") + b"N}" + text(b"add") + b"K\x01s\x86b.",
    "a sparse matrix without numbers": new("scipy.sparse.csc", "csc_matrix") + b".",
    "a huge sparse matrix": old_object("scipy.sparse.csc", "csc_matrix", _shape=HUGE_SHAPE) + b".",
    "bytes in another encoding": named("_codecs", "encode") + b"(X\x01\0\0\0a" + text(b"rot13") + b"tR.",
    "a tensor of another format": named("torch.storage", "_load_from_bytes") + b"(" + text(b"PK\x03\x04") + b"tR.",
    "too deep": b"]" * 100_000 + b"a" * 99_999 + b".",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_damaged_files_are_one_clear_line(tmp_path, name):
    with pytest.raises(Smirk3dError) as error:
        read_pickle(write(tmp_path / "bad.pkl", BROKEN[name]))
    message = str(error.value)
    assert "bad.pkl: cannot be read as a pickle (" in message and message.endswith("; get the file again")
    assert "\n" not in message and len(message) < 400


def test_errors_are_found_before_memory_is_allocated_or_torch_is_called(tmp_path):
    reasons = {"a huge memo": "more stored values", "a tensor of another format": "storage of an unknown format"}
    reasons |= {"a persistent id": "opcode BINPERSID", "an extension": "opcode EXT1", "a huge string": "expected 115"}
    for name, reason in reasons.items():
        with pytest.raises(Smirk3dError, match=reason):
            read_pickle(write(tmp_path / "bad.pkl", BROKEN[name]))


def test_stubs_are_unchanged_after_every_attack():
    assert "__setstate__" in vars(safe_stub.Chumpy) and callable(vars(safe_stub.Chumpy)["__setstate__"])
    assert all(isinstance(kind, type) for kind in allowed_names.ALLOWED.values())
    ours = [kind for kind in allowed_names.ALLOWED.values() if kind not in (set, frozenset, collections.OrderedDict)]
    assert all(issubclass(kind, safe_stub.SafeStub) for kind in ours)


@pytest.mark.parametrize("change", ["negative", "outside", "count", "pointers"])
def test_sparse_matrices_with_wrong_indices(tmp_path, change):
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    if change == "pointers":
        matrix.indptr = np.array([0, 3, 1, 3], dtype=np.int32)
    elif change == "count":
        matrix.indices = matrix.indices[:2]
    else:
        matrix.indices[1] = -1 if change == "negative" else 7
    with pytest.raises(Smirk3dError, match=r"bad\.pkl"):
        read_pickle(write(tmp_path / "bad.pkl", pickle.dumps(matrix)))


@pytest.mark.parametrize(
    "size, stride, offset", [((9,), (1,), 0), ((2,), (50,), 0), ((2,), (1,), 11), ((1 << 40,), (0,), 0)]
)
def test_tensors_outside_of_their_storage(tmp_path, size, stride, offset):
    class Tensor:
        def __reduce__(self):
            storage = torch.arange(8.0)._typed_storage()
            return torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, collections.OrderedDict())

    with pytest.raises(Smirk3dError, match=r"bad\.pkl"):
        read_pickle(write(tmp_path / "bad.pkl", pickle.dumps(Tensor())))


@pytest.mark.parametrize("cut", [3, 9, 40, 130, -8])
def test_damaged_npy_files(tmp_path, cut):
    np.save(tmp_path / "good.npy", ARRAY)
    path = write(tmp_path / "bad.npy", (tmp_path / "good.npy").read_bytes()[:cut])
    with pytest.raises(Smirk3dError, match=r"bad\.npy: cannot be read as a \.npy file \(.*; get the file again"):
        read_npy(path)


def test_missing_files_are_errors(tmp_path):
    for read in (read_pickle, read_npy):
        with pytest.raises(Smirk3dError, match=r"nothing\.pkl: cannot be read \(No such file"):
            read(tmp_path / "nothing.pkl")
        with pytest.raises(Smirk3dError, match="cannot be read"):
            read(tmp_path)


def test_too_large_files_are_refused(tmp_path):
    with open(tmp_path / "large.pkl", "wb") as file:
        file.truncate((1 << 31) + 1)  # takes no space on the disk
    with pytest.raises(Smirk3dError, match=r"large\.pkl: larger than 2 GiB"):
        read_pickle(tmp_path / "large.pkl")
