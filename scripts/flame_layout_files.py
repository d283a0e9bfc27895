"""The bytes of FLAME's files: pickles as Python 2 wrote them, and the landmark tables beside them."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from smirk3d.head.mediapipe_points import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER

if TYPE_CHECKING:
    from flame_layout import FlameLayout

ARRAYS = ("f", "v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "J")
CHUMPY_ARRAYS = ("v_template", "shapedirs", "posedirs", "weights")
NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 2, 98, 97, 326, 327)
MEDIAPIPE_105 = (*BROW_RIGHT, *BROW_LEFT, *EYE_RIGHT, *EYE_LEFT, *NOSE, *LIPS_OUTER, *LIPS_INNER)
"""Numbers of the MediaPipe points in the small embedding."""


@dataclass(frozen=True)
class _Global:
    """A class or function by its name in Python 2."""

    module: str
    name: str


@dataclass(frozen=True)
class _Call:
    """An object made by calling `function`, or by `__new__` of it, and then given a state."""

    function: _Global
    arguments: tuple
    state: object = None
    new: bool = False


def python2_pickle(value: object) -> bytes:
    """Return the protocol 2 pickle that Python 2 makes of dicts, lists, numbers, text, arrays and sparse matrices.

    Text is written as byte strings, which Python 3 has no way to write, and names are those of old packages.

    Raises:
        TypeError: another type.
    """
    return b"\x80\x02" + _pickled(value) + b"."


def _pickled(value: object) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, (str, bytes)):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        return (b"U" + struct.pack("<B", len(raw)) if len(raw) < 256 else b"T" + struct.pack("<i", len(raw))) + raw
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_pickled, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(_pickled, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_pickled(part) for pair in value.items() for part in pair) + b"u"
    if isinstance(value, _Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, _Call):
        made = _pickled(value.function) + _pickled(value.arguments) + (b"\x81" if value.new else b"R")
        return made if value.state is None else made + _pickled(value.state) + b"b"
    return _pickled(_described(value))


def _described(value: object) -> _Call:
    """Say how Python 2 makes an object again."""
    if isinstance(value, np.ndarray):
        maker = _Global("numpy.core.multiarray", "_reconstruct")
        state = (1, value.shape, value.dtype, 0, value.tobytes())
        return _Call(maker, (_Global("numpy", "ndarray"), (0,), "b"), state)
    if isinstance(value, np.dtype):
        return _Call(_Global("numpy", "dtype"), (value.str[1:], 0, 1), (3, "<", None, None, None, -1, -1, 0))
    if isinstance(value, sparse.csc_matrix):
        parts = {name: getattr(value, name) for name in ("data", "indices", "indptr")}
        return _Call(
            _Global("scipy.sparse.csc", "csc_matrix"), (), {"_shape": value.shape, "maxprint": 50} | parts, True
        )
    raise TypeError(f"no Python 2 form of {type(value).__name__} is known")


def _as_chumpy(array: np.ndarray) -> _Call:
    """Return how chumpy's array type is pickled."""
    empty_set = _Call(_Global("__builtin__", "set"), ([],))
    return _Call(_Global("chumpy.ch", "Ch"), (), {"x": array, "_dirty_vars": empty_set}, True)


def write_model(path: Path, layout: FlameLayout, chumpy: bool) -> None:
    """Write the model itself, as Python 2 with chumpy did or as a plain pickle of arrays."""
    content: dict[str, object] = {name: getattr(layout, name) for name in ARRAYS}
    content |= {"bs_style": "lbs", "bs_type": "lrotmin"}
    if not chumpy:
        path.write_bytes(pickle.dumps(content))
        return
    content |= {name: _as_chumpy(getattr(layout, name)) for name in CHUMPY_ARRAYS}
    path.write_bytes(python2_pickle(content))


def write_companions(folder: Path, layout: FlameLayout) -> None:
    """Write the landmark embeddings, the masks and the eyelids under their usual names."""
    points, contour = layout.ibug68, layout.contour
    embedding = {
        "static_lmk_faces_idx": points.face_index[17:],
        "static_lmk_bary_coords": points.barycentric[17:],
        "dynamic_lmk_faces_idx": torch.from_numpy(contour.face_index),
        "dynamic_lmk_bary_coords": torch.from_numpy(contour.barycentric).float(),
        "full_lmk_faces_idx": points.face_index[None],
        "full_lmk_bary_coords": points.barycentric[None],
    }
    np.save(folder / "landmark_embedding.npy", np.array(embedding, dtype=object), allow_pickle=True)
    chosen = list(MEDIAPIPE_105)
    np.savez(
        folder / "mediapipe_landmark_embedding.npz",
        lmk_face_idx=layout.mediapipe.face_index[chosen],
        lmk_b_coords=layout.mediapipe.barycentric[chosen],
        landmark_indices=np.array(chosen),
    )
    (folder / "FLAME_masks.pkl").write_bytes(python2_pickle(layout.masks))
    for name, offsets in zip(("l_eyelid", "r_eyelid"), layout.eyelids, strict=True):
        np.save(folder / f"{name}.npy", offsets)
