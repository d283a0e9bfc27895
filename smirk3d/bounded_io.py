"""Reading of arrays, JSON and YAML that others wrote, within limits of memory and time.

Each reader compares the sizes that a file states with its limit, and with the bytes that are there, before it allocates
anything. Whatever is wrong is a `ValueError` with one line of text; the caller adds the file and the remedy.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Collection
from typing import IO, TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    import yaml

MAX_INFLATED_BYTES, MAX_INFLATION = 256 << 20, 10
"""Largest sum of the arrays of an archive: this, or so many times the size of the file where that is more."""
MAX_JSON_BYTES, MAX_YAML_BYTES = 64 << 20, 1 << 20
"""Largest texts."""
MAX_DEPTH = 64
"""Largest number of nested lists and mappings in JSON and YAML."""
MAX_YAML_NODES = 50_000
"""Largest number of values in YAML, each alias counted as all that it stands for."""
_MAX_NUMBER_LETTERS = 1000
_MAX_ENTRIES = 10_000
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_ENCODING_BYTES = 64
"""Length of the start of a text from which its encoding is known."""
_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def one_line(error: BaseException, max_letters: int = 200) -> str:
    """Return what an error says as one line.

    Args:
        error: Any error.
        max_letters: Longer texts are cut.
    """
    if isinstance(error, KeyError) and error.args:
        return f"{' '.join(str(error.args[0]).split())} is missing"[:max_letters]
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:max_letters]


class UnusableFileError(OSError, ValueError):
    """A path that is no plain file, or a file that is too large."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)

    def __str__(self) -> str:
        return str(self.strerror)


def check_plain_file(path: str | os.PathLike[str], max_bytes: int | None = None) -> int:
    """Return the size of a file in bytes, before it is opened: reading a pipe or a device would not end.

    Args:
        path: The file.
        max_bytes: Largest size; None: any.

    Raises:
        OSError: There is no such file.
        UnusableFileError: It is no plain file, or is larger.
        ValueError: The path has a NUL.
    """
    return _plain_size(os.stat(path), max_bytes)


def _plain_size(status: os.stat_result, max_bytes: int | None) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFileError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no plain file")
    if max_bytes is not None and status.st_size > max_bytes:
        raise UnusableFileError(f"it has {status.st_size} bytes, the limit is {max_bytes}")
    return status.st_size


def open_plain(path: str | os.PathLike[str], max_bytes: int | None = None) -> IO[bytes]:
    """Open a file of the user for reading bytes; pipes, devices and folders are refused.

    Args:
        path: The file.
        max_bytes: Largest size; None: any.

    Raises:
        OSError: As `check_plain_file`, or it cannot be opened.
        ValueError: The path has a NUL.
    """
    check_plain_file(path, max_bytes)
    # The second check is for files that are exchanged in between; without O_NONBLOCK, pipes would wait for a writer.
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - the caller closes it
    try:
        _plain_size(os.fstat(file.fileno()), max_bytes)
    except OSError:
        file.close()
        raise
    return file


def open_plain_text(path: str | os.PathLike[str]) -> IO[str]:
    """Open a text of the user for reading, with its line ends: UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        OSError: As `open_plain`.
        ValueError: The path has a NUL.
    """
    file = open_plain(path)
    try:
        encoding = text_encoding(file.read(_ENCODING_BYTES))
        file.seek(0)
    except OSError:
        file.close()
        raise
    return io.TextIOWrapper(file, encoding=encoding, newline="")  # type: ignore[arg-type]


def text_encoding(start: bytes) -> str:
    """Return the name of the encoding of a text, UTF-8 or UTF-16, which programs of Windows write.

    Args:
        start: The first bytes of the text.
    """
    for mark, name in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return name
    start = start[:_ENCODING_BYTES]
    low, high = start[1::2].count(0), start[::2].count(0)  # in UTF-16, every other byte of ASCII is zero
    if 4 * max(low, high) < len(start) or not start:
        return "utf-8"
    return "utf-16-le" if low >= high else "utf-16-be"


def _open_at_once(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def parse_npy(content: bytes) -> np.ndarray:
    """Return the array of a .npy file.

    Args:
        content: The whole file.

    Returns:
        An array of numbers or text.

    Raises:
        ValueError: The content is no such array, or its size is not the one that its header states.
    """
    stream = io.BytesIO(content)
    try:
        shape, fortran, dtype = _npy_header(stream)
    except Exception as error:  # the header is a Python literal; numpy raises many things about damaged ones
        raise ValueError(f"no array: {one_line(error)}") from error
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded (allow_pickle=False): they are pickles")
    if dtype.kind not in "biufcUS" or not dtype.itemsize:
        raise ValueError("no array of numbers or text")
    start, stated = stream.tell(), math.prod(shape) * dtype.itemsize
    if len(content) - start != stated:
        raise ValueError(f"{len(content) - start} bytes for an array of {stated}")
    flat = np.frombuffer(content, dtype, offset=start).copy()  # writable
    return flat.reshape(shape, order="F" if fortran else "C")


def _npy_header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version in ((2, 0), (3, 0)):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of the format")


def read_npz(path: str | os.PathLike[str], names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of a .npz file.

    Args:
        path: The file.
        names: Arrays that are read where they are there; None: all.

    Returns:
        Arrays of numbers or text by name.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, is no such archive, or its arrays are larger than `MAX_INFLATED_BYTES` allows.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            return _npz_arrays(zipfile.ZipFile(file), names, max(MAX_INFLATED_BYTES, MAX_INFLATION * size))
        except (ValueError, OSError):
            raise
        except Exception as error:  # zipfile and zlib raise many things about damaged archives
            raise ValueError(one_line(error)) from error


def _npz_arrays(archive: zipfile.ZipFile, names: Collection[str] | None, max_bytes: int) -> dict[str, np.ndarray]:
    entries = {
        info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")
    }
    if len(archive.infolist()) > _MAX_ENTRIES:
        raise ValueError(f"more than {_MAX_ENTRIES} arrays")
    wanted = {name: info for name, info in entries.items() if names is None or name in names}
    if (total := sum(info.file_size for info in wanted.values())) > max_bytes:
        raise ValueError(f"its arrays take {total} bytes, the limit is {max_bytes}")
    arrays = {}
    for name, info in wanted.items():
        if info.compress_type not in _COMPRESSION:
            raise ValueError(f"{name!r}: is compressed in a way that numpy does not use")
        try:
            arrays[name] = parse_npy(archive.read(info))  # reads no more than the size that it states
        except ValueError as error:
            reason = one_line(error)
            raise ValueError(f"{name!r}{' is ' if reason.startswith('no ') else ': '}{reason}") from error
    return arrays


def array_of(value: object, max_items: int) -> np.ndarray:
    """Return an array of nested lists; lists that occur several times would fill the memory.

    Args:
        value: An array, which is returned as it is, a number, or lists of these.
        max_items: Largest number of items of all lists and arrays in lists.

    Raises:
        ValueError: There are more items, the lists are ragged, or one contains itself.
    """
    if isinstance(value, np.ndarray):
        return value
    if _item_count(value, max_items, {}) > max_items:
        raise ValueError(f"lists of more than {max_items} numbers")
    return np.asarray(value)


def _item_count(value: object, limit: int, known: dict[int, int]) -> int:
    """Count the items of nested lists, each as often as it occurs; `known` holds the counts of lists by their id."""
    if isinstance(value, np.ndarray):
        return value.size
    if not isinstance(value, (list, tuple)):
        return 1
    if id(value) not in known:
        known[id(value)] = limit + 1  # where it contains itself
        known[id(value)] = sum(_item_count(item, limit, known) for item in value)
    return known[id(value)]


def parse_json(text: str | bytes, max_bytes: int = MAX_JSON_BYTES, *, finite: bool = True) -> Any:
    """Return the content of JSON.

    Args:
        text: The whole text; bytes are UTF-8.
        max_bytes: Largest length.
        finite: Refuse NaN and Infinity, which Python writes, but which are no JSON.

    Raises:
        ValueError: It is longer, no JSON, or nested more deeply than `MAX_DEPTH`.
    """
    if len(text) > max_bytes:
        raise ValueError(f"it has {len(text)} letters, the limit is {max_bytes}")
    try:
        content = json.loads(text, parse_constant=_refuse_constant if finite else None)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if _is_deeper(content, MAX_DEPTH):
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _is_deeper(content: Any, depth: int) -> bool:
    """Return whether lists and dicts are nested more than `depth` deep; what is shared is visited once a level."""
    level = [content]
    for _ in range(depth + 1):
        level = [each for each in level if isinstance(each, (dict, list))]
        if not level:
            return False
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
    return any(isinstance(each, (dict, list)) for each in level)


def parse_yaml(text: str, loader: type[yaml.SafeLoader] | None = None) -> Any:
    """Return the content of YAML: plain data, nothing in it is executed.

    Args:
        text: The whole text.
        loader: Class that builds the data; yaml's safe one by default.

    Raises:
        ValueError: It is longer than `MAX_YAML_BYTES`, no YAML, nested more deeply than `MAX_DEPTH`, or has more than
            `MAX_YAML_NODES` values.
    """
    import yaml

    if len(text) > MAX_YAML_BYTES:
        raise ValueError(f"it has {len(text)} letters, the limit is {MAX_YAML_BYTES}")
    try:
        _check_yaml_size(text)
        return yaml.load(text, loader or yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"{one_line(ValueError(error.problem))} in line {line}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(one_line(error)) from error
    except Exception as error:  # an explicit tag, such as !!int, on a text that is none
        raise ValueError(f"a value is not of its type ({type(error).__name__})") from error


def _check_yaml_size(text: str) -> None:
    """Raise `ValueError` where YAML is too deep or too large, which is found without building anything."""
    import yaml

    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the number of values before the node
    count = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise ValueError(f"*{event.anchor} contains itself in line {event.start_mark.line + 1}")
            count += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            _check_yaml_scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        if len(open_nodes) > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep in line {event.start_mark.line + 1}")
        if count > MAX_YAML_NODES:
            raise ValueError(f"it has more than {MAX_YAML_NODES} values")


def _check_yaml_scalar(event: Any) -> None:
    """Refuse numbers of so many digits that converting them would take long."""
    is_number = event.value[:1] in set("+-.0123456789") if event.implicit[0] else event.tag == "tag:yaml.org,2002:int"
    if (
        is_number
        and len(event.value) > _MAX_NUMBER_LETTERS
        and set(event.value) <= set("+-.0123456789_:eExXabcdfABCDF")
    ):
        raise ValueError(f"a number of {len(event.value)} digits in line {event.start_mark.line + 1}")


def read_text(path: str | os.PathLike[str], max_bytes: int, encoding: str = "utf-8") -> str:
    """Read a text file.

    Args:
        path: The file.
        max_bytes: Largest size.
        encoding: Of the text.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is larger, no plain file, or of another encoding.
    """
    return read_bytes(path, max_bytes).decode(encoding)


def read_bytes(path: str | os.PathLike[str], max_bytes: int | None = None) -> bytes:
    """Read a file of the user; pipes, devices and folders are refused.

    Args:
        path: The file.
        max_bytes: Largest size; None: any.

    Raises:
        OSError: As `open_plain`.
        ValueError: The path has a NUL.
    """
    with open_plain(path, max_bytes) as file:
        return file.read()
