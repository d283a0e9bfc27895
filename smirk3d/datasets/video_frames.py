"""Training faces from videos: frames at a low rate, detected and filtered as photos are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.datasets.prepare import Preparation, PrepareSummary
from smirk3d.datasets.prepare_report import ReportRow, dropped
from smirk3d.datasets.prepared_faces import FaceDetector, InputImage, PrepareOptions
from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expressions_csv import table_name
from smirk3d.media.decoding import pyav
from smirk3d.media.video import VIDEO_SUFFIXES, Frame, VideoFile
from smirk3d.progress import Progress, progress

FRAMES_PER_S = 2.0
"""Largest number of frames per second: neighbouring frames are nearly equal."""
END_OF_VIDEO = "end of video"
DAMAGED_VIDEO = "damaged video"


def read_frames(path: Path, frames_per_s: float = FRAMES_PER_S) -> Iterator[Frame]:
    """Decode every k-th frame of a video, k such that a second has at most `frames_per_s` of them.

    Raises:
        Smirk3dError: The file is no video, ends early or is damaged; the frames before that have been yielded.
    """
    video = VideoFile(path)
    yield from video.frames(every=max(1, math.ceil(video.info.rate_fps / frames_per_s)))


def video_files(path: Path) -> list[Path]:
    """Return a video file, or the videos below a folder sorted by name, hidden ones excluded.

    Raises:
        Smirk3dError: There are none.
    """
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    videos = [each for each in found if each.suffix.lower() in VIDEO_SUFFIXES and not each.name.startswith(".")]
    if not videos:
        raise Smirk3dError(f"{printable(path)}: no videos there ({' '.join(VIDEO_SUFFIXES)}); name a folder with some")
    return videos


def prepare_videos(
    paths: Sequence[Path],
    out_dir: Path,
    detector: FaceDetector,
    options: PrepareOptions | None = None,
    *,
    open_progress: Callable[[int], Progress] = progress,
) -> PrepareSummary:
    """Write shards of the faces in videos, or continue that; see `smirk3d.datasets.prepare.prepare`.

    Every video counts as one person, so all of it is in one split. The report names frames `VIDEO#NUMBER`, and has a
    row for every video that was read to its end or to where it is damaged; such a video is not read again.

    Args:
        paths: The videos.
        out_dir: Folder for shards and report; created where missing.
        detector: Face detector.
        options: Settings of the preparation.
        open_progress: Makes the progress display for a number of videos.

    Raises:
        UsageError: As `smirk3d.datasets.prepare.prepare`.
        Smirk3dError: As there, or PyAV is not installed.
    """
    pyav()  # otherwise its absence would count as damage of every video
    with Preparation(out_dir, detector, options or PrepareOptions(), resume=True) as preparation:
        todo = [path for path in paths if table_name(path) not in preparation.done]
        ends: list[ReportRow] = []
        try:
            with open_progress(len(todo)) as display:
                for path in todo:
                    end = _process_frames(path, preparation)
                    if end.kind == DAMAGED_VIDEO:
                        display.note(f"{end.image}: {end.status}")
                    ends.append(end)
                    display.advance()
        finally:  # a video counts as done when all its faces are in shards
            preparation.close_shards()
            preparation.note(ends)
    return preparation.summary(skipped=len(paths) - len(todo))


def _process_frames(path: Path, preparation: Preparation) -> ReportRow:
    """Process the frames that an earlier run has not; returns the row of the video itself."""
    name, count = table_name(path), 0
    try:
        for frame in read_frames(path):
            count += 1
            frame_name = f"{name}#{frame.number}"
            if frame_name not in preparation.done:
                preparation.take(InputImage(frame_name, f"{path.stem}-{frame.number}", name, frame.pixels))
    except Smirk3dError as error:
        return ReportRow(name, "", dropped(f"{DAMAGED_VIDEO} ({error})"))
    return ReportRow(name, "", f"{END_OF_VIDEO} ({count} frames looked at)")
