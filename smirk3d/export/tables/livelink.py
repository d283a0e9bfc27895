"""Tables of the app Live Link Face, which Unreal Engine and add-ons for Blender, Maya and MotionBuilder read.

The format was determined from public recordings of older and newer versions of the app:

- The columns and their order are `LIVELINK_COLUMNS`: jawRight and mouthRight before their left partners. The second
  column is spelled `BlendShapeCount`, as Unreal's importer does; newer recordings spell it `BlendshapeCount`.
- The count is 61 (52 weights and 9 angles), and each number has ten decimals. Unreal's importer stops at a row with
  fewer cells than the header, empty cells not counted, so rows in which the face is lost hold the last pose; their
  count is 0. Some other importers leave out rows with a count of 0.
- Timecodes are `HH:MM:SS:FF.sub` with `sub` in thousandths of a frame. The app records at 30 or 60 frames per second,
  and Unreal's importer knows no other rates: 60 if a frame number exceeds 30, else 30. So codes count 30 or 60 frames
  a second of real time, and rows of clips with another rate have fractions of a frame, as the app's own rows do.
- Angles are radians, and they are the x (pitch), y (yaw) and z (roll) angles of `R = Rx Ry Rz`, which is SceneKit's
  order: `tan(roll) = sin(yaw) tan(pitch)` to seven digits, as for an eye that rotates about its own x axis
  and then about the vertical.
- The signs follow from the eyes' angles and the eyeLook weights of the same rows: yaw > 0 is to the subject's right,
  pitch > 0 is down. So yaw is the negative angle about +Y of the head frame and pitch the angle about +X. By the
  relation above, roll is the angle about +Z, positive towards the subject's right shoulder.

The recordings were made without head rotation, an option of the app; the angles of the head are assumed to have the
same convention as those of the eyes. Importers disagree about the signs of the head's angles; some let the user choose.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import atomic_path
from smirk3d.geometry.rotations import rotvec_to_rotmat
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Track

_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
LIVELINK_WEIGHTS: tuple[str, ...] = tuple(_SWAPPED.get(name, name) for name in ARKIT_NAMES)
"""The ARKit names in the app's order: jawRight and mouthRight before their left partners."""
LIVELINK_COLUMNS: tuple[str, ...] = (
    "Timecode",
    "BlendShapeCount",
    *(name[0].upper() + name[1:] for name in LIVELINK_WEIGHTS),
    *(f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll")),
)
_NUMBERS = len(LIVELINK_COLUMNS) - 2
_WEIGHT_ORDER = [ARKIT_NAMES.index(name) for name in LIVELINK_WEIGHTS]
_DAY_H = 24
TIMECODE_RATES = (30, 60)
"""Frames a second that the app records, and that importers know."""
_RATE_TOLERANCE = 0.5
"""Clips up to this much above 30 frames per second count as 30."""


def save_livelink(track: Track, path: Path, *, start_s: float = 0.0, blank_lost: bool = False) -> None:
    """Write a track in the format of the app's recordings: one row per frame, with a count of 0 where the face is lost.

    Args:
        track: One person.
        path: Target.
        start_s: Time code of the first frame of the clip, in seconds.
        blank_lost: Leave the numbers of lost frames empty; else they are those of the last frame with a face, of the
            first one before it, and zeros if there is none. Unreal's importer stops at rows with empty cells.

    Raises:
        Smirk3dError: Writing failed.
    """
    numbers = np.concatenate([track.arkit[:, _WEIGHT_ORDER], livelink_angles(track)], axis=1) + 0.0  # no -0
    held = _hold_last_rows(numbers, track.known)
    count = timecode_rate(track.time_s, track.rate_fps, start_s)
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LIVELINK_COLUMNS)
        for time_s, known, row in zip(track.time_s.tolist(), track.known.tolist(), held.tolist(), strict=True):
            values = [f"{value:.10f}" for value in row] if known or not blank_lost else [""] * _NUMBERS
            writer.writerow([timecode(time_s, count, start_s), _NUMBERS if known else 0, *values])


def _hold_last_rows(numbers: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return rows (T, D) with unknown ones replaced by the last known row, or the first one where there is none yet."""
    if not known.any():
        return np.zeros_like(numbers)
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    return numbers[np.where(last < 0, known.argmax(), last)]


def timecode_rate(time_s: np.ndarray, rate_fps: float, start_s: float = 0.0) -> int:
    """Return how many frames a second the time codes of a clip count, 30 or 60.

    Args:
        time_s: (T,) seconds from the first frame of the clip.
        rate_fps: Nominal frame rate.
        start_s: Time code of the first frame, in seconds.

    Returns:
        60 for rates above 30, but 30 if the clip is so short that no frame number would exceed 30, by which importers
        recognise 60.
    """
    low, high = TIMECODE_RATES
    if rate_fps <= low + _RATE_TOLERANCE:
        return low
    frames = np.round((np.asarray(time_s) + start_s) * high, 3) % high
    return high if (frames > low).any() else low


def timecode(time_s: float, rate_fps: int, start_s: float = 0.0) -> str:
    """Return a time as `HH:MM:SS:FF.sub`, `sub` in thousandths of a frame.

    Seconds are real ones: at 29.97 frames per second, frame 30 has the code `00:00:01:00.030` at 30 frames a second.

    Args:
        time_s: Seconds from the first frame.
        rate_fps: Number of frames that the codes count in a second.
        start_s: Time code of the first frame, in seconds.
    """
    frames, sub = divmod(round((time_s + start_s) * rate_fps * 1000), 1000)
    seconds, frame = divmod(frames, rate_fps)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours % _DAY_H:02d}:{minute:02d}:{second:02d}:{frame:02d}.{sub:03d}"


def livelink_angles(track: Track) -> np.ndarray:
    """Return yaw, pitch and roll of the head, the left and the right eye, (T, 9) radians in the app's convention."""
    eyes = torch.from_numpy(track.eyes.reshape(-1, 2, 3).astype(np.float64))
    rotations = [track.rotation_rotmat.astype(np.float64), *rotvec_to_rotmat(eyes).unbind(1)]
    return np.concatenate([_app_angles(np.asarray(rotmat)) for rotmat in rotations], axis=1)


def _app_angles(rotmat: np.ndarray) -> np.ndarray:
    """Return yaw, pitch and roll (T, 3) of rotations (T, 3, 3): the angles of `Rx Ry Rz` with that of y negated."""
    yaw = np.arcsin(np.clip(rotmat[:, 0, 2], -1, 1))
    pitch = np.arctan2(-rotmat[:, 1, 2], rotmat[:, 2, 2])
    roll = np.arctan2(-rotmat[:, 0, 1], rotmat[:, 0, 0])
    return np.stack([-yaw, pitch, roll], axis=1)
