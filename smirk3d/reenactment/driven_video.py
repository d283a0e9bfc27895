"""A person of a photo in motion, as a video."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np

from smirk3d.errors import Smirk3dError
from smirk3d.media.video_writer import Note, crop_to_even, write_frames
from smirk3d.reenactment.driving import Driving
from smirk3d.reenactment.motion_transfer import TransferredMotion
from smirk3d.reenactment.pictures import beside
from smirk3d.reenactment.reenactor import Reenactor
from smirk3d.tracking.prefetch import prefetch


def write_driven_video(
    reenactor: Reenactor,
    driving: Driving,
    motion: TransferredMotion,
    path: Path,
    *,
    compare: bool = False,
    advance: Callable[[], None] = lambda: None,
    note: Note = lambda _: None,
) -> None:
    """Write an MP4 with the times, and the audio if any, of the driving.

    Args:
        reenactor: The person.
        driving: Where the motion comes from.
        motion: The motion of the person.
        path: The file to write.
        compare: Show the driving video, or else the photo, on the left.
        advance: Called after each frame.
        note: Called with a message where something is missing in the result.

    Raises:
        Smirk3dError: It cannot be written, or the driving video cannot be read again.
    """
    frames = prefetch(_frames(reenactor, driving, motion, compare))
    write_frames(frames, path, driving.rate_fps, sound=driving.video, advance=advance, note=note)


def _frames(
    reenactor: Reenactor, driving: Driving, motion: TransferredMotion, compare: bool
) -> Generator[tuple[float, np.ndarray]]:
    left = _left_pictures(reenactor, driving) if compare else None
    for time_s, weights, rotation in zip(driving.time_s.tolist(), motion.weights, motion.rotations):
        pixels = reenactor(weights, rotation)
        if left is not None:
            picture = next(left, None)
            if picture is None:
                raise Smirk3dError(f"{driving.name}: has changed since it was read first; run again")
            pixels = beside(picture, pixels)
        yield time_s, crop_to_even(pixels)


def _left_pictures(reenactor: Reenactor, driving: Driving) -> Iterator[np.ndarray]:
    if driving.video is None:
        return iter([reenactor.source.pixels] * len(driving))
    return (frame.pixels for frame in driving.video.frames())
