"""The numbers of a clip: a table of all tracks as .csv or .parquet, and a track as .npz, which can be read back."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import open_plain, read_npz
from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expression_file import write_arrays
from smirk3d.face import Visibility
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.registry import register
from smirk3d.track import Status, Track

TABLE_FORMATS: tuple[str, ...] = (".csv", ".parquet")
_XYZ = ("x", "y", "z")
_LEADING_COLUMNS = ("frame", "time_s", "track", "status", "confidence", "method")
_NUMBER_COLUMNS: tuple[str, ...] = (
    *("yaw", "pitch", "roll"),
    *(f"r{row}{column}" for row in range(3) for column in range(3)),
    *("tx", "ty", "tz", "scale_px_per_m", "x0", "y0", "x1", "y1"),
    *ARKIT_NAMES,
    *(f"jaw_{axis}" for axis in _XYZ),
    *("eyelid_left", "eyelid_right"),
    *(f"eye_{side}_{axis}" for side in ("left", "right") for axis in _XYZ),
)
_LAST_COLUMNS: tuple[str, ...] = tuple(f"visibility_{each.name}" for each in fields(Visibility))


@dataclass(frozen=True)
class _Rows:
    """The rows of one track.

    Attributes:
        leading: Cells of the T frames for each of `_LEADING_COLUMNS`.
        numbers: (T, D) float32, the columns `_NUMBER_COLUMNS`, the coefficients and `_LAST_COLUMNS`; NaN where the
            face is lost.
    """

    leading: tuple[Sequence[int | float | str], ...]
    numbers: np.ndarray


def table_columns(tracks: Sequence[Track]) -> tuple[str, ...]:
    """Return the columns of a clip's table.

    - `frame` from 0 in the clip, `time_s` seconds from its first frame, `track` from 0, `status` (seen, filled or
      lost), `confidence` in [0, 1], `method`.
    - `yaw`, `pitch`, `roll` degrees; `r00`...`r22` head to camera frame; `tx`, `ty`, `tz` metres; `scale_px_per_m`;
      `x0`, `y0`, `x1`, `y1` the face box in pixels.
    - The 52 ARKit weights; `jaw_*`, `eye_left_*`, `eye_right_*` rotation vectors in radians; eyelids in [0, 1].
    - `expression_0`, `expression_1`, ... on heads whose coefficients are not the ARKit weights.
    - `visibility_eyes`, `visibility_mouth`, `visibility_left`, `visibility_right`: visible shares in [0, 1].
    """
    return (
        *_LEADING_COLUMNS,
        *_NUMBER_COLUMNS,
        *(f"expression_{index}" for index in range(_n_expression_columns(tracks))),
        *_LAST_COLUMNS,
    )


def write_track_table(tracks: Sequence[Track], path: Path) -> None:
    """Write one row per frame and track, track by track, as .csv or .parquet, whole or not at all.

    Unknown values, as in lost frames, are empty cells in .csv and nulls in .parquet.

    Args:
        tracks: The people of one clip; a table without tracks has only its header.
        path: Target, ending in one of `TABLE_FORMATS`.

    Raises:
        Smirk3dError: The suffix is unknown, pyarrow is missing for .parquet, or writing failed.
    """
    writers = dict(zip(TABLE_FORMATS, (_write_csv, _write_parquet), strict=True))
    suffix = path.suffix.lower()
    if suffix not in writers:
        raise Smirk3dError(f"{printable(path)}: unknown format {suffix!r}; choose one of {' '.join(TABLE_FORMATS)}")
    columns = table_columns(tracks)
    rows = [_rows(track, len(columns) - len(_LEADING_COLUMNS)) for track in tracks]
    with atomic_path(path) as temporary:
        writers[suffix](rows, columns, temporary)


def save_track_npz(track: Track, path: Path) -> None:
    """Write a track as a compressed NumPy archive that loads with `allow_pickle=False`.

    It has all fields of `Track` under their names, but `head`, the name of the head, instead of `head_id`; `focal_px`
    is NaN for a scaled orthographic camera. Further arrays are `expression_names`, `arkit_names`, `frames` (the frame
    numbers as text), `angles_deg` (T, 3) yaw, pitch and roll, `neutral_vertices` (V, 3) metres and `triangles` (F, 3).
    `read_track_npz` reads the file.

    Raises:
        Smirk3dError: Writing failed.
    """
    import torch

    shape = torch.from_numpy(track.shape).to(track.head.v_template)
    with torch.no_grad():
        neutral = track.head.shaped(shape).vertices.cpu().numpy()
    arrays = {name: getattr(track, name) for name in (*_SHAPES, "shape", "expression", "center_px")}
    numbers = {"number": track.number, "rate_fps": track.rate_fps, "image_size": np.array(track.image_size, np.int32)}
    texts = {
        "method": track.method,
        "head": track.head.data.name,
        "expression_names": track.head.expression_names,
        "arkit_names": ARKIT_NAMES,
        "frames": track.frame.astype(str),
    }
    derived = {
        "focal_px": np.nan if track.focal_px is None else track.focal_px,
        "angles_deg": track.angles_deg,
        "neutral_vertices": neutral,
        "triangles": track.head.faces.cpu().numpy().astype(np.int32),
    }
    write_arrays(path, {name: np.asarray(value) for name, value in (arrays | numbers | texts | derived).items()})


def read_track_npz(path: Path, head: HeadModel) -> Track:
    """Read a track that `save_track_npz` wrote.

    Args:
        path: The archive.
        head: The head model that the track was made with.

    Raises:
        Smirk3dError: The file cannot be read, is no track, or was made with another head.
    """
    try:
        return _track(_read_arrays(path), head)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Smirk3dError(
            f"{printable(path)}: cannot be read as a track ({printable(' '.join(reason.split()))}); give the .npz of a "
            "clip"
        ) from error


_SHAPES: Mapping[str, tuple[int, ...]] = {
    "frame": (),
    "time_s": (),
    "status": (),
    "arkit": (len(ARKIT_NAMES),),
    "jaw": (3,),
    "eyelids": (2,),
    "eyes": (6,),
    "rotation_rotmat": (3, 3),
    "translation_m": (3,),
    "scale_px_per_m": (),
    "confidence": (),
    "residual_percent": (),
    "box_px": (4,),
    "visibility": (len(_LAST_COLUMNS),),
}
"""Shape per frame of the fields of `Track` whose size does not depend on the head."""
_TYPES = {"frame": np.int64, "time_s": np.float64, "status": np.uint8}
_SCALARS = ("number", "rate_fps", "focal_px", "method", "head")


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with open_plain(path) as file:
        start = file.read(2)
    if start != b"PK":
        raise ValueError("it is no .npz" if start else "it is empty")
    return read_npz(path)


def _track(stored: Mapping[str, np.ndarray], head: HeadModel) -> Track:
    if "visibility" not in stored and "confidence" in stored:  # written before there were visibilities
        lost = np.isnan(np.atleast_1d(stored["confidence"]).astype(np.float64))
        stored = {**stored, "visibility": np.where(lost[:, None], np.nan, np.ones(len(_LAST_COLUMNS)))}
    needed = (*_SHAPES, *_SCALARS, "shape", "expression", "center_px", "image_size")
    if missing := [name for name in needed if name not in stored]:
        raise ValueError(f"it has no {missing[0]!r}")
    text = {name: str(stored[name]) for name in ("method", "head")}
    if text["head"] != head.data.name:
        raise ValueError(f"it was made with the head {text['head']!r}, this is {head.data.name!r}")
    count = len(np.atleast_1d(stored["frame"]))
    sizes = {name: (count, *tail) for name, tail in _SHAPES.items()}
    sizes |= {"shape": (head.n_shape,), "expression": (count, head.n_expression), "center_px": (2,), "image_size": (2,)}
    sizes |= dict.fromkeys(("number", "rate_fps", "focal_px"), ())
    arrays = {name: _checked(name, stored[name], size) for name, size in sizes.items()}
    number, rate_fps, focal_px = (float(arrays.pop(name)) for name in ("number", "rate_fps", "focal_px"))
    width, height = arrays.pop("image_size").astype(int).tolist()
    if not np.isin(arrays["status"], list(Status)).all():
        raise ValueError("'status' has unknown values")
    return Track(
        number=int(number),
        rate_fps=rate_fps,
        focal_px=None if np.isnan(focal_px) else focal_px,
        image_size=(width, height),
        method=text["method"],
        head_id=register(head),
        appearance=None,
        **arrays,
    )


def _checked(name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if values.dtype.kind not in "fiu" or values.shape != shape:
        raise ValueError(f"{name!r} is {values.dtype} with the shape {values.shape}, expected numbers in {shape}")
    whole = name in ("number", "rate_fps", "focal_px")
    return values.astype(_TYPES.get(name, np.float64 if whole else np.float32))


def _n_expression_columns(tracks: Sequence[Track]) -> int:
    own = (track for track in tracks if track.head.expression_names != ARKIT_NAMES)
    return max((track.expression.shape[1] for track in own), default=0)


def _rows(track: Track, width: int) -> _Rows:
    parts = [
        track.angles_deg,
        track.rotation_rotmat.reshape(len(track), 9),
        track.translation_m,
        track.scale_px_per_m[:, None],
        track.box_px,
        track.arkit,
        track.jaw,
        track.eyelids,
        track.eyes,
        *([track.expression] if _n_expression_columns([track]) else []),
    ]
    numbers = np.full((len(track), width), np.nan, dtype=np.float32)
    known = np.concatenate(parts, axis=1)
    numbers[:, : known.shape[1]] = known
    numbers[:, -len(_LAST_COLUMNS) :] = track.visibility
    status = [Status(value).name.lower() for value in track.status]
    repeated = ([track.number] * len(track), [track.method] * len(track))
    confidence = track.confidence.astype(np.float32).tolist()
    return _Rows((track.frame.tolist(), track.time_s.tolist(), repeated[0], status, confidence, repeated[1]), numbers)


def _write_csv(rows: Sequence[_Rows], columns: tuple[str, ...], path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for part in rows:
            for leading, numbers in zip(zip(*part.leading), part.numbers.tolist(), strict=True):
                frame, time_s, track, status, confidence, method = leading
                start = [frame, f"{time_s:.6f}", track, status, _cell(confidence), method]
                writer.writerow([*start, *map(_cell, numbers)])


def _cell(value: float) -> str:
    return "" if value != value else f"{value + 0.0:.7g}"  # no -0


def _write_parquet(rows: Sequence[_Rows], columns: tuple[str, ...], path: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise Smirk3dError(".parquet needs pyarrow: pip install 'smirk3d[tables]', or write .csv") from error
    kinds = (pyarrow.int64(), pyarrow.float64(), pyarrow.int64(), pyarrow.string(), pyarrow.float32(), pyarrow.string())
    leading = [
        list(chain.from_iterable(part.leading[index] for part in rows)) for index in range(len(_LEADING_COLUMNS))
    ]
    arrays = [pyarrow.array(cells, kind, from_pandas=True) for cells, kind in zip(leading, kinds, strict=True)]
    empty = np.zeros((0, len(columns) - len(_LEADING_COLUMNS)), dtype=np.float32)
    numbers = np.concatenate([empty, *(part.numbers for part in rows)])
    arrays += [pyarrow.array(column, pyarrow.float32(), from_pandas=True) for column in numbers.T]
    parquet.write_table(pyarrow.Table.from_arrays(arrays, names=list(columns)), path)
