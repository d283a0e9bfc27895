"""Safe reader of pickled head files: nothing in a file is executed.

A pickle is a program, and Python's own reader lets it call any function. This reader restricts it to plain values and
the stubs of `smirk3d.head.flame.allowed_names`, and rejects every other name before it is imported.
"""

from __future__ import annotations

import io
import math
import pickletools
from pathlib import Path
from typing import BinaryIO

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, read_bytes
from smirk3d.errors import Smirk3dError
from smirk3d.head.flame.allowed_names import ALLOWED
from smirk3d.head.flame.array_stubs import Array
from smirk3d.head.flame.bounded_unpickler import BoundedUnpickler
from smirk3d.head.flame.safe_stub import Chumpy
from smirk3d.head.flame.sparse_stubs import Sparse

_MAX_BYTES = 1 << 31
"""Larger files are rejected."""
_MAX_DENSE_BYTES = 256 << 20
"""Largest sum of the matrices that a file holds as sparse ones."""
_OPCODES = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}
_MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")
"""Opcodes whose argument is an index into the memo, for which the reader would allocate memory."""
_EXTERNAL_OPCODES = ("EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER")
"""Opcodes for values outside of the file."""


def read_pickle(path: str | Path) -> object:
    """Read a pickle of protocol 0 to 5, written by Python 2 or 3.

    Returns:
        Plain values: dicts, lists, tuples, sets, numbers, text, and numpy arrays in place of arrays, sparse matrices,
        chumpy objects and torch tensors. A chumpy object without numbers stays a stub.

    Raises:
        Smirk3dError: The file cannot be read, is damaged, or refers to a name that is not allowed.
    """
    return _unpickle(_content(Path(path)), Path(path))


def read_npy(path: str | Path) -> object:
    """Read the array of a .npy file, or the pickled object of one that holds a single object.

    Args:
        path: The file.

    Returns:
        The array, or plain values as of `read_pickle`.

    Raises:
        Smirk3dError: As for `read_pickle`.
    """
    path = Path(path)
    stream = io.BytesIO(_content(path))
    try:
        shape, fortran, dtype = _read_npy_header(stream)
        content = stream.read()
        if not dtype.hasobject:
            if len(content) != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"{len(content)} bytes for the shape {shape}")
            return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    except Exception as error:  # whatever numpy raises about a damaged header
        raise _damaged(path, "a .npy file", error) from error
    return _unpickle(content, path)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise Smirk3dError(f"{printable(path)}: larger than 2 GiB; no head file is so large")
        return read_bytes(path)
    except (OSError, ValueError) as error:
        raise Smirk3dError(f"{printable(path)}: cannot be read ({one_line(error)}); give a head file") from error


def _damaged(path: Path, kind: str, error: Exception) -> Smirk3dError:
    reason = " ".join(printable(str(error) or type(error).__name__).split())[:200]
    return Smirk3dError(f"{printable(path)}: cannot be read as {kind} ({reason}); get the file again")


def _read_npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of the format")


def _unpickle(content: bytes, path: Path) -> object:
    try:
        _check_opcodes(content)
        return _Conversion().plain(_Unpickler(content, path).load())
    except Smirk3dError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise _damaged(path, "a pickle", error) from error


def _check_opcodes(content: bytes) -> None:
    """Parse the opcodes without executing them.

    Raises:
        ValueError: The pickle is truncated or damaged, refers to values outside of the file, or claims more memory than
            it can need.
    """
    stream, code, argument = io.BytesIO(content), b"", None
    while code != b".":
        code = stream.read(1)
        if code not in _OPCODES:
            raise ValueError(f"unknown opcode {code!r}" if code else "it is cut off")
        opcode = _OPCODES[code]
        if opcode.name in _EXTERNAL_OPCODES:
            raise ValueError(f"opcode {opcode.name}, for values outside of the file")
        if opcode.name == "STRING":
            argument = stream.readline()  # Python 2 wrote any byte here, pickletools reads ASCII
        elif opcode.arg is not None:
            argument = opcode.arg.reader(stream)
        if opcode.name in _MEMO_OPCODES and isinstance(argument, int) and argument > len(content):
            raise ValueError("more stored values than the file can hold")
        if opcode.name == "FRAME" and isinstance(argument, int) and argument > len(content) - stream.tell():
            raise ValueError("a frame that is larger than the file")


class _Unpickler(BoundedUnpickler):
    def __init__(self, content: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> type:
        """Return the stub of an allowed name.

        Raises:
            Smirk3dError: The name is not allowed.
        """
        if module == "chumpy" or module.startswith("chumpy."):
            return Chumpy
        if (module, name) not in ALLOWED:
            raise Smirk3dError(
                f"{printable(self._path)}: refers to {printable(f'{module}.{name}')}, which is not allowed in a head "
                "file; it is not executed"
            )
        return ALLOWED[module, name]


class _Conversion:
    """Replaces the stubs of a file by arrays."""

    def __init__(self) -> None:
        # id -> (value, result) of what has been converted, for values that occur more than once or contain themselves;
        # the reference to each value keeps its id from being used again.
        self._done: dict[int, tuple[object, object]] = {}
        self._dense_bytes = 0

    def plain(self, value: object) -> object:
        """Return a value with arrays in place of stubs."""
        if id(value) in self._done:
            return self._done[id(value)][1]
        if isinstance(value, dict):
            tree: dict = {}
            self._done[id(value)] = value, tree
            tree.update((key, self.plain(item)) for key, item in value.items())
            return tree
        if isinstance(value, list):
            items: list = []
            self._done[id(value)] = value, items
            items.extend(self.plain(item) for item in value)
            return items
        self._done[id(value)] = value, value
        result = self._leaf(value)
        self._done[id(value)] = value, result
        return result

    def _leaf(self, value: object) -> object:
        if isinstance(value, tuple):
            return tuple(self.plain(item) for item in value)
        if isinstance(value, Chumpy):
            inner = self.plain(value.state.get("x"))
            return value if inner is None else inner
        if isinstance(value, Sparse):
            return self._dense(value)
        if isinstance(value, Array):
            # An array of objects becomes a list, or the object itself where it is a single one.
            return self.plain(value.tolist()) if value.dtype.hasobject else value.view(np.ndarray)
        return value

    def _dense(self, value: Sparse) -> np.ndarray:
        value.state.update((key, self.plain(item)) for key, item in list(value.state.items()))
        self._dense_bytes += value.dense_bytes()
        if self._dense_bytes > _MAX_DENSE_BYTES:
            raise ValueError(f"sparse matrices of more than {_MAX_DENSE_BYTES} bytes")
        return value.dense()
