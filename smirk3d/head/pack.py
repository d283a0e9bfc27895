"""The pack, a head model in one file: safetensors with a JSON description in its header."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import check_plain_file, one_line, parse_json
from smirk3d.errors import Smirk3dError
from smirk3d.head.contact import ContactPairs, LidClosure
from smirk3d.head.data import JOINT_NAMES, HeadData
from smirk3d.params import ContourTable, LandmarkEmbedding
from smirk3d.safetensors_bytes import to_safetensors

FORMAT_VERSION = "2"
_RECORDS: dict[str, type] = {"contour": ContourTable, "lid_closure": LidClosure, "contacts": ContactPairs}
"""Fields of `HeadData` that are records of tensors."""
_EMBEDDING_FIELDS = tuple(field.name for field in fields(LandmarkEmbedding))
_REMEDY = "give a FLAME model or a pack that `smirk3d head convert` wrote; `smirk3d head build` makes the open head"
_SHAPES: dict[str, tuple[str | int, ...]] = {
    "v_template": ("V", 3),
    "shapedirs": ("V", 3, "S"),
    "expressiondirs": ("V", 3, "E"),
    "expression_rotvec": ("E", "J", 3),
    "J_regressor": ("J", "V"),
    "lbs_weights": ("V", "J"),
    "faces": ("F", 3),
    "uv": ("T", 2),
    "faces_uv": ("F", 3),
    "posedirs": ("V", 3, 9 * (len(JOINT_NAMES) - 1)),
    "eyelid_dirs": ("V", 3, 2),
    "jaw_readout": ("E", 3),
    "mirror_vertices": ("V",),
    "shape_mirror_sign": ("S",),
}
"""Shapes of the tensors of `HeadData`; equal letters stand for equal sizes."""
_INDICES = {"faces": "V", "faces_uv": "T", "mirror_vertices": "V"}
"""Tensors of indices, and the size that bounds them."""


def save_pack(data: HeadData, path: Path) -> None:
    """Write a head as a pack, atomically; missing folders are created.

    Args:
        data: The head.
        path: The file; an existing one is replaced.

    Raises:
        Smirk3dError: The file cannot be written.
    """
    tensors, header = {}, {}
    for field in fields(HeadData):
        value = getattr(data, field.name)
        if isinstance(value, torch.Tensor):
            tensors[field.name] = value.contiguous()
        elif field.name == "regions":
            tensors |= {f"regions/{name}": mask.contiguous() for name, mask in value.items()}
        elif field.name == "landmarks":
            for name, embedding in value.items():
                tensors |= {f"landmarks/{name}/{f}": getattr(embedding, f).contiguous() for f in _EMBEDDING_FIELDS}
        elif field.name in _RECORDS and value is not None:
            tensors |= {f"{field.name}/{f.name}": getattr(value, f.name).contiguous() for f in fields(value)}
        elif value is not None:
            header[field.name] = value
    metadata = {"smirk3d_head": FORMAT_VERSION, "content_id": data.content_id, "head": json.dumps(header)}
    _write(to_safetensors(tensors, metadata), path)


def _write(content: bytes, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = printable(getattr(error, "strerror", None) or str(error))
        raise Smirk3dError(f"cannot write {printable(path)}: {reason}; choose another place") from error


def read_header(path: Path) -> dict:
    """Return the JSON description of a pack without reading its tensors.

    Args:
        path: The pack.

    Returns:
        The fields of `HeadData` that are no tensors, by name.

    Raises:
        Smirk3dError: The file is no head pack, or has another format version.
    """
    try:
        check_plain_file(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        if metadata.get("smirk3d_head") != FORMAT_VERSION:
            raise Smirk3dError(f"{printable(path)}: is no head pack of format {FORMAT_VERSION}; {_REMEDY}")
        header = parse_json(metadata["head"], finite=False)  # bounds of an expression may be infinite
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = printable(" ".join(str(error).split()))
        raise Smirk3dError(f"{printable(path)}: cannot be read as a head pack ({reason}); {_REMEDY}") from error
    if fault := _header_fault(header) if isinstance(header, dict) else "it is no table":
        raise Smirk3dError(f"{printable(path)}: its header describes no head ({fault}); {_REMEDY}")
    return header


def _header_fault(header: dict[str, object]) -> str:
    """Return what is missing in a header, or of another type than in `HeadData`; "" where nothing is."""
    for name, (is_valid, wanted) in _HEADER_FIELDS.items():
        if name in header and not is_valid(header[name]):
            return f"{name!r} is no {wanted}"
    return ", ".join(f"{name!r} is missing" for name in ("name", "expression_names", "meta") if name not in header)


def _are_texts(values: object, kind: type[list] | type[dict]) -> bool:
    return isinstance(values, kind) and all(
        isinstance(value, str) for value in (values.values() if isinstance(values, dict) else values)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


_HEADER_FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "name": (lambda value: isinstance(value, str), "text"),
    "expression_names": (lambda value: _are_texts(value, list), "list of texts"),
    "expression_low": (_is_number, "number"),
    "expression_high": (_is_number, "number"),
    "eyelids_after_skinning": (lambda value: isinstance(value, bool), "boolean"),
    "meta": (lambda value: _are_texts(value, dict), "table of texts"),
}
"""Fields of `HeadData` in the header, with what they must be."""


def read_content_id(path: Path) -> str:
    """Return the `HeadData.content_id` of the head in a pack, without reading its tensors where the header states it.

    Args:
        path: The pack. Packs of earlier releases do not state the identifier; it is computed from their data.

    Raises:
        Smirk3dError: The file is no head pack, or has another format version.
    """
    read_header(path)
    with safe_open(path, framework="pt") as file:
        stated = file.metadata().get("content_id")
    return stated or load_pack(path).content_id


def load_pack(path: Path) -> HeadData:
    """Read a head from a pack.

    Args:
        path: The pack.

    Returns:
        The head on the CPU; all shapes, types and index ranges are validated.

    Raises:
        Smirk3dError: The file is no head pack, has another format version, or its parts do not fit together.
    """
    header = read_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, safe_open is no mapping
        data = _assemble(header, tensors)
        _check(data)
    except Exception as error:  # parts of others may be of any kind
        reason = printable(one_line(error))
        raise Smirk3dError(f"{printable(path)}: holds no whole head ({reason}); {_REMEDY}") from error
    return data


def _assemble(header: Mapping, tensors: Mapping[str, torch.Tensor]) -> HeadData:
    """Build the record; raises `TypeError` where a part is missing or unknown."""
    tree: dict = {"regions": {}, "landmarks": {}}
    for key, tensor in tensors.items():
        _insert(tree, key.split("/"), tensor)
    tree["landmarks"] = {name: LandmarkEmbedding(**parts) for name, parts in tree["landmarks"].items()}
    for name, kind in _RECORDS.items():
        if name in tree:
            tree[name] = kind(**tree[name])
    return HeadData(**{**header, "expression_names": tuple(header["expression_names"])}, **tree)


def _insert(tree: dict, keys: list[str], tensor: torch.Tensor) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = tensor


def _check(data: HeadData) -> None:
    """Raise `ValueError` where the tensors of a head do not fit together."""
    # Out-of-range indices would otherwise crash much later, or, on a GPU, in another kernel.
    sizes: dict[str | int, int] = {"J": len(JOINT_NAMES), "E": len(data.expression_names)}
    for name, letters in _SHAPES.items():
        tensor = getattr(data, name)
        if tensor is None:
            continue
        wanted = tuple(n if isinstance(n, int) else sizes.get(n) for n in letters)
        if tensor.ndim != len(letters) or any(n not in (None, m) for n, m in zip(wanted, tensor.shape)):
            raise ValueError(f"{name!r} is {tuple(tensor.shape)}, expected {letters}")
        sizes |= dict(zip(letters, tensor.shape))
        if name not in _INDICES and not (tensor.dtype == torch.float32 and tensor.isfinite().all()):
            raise ValueError(f"{name!r} is not of finite float32 numbers")
    for name, below in _INDICES.items():
        _check_indices(name, getattr(data, name), sizes[below])
    _check_parts(data, sizes)


def _check_parts(data: HeadData, sizes: Mapping[str | int, int]) -> None:
    for name, mask in data.regions.items():
        if mask.shape != (sizes["V"],) or mask.dtype != torch.bool:
            raise ValueError(f"region {name!r} is no mask of the vertices")
    for name, embedding in data.landmarks.items():
        _check_indices(f"landmarks {name!r}", embedding.face_index, sizes["F"])
    for record in (data.lid_closure, data.contacts):
        _check_contact(record, sizes["V"], sizes["E"])


def _check_contact(record: LidClosure | ContactPairs | None, vertices: int, expressions: int) -> None:
    if record is None:
        return
    count, followers = len(record.vertex), len(record.follower)
    shapes = {
        "meeting": (count, 3),
        "meeting_weight": (count, 3),
        "closing": (count,),
        "eyelid": (count,),
        "opposite": (count, 2),
        "opposite_weight": (count, 2),
        "side": (count,),
        "slack_m": (expressions, count),
        "follower_row": (followers,),
        "follower_weight": (followers,),
    }
    bounds = {name: vertices for name in ("vertex", "meeting", "opposite", "follower")}
    bounds |= {"follower_row": count, "closing": expressions, "eyelid": 2}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name in shapes and tuple(value.shape) != shapes[field.name]:
            raise ValueError(f"{field.name!r} is {tuple(value.shape)}, expected {shapes[field.name]}")
        if field.name in bounds:
            _check_indices(repr(field.name), value, bounds[field.name])
        elif not (value.dtype == torch.float32 and value.isfinite().all()):
            raise ValueError(f"{field.name!r} is not of finite float32 numbers")


def _check_indices(name: str, index: torch.Tensor | None, below: int) -> None:
    if index is None or not index.numel():
        return
    if index.dtype != torch.int64 or index.min() < 0 or index.max() >= below:
        raise ValueError(f"{name} has indices that are not within 0 and {below - 1}")
