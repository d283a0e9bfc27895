"""Places outside this machine that pyarrow's file systems reach: `s3://bucket/key`, `gs://…`, `abfs://…`, `hdfs://…`."""

# pyarrow has no annotations.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError, UsageError

_SCHEME = re.compile(r"(s3|gs|gcs|abfs|abfss|hdfs)://", re.IGNORECASE)
_REMEDY = "check the address, the region and the credentials"


def is_stored(place: str) -> bool:
    """Return whether a text is the address of a place in a store."""
    return _SCHEME.match(place) is not None


def split_address(address: str) -> tuple[str, str]:
    """Divide the address of a place into its store and its path there.

    Args:
        address: `s3://bucket/a/b.jpg`; options of pyarrow for the store may follow, as `?region=eu-central-1`.

    Returns:
        The store, `s3://bucket` with the options, and the path `a/b.jpg`.

    Raises:
        UsageError: There is no bucket.
    """
    scheme, _, rest = address.partition("://")
    rest, mark, options = rest.partition("?")
    bucket, _, path = rest.partition("/")
    if not bucket:
        raise UsageError(f"{printable(address)}: names no bucket; write {scheme}://BUCKET/PREFIX")
    return f"{scheme.lower()}://{bucket}{mark}{options}", path


@lru_cache(maxsize=64)
def open_store(store: str) -> tuple[Any, str]:
    """Return pyarrow's file system of a store, and what its paths begin with.

    Args:
        store: As `split_address` returns it.

    Raises:
        Smirk3dError: pyarrow is not installed, or the store cannot be reached.
    """
    fs = arrow_file_systems()
    try:
        return fs.FileSystem.from_uri(store)
    except Exception as error:  # pyarrow raises OSError, ValueError and its own classes
        raise store_error(store, error) from error


def arrow_file_systems() -> Any:
    """Return the module `pyarrow.fs`.

    Raises:
        Smirk3dError: It is not installed.
    """
    try:
        from pyarrow import fs
    except ImportError as error:
        raise Smirk3dError("stores and Parquet shards need pyarrow; pip install 'smirk3d[scale]'") from error
    return fs


def store_error(place: str, error: Exception) -> Smirk3dError:
    """Return the error of a place in a store in one line."""
    return Smirk3dError(f"{printable(place)}: cannot be reached ({printable(one_line(error))}); {_REMEDY}")


def list_objects(address: str) -> Iterator[tuple[str, str, int]]:
    """Yield the objects that an address names: one object, all below a prefix, or those that fit a pattern.

    Args:
        address: As for `split_address`; `*` in the path stands for any letters but `/`, `**` for any.

    Yields:
        The store, the path there, and the size in bytes; in the order of the paths.

    Raises:
        Smirk3dError: The store cannot be reached.
    """
    store, path = split_address(address)
    file_system, base = open_store(store)
    fs = arrow_file_systems()
    fixed = path.split("*")[0].rpartition("/")[0] if "*" in path else path.rstrip("/")
    top = f"{base}/{fixed}" if fixed else base
    try:
        info = file_system.get_file_info(top)
        is_file = info.type == fs.FileType.File
        found = [info] if is_file else file_system.get_file_info(fs.FileSelector(top, True, True))
    except Exception as error:
        raise store_error(address, error) from error
    wanted = _pattern(path) if "*" in path else None
    for each in sorted(found, key=lambda each: each.path):
        below = each.path[len(base) + 1 :]
        if each.type == fs.FileType.File and (wanted is None or wanted.fullmatch(below)):
            yield store, below, each.size


def _pattern(path: str) -> re.Pattern[str]:
    """Return the expression of a path with stars."""
    parts = re.split(r"(\*\*/?|\*)", path)
    return re.compile("".join("[^/]*" if part == "*" else ".*" if "*" in part else re.escape(part) for part in parts))


def read_object(store: str, path: str, offset: int, size: int) -> bytes:
    """Read a part of an object.

    Args:
        store: As `split_address` returns it.
        path: Path in the store.
        offset: First byte.
        size: Number of bytes.

    Raises:
        Smirk3dError: It cannot be read, or has fewer bytes.
    """
    file_system, base = open_store(store)
    try:
        with file_system.open_input_file(f"{base}/{path}") as file:
            content = file.read_at(size, offset)
    except Exception as error:
        raise store_error(f"{store.partition('?')[0]}/{path}", error) from error
    if len(content) != size:
        raise Smirk3dError(f"{printable(path)}: has fewer bytes than before; was it replaced during the run?")
    return content
