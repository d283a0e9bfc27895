"""Companion files of a FLAME model: landmarks, masks, eyelids, texture coordinates.

They are validated as strictly as the model itself: a damaged file is an error that names it, and is never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, read_npz
from smirk3d.errors import Smirk3dError
from smirk3d.head.checked import checked_array, checked_floats, checked_integers
from smirk3d.head.flame.safe_pickle import read_npy, read_pickle
from smirk3d.head.landmark_indices import MIRROR, POINT_COUNT
from smirk3d.params import ContourTable, LandmarkEmbedding

CONTOUR_POINTS, CONTOUR_ROWS = 17, 79
"""Landmarks of the face contour, and the yaw angles for which the released table holds them."""
MAX_SAME_POINT_M = 1e-4
"""Largest distance of two embeddings of the same landmark, metres."""
_MIRROR_PAIRS_68 = (
    *((k, 16 - k) for k in range(9)),
    *((17 + k, 26 - k) for k in range(5)),
    *((27 + k, 27 + k) for k in range(4)),
    *((31 + k, 35 - k) for k in range(3)),
    *((36 + k, 45 - k) for k in range(4)),
    (40, 47),
    (41, 46),
    *((48 + k, 54 - k) for k in range(4)),
    *((55 + k, 59 - k) for k in range(3)),
    *((60 + k, 64 - k) for k in range(3)),
    (65, 67),
    (66, 66),
)
_REGION_NAMES = {
    "face": "face",
    "lips": "lips",
    "nose": "nose",
    "forehead": "forehead",
    "neck": "neck",
    "scalp": "scalp",
    "boundary": "boundary",
    "left_eyeball": "left_eyeball",
    "right_eyeball": "right_eyeball",
    "left_eye_region": "left_eye_region",
    "right_eye_region": "right_eye_region",
    "eye_region": "eye_regions",
}
_UNIONS = {
    "eyeballs": ("left_eyeball", "right_eyeball"),
    "ears": ("left_ear", "right_ear"),
    "eye_regions": ("left_eye_region", "right_eye_region"),
}


def _mirror_68() -> tuple[int, ...]:
    table = dict(_MIRROR_PAIRS_68) | {right: left for left, right in _MIRROR_PAIRS_68}
    return tuple(table[index] for index in range(68))


IBUG68_MIRROR = _mirror_68()
"""Partner of each of the 68 iBUG landmarks in a mirrored face."""


@dataclass(frozen=True)
class FlameFiles:
    """Paths of the companion files of a FLAME model; None for those that do not exist.

    Attributes:
        landmarks: `landmark_embedding.npy`, the 68 iBUG landmarks and their contour by yaw.
        mediapipe: `mediapipe_landmark_embedding.npz`, 105 of MediaPipe's landmarks.
        masks: `FLAME_masks.pkl`, regions.
        left_eyelid: `l_eyelid.npy`, offsets of the closed left eyelid.
        right_eyelid: `r_eyelid.npy`, offsets of the closed right eyelid.
        texture: `FLAME_texture.npz`, texture coordinates.
    """

    landmarks: Path | None = None
    mediapipe: Path | None = None
    masks: Path | None = None
    left_eyelid: Path | None = None
    right_eyelid: Path | None = None
    texture: Path | None = None

    @classmethod
    def beside(cls, path: str | Path) -> FlameFiles:
        """Find the companions of a model.

        Args:
            path: The model. Companions are searched by their published names in its folder, and in subfolders with the
                name of the file.
        """
        names = {
            "landmarks": "landmark_embedding.npy",
            "mediapipe": "mediapipe_landmark_embedding.npz",
            "masks": "FLAME_masks.pkl",
            "left_eyelid": "l_eyelid.npy",
            "right_eyelid": "r_eyelid.npy",
            "texture": "FLAME_texture.npz",
        }
        return cls(**{field: _find(Path(path).parent, name) for field, name in names.items()})

    def present(self) -> tuple[Path, ...]:
        """Return the paths of the files that exist."""
        paths = (getattr(self, field.name) for field in fields(self))
        return tuple(path for path in paths if path is not None)


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / Path(name).stem / name)
    return next((path for path in candidates if path.is_file()), None)


@dataclass(frozen=True)
class LandmarkFile:
    """Content of `landmark_embedding.npy`.

    Attributes:
        ibug68: The full static set, 68 landmarks.
        contour: Its first 17 landmarks by yaw.
        sets_agree: Whether the file's static set of 51 inner landmarks coincides with those of the full set.
    """

    ibug68: LandmarkEmbedding
    contour: ContourTable
    sets_agree: bool


@dataclass(frozen=True)
class MediapipePoints:
    """Known embeddings of N of MediaPipe's 478 landmarks.

    Attributes:
        index: (N,) int64 indices of the landmarks.
        embedding: The N embeddings, with weight 1.
    """

    index: Tensor
    embedding: LandmarkEmbedding


def read_landmarks(path: Path, vertices: Tensor, faces: Tensor) -> LandmarkFile:
    """Read `landmark_embedding.npy`.

    Args:
        path: The file.
        vertices: (V, 3) mean head of the model, metres.
        faces: (F, 3) int64 triangles of the model.

    Raises:
        Smirk3dError: The file lacks a part, or does not belong to the mesh.
    """
    table = read_npy(path)
    if not isinstance(table, Mapping):
        raise Smirk3dError(f"{printable(path)}: holds no landmarks by name; get landmark_embedding.npy again")
    rows = (CONTOUR_ROWS, CONTOUR_POINTS)
    inner = _points(path, table, ("static_lmk_faces_idx", "static_lmk_bary_coords"), (51,), len(faces))
    contour = _points(path, table, ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"), rows, len(faces))
    full = _points(path, table, ("full_lmk_faces_idx", "full_lmk_bary_coords"), (68,), len(faces))
    ibug68 = LandmarkEmbedding(*full, torch.ones(68), torch.tensor(IBUG68_MIRROR))
    static = LandmarkEmbedding(*inner, torch.ones(51), torch.arange(51))
    difference = ibug68.points(vertices, faces)[17:] - static.points(vertices, faces)
    return LandmarkFile(ibug68, ContourTable(*contour), bool(difference.norm(dim=1).max() < MAX_SAME_POINT_M))


def read_mediapipe_points(path: Path, face_count: int) -> MediapipePoints:
    """Read `mediapipe_landmark_embedding.npz`.

    Args:
        path: The file.
        face_count: Number of triangles of the model.

    Raises:
        Smirk3dError: The file lacks a part, or does not belong to the mesh.
    """
    table = _read_npz(path)
    index = checked_integers(path, "landmark_indices", _entry(path, table, "landmark_indices"), POINT_COUNT).flatten()
    if len(index.unique()) != len(index):
        raise Smirk3dError(f"{printable(path)}: 'landmark_indices' names a point twice; get the file again")
    names = ("lmk_face_idx", "lmk_b_coords")
    face_index, barycentric = _points(path, table, names, (len(index),), face_count)
    position = {point: row for row, point in enumerate(index.tolist())}
    partners = torch.tensor(MIRROR)[index].tolist()
    mirror = torch.tensor([position.get(partner, row) for row, partner in enumerate(partners)])
    embedding = LandmarkEmbedding(face_index, barycentric, torch.ones(len(index)), mirror)
    return MediapipePoints(index, embedding)


def read_masks(path: Path, vertex_count: int) -> dict[str, Tensor]:
    """Read `FLAME_masks.pkl`.

    Args:
        path: The file.
        vertex_count: Number of vertices V of the model.

    Returns:
        Region -> (V,) bool mask, under the region names of the open head.

    Raises:
        Smirk3dError: The file holds no lists of vertices, or vertices that the mesh does not have.
    """
    table = read_pickle(path)
    if not isinstance(table, Mapping):
        raise Smirk3dError(f"{printable(path)}: holds no regions by name; get FLAME_masks.pkl again")
    file_masks = {}
    for name in {*_REGION_NAMES, *sum(_UNIONS.values(), ())} & table.keys():
        file_masks[name] = torch.zeros(vertex_count, dtype=torch.bool)
        file_masks[name][checked_integers(path, name, table[name], vertex_count).flatten()] = True
    if not file_masks:
        raise Smirk3dError(f"{printable(path)}: has none of the regions of FLAME_masks.pkl; get the file again")
    masks = {region: file_masks[name] for name, region in _REGION_NAMES.items() if name in file_masks}
    for region, (left, right) in _UNIONS.items():
        if region not in masks and {left, right} <= file_masks.keys():
            masks[region] = file_masks[left] | file_masks[right]
    return masks


def read_eyelids(files: FlameFiles, vertex_count: int) -> Tensor | None:
    """Read the eyelid offsets.

    Args:
        files: The companion files.
        vertex_count: Number of vertices V of the model.

    Returns:
        (V, 3, 2) offsets of the closed left and right eyelid in metres, or None where there are no files.

    Raises:
        Smirk3dError: Only one side exists, or a file does not belong to the mesh.
    """
    sides = (files.left_eyelid, files.right_eyelid)
    present = [path for path in sides if path is not None]
    if not present:
        return None
    if len(present) == 1:
        missing = "r_eyelid.npy" if files.left_eyelid else "l_eyelid.npy"
        raise Smirk3dError(f"{printable(present[0])}: {missing} is missing beside it; add it, or take both away")
    return torch.stack([checked_floats(path, "offsets", read_npy(path), (vertex_count, 3)) for path in present], dim=-1)


def read_texture(path: Path, face_count: int) -> tuple[Tensor, Tensor]:
    """Read `FLAME_texture.npz`.

    Args:
        path: The file.
        face_count: Number of triangles F of the model.

    Returns:
        uv: (T, 2) texture coordinates, v upwards.
        faces_uv: (F, 3) int64 indices into `uv`.

    Raises:
        Smirk3dError: The file lacks a part, or does not belong to the mesh.
    """
    table = _read_npz(path)
    uv = checked_floats(path, "vt", _entry(path, table, "vt"), (None, 2))
    faces_uv = checked_integers(path, "ft", _entry(path, table, "ft"), len(uv))
    if faces_uv.shape != (face_count, 3):
        found = tuple(faces_uv.shape)
        raise Smirk3dError(
            f"{printable(path)}: 'ft' is {found}, the model has {face_count} triangles; use its own file"
        )
    return uv, faces_uv


def _read_npz(path: Path) -> dict[str, object]:
    try:
        return dict(read_npz(path))
    except (OSError, ValueError) as error:
        reason = printable(one_line(error))
        raise Smirk3dError(f"{printable(path)}: cannot be read as .npz ({reason}); get the file again") from error


def _entry(path: Path, table: Mapping, name: str) -> object:
    if name not in table:
        known = ", ".join(sorted(key for key in table if isinstance(key, str)))[:200]
        raise Smirk3dError(f"{printable(path)}: has no {name!r}, but {printable(known)}; get the file again")
    return table[name]


def _points(
    path: Path, table: Mapping, names: tuple[str, str], shape: tuple[int, ...], face_count: int
) -> tuple[Tensor, Tensor]:
    """Return triangles and barycentric weights under two names, in the given shape; axes of length 1 are ignored."""
    face_index = checked_integers(path, names[0], _entry(path, table, names[0]), face_count)
    weights = checked_array(path, names[1], _entry(path, table, names[1]))
    if face_index.numel() != np.prod(shape) or weights.size != face_index.numel() * 3:
        found = f"{tuple(face_index.shape)} and {weights.shape}"
        raise Smirk3dError(f"{printable(path)}: {names[0]!r} and {names[1]!r} are {found}, expected {shape} points")
    barycentric = checked_floats(path, names[1], weights.reshape(*shape, 3), (*shape, 3))
    if (barycentric.sum(-1) - 1).abs().max() > 1e-2:
        raise Smirk3dError(f"{printable(path)}: weights of {names[1]!r} do not add up to 1; get the file again")
    return face_index.reshape(shape), barycentric
