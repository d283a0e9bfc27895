"""Tables of the app Live Link Face, which Unreal Engine and add-ons for Blender, Maya and MotionBuilder read.

What is known of the format comes from recordings of the app that are public, older and newer ones:

- The columns and their order are `LIVELINK_COLUMNS`: jawRight and mouthRight before their left partners. Older
  recordings spell the second column `BlendShapeCount`, newer ones `BlendshapeCount`, as is done here.
- The count is 61, 52 weights and 9 angles, and each of these numbers has ten decimals. Some importers allow for rows
  with a count of 0 and no numbers, where the face was not found; the recordings at hand have no such row.
- Timecodes are `HH:MM:SS:FF.sub` with `sub` in thousandths of a frame.
- Angles are radians, and they are the x (pitch), y (yaw) and z (roll) angles of `R = Rx Ry Rz`, which is SceneKit's
  order: `tan(roll) = sin(yaw) tan(pitch)` to seven digits, as an eye has it that turns about its own x and then
  about the vertical.
- Signs, from the eyes' angles beside the eyeLook weights of the same rows: yaw > 0 is to the subject's right,
  pitch > 0 is down. So yaw is the angle about +Y of the head frame negated and pitch the one about +X; and by the
  relation above roll is the one about +Z, positive towards the subject's right shoulder.

Less sure: the recordings were made without head rotation, an option of the app, so that the head's angles are
assumed to be made like the eyes'. Importers disagree about the head's signs, and some let the user choose.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import roma
import torch

from smirk3d.assets import atomic_path
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Track

_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
LIVELINK_WEIGHTS: tuple[str, ...] = tuple(_SWAPPED.get(name, name) for name in ARKIT_NAMES)
"""The ARKit names in the app's order."""
LIVELINK_COLUMNS: tuple[str, ...] = (
    "Timecode",
    "BlendshapeCount",
    *(name[0].upper() + name[1:] for name in LIVELINK_WEIGHTS),
    *(f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll")),
)
_NUMBERS = len(LIVELINK_COLUMNS) - 2
_WEIGHT_ORDER = [ARKIT_NAMES.index(name) for name in LIVELINK_WEIGHTS]
_DAY_H = 24


def save_livelink(track: Track, path: Path, *, start_s: float = 0.0) -> None:
    """Write a track as the app would have recorded it.

    One row a frame; those of lost frames have a count of 0 and no numbers.

    Args:
        track: One person.
        path: Target.
        start_s: Timecode of the first frame of the clip, in seconds of timecode.

    Raises:
        Smirk3dError: Writing failed.
    """
    numbers = np.concatenate([track.arkit[:, _WEIGHT_ORDER], livelink_angles(track)], axis=1) + 0.0  # no -0
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LIVELINK_COLUMNS)
        for time_s, known, row in zip(track.time_s.tolist(), track.known.tolist(), numbers.tolist(), strict=True):
            values = [f"{value:.10f}" for value in row] if known else [""] * _NUMBERS
            writer.writerow([timecode(time_s, track.rate_fps, start_s), _NUMBERS if known else 0, *values])


def timecode(time_s: float, rate_fps: float, start_s: float = 0.0) -> str:
    """Return a time as `HH:MM:SS:FF.sub`, `sub` in thousandths of a frame.

    Frames are counted and none is dropped, so that at 29.97 frames a second the timecode of 30 frames is a second.

    Args:
        time_s: Seconds from the first frame.
        rate_fps: Nominal frames a second.
        start_s: Timecode of the first frame, in seconds of timecode.
    """
    count = max(round(rate_fps), 1)
    frames, sub = divmod(round((time_s * rate_fps + start_s * count) * 1000), 1000)
    seconds, frame = divmod(frames, count)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours % _DAY_H:02d}:{minute:02d}:{second:02d}:{frame:02d}.{sub:03d}"


def livelink_angles(track: Track) -> np.ndarray:
    """Return yaw, pitch and roll of the head, the left and the right eye as the app has them, (T, 9) in radians."""
    eyes = torch.from_numpy(track.eyes.reshape(-1, 2, 3).astype(np.float64))
    turns = [track.rotation_rotmat.astype(np.float64), *roma.rotvec_to_rotmat(eyes).unbind(1)]
    return np.concatenate([_app_angles(np.asarray(rotmat)) for rotmat in turns], axis=1)


def _app_angles(rotmat: np.ndarray) -> np.ndarray:
    """Return yaw, pitch and roll (T, 3) of rotations (T, 3, 3): the angles of Rx Ry Rz, that of y negated."""
    yaw = np.arcsin(np.clip(rotmat[:, 0, 2], -1, 1))
    pitch = np.arctan2(-rotmat[:, 1, 2], rotmat[:, 2, 2])
    roll = np.arctan2(-rotmat[:, 0, 1], rotmat[:, 0, 0])
    return np.stack([-yaw, pitch, roll], axis=1)
