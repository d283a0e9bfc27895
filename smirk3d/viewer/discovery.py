"""Viewable files: heads as glTF, archives of faces and of tracks, and folders of results."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.authoring.load import load_head
from smirk3d.bounded_io import one_line, read_npz
from smirk3d.errors import Smirk3dError
from smirk3d.face import Face, ImageFit, assemble_face
from smirk3d.geometry.camera import Camera
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.load import OPEN_HEAD
from smirk3d.track import Status
from smirk3d.viewer.gltf_scene import read_gltf, scene_from_gltf
from smirk3d.viewer.scene import Curves, ViewScene, hold_last
from smirk3d.viewer.side_images import overlay_beside

SUFFIXES = (".glb", ".gltf", ".npz")
_FACE_KEYS = {"neutral_vertices", "triangles", "shape", "arkit"}
_CLIP_KEYS = {"time_s", "status", "rotation_rotmat", "translation_m", "rate_fps"}


def results_in(path: Path) -> list[Path]:
    """Return the viewable results.

    Args:
        path: A file, or a folder that is searched recursively; hidden files are left out.

    Returns:
        The file itself, or the results in the folder, newest first; of a result in several formats only the first
        of `SUFFIXES`.

    Raises:
        Smirk3dError: The path does not exist, or holds nothing viewable.
    """
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise Smirk3dError(
                f"{printable(path)}: is nothing to view; name a {_SUFFIX_LIST} file or a folder of results"
            )
        return [path]
    if not path.is_dir():
        reason = "is neither a file nor a folder" if path.exists() else "no such file or folder"
        raise Smirk3dError(f"{printable(path)}: {reason}; name a result of reconstruct or video")
    found: dict[Path, Path] = {}
    for suffix in SUFFIXES:
        for each in sorted(path.rglob(f"*{suffix}")):
            if _is_hidden(each.relative_to(path)) or not each.is_file():
                continue
            if suffix != ".npz" or _is_face(each):
                found.setdefault(each.with_suffix(""), each)
    if not found:
        raise Smirk3dError(f"{printable(path)}: holds nothing to view ({_SUFFIX_LIST}); name a folder of results")
    return sorted(found.values(), key=lambda each: (-each.stat().st_mtime_ns // 10**9, str(each)))


_SUFFIX_LIST = ", ".join(SUFFIXES)


def read_first(results: Sequence[Path], report: Callable[[str], None]) -> tuple[ViewScene, list[Path]]:
    """Read the first of some results that can be shown.

    Args:
        results: At least one.
        report: Is called with a line for each damaged one before it.

    Returns:
        The scene, and the results that are left, the shown one first.

    Raises:
        Smirk3dError: None can be shown.
    """
    for number, path in enumerate(results):
        try:
            return read_scene(path), list(results[number:])
        except Smirk3dError as error:
            if number == len(results) - 1:
                raise
            report(str(error))
    raise ValueError("no results")


def _is_hidden(path: Path) -> bool:
    """Return whether a path has a hidden part, such as the temporary file of a run that was killed."""
    return any(part.startswith(".") for part in path.parts)


def _is_face(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {f"{key}.npy" for key in _FACE_KEYS} <= set(archive.namelist())
    except Exception:  # whatever is wrong with it, it is no face
        return False


def read_scene(path: Path) -> ViewScene:
    """Read a viewable file, with the overlay beside it where there is one.

    Args:
        path: The file.

    Raises:
        Smirk3dError: It cannot be read, or holds no face.
    """
    scene = _read_npz(path) if path.suffix.lower() == ".npz" else read_gltf(path)
    return replace(scene, side_image=overlay_beside(path))


def _read_npz(path: Path) -> ViewScene:
    try:
        arrays = read_npz(path)
    except (OSError, ValueError) as error:
        reason = printable(one_line(error))
        raise Smirk3dError(f"{printable(path)}: cannot be read as a NumPy archive ({reason}); make it again") from error
    if missing := _FACE_KEYS - set(arrays):
        raise Smirk3dError(
            f"{printable(path)}: holds no face (no {', '.join(sorted(missing))}); view a result of reconstruct or video"
        )
    head = str(arrays.get("head", OPEN_HEAD))
    if head != OPEN_HEAD:
        raise Smirk3dError(f"{printable(path)}: is of the head {head!r}, which it does not contain; view its .glb")
    try:
        return _scene_from_arrays(arrays, path.name)
    except Smirk3dError:
        raise
    except Exception as error:  # the file is not ours: whatever its values provoke is its damage
        reason = printable(one_line(error))
        raise Smirk3dError(f"{printable(path)}: is no whole archive of a face ({reason}); make it again") from error


def _scene_from_arrays(arrays: Mapping[str, np.ndarray], name: str) -> ViewScene:
    """Build the scene from the glTF document that the face would be exported as."""
    from smirk3d.export.gltf.document import document_parts
    from smirk3d.export.gltf.head import build_gltf

    is_clip = np.ndim(arrays["arkit"]) == 2
    if is_clip and (missing := _CLIP_KEYS - set(arrays)):
        raise ValueError(f"no {', '.join(sorted(missing))}")
    scene = scene_from_gltf(*document_parts(build_gltf(_neutral_face(arrays))), name)
    return replace(scene, curves=_clip_curves(arrays) if is_clip else _still_curves(arrays))


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError("it holds numbers that are not finite")
    return values


def _neutral_face(arrays: Mapping[str, np.ndarray]) -> Face:
    head = load_head(OPEN_HEAD)
    vertices = _finite(np.asarray(arrays["neutral_vertices"], dtype=np.float32))
    if vertices.shape != tuple(head.v_template.shape):
        raise ValueError(f"{len(vertices)} vertices instead of {len(head.v_template)}")
    coefficients = {
        "shape": np.asarray(arrays["shape"], dtype=np.float32),
        "expression": np.zeros(head.n_expression, dtype=np.float32),
    }
    fit = ImageFit(Camera(np.eye(3), np.zeros(3), np.zeros(2), 1.0, None), 1.0, "", (1, 1), np.zeros(4), 0.0)
    return assemble_face(head, vertices, vertices, coefficients, np.zeros(len(ARKIT_NAMES)), fit)


def _still_curves(arrays: Mapping[str, np.ndarray]) -> Curves:
    return Curves(
        np.zeros(1),
        _finite(np.asarray(arrays["arkit"], dtype=np.float32).reshape(1, len(ARKIT_NAMES))),
        _finite(np.asarray(arrays.get("rotation", np.eye(3)), dtype=np.float32).reshape(1, 3, 3)),
        np.zeros((1, 3), dtype=np.float32),
        np.full(1, Status.SEEN, dtype=np.uint8),
        1.0,
    )


def _clip_curves(arrays: Mapping[str, np.ndarray]) -> Curves:
    status = np.asarray(arrays["status"], dtype=np.uint8).reshape(-1)
    time_s = np.asarray(arrays["time_s"], dtype=np.float64).reshape(len(status))
    if not np.isfinite(time_s).all() or (np.diff(time_s) < 0).any() or not float(arrays["rate_fps"]) > 0:
        raise ValueError("its times do not increase")
    known, count = status != Status.LOST, len(status)

    def values(name: str, *shape: int) -> np.ndarray:
        return _finite(hold_last(np.asarray(arrays[name], dtype=np.float32).reshape(count, *shape), known))

    return Curves(
        time_s,
        values("arkit", len(ARKIT_NAMES)),
        values("rotation_rotmat", 3, 3),
        values("translation_m", 3),
        status,
        float(arrays["rate_fps"]),
    )
