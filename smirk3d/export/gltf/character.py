"""Animation of other characters: adds an animation to a glTF file with morph targets and keeps everything else.

The file's JSON is extended and written again without interpretation, so that extensions, extras and compressed meshes
stay as they are. Files beside a .gltf (buffers, images) are merged into the one buffer of the .glb.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.character_file import (
    Json,
    append_aligned,
    errors_naming,
    glb_with_chunks,
    merge_buffers,
    parse_gltf,
)
from smirk3d.export.gltf.morph_names import TargetNames, closest_names_hint, target_names
from smirk3d.export.gltf.resources import (
    MAX_NAME_LETTERS,
    RefusedFile,
    checked_target_count,
    read_plain_file,
)
from smirk3d.export.gltf.vrm import VRM_0, binds_by_mesh, head_bone
from smirk3d.export.tables.motion_file import KeyframeMotion

_FLOAT = 5126
"""Component type of float32 accessors."""
ANIMATION_NAME = "smirk3d"
"""Name of the animation that is added."""
MAX_ANIMATED_WEIGHTS = 1 << 26
"""Key frames times morph targets of all nodes of an animation."""
_MAX_HINT_NAMES = 2000
"""Names of nodes among which similar ones are looked for."""


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
    with errors_naming(path):
        document, blob, chunks = parse_gltf(read_plain_file(path))
        document, blob = merge_buffers(document, blob, path.parent)
        meshes = tuple(_morph_meshes(document))
        if not meshes:
            count = len(document.get("meshes", []))
            raise ValueError(f"none of its {count} meshes has a node and morph targets; export it with its shape keys")
    return Character(path, document, blob, chunks, meshes)


def _morph_meshes(document: Json) -> Iterator[MorphMesh]:
    meshes, binds, total = document.get("meshes", []), binds_by_mesh(document), 0
    n_named = Counter(mesh.get("name") for mesh in meshes)
    nodes_of: dict[int, list[int]] = {}
    for number, node in enumerate(document.get("nodes", [])):
        nodes_of.setdefault(node.get("mesh"), []).append(number)
    for index, mesh in enumerate(meshes):
        count = max(len(primitive.get("targets", [])) for primitive in mesh["primitives"])
        if not count or index not in nodes_of:
            continue
        total = checked_target_count(total + count)
        name = str(mesh.get("name") or "")[:MAX_NAME_LETTERS]
        label = name if name and n_named[mesh["name"]] == 1 else f"mesh{index}"
        names_in_file = target_names(document, mesh, count)
        numbered = tuple(f"{label}[{k}]" for k in range(count))
        own_binds = tuple(bind for bind in binds.get(index, ()) if bind.column < count)
        targets = TargetNames(label, names_in_file or numbered, names_in_file is not None, own_binds)
        yield MorphMesh(index, targets, tuple(nodes_of[index]))


def find_head_node(character: Character, name: str | None = None) -> int | None:
    """Return the index of the node that rotates the head, None if it cannot be determined.

    Args:
        character: The character.
        name: Name of the node. By default it is the head bone of a VRM file's humanoid, or else the only node without
            a mesh that is named head, in any capitals and with any namespace.

    Raises:
        Smirk3dError: There is no node, or more than one, with this name.
    """
    nodes = character.document.get("nodes", [])
    if name is None:
        with errors_naming(character.path):
            bone = head_bone(character.document)
        if bone is not None:
            return bone
        names = [str(node.get("name", "")).split(":")[-1].lower() for node in nodes]
        found = [n for n, node in enumerate(nodes) if names[n] == "head" and "mesh" not in node]
        return found[0] if len(found) == 1 else None
    found = [n for n, node in enumerate(nodes) if node.get("name") == name]
    if len(found) != 1:
        count = f"{len(found)} nodes are" if found else "no node is"
        known = [str(node["name"])[:MAX_NAME_LETTERS] for node in nodes if node.get("name")][:_MAX_HINT_NAMES]
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
    with errors_naming(character.path):
        nodes, parents = character.document["nodes"], np.eye(3)
        front = np.diag((-1, 1, -1)) if VRM_0 in character.document.get("extensions", {}) else np.eye(3)
        parent_of = {child: n for n, other in enumerate(nodes) for child in other.get("children", [])}
        last, above = node, {node}
        while (parent := parent_of.get(last)) is not None:
            if parent in above:
                raise ValueError("is damaged (a node is its own parent); export it again")
            above.add(parent)
            parents = _linear_part(nodes[parent]) @ parents
            last = parent
        parents = front @ parents
        if not np.isfinite(parents).all():
            raise ValueError("is damaged (the head's parents have no finite transform); export it again")
        if abs(np.linalg.det(parents)) < 1e-12:
            raise ValueError("the head's parents have a scale of 0; leave its rotation out with --no-head-turn")
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
    with errors_naming(character.path):
        n_weights = len(motion.time_s) * sum(len(mesh.nodes) * len(mesh.targets.names) for mesh in character.meshes)
        if n_weights > MAX_ANIMATED_WEIGHTS:
            raise RefusedFile(f"has too many morph targets for {len(motion.time_s)} frames; shorten the motion")
        curves = [
            (node, "weights", _weights(character, mesh, node, motion.arkit, matrix))
            for mesh, matrix in zip(character.meshes, matrices, strict=True)
            for node in mesh.nodes
            if matrix.any()
        ]
        if head_node is not None and motion.rotation_rotmat is not None:
            rotations = head_node_rotations(character, head_node, motion.rotation_rotmat)
            curves.append((head_node, "rotation", _quaternions(rotations)))
        content = glb_with_chunks(*_with_animation(character, motion.time_s, curves), character.chunks)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _weights(character: Character, mesh: MorphMesh, node: int, arkit: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the weights (T, K) of a mesh's targets: mapped ones from the motion, the others from the file."""
    mapped = np.abs(matrix).sum(axis=0) > 0
    own = character.document["nodes"][node].get("weights") or character.document["meshes"][mesh.index].get("weights")
    constant = np.zeros(len(mapped)) if own is None else np.array(own, dtype=np.float64)
    if constant.shape != mapped.shape:
        raise ValueError(f"{mesh.targets.mesh} has {len(constant)} weights for {len(mapped)} targets; export it again")
    if not np.isfinite(constant).all():
        raise ValueError(f"{mesh.targets.mesh} has weights that are not finite; export it again")
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
        views.append({"buffer": 0, "byteOffset": append_aligned(blob, data), "byteLength": len(data)})
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
