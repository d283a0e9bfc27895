"""Layouts in which other programs store the coefficients of FLAME, brought to jaw, eyelids, eyes and shape.

- DECA and EMOCA: `pose` (6), the rotations of head and jaw. FLAME's own order (15): head, neck, jaw, both eyes.
- SMPL-X, as in BEAT2 and AMASS: `poses` (165), the rotations of 55 joints, with jaw and eyes after the 22 of the body.
  Its expression space is FLAME's; its `betas` are shapes of a body and are not used.
- metrical-tracker: rotations as the first two rows of their matrix (6 numbers each), continuous 6-D rotations of Zhou
  et al., "On the Continuity of Rotation Representations in Neural Networks" (CVPR 2019).
- VHAP and GaussianAvatars: an array per joint, with rotation vectors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import roma
import torch

ARRAY_NAMES = {
    "expression": ("expression", "expressions", "expr", "exp", "expression_params", "expcode"),
    "jaw": ("jaw", "jaw_pose", "jaw_params", "pose_jaw"),
    "eyelids": ("eyelids", "eyelid", "eyelid_params"),
    "eyes": ("eyes", "eyes_pose", "eye_pose", "pose_eye"),
    "shape": ("shape", "betas", "shape_params", "shapecode"),
    "arkit": ("arkit", "arkit_weights"),
}
"""Names of arrays in files of this package (first) and of other programs."""
POSE_NAMES = ("pose", "poses", "posecode", "full_pose", "fullpose")
"""Names of arrays that hold the rotations of several joints."""
EYE_NAMES = (("leye_pose", "reye_pose"), ("left_eye_pose", "right_eye_pose"))
"""Names of arrays of the left and the right eye."""
RATE_NAMES = ("rate_fps", "mocap_frame_rate", "mocap_framerate", "fps", "frame_rate")
"""Names of the frame rate."""
_BODY_NAMES = ("root_orient", "pose_body", "body_pose")
_ROTATIONS = {"jaw": 1, "eyes": 2}
"""Number of rotations in an array."""
_POSES: Mapping[int, Mapping[str, slice]] = {
    6: {"jaw": slice(3, 6)},
    15: {"jaw": slice(6, 9), "eyes": slice(9, 15)},
    165: {"jaw": slice(66, 69), "eyes": slice(69, 75)},
}
"""Where the rotation vectors of jaw and eyes are in a pose, by the number of its entries."""
_SMPLX = 165


def read_layout(stored: Mapping[str, np.ndarray]) -> tuple[dict[str, tuple[str, np.ndarray]], tuple[str, ...]]:
    """Return the arrays of a file under the names of `FaceParams`.

    Args:
        stored: Arrays of the file by their names there.

    Returns:
        Name as in `ARRAY_NAMES` -> name in the file and array; and the names of what is in the file and not used.

    Raises:
        ValueError: An array of rotations holds none.
    """
    found = {name: next((alias for alias in aliases if alias in stored), None) for name, aliases in ARRAY_NAMES.items()}
    arrays = {name: (alias, stored[alias]) for name, alias in found.items() if alias is not None}
    used = {alias for alias in found.values() if alias is not None}
    unused: list[str] = []
    for left, right in EYE_NAMES:
        if "eyes" not in arrays and {left, right} <= stored.keys():
            arrays["eyes"] = (left, np.concatenate([np.atleast_2d(stored[side]) for side in (left, right)], axis=-1))
            used |= {left, right}
    for name in POSE_NAMES:
        if name in stored:
            parts = _parts_of_pose(stored[name])
            added = {part: (name, values) for part, values in parts.items() if part not in arrays}
            arrays |= added
            unused.append(f"{name} (all but {' and '.join(added)})" if added else name)
            used.add(name)
            if added and _entries(stored[name]) == _SMPLX:
                unused += _drop_body_shape(arrays)
    if set(_BODY_NAMES) & stored.keys():
        unused += _drop_body_shape(arrays)
    converted = {name: (alias, _as_rotvec(name, alias, values)) for name, (alias, values) in arrays.items()}
    return converted, (*unused, *(name for name in stored if name not in used))


def _drop_body_shape(arrays: dict[str, tuple[str, np.ndarray]]) -> list[str]:
    """Remove the shape of a body; return its name for the note."""
    return [f"{arrays.pop('shape')[0]} (shape of a body)"] if "shape" in arrays else []


def _entries(pose: np.ndarray) -> int:
    """Return the number of entries per frame of a pose (K,), (T, K) or (T, J, 3)."""
    last = pose.shape[-1] if pose.ndim else 0
    return last * pose.shape[-2] if pose.ndim == 3 and last == 3 else last


def _parts_of_pose(pose: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rotation vectors of jaw and eyes in a pose; {} for an unknown one."""
    size = _entries(pose)
    if size not in _POSES or pose.dtype.kind not in "fiu":
        return {}
    flat = pose.reshape(-1, size)
    return {part: flat[:, where] for part, where in _POSES[size].items()}


def _as_rotvec(name: str, alias: str, values: np.ndarray) -> np.ndarray:
    """Return an array of rotations as rotation vectors (T, 3 J); other arrays are returned as they are.

    Rotations may be vectors (3 numbers each), two rows of matrices (6) or matrices (9).
    """
    count = _ROTATIONS.get(name)
    if count is None or values.dtype.kind not in "fiu" or values.ndim < 1 or not values.size:
        return values
    if values.ndim >= 3 and values.shape[-2:] == (3, 3):
        size, flat = 9, values.reshape(-1, count * 9) if values.size % (count * 9) == 0 else values
    elif values.ndim == 3 and values.shape[-2] == count:
        size, flat = values.shape[-1], values.reshape(len(values), -1)
    else:
        size, flat = values.shape[-1] // count, values
    if size not in (6, 9) or flat.shape[-1] != count * size:
        return flat if size == 3 else values
    rows = torch.from_numpy(flat.reshape(-1, size // 3, 3)[:, :2].astype(np.float64))
    rotmat = roma.special_gramschmidt(rows.mT).mT
    if not _is_rotation(rotmat, rows if size == 6 else torch.from_numpy(flat.reshape(-1, 3, 3).astype(np.float64))):
        raise ValueError(f"{alias!r} has the shape {values.shape} and entries that are no rotations")
    return roma.rotmat_to_rotvec(rotmat).numpy().reshape(-1, 3 * count).astype(np.float32)


def _is_rotation(rotmat: torch.Tensor, given: torch.Tensor) -> bool:
    """Return whether matrices are near what they were made from; rows of any positive length count as near."""
    if not torch.isfinite(rotmat).all():
        return False
    unit = given / given.norm(dim=-1, keepdim=True)
    return bool(((rotmat[:, : given.shape[1]] - unit).abs() < 0.5).all())
