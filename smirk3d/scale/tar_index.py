"""The places of the files of a tar archive, read from its headers alone: contents are skipped, in a store as well.

Source of the format: POSIX.1-1988 (ustar) with the long names of GNU tar and the records of POSIX.1-2001 (pax).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from smirk3d.datasets.shard_archive import (
    BLOCK_BYTES,
    MAX_NAME_BYTES,
    REGULAR_TYPES,
    TYPES_WITHOUT_CONTENT,
    extra_fields,
    tar_header,
)

_NAMING = (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)


@dataclass(frozen=True)
class ArchivedFile:
    """A file of an archive.

    Attributes:
        name: Its name.
        offset: Place of its first byte in the archive.
        size: Number of bytes.
    """

    name: str
    offset: int
    size: int


def archived_files(file: IO[bytes]) -> Iterator[ArchivedFile]:
    """Yield the regular files of an archive in their order; sparse ones are left out.

    Args:
        file: The archive, not compressed; it can seek.

    Raises:
        ValueError: It is damaged or cut off; the files before that have been yielded.
    """
    total, offset, extra = file.seek(0, 2), 0, {}
    while offset < total:
        file.seek(offset)
        block = file.read(BLOCK_BYTES)
        if block == bytes(BLOCK_BYTES):
            return
        header = tar_header(block)
        if header is None:
            raise ValueError(f"no header at byte {offset}")
        start, size = offset + BLOCK_BYTES, _content_size(header, extra)
        if not 0 <= size <= total - start:
            raise ValueError(f"cut off after byte {offset}")
        if header.type in _NAMING:
            extra |= extra_fields(header.type, file.read(size)) if size <= MAX_NAME_BYTES else {}
        else:
            if header.type in REGULAR_TYPES and not any(key.startswith("GNU.sparse") for key in extra):
                yield ArchivedFile(extra.get("path", header.name), start, size)
            extra = {}
        offset = start + -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _content_size(header: tarfile.TarInfo, extra: dict[str, str]) -> int:
    if header.type in TYPES_WITHOUT_CONTENT:
        return 0
    stated = extra.get("size", "")
    return int(stated) if stated.isdigit() and len(stated) < 16 else header.size
