"""Files of this machine: printable names, checksums, the cache folder, and atomic writes."""

import atexit
import errno
import functools
import hashlib
import logging
import os
import shutil
import socket
import sys
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smirk3d.errors import Smirk3dError

_log = logging.getLogger(__name__)
_CHUNK_BYTES = 1 << 20


def printable(text: str | os.PathLike[str]) -> str:
    """Escape characters that cannot be printed on one line: control characters and bytes that are not UTF-8.

    Args:
        text: A message or a path, possibly with the lone surrogates by which Python holds undecodable bytes.

    Returns:
        The same text, each character that is not printable written as a backslash escape.
    """
    raw = os.fspath(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in raw)


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 digest of a file.

    Args:
        path: The file; it is read in chunks.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def cache_dir() -> Path:
    """Return the folder for downloaded and computed files; it may not exist yet.

    It is `SMIRK3D_CACHE` where that is set, else `smirk3d` in the user's cache folder: `XDG_CACHE_HOME` where
    that is set, else the platform's own.

    Raises:
        Smirk3dError: The user has no home folder.
    """
    if own := os.environ.get("SMIRK3D_CACHE"):
        return Path(own)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "smirk3d"
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "smirk3d"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "smirk3d"
        return Path.home() / ".cache" / "smirk3d"
    except RuntimeError as error:
        raise Smirk3dError("no home folder for the cache; set SMIRK3D_CACHE to a folder") from error


def make_folder(folder: Path) -> None:
    """Create a folder and its parents.

    Raises:
        Smirk3dError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Smirk3dError(
            f"cannot create the folder {printable(folder)}: {error.strerror}; choose another place"
        ) from error


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file atomically.

    The block writes to a temporary path in the target's folder with the target's suffix (many writers choose the format
    by it). On success the temporary file replaces the target in one step; on failure it is removed and the target stays
    as it was. A symbolic link is followed, not replaced.

    Args:
        path: The target.

    Yields:
        The temporary path; nothing exists there yet.

    Raises:
        Smirk3dError: The folder is missing, the target is not a regular file, or an `OSError` is raised.
    """
    try:
        target = Path(os.path.realpath(path))
        is_taken = target.exists() and not target.is_file()
    except (OSError, ValueError) as error:  # over-long names, or with a NUL
        raise Smirk3dError(f"cannot write {printable(path)}: {printable(str(error))}; choose another name") from error
    if is_taken:
        raise Smirk3dError(f"cannot write {printable(path)}: it is not a plain file; choose another name")
    if not target.parent.is_dir():
        raise Smirk3dError(f"cannot write {printable(path)}: its folder does not exist; create it first")
    # Not tempfile.mkstemp: its files are readable by the user only, and os.replace would keep these permissions.
    temporary = target.with_name(temporary_name(target.suffix))
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"cannot write {printable(path)}: {reason}; check space and permissions") from error
    finally:
        with suppress(OSError):  # such as a place that cannot be written to, whose own error is the one to report
            temporary.unlink(missing_ok=True)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error, or one that caused it, is that of a disk or a quota without space."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__
    return False


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check before long work that a file can be written.

    Args:
        path: The file; its folder exists.

    Raises:
        Smirk3dError: As for `atomic_path`.
    """
    with suppress(_Unchanged), atomic_path(path) as temporary:
        temporary.write_bytes(b"\0")
        raise _Unchanged


class _Unchanged(Exception):
    """Ends `atomic_path` before it replaces the target."""


def temporary_name(suffix: str) -> str:
    """Return a name for a temporary file, hidden and unique, from which its process can be found.

    It is a dot, 32 hexadecimal digits (8 of the process id, 8 of `host_checksum`, 16 random ones) and the suffix.
    """
    return f".{os.getpid() & 0xFFFFFFFF:08x}{host_checksum():08x}{uuid.uuid4().hex[:16]}{suffix}"


def host_checksum() -> int:
    """Return the CRC-32 of the host's name."""
    return zlib.crc32(socket.gethostname().encode("utf-8", "replace"))


@functools.cache
def _warn_once(text: str) -> None:
    _log.warning(text)


def warn_of_cache(error: Smirk3dError) -> None:
    """Log, once in a process, that the cache cannot be written, and how to choose another."""
    _warn_once(f"smirk3d: nothing is kept in the cache ({error}); set SMIRK3D_CACHE to a folder that can be written")


def scratch_folder() -> Path:
    """Make a folder that is removed when the program ends, for what cannot be kept in the cache.

    Raises:
        Smirk3dError: There is no place for temporary files.
    """
    try:
        folder = tempfile.mkdtemp(prefix="smirk3d-")
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(
            f"no folder for temporary files ({reason}); set TMPDIR to one that can be written"
        ) from error
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def write_checksum(path: Path) -> None:
    """Write the SHA-256 of a file beside it, as `<name>.sha256`.

    Raises:
        Smirk3dError: It cannot be written.
    """
    with atomic_path(_checksum_path(path)) as temporary:
        temporary.write_text(f"{sha256(path)}\n", encoding="ascii")


def checksum_matches(path: Path) -> bool | None:
    """Return whether a file is as `write_checksum` found it; None where its checksum is missing or unreadable."""
    try:
        stated = _checksum_path(path).read_text(encoding="ascii").strip()
        return sha256(path) == stated
    except (OSError, ValueError):
        return None


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
