"""A head as one file: safetensors with a JSON description in the header."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from smirk3d.assets import atomic_path
from smirk3d.errors import Smirk3dError
from smirk3d.head.data import HeadData
from smirk3d.types import ContourTable, LandmarkEmbedding

FORMAT_VERSION = "2"
_CONTOUR_FIELDS = tuple(field.name for field in fields(ContourTable))
_EMBEDDING_FIELDS = tuple(field.name for field in fields(LandmarkEmbedding))


def save_pack(data: HeadData, path: Path) -> None:
    """Write a head to `path` atomically."""
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
        elif isinstance(value, ContourTable):
            tensors |= {f"contour/{f}": getattr(value, f).contiguous() for f in _CONTOUR_FIELDS}
        elif value is not None:
            header[field.name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"smirk3d_head": FORMAT_VERSION, "head": json.dumps(header)}))


def read_header(path: Path) -> dict:
    """Return the JSON description of the pack at `path`, without its tensors.

    Raises:
        Smirk3dError: the file is no head pack, or of another format version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise Smirk3dError(f"{path}: cannot be read as a head pack ({error}); run `smirk3d head build`") from error
    if metadata.get("smirk3d_head") != FORMAT_VERSION:
        raise Smirk3dError(f"{path}: is no head pack of format {FORMAT_VERSION}; run `smirk3d head build`")
    return json.loads(metadata["head"])


def load_pack(path: Path) -> HeadData:
    """Read a head from a pack file.

    Raises:
        Smirk3dError: the file is no head pack, or of another format version.
    """
    header = read_header(path)
    tensors: dict = {"regions": {}, "landmarks": {}}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118, safe_open is no mapping
            _place(tensors, key.split("/"), file.get_tensor(key))
    tensors["landmarks"] = {name: LandmarkEmbedding(**parts) for name, parts in tensors["landmarks"].items()}
    if "contour" in tensors:
        tensors["contour"] = ContourTable(**tensors["contour"])
    header["expression_names"] = tuple(header["expression_names"])
    return HeadData(**header, **tensors)


def _place(tree: dict, keys: list[str], tensor: torch.Tensor) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = tensor
