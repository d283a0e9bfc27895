"""Places that a command writes to: one process at a time, without what killed processes left, not through links."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from smirk3d.assets import host_checksum, make_folder, printable
from smirk3d.errors import Smirk3dError

LOCK_SUFFIX = ".smirk3d-lock"
STALE_AFTER_S = 3600.0
"""Age from which a temporary file is swept although its process cannot be checked, seconds."""
_TEMPORARY = re.compile(r"\.([0-9a-f]{8})([0-9a-f]{8})[0-9a-f]{16}(\.\w+)?")


def sweep_temporaries(folders: Iterable[Path]) -> int:
    """Delete the temporary files that killed processes left in folders, and return their number.

    Args:
        folders: Folders, without those below them; missing ones are left out.
    """
    count = 0
    for folder in dict.fromkeys(folders):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if _is_abandoned(entry):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)
                        count += 1
    return count


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes that write results into it; the lock ends with its process.

    The temporary files that killed processes left there are deleted.

    Args:
        folder: Created where missing.

    Raises:
        Smirk3dError: Another process holds it, or nothing can be written there.
    """
    with _locked(folder, folder / LOCK_SUFFIX):
        yield


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold a file against other processes that write it; otherwise as `locked_folder`.

    Args:
        path: The file; its folder is created where missing.
    """
    with _locked(path, path.parent / f".{path.name}{LOCK_SUFFIX}"):
        yield


@contextmanager
def _locked(target: Path, lock: Path) -> Iterator[None]:
    is_new = not lock.parent.exists()
    make_folder(lock.parent)
    file = _acquire(lock, target)
    try:
        sweep_temporaries([lock.parent])
        yield
    finally:
        _release(lock, file)
        if is_new:  # where nothing was written, nothing is left
            with contextlib.suppress(OSError):
                lock.parent.rmdir()


def refuse_links(folder: Path, stem: str) -> None:
    """Refuse to write files `<stem>.…` and `<stem>_…` of a folder through symbolic links, to another place.

    Raises:
        Smirk3dError: One of them is a link.
    """
    refuse_link_of(stem, folder, links_below(folder, [stem]))


def refuse_link_of(stem: str, folder: Path, links: Iterable[str]) -> None:
    """Do as `refuse_links` with the links that `links_below` has found."""
    for link in links:
        if stem.startswith(f"{link}/") or link.startswith((f"{stem}_", f"{stem}.")):
            raise Smirk3dError(f"not written: {printable(folder / link)} is a symbolic link; remove it")


def links_below(folder: Path, names: Iterable[str]) -> set[str]:
    """Return the symbolic links among the entries of folders below one.

    Args:
        folder: Where the names begin.
        names: Relative names of files that will be written, or their beginnings.

    Returns:
        Relative names of links: in the folders of these names, and those folders themselves.
    """
    found: set[str] = set()
    for below in sorted({os.path.dirname(name) for name in names}):
        parts = Path(below).parts
        parents = ["/".join(parts[: k + 1]) for k in range(len(parts))]
        found.update(parent for parent in parents if os.path.islink(folder / parent))
        with contextlib.suppress(OSError), os.scandir(folder / below) as entries:
            found.update(os.path.join(below, entry.name) for entry in entries if entry.is_symlink())
    return found


def _acquire(path: Path, target: Path) -> IO[str] | None:
    """Return the open lock file; None where the file system has no locks."""
    while True:
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            file = os.fdopen(os.open(path, flags, 0o666), "a", encoding="utf-8")  # it stays open until the release
        except OSError as error:
            reason = printable(error.strerror or str(error))
            raise Smirk3dError(f"cannot write {printable(target)}: {reason}; choose another place") from error
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as error:
            file.close()
            raise Smirk3dError(
                f"{printable(target)}: another process of smirk3d writes there; wait for its end or choose another "
                "--out"
            ) from error
        except OSError:
            file.close()
            path.unlink(missing_ok=True)
            return None
        # Whoever held the lock before may have deleted the file that was opened here.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _release(path: Path, file: IO[str] | None) -> None:
    if file is None:
        return
    with contextlib.suppress(OSError):
        if sys.platform != "win32":  # there an open file cannot be deleted
            path.unlink(missing_ok=True)
    file.close()
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _lock(file: IO[str]) -> None:
    """Lock an open file without waiting; raise BlockingIOError or PermissionError where another process has it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    """Return whether a directory entry is the temporary file of a process that has ended."""
    match = _TEMPORARY.fullmatch(entry.name)
    if match is None or not entry.is_file(follow_symlinks=False):
        return False
    process_id, host = (int(match[k], 16) for k in (1, 2))
    if host == host_checksum() and not _is_running(process_id):
        return True
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_AFTER_S


def _is_running(process_id: int) -> bool:
    if sys.platform == "win32":  # no way to ask without further packages
        return True
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
