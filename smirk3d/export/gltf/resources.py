"""Contents of glTF files of others and of the files beside them, within stated limits.

A character comes from anywhere, and what it refers to may end in an output. So it may refer to plain files in its own
folder only, and sizes are checked before anything is read.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote, unquote_to_bytes

from smirk3d.assets import printable

MAX_FILE_BYTES = 1 << 29
"""A glTF file, and all that it refers to together, may have this size."""
MAX_TARGETS = 10_000
"""Morph targets of all meshes together."""
MAX_NAME_LETTERS = 256
"""Longer names of morph targets and meshes are not shown; numbers are."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_MB = 1 << 20


class RefusedFile(ValueError):
    """A file that is not read; the message states why and a remedy, but not the name of the file."""


class Resources:
    """What a glTF document refers to by URIs: data in the URI itself, or files in its folder.

    Args:
        folder: Folder of the document; None where it must not refer to files.
        limit_bytes: Size of everything together.
    """

    def __init__(self, folder: Path | None, limit_bytes: int = MAX_FILE_BYTES):
        self._folder, self._left_bytes = folder, limit_bytes

    def read(self, uri: str) -> bytes:
        """Return the contents of a data URI, or of a file in the folder.

        Args:
            uri: The URI as it is in the document.

        Raises:
            RefusedFile: It refers to something else than a plain file in the folder, which can be read, or too large.
            ValueError: The data are not encoded as stated.
        """
        if uri.startswith("data:"):
            head, _, payload = uri.partition(",")
            data = base64.b64decode(payload) if head.endswith(";base64") else unquote_to_bytes(payload)
        else:
            data = self._file(uri)
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise RefusedFile(f"its files have more than {MAX_FILE_BYTES // _MB} MB together; reduce its textures")
        return data

    def _file(self, uri: str) -> bytes:
        name = unquote(uri)
        shown = printable(name if len(name) <= 80 else name[:79] + "…")
        if not name or self._folder is None:
            raise RefusedFile("a buffer or image is missing; export it as .glb, with everything inside")
        if _SCHEME.match(uri) or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
            raise RefusedFile(f"refers to {shown}; export it as .glb, with everything inside")
        try:
            path = Path(os.path.realpath(self._folder / name))
            folder = Path(os.path.realpath(self._folder))
            if not path.is_relative_to(folder) or _is_hidden(path.relative_to(folder)):
                raise RefusedFile(f"refers to {shown}, outside its folder or hidden; put that file beside it")
            return read_plain_file(path, self._left_bytes)
        except RefusedFile as error:
            raise error if shown in str(error) else RefusedFile(f"its file {shown} {error}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise RefusedFile(f"its file {shown} cannot be read ({reason}); put it beside the character") from error


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read_plain_file(path: Path, limit_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return the contents of a file that is neither a device nor a pipe.

    Args:
        path: The file.
        limit_bytes: Its size at most.

    Raises:
        RefusedFile: It is something else, or too large.
        OSError: It cannot be read.
    """
    # The second check is for files that are exchanged in between; without O_NONBLOCK, pipes would wait for a writer.
    _check_plain(os.stat(path), limit_bytes)
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        _check_plain(os.fstat(file.fileno()), limit_bytes)
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise RefusedFile(f"grows while it is read, beyond {limit_bytes // _MB} MB; copy it first")
    return content


def _check_plain(status: os.stat_result, limit_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise RefusedFile("is a folder; name a .glb or .gltf file")
    if not stat.S_ISREG(status.st_mode):
        raise RefusedFile("is a device or pipe, no plain file; copy its contents into a file first")
    if status.st_size > limit_bytes:
        raise RefusedFile(
            f"has {status.st_size // _MB} MB; at most {limit_bytes // _MB} MB are read: reduce its textures"
        )


def checked_target_count(count: int) -> int:
    """Return a number of morph targets.

    Raises:
        RefusedFile: There are more than `MAX_TARGETS`.
    """
    if count > MAX_TARGETS:
        raise RefusedFile(f"has {count} morph targets; at most {MAX_TARGETS} are read: export fewer shape keys")
    return count
