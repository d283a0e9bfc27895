"""Animation of other characters: adds an animation to a glTF file with morph targets and keeps everything else.

The file's JSON is extended and written again without interpretation, so that extensions, extras and compressed meshes
stay as they are. Files beside a .gltf (buffers, images) are merged into the one buffer of the .glb.
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
from smirk3d.export.gltf.morph_names import TargetNames, closest_names_hint, target_names
from smirk3d.export.tables.motion_file import KeyframeMotion

Json = dict[str, Any]
_MAGIC, _JSON_CHUNK, _BINARY_CHUNK = b"glTF", b"JSON", b"BIN\0"
_FLOAT = 5126
"""Component type of float32 accessors."""
_IMAGE_TYPES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
    b"\xabKTX 20": "image/ktx2",
}
_ALIGNMENT = 8
"""Alignment of buffer views in bytes; glTF requires 4, some of its extensions 8."""
ANIMATION_NAME = "smirk3d"
"""Name of the animation that is added."""
_VRM_0 = "VRM"
"""Name of the extension of VRM 0; later versions have another."""


@dataclass(frozen=True)
class MorphMesh:
    """A mesh with morph targets.

    Attributes:
        index: Index of the mesh in the file.
        targets: Names of its morph targets.
        nodes: Indices of the nodes that have this mesh.
    """

    index: int
    targets: TargetNames
    nodes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Character:
    """A glTF file in memory.

    Attributes:
        path: The file.
        document: Its JSON, changed so that all data are in buffer 0.
        blob: Contents of buffer 0.
        chunks: Further chunks of the .glb, type and contents.
        meshes: The meshes with morph targets that belong to a node.
    """

    path: Path
    document: Json = field(repr=False)
    blob: bytes = field(repr=False)
    chunks: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    meshes: tuple[MorphMesh, ...]

    @property
    def targets(self) -> tuple[TargetNames, ...]:
        """Names of the morph targets of each mesh."""
        return tuple(mesh.targets for mesh in self.meshes)


def read_character(path: str | Path) -> Character:
    """Read a .glb or .gltf file whose meshes have morph targets.

    Raises:
        Smirk3dError: It cannot be read, a file that it refers to is missing, or it has no morph targets.
    """
    path = Path(path)
    with _errors_naming(path):
        document, blob, chunks = _parse(path.read_bytes())
        document, blob = _merge_buffers(document, blob, path.parent)
        meshes = tuple(_morph_meshes(document))
        if not meshes:
            count = len(document.get("meshes", []))
            raise ValueError(f"none of its {count} meshes is shown with morph targets; export it with its shape keys")
    return Character(path, document, blob, chunks, meshes)


@contextmanager
def _errors_naming(path: Path) -> Iterator[None]:
    """Turn any error about a file into one that names it."""
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
    """Return the JSON of a file, its binary chunk and the further chunks.

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


def _merge_buffers(document: Json, blob: bytes, folder: Path) -> tuple[Json, bytes]:
    """Return document and buffer, with the contents of other files and data URIs appended to the buffer.

    Buffers without contents stay: compression extensions use them as placeholders of the decompressed data.
    """
    # For each buffer of the file its index in the new document and its offset in that buffer.
    merged, locations, empty = bytearray(blob), [], []
    for index, buffer in enumerate(document.get("buffers", [])):
        if "uri" in buffer:
            locations.append((0, _append(merged, _resource(buffer["uri"], folder))))
        elif index == 0 and blob:
            locations.append((0, 0))
        else:
            empty.append(buffer)
            locations.append((len(empty), 0))
        if locations[-1][0] == 0 and len(merged) - locations[-1][1] < buffer["byteLength"]:
            raise ValueError(f"its buffer {index} is shorter than it says; export it again")
    views = [_relocate_view(view, locations) for view in document.get("bufferViews", [])]
    images = [_embed_image(image, folder, merged, views) for image in document.get("images", [])]
    own = next((b for b, location in zip(document.get("buffers", []), locations) if location[0] == 0), {})
    first = {name: value for name, value in own.items() if name != "uri"} | {"byteLength": len(merged)}
    changed = {"buffers": [first, *empty], "bufferViews": views, "images": images}
    return document | {name: value for name, value in changed.items() if value}, bytes(merged)


def _append(blob: bytearray, data: bytes) -> int:
    """Append bytes to a buffer, aligned, and return their offset."""
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


def _relocate_view(view: Json, locations: Sequence[tuple[int, int]]) -> Json:
    """Return a buffer view for the merged buffer; extensions of compressed views refer to a buffer, too."""
    index, start = locations[view["buffer"]]
    extensions = {
        name: _relocate_view(value, locations) if isinstance(value, dict) and "buffer" in value else value
        for name, value in view.get("extensions", {}).items()
    }
    moved = view | {"buffer": index} | ({"extensions": extensions} if extensions else {})
    return moved | ({"byteOffset": view.get("byteOffset", 0) + start} if start else {})


def _embed_image(image: Json, folder: Path, blob: bytearray, views: list[Json]) -> Json:
    """Return an image that refers to the buffer; its file is appended there."""
    uri = image.get("uri")
    if uri is None:
        return image
    data = _resource(uri, folder)
    kind = next((kind for magic, kind in _IMAGE_TYPES.items() if data.startswith(magic)), image.get("mimeType"))
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
        nodes_of_mesh = tuple(n for n, node in enumerate(nodes) if node.get("mesh") == index)
        if not count or not nodes_of_mesh:
            continue
        label = names[index] if names[index] and names.count(names[index]) == 1 else f"mesh{index}"
        names_in_file = target_names(document, mesh, count)
        numbered = tuple(f"{label}[{k}]" for k in range(count))
        targets = TargetNames(label, names_in_file or numbered, names_in_file is not None)
        yield MorphMesh(index, targets, nodes_of_mesh)


def find_head_node(character: Character, name: str | None = None) -> int | None:
    """Return the index of the node that rotates the head, None if it cannot be determined.

    Args:
        character: The character.
        name: Name of the node. By default it is the only node without a mesh that is named head, in any capitals and
            with any namespace.

    Raises:
        Smirk3dError: There is no node, or more than one, with this name.
    """
    nodes = character.document.get("nodes", [])
    if name is None:
        names = [str(node.get("name", "")).split(":")[-1].lower() for node in nodes]
        found = [n for n, node in enumerate(nodes) if names[n] == "head" and "mesh" not in node]
        return found[0] if len(found) == 1 else None
    found = [n for n, node in enumerate(nodes) if node.get("name") == name]
    if len(found) != 1:
        count = f"{len(found)} nodes are" if found else "no node is"
        known = [str(node["name"]) for node in nodes if node.get("name")]
        raise Smirk3dError(f"{printable(character.path)}: {count} named {name!r}{closest_names_hint(name, known)}")
    return found[0]


def head_node_rotations(character: Character, node: int, rotation_rotmat: np.ndarray) -> np.ndarray:
    """Return the local rotations of a node that rotate it in the scene as the head is rotated before the camera.

    With M the linear part of the parents' transforms and Q the node's rest rotation, the result is `inv(M) R M Q`: in
    the scene the node rotates by R about its own origin, starting from its rest pose. A character faces +Z of the scene
    (glTF 2.0 specification, section 3.4), as a head with R = 1 faces the camera. Only characters of VRM 0 face -Z (VRM
    0.0 specification, node rotation); for these M includes a rotation of the scene by 180 degrees about +Y.

    Args:
        character: The character.
        node: Index of the node.
        rotation_rotmat: (T, 3, 3) R, head frame to camera frame.

    Returns:
        (T, 3, 3) rotation matrices from the node's frame to its parent's.

    Raises:
        Smirk3dError: A parent has a scale of 0, or is its own parent.
    """
    with _errors_naming(character.path):
        nodes, parents = character.document["nodes"], np.eye(3)
        front = np.diag((-1, 1, -1)) if _VRM_0 in character.document.get("extensions", {}) else np.eye(3)
        parent_of = {child: n for n, other in enumerate(nodes) for child in other.get("children", [])}
        chain = [node]
        while (parent := parent_of.get(chain[-1])) is not None:
            if parent in chain:
                raise ValueError("is damaged (a node is its own parent); export it again")
            chain.append(parent)
            parents = _linear_part(nodes[parent]) @ parents
        parents = front @ parents
        if abs(np.linalg.det(parents)) < 1e-12:
            raise ValueError("the head's parents are scaled to nothing; leave the head's turn out with --no-head-turn")
        rest = _linear_part(_decompose_matrix(nodes[node]) | {"scale": (1, 1, 1)})
        return _nearest_rotation(np.linalg.inv(parents) @ rotation_rotmat @ parents) @ rest


def _linear_part(node: Json) -> np.ndarray:
    """Return rotation and scale of a node's transform as a matrix (3, 3)."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T[:3, :3]
    quaternion = torch.tensor(node.get("rotation", (0, 0, 0, 1)), dtype=torch.float64)
    return roma.unitquat_to_rotmat(quaternion).numpy() * np.array(node.get("scale", (1, 1, 1)), dtype=np.float64)


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """Return the rotations (..., 3, 3) nearest to matrices; non-uniform scales of parents leave some shear."""
    return torch.as_tensor(roma.special_procrustes(torch.from_numpy(matrix))).numpy()


def save_animated_character(
    character: Character,
    motion: KeyframeMotion,
    matrices: Sequence[np.ndarray],
    path: str | Path,
    head_node: int | None = None,
) -> None:
    """Write a character as .glb with one more animation, whole or not at all.

    Morph targets to which no ARKit blendshape is mapped keep the weights of their node or mesh.

    Args:
        character: The character.
        motion: Key frames of the animation.
        matrices: For each mesh of the character (52, K), see `morph_names.retarget_matrices`.
        path: Target, ending in .glb.
        head_node: Index of the node that gets the motion's rotations, see `head_node_rotations`; None for none.

    Raises:
        Smirk3dError: The character is damaged, or writing failed.
    """
    with _errors_naming(character.path):
        curves = [
            (node, "weights", _weights(character, mesh, node, motion.arkit, matrix))
            for mesh, matrix in zip(character.meshes, matrices, strict=True)
            for node in mesh.nodes
            if matrix.any()
        ]
        if head_node is not None and motion.rotation_rotmat is not None:
            rotations = head_node_rotations(character, head_node, motion.rotation_rotmat)
            curves.append((head_node, "rotation", _quaternions(rotations)))
        content = _glb(*_with_animation(character, motion.time_s, curves), character.chunks)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _weights(character: Character, mesh: MorphMesh, node: int, arkit: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the weights (T, K) of a mesh's targets: mapped ones from the motion, the others from the file."""
    mapped = np.abs(matrix).sum(axis=0) > 0
    own = character.document["nodes"][node].get("weights") or character.document["meshes"][mesh.index].get("weights")
    constant = np.zeros(len(mapped)) if own is None else np.array(own, dtype=np.float64)
    if constant.shape != mapped.shape:
        raise ValueError(f"{mesh.targets.mesh} has {len(constant)} weights for {len(mapped)} targets; export it again")
    return np.where(mapped, arkit @ matrix, constant)


def _quaternions(rotmat: np.ndarray) -> np.ndarray:
    """Return rotations (T, 3, 3) as unit quaternions (T, 4) x, y, z, w without sign changes between neighbours."""
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(rotmat)).numpy()
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(axis=1) < 0, -1, 1)
    return quaternions * np.cumprod(np.append(1, flips))[:, None]


def _with_animation(
    character: Character, time_s: np.ndarray, curves: Sequence[tuple[int, str, np.ndarray]]
) -> tuple[Json, bytes]:
    """Return JSON and buffer of a character with an animation added, given as (node, property, values (T, K))."""
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
    used = {animation.get("name") for animation in others}
    names = (ANIMATION_NAME, *(f"{ANIMATION_NAME}.{k}" for k in range(1, len(others) + 1)))
    animation = {
        "name": next(name for name in names if name not in used),
        "samplers": [{"input": times, "output": output, "interpolation": "LINEAR"} for output in outputs],
        "channels": [{"sampler": k, "target": {"node": n, "path": name}} for k, (n, name, _) in enumerate(curves)],
    }
    rotated = {node for node, name, _ in curves if name == "rotation"}
    nodes = [_decompose_matrix(node) if n in rotated else node for n, node in enumerate(document["nodes"])]
    added = {"bufferViews": views, "accessors": accessors, "animations": [*others, animation], "nodes": nodes}
    buffers = [document["buffers"][0] | {"byteLength": len(blob)}, *document["buffers"][1:]]
    return document | added | {"buffers": buffers}, bytes(blob)


def _decompose_matrix(node: Json) -> Json:
    """Return a node with its matrix replaced by translation, rotation and scale, which alone glTF can animate."""
    if "matrix" not in node:
        return node
    linear = _linear_part(node)
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
