"""Characters of other programs: a glTF file with morph targets gets an animation, and keeps everything else.

The file's JSON is read, added to and written again as it is, so that extensions, extras and compressed meshes stay
whatever they are. What a .gltf has beside it (buffers, pictures) moves into the one buffer of the .glb.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
import roma
import torch

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.morph_names import TargetNames, closest, target_names
from smirk3d.export.tables.motion_file import Motion

Json = dict[str, Any]
_MAGIC, _JSON_CHUNK, _BINARY_CHUNK = b"glTF", b"JSON", b"BIN\0"
_FLOAT = 5126
_PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"\xabKTX 20": "image/ktx2"}
_ALIGNMENT = 8
"""Bytes; glTF asks for 4, some of its extensions for 8."""
ANIMATION = "smirk3d"
_VRM_0 = "VRM"
"""Extension of files of that version; later ones have others."""


@dataclass(frozen=True)
class MorphMesh:
    """A mesh with morph targets; `nodes` are those that show it, `index` its place in the file."""

    index: int
    targets: TargetNames
    nodes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Character:
    """A glTF file in memory.

    Attributes:
        path: Where it was read. document: Its JSON, all data in buffer 0.
        blob: Buffer 0. chunks: What the .glb has after it, type and content.
        meshes: Those with morph targets that some node shows.
    """

    path: Path
    document: Json = field(repr=False)
    blob: bytes = field(repr=False)
    chunks: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    meshes: tuple[MorphMesh, ...]

    @property
    def targets(self) -> tuple[TargetNames, ...]:
        """The morph targets of each mesh."""
        return tuple(mesh.targets for mesh in self.meshes)


def read_character(path: str | Path) -> Character:
    """Read a .glb or .gltf file whose meshes have morph targets.

    Raises:
        Smirk3dError: It cannot be read, a file that it refers to is missing, or it has no morph targets.
    """
    with _told_of(path := Path(path)):
        document, blob, chunks = _parse(path.read_bytes())
        document, blob = _in_one_buffer(document, blob, path.parent)
        meshes = tuple(_morph_meshes(document))
        if not meshes:
            count = len(document.get("meshes", []))
            raise ValueError(f"none of its {count} meshes is shown with morph targets; export it with its shape keys")
    return Character(path, document, blob, chunks, meshes)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong with it."""
    name = printable(path)
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise Smirk3dError(f"{name}: cannot be read ({reason}); name a .glb or .gltf file") from error
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise Smirk3dError(
            f"{name}: is damaged ({type(error).__name__}: {printable(str(error))}); export it again as glTF 2.0"
        ) from error
    except ValueError as error:
        raise Smirk3dError(f"{name}: {printable(str(error))}") from error


def _parse(content: bytes) -> tuple[Json, bytes, tuple[tuple[bytes, bytes], ...]]:
    """Return the JSON of a file, its binary chunk, and other chunks.

    Source: glTF 2.0 specification, section 4, Binary glTF.
    """
    chunks = _chunks(content) if content.startswith(_MAGIC) else [(_JSON_CHUNK, content)]
    try:
        document = json.loads(dict(chunks[:1])[_JSON_CHUNK].decode("utf-8-sig"))
    except (KeyError, ValueError) as error:
        raise ValueError("is no glTF file, or a damaged one; export the character as .glb (glTF 2.0)") from error
    version = str(document["asset"]["version"]) if isinstance(document, dict) and "asset" in document else "unknown"
    if not version.startswith("2."):
        raise ValueError(f"its glTF version is {version}; export it as glTF 2.0")
    has_blob = len(chunks) > 1 and chunks[1][0] == _BINARY_CHUNK
    return document, chunks[1][1] if has_blob else b"", tuple(chunks[1 + has_blob :])


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    if len(content) < 12:
        raise ValueError("is cut off; copy or export it again")
    version, length = struct.unpack_from("<II", content, 4)
    if version != 2:
        raise ValueError(f"its glTF version is {version}; export it as glTF 2.0")
    if length > len(content):
        raise ValueError(f"is cut off ({len(content)} of {length} bytes); copy or export it again")
    chunks, start = [], 12
    while start + 8 <= length:
        size, kind = struct.unpack_from("<I4s", content, start)
        chunks.append((kind, content[start + 8 : start + 8 + size]))
        start += 8 + size
    if start > length:
        raise ValueError("is damaged (a part of it is longer than the file); export it again")
    return chunks


def _in_one_buffer(document: Json, blob: bytes, folder: Path) -> tuple[Json, bytes]:
    """Return document and buffer with all that other files and data URIs hold in it.

    Buffers without content, which stand for what a compressed view is when it is unpacked, stay buffers.
    """
    merged, places, empty = bytearray(blob), [], []
    for index, buffer in enumerate(document.get("buffers", [])):
        if "uri" in buffer:
            places.append((0, _append(merged, _resource(buffer["uri"], folder))))
        elif index == 0 and blob:
            places.append((0, 0))
        else:
            empty.append(buffer)
            places.append((len(empty), 0))
        if places[-1][0] == 0 and len(merged) - places[-1][1] < buffer["byteLength"]:
            raise ValueError(f"its buffer {index} is shorter than it says; export it again")
    views = [_moved(view, places) for view in document.get("bufferViews", [])]
    images = [_embedded(image, folder, merged, views) for image in document.get("images", [])]
    own = next((b for b, place in zip(document.get("buffers", []), places) if place[0] == 0), {})
    first = {name: value for name, value in own.items() if name != "uri"} | {"byteLength": len(merged)}
    changed = {"buffers": [first, *empty], "bufferViews": views, "images": images}
    return document | {name: value for name, value in changed.items() if value}, bytes(merged)


def _append(blob: bytearray, data: bytes) -> int:
    """Append bytes to a buffer and return where they start."""
    blob += b"\0" * (-len(blob) % _ALIGNMENT)
    start = len(blob)
    blob += data
    return start


def _resource(uri: str, folder: Path) -> bytes:
    if uri.startswith("data:"):
        head, _, payload = uri.partition(",")
        return base64.b64decode(payload) if head.endswith(";base64") else unquote_to_bytes(payload)
    name = unquote(uri)
    if "://" in name or Path(name).is_absolute():
        raise ValueError(f"refers to {name}; export it as .glb, with everything inside")
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ValueError(f"its file {name} cannot be read ({error.strerror}); put it beside the character") from error


def _moved(view: Json, places: Sequence[tuple[int, int]]) -> Json:
    """Return a buffer view for the merged buffer; compressed ones refer to a buffer in an extension as well."""
    index, start = places[view["buffer"]]
    extensions = {
        name: _moved(value, places) if isinstance(value, dict) and "buffer" in value else value
        for name, value in view.get("extensions", {}).items()
    }
    moved = view | {"buffer": index} | ({"extensions": extensions} if extensions else {})
    return moved | ({"byteOffset": view.get("byteOffset", 0) + start} if start else {})


def _embedded(image: Json, folder: Path, blob: bytearray, views: list[Json]) -> Json:
    """Return a picture as a part of the buffer."""
    uri = image.get("uri")
    if uri is None:
        return image
    data = _resource(uri, folder)
    kind = next((kind for magic, kind in _PICTURES.items() if data.startswith(magic)), image.get("mimeType"))
    if kind is None:
        raise ValueError(f"its picture {unquote(uri)[:80]} is of an unknown kind; convert it to PNG")
    views.append({"buffer": 0, "byteOffset": _append(blob, data), "byteLength": len(data)})
    kept = {name: value for name, value in image.items() if name != "uri"}
    name = {} if uri.startswith("data:") else {"name": Path(unquote(uri)).stem}
    return name | kept | {"bufferView": len(views) - 1, "mimeType": kind}


def _morph_meshes(document: Json) -> Iterator[MorphMesh]:
    meshes, nodes = document.get("meshes", []), document.get("nodes", [])
    names = [mesh.get("name") for mesh in meshes]
    for index, mesh in enumerate(meshes):
        count = max(len(primitive.get("targets", [])) for primitive in mesh["primitives"])
        shown_by = tuple(n for n, node in enumerate(nodes) if node.get("mesh") == index)
        if not count or not shown_by:
            continue
        label = names[index] if names[index] and names.count(names[index]) == 1 else f"mesh{index}"
        given = target_names(document, mesh, count)
        numbered = tuple(f"{label}[{k}]" for k in range(count))
        yield MorphMesh(index, TargetNames(label, given or numbered, given is not None), shown_by)


def find_head_node(character: Character, name: str | None = None) -> int | None:
    """Return the node that turns the head.

    Args:
        character: The character.
        name: Its name; else it is the only node named head, with any capitals and namespace, that shows no mesh.

    Raises:
        Smirk3dError: Not exactly one node has the name.
    """
    nodes = character.document.get("nodes", [])
    if name is None:
        names = [str(node.get("name", "")).split(":")[-1].lower() for node in nodes]
        found = [n for n, node in enumerate(nodes) if names[n] == "head" and "mesh" not in node]
        return found[0] if len(found) == 1 else None
    found = [n for n, node in enumerate(nodes) if node.get("name") == name]
    if len(found) != 1:
        told = f"{len(found)} nodes are" if found else "no node is"
        known = [str(node["name"]) for node in nodes if node.get("name")]
        raise Smirk3dError(f"{printable(character.path)}: {told} named {name!r}{closest(name, known)}")
    return found[0]


def turned_rotations(character: Character, node: int, rotation_rotmat: np.ndarray) -> np.ndarray:
    """Return the rotations (T, 3, 3) of a node, in its parent, that turn it in the scene as a head before a camera.

    With M the linear part of the parents' transforms and Q the node's rotation at rest, `inv(M) R M Q`: seen from
    the scene, the node turns by R around its own origin, from its attitude at rest. A character looks along +Z of
    the scene (glTF 2.0, section 3.4), which is the camera's view of a head with R = 1. Only those of VRM 0 look along
    -Z (VRM 0.0 specification, node rotation); there M is that of a scene turned about +Y, so that they look along +Z.

    Args:
        character: The character. node: Which node.
        rotation_rotmat: (T, 3, 3) R, head frame to camera frame.

    Raises:
        Smirk3dError: A parent is scaled to nothing, or is its own parent.
    """
    with _told_of(character.path):
        nodes, above = character.document["nodes"], np.eye(3)
        front = np.diag((-1, 1, -1)) if _VRM_0 in character.document.get("extensions", {}) else np.eye(3)
        parent_of = {child: n for n, other in enumerate(nodes) for child in other.get("children", [])}
        chain = [node]
        while (parent := parent_of.get(chain[-1])) is not None:
            if parent in chain:
                raise ValueError("is damaged (a node is its own parent); export it again")
            chain.append(parent)
            above = _linear(nodes[parent]) @ above
        above = front @ above
        if abs(np.linalg.det(above)) < 1e-12:
            raise ValueError("the head's parents are scaled to nothing; leave the head's turn out with --no-head-turn")
        rest = _linear(_in_parts(nodes[node]) | {"scale": (1, 1, 1)})
        return _nearest_rotation(np.linalg.inv(above) @ rotation_rotmat @ above) @ rest


def _linear(node: Json) -> np.ndarray:
    """Return the (3, 3) part of a node's transform that is not its translation."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T[:3, :3]
    quaternion = torch.tensor(node.get("rotation", (0, 0, 0, 1)), dtype=torch.float64)
    return roma.unitquat_to_rotmat(quaternion).numpy() * np.array(node.get("scale", (1, 1, 1)), dtype=np.float64)


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """Return the rotations (..., 3, 3) nearest to matrices; parents that stretch unevenly leave some shear."""
    return torch.as_tensor(roma.special_procrustes(torch.from_numpy(matrix))).numpy()


def save_animated(
    character: Character,
    motion: Motion,
    matrices: Sequence[np.ndarray],
    path: str | Path,
    head_node: int | None = None,
) -> None:
    """Write a character as .glb with one more animation, whole or not at all.

    Targets that nothing drives keep the weights of their node or mesh.

    Args:
        character: The character. motion: What it shall do.
        matrices: For each of its meshes (52, K), see `morph_names.drive_matrices`.
        path: Target. head_node: The node that the motion's rotations turn, see `turned_rotations`; None for none.

    Raises:
        Smirk3dError: The character is damaged, or writing failed.
    """
    with _told_of(character.path):
        curves = [
            (node, "weights", _weights(character, mesh, node, motion.arkit, matrix))
            for mesh, matrix in zip(character.meshes, matrices, strict=True)
            for node in mesh.nodes
            if matrix.any()
        ]
        if head_node is not None and motion.rotation_rotmat is not None:
            turned = turned_rotations(character, head_node, motion.rotation_rotmat)
            curves.append((head_node, "rotation", _quaternions(turned)))
        content = _glb(*_with_animation(character, motion.time_s, curves), character.chunks)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _weights(character: Character, mesh: MorphMesh, node: int, arkit: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return weights (T, K) of a mesh's targets: those that are driven, and those that the file has."""
    driven = np.abs(matrix).sum(axis=0) > 0
    own = character.document["nodes"][node].get("weights") or character.document["meshes"][mesh.index].get("weights")
    still = np.zeros(len(driven)) if own is None else np.array(own, dtype=np.float64)
    if still.shape != driven.shape:
        raise ValueError(f"{mesh.targets.mesh} has {len(still)} weights for {len(driven)} targets; export it again")
    return np.where(driven, arkit @ matrix, still)


def _quaternions(rotmat: np.ndarray) -> np.ndarray:
    """Return rotations (T, 3, 3) as unit quaternions (T, 4) x, y, z, w without jumps of the sign."""
    found = roma.rotmat_to_unitquat(torch.from_numpy(rotmat)).numpy()
    flips = np.where((found[1:] * found[:-1]).sum(axis=1) < 0, -1, 1)
    return found * np.cumprod(np.append(1, flips))[:, None]


def _with_animation(
    character: Character, time_s: np.ndarray, curves: Sequence[tuple[int, str, np.ndarray]]
) -> tuple[Json, bytes]:
    """Return a character's JSON and buffer with an animation of (node, property, values (T, K)) added."""
    document, blob = character.document, bytearray(character.blob)
    views, accessors = [*document.get("bufferViews", [])], [*document.get("accessors", [])]

    def add(values: np.ndarray, kind: str, **bounds: list[float]) -> int:
        data = values.astype(np.float32).tobytes()
        views.append({"buffer": 0, "byteOffset": _append(blob, data), "byteLength": len(data)})
        count = values.size // (4 if kind == "VEC4" else 1)
        accessor = {"bufferView": len(views) - 1, "componentType": _FLOAT, "count": count, "type": kind}
        accessors.append(accessor | bounds)
        return len(accessors) - 1

    seconds = time_s.astype(np.float32)
    times = add(seconds, "SCALAR", min=[float(seconds[0])], max=[float(seconds[-1])])
    outputs = [add(values, "VEC4" if name == "rotation" else "SCALAR") for _, name, values in curves]
    others = document.get("animations", [])
    taken = {animation.get("name") for animation in others}
    names = (ANIMATION, *(f"{ANIMATION}.{k}" for k in range(1, len(others) + 1)))
    animation = {
        "name": next(name for name in names if name not in taken),
        "samplers": [{"input": times, "output": output, "interpolation": "LINEAR"} for output in outputs],
        "channels": [{"sampler": k, "target": {"node": n, "path": name}} for k, (n, name, _) in enumerate(curves)],
    }
    turned = {node for node, name, _ in curves if name == "rotation"}
    nodes = [_in_parts(node) if n in turned else node for n, node in enumerate(document["nodes"])]
    added = {"bufferViews": views, "accessors": accessors, "animations": [*others, animation], "nodes": nodes}
    buffers = [document["buffers"][0] | {"byteLength": len(blob)}, *document["buffers"][1:]]
    return document | added | {"buffers": buffers}, bytes(blob)


def _in_parts(node: Json) -> Json:
    """Return a node with its matrix as translation, rotation and scale; glTF animates no others."""
    if "matrix" not in node:
        return node
    linear = _linear(node)
    scale = np.linalg.norm(linear, axis=0) * (-1 if np.linalg.det(linear) < 0 else 1, 1, 1)
    (rotation,) = _quaternions(_nearest_rotation(linear / np.where(scale == 0, 1, scale))[None])
    parts = {"translation": node["matrix"][12:15], "rotation": rotation.tolist(), "scale": scale.tolist()}
    return {name: value for name, value in node.items() if name != "matrix"} | parts


def _glb(document: Json, blob: bytes, chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    text, blob = text + b" " * (-len(text) % 4), blob + b"\0" * (-len(blob) % 4)
    all_chunks = ((_JSON_CHUNK, text), (_BINARY_CHUNK, blob), *chunks)
    body = b"".join(struct.pack("<I4s", len(content), kind) + content for kind, content in all_chunks)
    return struct.pack("<4sII", _MAGIC, 2, 12 + len(body)) + body
