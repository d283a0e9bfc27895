"""Reader of FLAME models (2017, 2019, 2020, 2023, 2023 Open, with and without a jaw joint) as `HeadData`.

FLAME's frame equals the head frame: metres, +Y up, +Z out of the face, +X to the subject's left.

Source of the model: Li et al., "Learning a model of facial shape and expression from 4D scans", 2017.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from smirk3d.assets import printable, sha256
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.align import align
from smirk3d.geometry.rotations import rotmat_to_rotvec
from smirk3d.head.checked import checked_array, checked_floats, checked_integers
from smirk3d.head.data import JOINT_NAMES, JOINT_PARENTS, HeadData
from smirk3d.head.flame.companion_files import FlameFiles, read_eyelids, read_landmarks, read_masks, read_texture
from smirk3d.head.flame.safe_pickle import read_pickle
from smirk3d.head.uv_unwrap import cylindrical_uv

LICENCE = (
    "that of the FLAME file it was made from: 2020 and earlier for non-commercial research only, "
    "2023 Open CC-BY-4.0; see flame.is.tue.mpg.de"
)
FULL_COLUMNS, FULL_EXPRESSIONS = 400, 100
"""Columns of the complete basis; the last `FULL_EXPRESSIONS` of them are expression components."""
MIN_JAW_WEIGHT = 0.1
"""A model in which no vertex has a larger skinning weight of the jaw has no usable jaw joint."""
MAX_ROW_SUM_ERROR = 0.1
"""Largest deviation of a row sum of the skinning weights or the joint regressor from 1 in a valid file."""
CHIN_BELOW_EYES = (1.3, 1.9)
"""Range of the chin below the eyes, in units of the distance between the eyes."""
_JAW, _LEFT_EYE, _RIGHT_EYE = (JOINT_NAMES.index(name) for name in ("jaw", "left_eye", "right_eye"))


def read_flame(path: str | Path, companions: FlameFiles | None = None) -> HeadData:
    """Read a FLAME model with its companion files; nothing in the files is executed.

    What the files lack is left out: see `smirk3d.authoring.flame_completion`. Texture coordinates are the
    exception; a model without its own gets `cylindrical_uv`.

    Args:
        path: The model, such as `generic_model.pkl` or `flame2023.pkl`, with any number of vertices.
        companions: The companion files; those beside the model by default, `FlameFiles()` for none.

    Returns:
        The head, with `jaw_readout` where the model has no jaw joint.

    Raises:
        Smirk3dError: A file is damaged, is no FLAME model, or does not fit the others.
    """
    path = Path(path)
    companions = FlameFiles.beside(path) if companions is None else companions
    model = read_pickle(path)
    if not isinstance(model, Mapping):
        raise Smirk3dError(f"{printable(path)}: holds a {type(model).__name__}, no FLAME model; give generic_model.pkl")
    data = _with_jaw_type(_read_model(path, model), path)
    return _with_companions(data, companions)


def _read_model(path: Path, model: Mapping) -> HeadData:
    def entry(name: str) -> object:
        if name not in model:
            raise Smirk3dError(f"{printable(path)}: has no {name!r}, so it is no FLAME model; give generic_model.pkl")
        return model[name]

    def floats(name: str, *shape: int | None) -> Tensor:
        return checked_floats(path, name, entry(name), shape)

    joints = len(JOINT_NAMES)
    v_template = floats("v_template", None, 3)
    vertices = len(v_template)
    basis = floats("shapedirs", vertices, 3, None)
    faces = checked_integers(path, "f", entry("f"), vertices)
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise Smirk3dError(f"{printable(path)}: 'f' is {tuple(faces.shape)}, expected (any, 3); is it a FLAME model?")
    lbs_weights = floats("weights", vertices, joints)
    J_regressor = floats("J_regressor", joints, vertices)
    _check_joints(path, entry("kintree_table"), lbs_weights, J_regressor, v_template)
    n_shape, split = _split_columns(path, basis.shape[-1])
    n_expression = basis.shape[-1] - n_shape
    uv, faces_uv = cylindrical_uv(v_template, faces)
    digits = len(str(n_expression - 1))
    return HeadData(
        name="flame",
        v_template=v_template,
        shapedirs=basis[..., :n_shape].contiguous(),
        expressiondirs=basis[..., n_shape:].contiguous(),
        expression_rotvec=torch.zeros(n_expression, joints, 3),
        J_regressor=J_regressor,
        lbs_weights=lbs_weights,
        faces=faces,
        uv=uv,
        faces_uv=faces_uv,
        expression_names=tuple(f"flame_{index:0{digits}d}" for index in range(n_expression)),
        expression_low=float("-inf"),
        expression_high=float("inf"),
        regions=_eyeballs(lbs_weights),
        posedirs=floats("posedirs", vertices, 3, 9 * (joints - 1)),
        eyelids_after_skinning=True,
        meta={
            "source": path.name,
            "source_sha256": sha256(path),
            "licence": LICENCE,
            "components": split,
            "texture coordinates": "cylindrical, seam at the back",
        },
    )


def _split_columns(path: Path, columns: int) -> tuple[int, str]:
    """Return the number of shape columns in the common basis, and a description of the split for the header."""
    if columns < 2:
        raise Smirk3dError(f"{printable(path)}: 'shapedirs' has {columns} column, expected shape and expression")
    full = columns == FULL_COLUMNS
    n_shape = columns - FULL_EXPRESSIONS if full else columns - max(columns // 4, 1)
    split = f"{n_shape} shape, {columns - n_shape} expression"
    return n_shape, split if full else f"{split} (assumed: three quarters and one, as in the full model of 300 and 100)"


def _check_joints(path: Path, kintree: object, lbs_weights: Tensor, J_regressor: Tensor, v_template: Tensor) -> None:
    parents = checked_array(path, "kintree_table", kintree)
    # The root's parent is written as -1, which is 2^32 - 1 in an unsigned table.
    if parents.shape != (2, len(JOINT_NAMES)) or tuple(parents[0, 1:].tolist()) != JOINT_PARENTS[1:]:
        joints = ", ".join(JOINT_NAMES)
        raise Smirk3dError(f"{printable(path)}: its joints are not {joints}; is it a FLAME model?")
    for name, rows in (("weights", lbs_weights), ("J_regressor", J_regressor)):
        if (rows.sum(1) - 1).abs().max() > MAX_ROW_SUM_ERROR:
            raise Smirk3dError(f"{printable(path)}: rows of {name!r} do not add up to 1; get the file again")
    # A head in another frame would be fitted as a mirror image without any error.
    joints = J_regressor @ v_template
    if joints[_LEFT_EYE, 0] <= joints[_RIGHT_EYE, 0]:
        raise Smirk3dError(f"{printable(path)}: its left eye is not on the side of +X; is it a FLAME model?")


def _eyeballs(lbs_weights: Tensor) -> dict[str, Tensor]:
    left, right = lbs_weights[:, _LEFT_EYE] > 0.5, lbs_weights[:, _RIGHT_EYE] > 0.5
    if not (left.any() and right.any()):
        return {}
    return {"left_eyeball": left, "right_eyeball": right, "eyeballs": left | right}


def _with_jaw_type(data: HeadData, path: Path) -> HeadData:
    """Return the head with `jaw_readout` where its jaw is part of the expression."""
    # FLAME 2023 is published with and without a jaw joint; the latter may be recognisable by its file name alone.
    named = re.search(r"no[_-]?jaw", path.name, re.IGNORECASE)
    if not named and data.lbs_weights[:, _JAW].max() >= MIN_JAW_WEIGHT:
        return replace(data, meta=data.meta | {"jaw": "joint"})
    readout = _rigid_rotvec(data.v_template, data.expressiondirs, _lower_jaw(data))
    return replace(data, jaw_readout=readout, meta=data.meta | {"jaw": "part of the expression"})


def _lower_jaw(data: HeadData) -> Tensor:
    """Return the (V,) bool mask of vertices that move rigidly with the jaw: by skinning weights, else by position."""
    by_weight = data.lbs_weights[:, _JAW] > 0.5
    if by_weight.any():
        return by_weight
    joints = data.J_regressor @ data.v_template
    left, right = joints[_LEFT_EYE], joints[_RIGHT_EYE]
    middle, between = (left + right) / 2, (left - right).norm()
    below = (middle[1] - data.v_template[:, 1]) / between
    in_front = data.v_template[:, 2] > middle[2] - between / 2
    chin = (below > CHIN_BELOW_EYES[0]) & (below < CHIN_BELOW_EYES[1]) & in_front
    if chin.sum() < 3:
        raise Smirk3dError(f"head {data.name!r}: no chin is found below its eyes; is it a FLAME model in metres?")
    return chin


def _rigid_rotvec(rest: Tensor, directions: Tensor, mask: Tensor) -> Tensor:
    """Return the rotation vectors (E, 3), radians, that best fit offsets (V, 3, E) of the masked vertices."""
    start = rest[mask].double()
    moved = start + directions[mask].double().permute(2, 0, 1)
    return rotmat_to_rotvec(align(start.expand_as(moved), moved, scaled=False).rotmat).float()


def _with_companions(data: HeadData, files: FlameFiles) -> HeadData:
    vertices, triangles = len(data.v_template), len(data.faces)
    meta = dict(data.meta)
    if files.texture is not None:
        uv, faces_uv = read_texture(files.texture, triangles)
        data = replace(data, uv=uv, faces_uv=faces_uv)
        meta["texture coordinates"] = f"from {files.texture.name}"
    if files.masks is not None:
        data = replace(data, regions=data.regions | read_masks(files.masks, vertices))
        meta["regions"] = f"from {files.masks.name}"
    eyelids = read_eyelids(files, vertices)
    if eyelids is not None:
        data = replace(data, eyelid_dirs=eyelids)
        meta["eyelids"] = "from l_eyelid.npy, r_eyelid.npy"
    if files.landmarks is not None:
        read = read_landmarks(files.landmarks, data.v_template, data.faces)
        data = replace(data, landmarks={"ibug68": read.ibug68}, contour=read.contour)
        differ = "" if read.sets_agree else " (its static 51 points differ from the full 68, which are used)"
        meta["landmarks ibug68"] = f"from {files.landmarks.name}{differ}"
    return replace(data, meta=meta)
