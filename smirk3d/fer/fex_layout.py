"""The table layout of py-feat's detector (class `Fex`), for scripts that read it.

What is not estimated here, such as AU11 and an identity, is an empty cell and never 0. Angles are degrees; yaw and roll
are positive to the subject's right, contrary to `smirk3d.geometry.euler`. Columns of this package follow those of
py-feat.
"""

from __future__ import annotations

from smirk3d.fer.action_units import SIDED_UNITS
from smirk3d.fer.emotion_record import EmotionRecord, EmotionValues
from smirk3d.fer.emotions import EMOTIONS

FEX_UNITS: tuple[str, ...] = tuple(
    f"AU{number:02d}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43)
)
FEX_EMOTIONS: tuple[str, ...] = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_UNKNOWN_UNITS = ("AU11",)
_N_LANDMARKS, _N_IDENTITY = 68, 512
_FACE_COLUMNS = (
    *("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore"),
    *(f"{axis}_{point}" for axis in "xy" for point in range(_N_LANDMARKS)),
    *("Pitch", "Roll", "Yaw", "X", "Y", "Z"),
    *FEX_UNITS,
    *FEX_EMOTIONS,
    *(f"Identity_{number}" for number in range(1, _N_IDENTITY + 1)),
    *("gaze_pitch", "gaze_yaw", "gaze_angle"),
)
_SIDES = tuple(f"{unit}_{side}" for unit in SIDED_UNITS for side in "LR")
OWN_COLUMNS: tuple[str, ...] = (*_SIDES, "contempt", "valence", "arousal", "track", "status")
"""Columns of this package at the end; sides are the subject's own."""


def fex_columns(*, with_videos: bool) -> tuple[str, ...]:
    """Return all columns in order; `approx_time` is there where there are videos."""
    time = ("approx_time",) if with_videos else ()
    return (*_FACE_COLUMNS, "FrameHeight", "FrameWidth", "input", "frame", *time, "Identity", *OWN_COLUMNS)


def fex_cells(record: EmotionRecord, *, with_videos: bool) -> list[str]:
    """Return the cells of one face in the order of `fex_columns`.

    Args:
        record: The face, with its head.
        with_videos: As for `fex_columns`.
    """
    values = record.values
    face = {} if values is None else _face_cells(values)
    width, height = record.image_size
    cells = face | {
        "FrameHeight": str(height),
        "FrameWidth": str(width),
        "input": record.name,
        "frame": str(record.picture),
        "approx_time": "" if record.time_s is None else f"{int(record.time_s) // 60:02d}:{int(record.time_s) % 60:02d}",
        "track": "" if record.track is None else str(record.track),
        "status": record.status,
    }
    return [cells.get(name, "") for name in fex_columns(with_videos=with_videos)]


def _face_cells(values: EmotionValues) -> dict[str, str]:
    assert values.face is not None  # the layout asks for it
    x0, y0, x1, y1 = (float(edge) for edge in values.box_px)
    yaw, pitch, roll = values.angles_deg
    points = values.face.landmarks("ibug68", space="image")
    units = {name: f"{values.action_units[name]:.4f}" for name in FEX_UNITS if name not in _UNKNOWN_UNITS}
    sides = {
        f"{unit}_{side[0].upper()}": f"{values.action_units[f'{unit}_{side}']:.4f}"
        for unit in SIDED_UNITS
        for side in ("left", "right")
    }
    return {
        **{"FaceRectX": f"{x0:.2f}", "FaceRectY": f"{y0:.2f}"},
        **{"FaceRectWidth": f"{x1 - x0:.2f}", "FaceRectHeight": f"{y1 - y0:.2f}"},
        "FaceScore": f"{values.confidence:.4f}",
        **{f"{axis}_{k}": f"{point[j]:.2f}" for j, axis in enumerate("xy") for k, point in enumerate(points)},
        **{"Pitch": f"{pitch:.3f}", "Roll": f"{-roll:.3f}", "Yaw": f"{-yaw:.3f}"},
        **units,
        **sides,
        **{name: f"{value:.5f}" for name, value in zip(EMOTIONS, values.probabilities.tolist())},
        **{"valence": f"{values.valence:.4f}", "arousal": f"{values.arousal:.4f}"},
    }
