"""Cached shards of the user's photos and videos: made once, extended by new files."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import cache_dir, check_writable, make_folder, printable, scratch_folder, warn_of_cache
from smirk3d.batch.runner import plan_jobs
from smirk3d.datasets.prepare import REPORT_NAME, PrepareSummary, prepare
from smirk3d.datasets.prepared_faces import PrepareOptions
from smirk3d.datasets.shards import Record
from smirk3d.datasets.video_frames import prepare_videos, video_files
from smirk3d.detection.detector import Detection, Detector
from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expressions_csv import table_name
from smirk3d.progress import LINE_EVERY_IMAGES

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedFolder:
    """Shards in the cache.

    Attributes:
        folder: Folder of the shards.
        names: Existing photos or videos, as records name them.
    """

    folder: Path
    names: frozenset[str]

    def is_current(self, record: Record) -> bool:
        """Return whether the photo or video of a face still exists."""
        return record.source in self.names or record.source.rpartition("#")[0] in self.names


def prepared(path: Path, kind: str, options: PrepareOptions | None = None) -> PreparedFolder:
    """Prepare a folder of photos, or videos; only new files are processed.

    The reasons for dropped photos are logged in sum, and per photo in the `report.csv` beside the shards.

    Args:
        path: Folder of photos, or a video or folder of videos.
        kind: "folder" (photos) or "videos".
        options: Settings; each combination has its own shards.

    Raises:
        Smirk3dError: There are no photos or videos, or a file cannot be written.
    """
    options, root = options or PrepareOptions(), Path(os.path.realpath(path))
    if kind == "folder" and not root.is_dir():
        raise Smirk3dError(f"{printable(path)}: no such folder; name one with photos")
    about = json.dumps([kind, table_name(root), asdict(options)], sort_keys=True)
    folder = _writable(cache_dir() / "prepared" / hashlib.sha256(about.encode()).hexdigest()[:16])
    with locked(folder), _LazyDetector() as detector:
        if kind == "videos":
            # The name of a link counts, whatever that of its target is.
            videos = video_files(Path(os.path.abspath(path)) if root.is_file() else root)
            names = frozenset(map(table_name, videos))
            summary = prepare_videos(videos, folder, detector, options, open_progress=_LoggedProgress)
        else:
            names = frozenset(table_name(job.path) for job in plan_jobs([root]))
            summary = prepare([root], folder, detector, options, resume=True, open_progress=_LoggedProgress)
    _report(path, folder, summary)
    return PreparedFolder(folder, names)


def _writable(folder: Path) -> Path:
    """Return a folder of the cache, or where it cannot be written a copy of it, for this run alone."""
    try:
        make_folder(folder)
        check_writable(folder / REPORT_NAME)
        return folder
    except Smirk3dError as error:
        warn_of_cache(error)
    copy = scratch_folder() / folder.name
    try:
        shutil.copytree(folder, copy)
    except OSError:  # there is none, or it cannot be read
        shutil.rmtree(copy, ignore_errors=True)
        make_folder(copy)
    return copy


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder of the cache, which is made where missing, against other processes.

    Raises:
        Smirk3dError: The folder cannot be written to.
    """
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire()
    except OSError as error:
        reason = printable(error.strerror or str(error))
        raise Smirk3dError(f"{printable(folder)}: {reason}; set SMIRK3D_CACHE to a folder that can be used") from error
    try:
        yield
    finally:
        lock.release()


class _LazyDetector:
    """The detector, loaded for the first new photo: mostly there is none."""

    def __init__(self) -> None:
        self._stack, self._detector = ExitStack(), None

    def __enter__(self) -> _LazyDetector:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """Detect the largest face of a photo; see `Detector`."""
        if self._detector is None:
            self._detector = self._stack.enter_context(Detector(max_faces=1))
        return self._detector.detect(pixels)


class _LoggedProgress:
    """Progress as lines of the log, see `smirk3d.progress.Progress`."""

    def __init__(self, total: int) -> None:
        self._total, self._count = total, 0

    def __enter__(self) -> _LoggedProgress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def advance(self) -> None:
        """Count one photo or video."""
        self._count += 1
        if self._count % LINE_EVERY_IMAGES == 0 or self._count == self._total:
            self.note(f"prepared {self._count} of {self._total}")

    def note(self, text: str) -> None:
        """Log a line."""
        _log.info("%s", printable(text))


def _report(path: Path, folder: Path, summary: PrepareSummary) -> None:
    kept = ", ".join(f"{count} {split}" for split, count in sorted(summary.kept.items())) or "none"
    _log.info(
        "%s: %d pictures looked at now, %d photos or videos before; kept now: %s",
        printable(path),
        summary.photos,
        summary.skipped,
        kept,
    )
    if summary.dropped:
        reasons = ", ".join(f"{count} {kind}" for kind, count in summary.dropped.most_common())
        _log.warning("%s: dropped: %s; see %s", printable(path), reasons, printable(folder / REPORT_NAME))
