"""ARKit weights and coefficients as .json, in the forms that programs write.

- A face of this package (`Face.save("face.json")`), or arrays under the names of `ARRAY_NAMES`.
- Frames: a list of objects `name: weight`, or of objects that hold such an object or a list of `{categoryName, score}`
  (MediaPipe), with or without a time; the list may be a value of an outer object (`{"fps": 30, "frames": [...]}`).
- Columns: an object `name: [weight of each frame]`, or `name: weight` for one frame.
- A matrix with its names: `facsNames` and `weightMat` (Audio2Face), `names` and `weights`, and alike.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.export.tables.coefficient_layouts import ARRAY_NAMES, RATE_NAMES
from smirk3d.export.tables.delimited_text import read_text
from smirk3d.export.tables.expressions import Expressions
from smirk3d.export.tables.table_times import clock_times, find_time_column, to_seconds
from smirk3d.export.tables.weight_columns import arkit_weights, match_columns, missing_note

_MAX_DEPTH = 4
"""Depth in which the weights of a frame are searched."""
_NAME_KEYS = ("categoryName", "category_name", "name", "blendShapeLocation", "key")
_VALUE_KEYS = ("score", "value", "weight")
_RATE_KEYS = (*RATE_NAMES, "exportFps", "frameRate", "FPS")


def read_json(path: Path) -> Expressions | dict[str, np.ndarray]:
    """Return weights, or the arrays of coefficients by their names in the file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no JSON, or has neither weights nor coefficients.
    """
    try:
        content = json.loads(read_text(path), parse_int=float)  # integers may be of any size
    except RecursionError as error:
        raise ValueError("it is no JSON of weights: it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg} in line {error.lineno}") from error
    if isinstance(content, dict):
        if arrays := _coefficients(content):
            return arrays
        if matrix := _matrix(content):
            return _from_columns(*matrix, content)
        columns = {name: value for name, value in content.items() if _is_number(value) or _is_numbers(value)}
        if match_columns(list(columns)):
            return _from_columns(list(columns), np.array(_equal_lengths(columns), dtype=np.float64).T, content, columns)
    frames = _frames(content)
    if not frames:
        raise ValueError("it has no frames with weights")
    return _from_frames(frames, content)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _equal_lengths(columns: Mapping[str, Any]) -> list[list[float]]:
    """Return columns as lists of one length."""
    lists = [value if isinstance(value, list) else [value] for value in columns.values()]
    longest = max(map(len, lists))
    if {len(each) for each in lists} - {1, longest}:
        raise ValueError("its lists of numbers have different lengths")
    return [each * longest if len(each) == 1 else each for each in lists]


def _coefficients(content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of a record of a face; {} if it is none."""
    known = {*sum(ARRAY_NAMES.values(), ()), "pose", "poses", "full_pose"}
    arrays = {name: array for name in content if name in known and (array := _array(content[name])) is not None}
    kinds = {*ARRAY_NAMES["expression"], *ARRAY_NAMES["arkit"]}
    if not kinds & arrays.keys():
        return {}
    for name in set(ARRAY_NAMES["arkit"]) & arrays.keys():
        if isinstance(content[name], dict):
            arrays["arkit_names"] = np.array([*content[name]])
    if isinstance(head := content.get("head"), str):
        arrays["head"] = np.array(head)
    return arrays


def _array(value: Any) -> np.ndarray | None:
    """Return an object of numbers or nested lists of numbers as array; None if it is something else."""
    listed = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        return None
    try:
        array = np.array(listed)
    except ValueError:  # lists of different lengths
        return None
    return array if array.dtype.kind in "fiu" and array.size else None


def _matrix(content: Mapping[str, Any]) -> tuple[list[str], np.ndarray] | None:
    """Return names and values (T, K) of a matrix with its names; None if there is none."""
    for names in content.values():
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            continue
        for value in content.values():
            rows = value if isinstance(value, list) and value and _is_numbers(value[0]) else []
            if rows and {len(row) for row in rows if isinstance(row, list)} == {len(names)} and match_columns(names):
                return names, _rows_of_numbers(rows, len(names))
    return None


def _rows_of_numbers(rows: list[Any], count: int) -> np.ndarray:
    """Return rows of numbers (T, count) of a matrix."""
    for number, row in enumerate(rows):
        if not _is_numbers(row) or len(row) != count:
            raise ValueError(f"row {number} of its matrix is no list of {count} numbers")
    return np.array(rows, dtype=np.float64)


def _frames(content: Any) -> list[Mapping[str, Any] | Sequence[Any]]:
    """Return the list of frames: the content, or its value that is the longest list of objects or lists."""
    lists = [each for each in _lists(content) if each]
    if pairs := [each for each in lists if all(map(_pair, each))]:  # one frame as a list of {categoryName, score}
        return [max(pairs, key=len)]
    found = [each for each in lists if all(isinstance(frame, dict | list | None) for frame in each)]
    found = [each for each in found if any(map(_frame_weights, each))]
    if not found and isinstance(content, dict) and _frame_weights(content):
        return [content]
    return max(found, key=len, default=[])


def _lists(content: Any, depth: int = 0) -> Iterator[list[Any]]:
    """Yield the content if it is a list, or else the lists among its values and those of inner objects."""
    if isinstance(content, list):
        yield content
    elif isinstance(content, dict) and depth < _MAX_DEPTH:
        for value in content.values():
            yield from _lists(value, depth + 1)


def _pair(entry: Any) -> tuple[str, float] | None:
    """Return name and weight of an entry such as `{categoryName: ..., score: ...}`; None if it is none."""
    if not isinstance(entry, dict):
        return None
    name = next((entry[key] for key in _NAME_KEYS if isinstance(entry.get(key), str)), None)
    value = next((entry[key] for key in _VALUE_KEYS if _is_number(entry.get(key))), None)
    return None if name is None or value is None else (name, value)


def _frame_weights(frame: Any, depth: int = 0) -> dict[str, float]:
    """Return the object `name: weight` of a frame with the most blendshapes; {} if there is none."""
    candidates = list(_candidates(frame, depth))
    return max(candidates, key=len, default={})


def _candidates(value: Any, depth: int) -> Iterator[dict[str, float]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        numbers = {name: number for name, number in value.items() if _is_number(number)}
        known = _weight_names(tuple(numbers))
        yield {name: number for name, number in numbers.items() if name in known}
        for inner in value.values():
            yield from _candidates(inner, depth + 1)
    elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        yield {pair[0]: pair[1] for each in value if (pair := _pair(each))}
        if not _pair(value[0]):
            for inner in value:
                yield from _candidates(inner, depth + 1)


@functools.lru_cache(maxsize=256)
def _weight_names(names: tuple[str, ...]) -> frozenset[str]:
    """Return those names that stand for blendshapes; the frames of a file have the same names."""
    return frozenset(names[column] for found in match_columns(names).values() for column in found)


def _from_frames(frames: Sequence[Any], content: Any) -> Expressions:
    """Return the weights of frames; a weight that a frame does not name is 0, a frame without weights is left out."""
    weights = [_frame_weights(frame) for frame in frames]
    rows = [row for row, of_frame in enumerate(weights) if of_frame]
    names = list(dict.fromkeys(name for of_frame in weights for name in of_frame))
    values = np.array([[weights[row].get(name, 0.0) for name in names] for row in rows], dtype=np.float64)
    times = _times_of_frames([frames[row] for row in rows])
    return _expressions(names, values, tuple(map(str, rows)), times, _rate(content))


def _times_of_frames(frames: Sequence[Any]) -> np.ndarray | None:
    if not all(isinstance(frame, dict) for frame in frames):
        return None
    found = find_time_column(name.lower() for name in frames[0])
    if found is None:
        return None
    name, unit_s = found
    given = [next((value for key, value in frame.items() if key.lower() == name), None) for frame in frames]
    if all(map(_is_number, given)):
        return to_seconds(np.array(given), unit_s)
    times = clock_times([str(value) for value in given])
    if times is None:
        raise ValueError(f"{name!r} is no time in all frames; correct it, or leave it out")
    return to_seconds(times, 1.0)


def _from_columns(
    names: list[str], values: np.ndarray, content: Mapping[str, Any], columns: Mapping[str, Any] | None = None
) -> Expressions:
    found = find_time_column(name.lower() for name in (columns or content))
    times = None
    if found is not None:
        given = next(value for name, value in content.items() if name.lower() == found[0])
        times = to_seconds(np.array(given), found[1]) if _is_numbers(given) and len(given) == len(values) else None
    return _expressions(names, values, tuple(map(str, range(len(values)))), times, _rate(content))


def _rate(content: Any) -> float | None:
    given = [content[key] for key in _RATE_KEYS if key in content] if isinstance(content, dict) else []
    return next((float(value) for value in given if _is_number(value) and 0 < value < 1e6), None)


def _expressions(
    names: list[str], values: np.ndarray, frames: tuple[str, ...], times: np.ndarray | None, rate: float | None
) -> Expressions:
    if not all(map(math.isfinite, values.ravel().tolist())):
        raise ValueError("it has weights that are no finite numbers")
    columns = match_columns(names)
    weights = arkit_weights(values, columns)
    return Expressions(frames, {"arkit": weights}, time_s=times, rate_fps=rate, notes=missing_note(columns))
