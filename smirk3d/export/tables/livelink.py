"""Tables of the app Live Link Face, which Unreal Engine and add-ons for Blender, Maya and MotionBuilder read.

The format was determined from public recordings of older and newer versions of the app:

- The columns and their order are `LIVELINK_COLUMNS`: jawRight and mouthRight before their left partners. Older
  recordings spell the second column `BlendShapeCount`, newer ones `BlendshapeCount`, as is done here.
- The count is 61 (52 weights and 9 angles), and each number has ten decimals. Some importers accept rows with a count
  of 0 and no numbers where no face was found; the recordings examined have no such row.
- Timecodes are `HH:MM:SS:FF.sub` with `sub` in thousandths of a frame.
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
import roma
import torch

from smirk3d.assets import atomic_path
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Track

_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
LIVELINK_WEIGHTS: tuple[str, ...] = tuple(_SWAPPED.get(name, name) for name in ARKIT_NAMES)
"""The ARKit names in the app's order: jawRight and mouthRight before their left partners."""
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
    """Write a track in the format of the app's recordings: one row per frame, with a count of 0 where the face is lost.

    Args:
        track: One person.
        path: Target.
        start_s: Time code of the first frame of the clip, in seconds.

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

    Non-drop-frame time code: at 29.97 frames per second, 30 frames count as one second.

    Args:
        time_s: Seconds from the first frame.
        rate_fps: Nominal frame rate.
        start_s: Time code of the first frame, in seconds.
    """
    count = max(round(rate_fps), 1)
    frames, sub = divmod(round((time_s * rate_fps + start_s * count) * 1000), 1000)
    seconds, frame = divmod(frames, count)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours % _DAY_H:02d}:{minute:02d}:{second:02d}:{frame:02d}.{sub:03d}"


def livelink_angles(track: Track) -> np.ndarray:
    """Return yaw, pitch and roll of the head, the left and the right eye, (T, 9) radians in the app's convention."""
    eyes = torch.from_numpy(track.eyes.reshape(-1, 2, 3).astype(np.float64))
    rotations = [track.rotation_rotmat.astype(np.float64), *roma.rotvec_to_rotmat(eyes).unbind(1)]
    return np.concatenate([_app_angles(np.asarray(rotmat)) for rotmat in rotations], axis=1)


def _app_angles(rotmat: np.ndarray) -> np.ndarray:
    """Return yaw, pitch and roll (T, 3) of rotations (T, 3, 3): the angles of `Rx Ry Rz` with that of y negated."""
    yaw = np.arcsin(np.clip(rotmat[:, 0, 2], -1, 1))
    pitch = np.arctan2(-rotmat[:, 1, 2], rotmat[:, 2, 2])
    roll = np.arctan2(-rotmat[:, 0, 1], rotmat[:, 0, 0])
    return np.stack([-yaw, pitch, roll], axis=1)
