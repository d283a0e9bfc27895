"""Members of a tar archive that may be damaged or lie about itself.

Python's `tarfile` ends at the first damaged header, reads what a header claims into memory, and expands sparse members.
This reader takes the sizes of the headers as claims: what a member says to hold is compared with the bytes that are
there and with a limit, and after damage it goes on at the next header whose checksum is right.

Source of the format: POSIX.1-1988 (ustar) with the long names of GNU tar and the records of POSIX.1-2001 (pax).
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from smirk3d.bounded_io import open_plain

BLOCK_BYTES = 512
_MAGIC, _MAGIC_OFFSET = b"ustar", 257
MAX_NAME_BYTES = 1 << 16
"""Largest record of long names or pax fields."""
_CHUNK_BYTES = 1 << 20
REGULAR_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
TYPES_WITHOUT_CONTENT = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)


@dataclass(frozen=True)
class Member:
    """A file of the archive.

    Attributes:
        name: Its name.
        content: Its bytes; empty where there is a fault.
        fault: Why it cannot be used; "" where it can.
    """

    name: str
    content: bytes
    fault: str = ""


@dataclass(frozen=True)
class Gap:
    """Bytes of the archive that belong to no readable member.

    Attributes:
        after: Name of the last member before, "" at the beginning.
        size: How many bytes.
        is_end: Whether the archive ends there, without its end mark.
    """

    after: str
    size: int
    is_end: bool


def read_members(path: Path, limit_of: Callable[[str], int]) -> Iterator[Member | Gap]:
    """Yield the files of an archive in their order, and the damage between them.

    Args:
        path: Tar file, not compressed.
        limit_of: Returns the largest size of a member in bytes by its name; 0: the member is skipped.

    Raises:
        OSError: The file cannot be read.
    """
    with open_plain(path) as file:
        yield from _Walk(file, limit_of).members()


class _Walk:
    """One pass over an archive.

    Args:
        file: The archive.
        limit_of: As for `read_members`.
    """

    def __init__(self, file: IO[bytes], limit_of: Callable[[str], int]) -> None:
        self._file, self._limit_of = file, limit_of
        self._size = file.seek(0, 2)
        self._offset, self._last = 0, ""
        self._extra: dict[str, str] = {}

    def members(self) -> Iterator[Member | Gap]:
        """Yield members and gaps."""
        while True:
            block = self._read(self._offset, BLOCK_BYTES)
            is_end = block == bytes(BLOCK_BYTES)
            header = None if is_end else tar_header(block)
            if header is not None:
                yield from self._member(header)
                continue
            start, following = self._offset, self._find_header(self._offset + BLOCK_BYTES, self._size)
            if following is None and is_end:
                return
            self._offset, self._extra = self._size if following is None else following, {}
            yield Gap(self._last, max(0, self._offset - start), following is None)
            if following is None:
                return

    def _member(self, header: tarfile.TarInfo) -> Iterator[Member | Gap]:
        """Yield a file, or note the long name that a record gives to the next one."""
        start = self._offset + BLOCK_BYTES
        size = 0 if header.type in TYPES_WITHOUT_CONTENT else header.size
        extra, self._extra = self._extra, {}
        if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            if 0 <= size <= MAX_NAME_BYTES and start + size <= self._size:
                self._extra = extra | extra_fields(header.type, self._read(start, size))
        elif header.type in REGULAR_TYPES or header.type == tarfile.GNUTYPE_SPARSE:
            size = int(extra["size"]) if extra.get("size", "").isdigit() and len(extra["size"]) < 16 else size
            is_sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in extra)
            self._last = extra.get("path", header.name)
            yield from self._file_member(self._last, start, size, is_sparse)
            return
        self._go_on(start, size)

    def _file_member(self, name: str, start: int, size: int, is_sparse: bool) -> Iterator[Member]:
        limit = self._limit_of(name)
        is_whole = 0 <= size <= self._size - start
        is_read = is_whole and size <= limit and not is_sparse
        content = self._read(start, size) if is_read else b""
        inner = (
            _header_place(content) if is_read else self._find_header(start, start + size if is_whole else self._size)
        )
        if is_read and inner is not None:
            inner += start
        if limit:
            yield Member(name, *_checked(content, size, limit, is_sparse, is_whole, inner is not None))
        if inner is not None:  # it claims to contain its successors
            self._offset = inner
        else:
            self._go_on(start, size if is_whole else self._size - start)

    def _go_on(self, start: int, size: int) -> None:
        """Go to the header behind a content; a negative size does not lead back."""
        self._offset = start + -(-max(size, 0) // BLOCK_BYTES) * BLOCK_BYTES

    def _read(self, start: int, size: int) -> bytes:
        if start >= self._size:
            return b""
        self._file.seek(start)
        return self._file.read(min(size, self._size - start))

    def _find_header(self, start: int, stop: int) -> int | None:
        """Return the place of the next sound header at or after a block, whose content begins before `stop`."""
        for place in range(start, stop, _CHUNK_BYTES):
            chunk = self._read(place, min(_CHUNK_BYTES, stop - place))
            if (found := _header_place(chunk)) is not None:
                return place + found
        return None


def _checked(
    content: bytes, size: int, limit: int, is_sparse: bool, is_whole: bool, is_nested: bool
) -> tuple[bytes, str]:
    """Return the content of a member and why it cannot be used, "" where it can."""
    if is_sparse:
        return b"", "it is sparse"
    if not is_whole:
        return b"", "it is cut off"
    if size > limit:
        return b"", f"it has {size} bytes, the limit is {limit}"
    if is_nested:
        return b"", "its size in the archive is wrong"
    return content, ""


def tar_header(block: bytes) -> tarfile.TarInfo | None:
    """Return the header of a block, None where there is none with the right checksum."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return None


def _header_place(content: bytes) -> int | None:
    """Return the place of the first header in whole blocks, None where there is none."""
    place = content.find(_MAGIC)
    while place >= 0:
        start = place - _MAGIC_OFFSET
        if start >= 0 and start % BLOCK_BYTES == 0 and tar_header(content[start : start + BLOCK_BYTES]) is not None:
            return start
        place = content.find(_MAGIC, place + 1)
    return None


def extra_fields(kind: bytes, content: bytes) -> dict[str, str]:
    """Return the fields that a record gives to the next member."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")}
    fields, place = {}, 0
    while place < len(content):
        digits = content[place : place + 7].split(b" ", 1)[0]
        if not digits.isdigit() or int(digits) <= len(digits) + 1:
            break
        record = content[place + len(digits) + 1 : place + int(digits)]
        key, _, value = record.removesuffix(b"\n").partition(b"=")
        fields[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        place += int(digits)
    return fields
