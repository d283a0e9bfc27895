"""A character, an artist's head in a .glb, as arrays: geometry, ARKit's morph targets, textures, eyeballs.

For out-of-domain evaluation. Compressed files (meshopt, Draco, KTX2) must be unpacked first.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.character import Character, read_character
from smirk3d.export.gltf.morph_names import retarget_matrices
from smirk3d.export.gltf.reader import GltfArrays, node_matrix
from smirk3d.head.arkit import ARKIT_NAMES

Json = dict[str, Any]
EYE_DISTANCE_M = 0.065
"""Characters are scaled to this distance of the eyes."""
MIN_MOTION_M = 1e-5
MAX_TEXTURE_PIXELS = 1 << 26
GREY = 0.7
"""Base colour of parts without a texture."""
_COMPRESSIONS = {"EXT_meshopt_compression", "KHR_draco_mesh_compression", "KHR_texture_basisu"}


@dataclass(frozen=True, eq=False)
class CharacterMesh:
    """All of a character in metres, +X to the person's left, +Y up, +Z out of the face.

    Attributes:
        vertices: (V, 3) float32.
        directions: (52, V, 3) float32 offsets of the ARKit blendshapes at full weight.
        faces: (F, 3) int64.
        uv: (V, 2) texture coordinates, v downwards.
        part: (V,) int64 index into `textures`.
        textures: Base colours, each (3, H, W) in [0, 1].
        eyes: Of the left and of the right eyeball, where they are known: vertices (V,) bool and centre (3,).
    """

    vertices: Tensor
    directions: Tensor
    faces: Tensor
    uv: Tensor
    part: Tensor
    textures: tuple[Tensor, ...]
    eyes: tuple[tuple[Tensor, Tensor], ...]

    @property
    def moves(self) -> Tensor:
        """(52,) bool, whether a blendshape moves any vertex."""
        return self.directions.abs().amax((1, 2)) > MIN_MOTION_M


def load_character_mesh(path: Path, eyes: Sequence[str] = ()) -> CharacterMesh:
    """Read a character.

    Args:
        path: A .glb or .gltf.
        eyes: Names of the two nodes that hold the eyeballs, which gaze rotates.

    Raises:
        Smirk3dError: It cannot be read, is compressed or damaged, lacks the blinks, or has no such eyes.
    """
    character = read_character(path)
    try:
        return _character_mesh(path, character, eyes)
    except Smirk3dError:
        raise
    except Exception as error:  # the file is not ours: whatever its values provoke is its damage
        reason = printable(one_line(error))
        raise Smirk3dError(f"{printable(path)}: its meshes cannot be read ({reason}); export it again") from error


def _character_mesh(path: Path, character: Character, eyes: Sequence[str]) -> CharacterMesh:
    compression = _COMPRESSIONS.intersection(character.document.get("extensionsUsed", []))
    if compression:
        raise Smirk3dError(
            f"{printable(path)}: is compressed with {min(compression)}; unpack it with gltf-transform first"
        )
    arrays = GltfArrays(character.document, character.blob, None)
    parts = [_Part.read(character, arrays, node, primitive) for node, primitive in _primitives(character.document)]
    sizes = [len(part.vertices) for part in parts]
    starts = np.cumsum([0, *sizes[:-1]])
    vertices, directions = np.concatenate([p.vertices for p in parts]), np.concatenate([p.directions for p in parts], 1)
    if not (np.isfinite(vertices).all() and np.isfinite(directions).all()):
        raise ValueError("it has points that are not finite")
    blink = [_center(vertices, directions[ARKIT_NAMES.index(name)]) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    apart = float(np.linalg.norm(blink[0] - blink[1]))
    if not apart > 0:
        raise Smirk3dError(f"{printable(path)}: its blinks move nothing; name a character with eyelids")
    scale = EYE_DISTANCE_M / apart
    vertices = scale * (vertices - (blink[0] + blink[1]) / 2)
    owner = np.repeat([part.owner for part in parts], sizes)
    return CharacterMesh(
        _tensor(vertices),
        _tensor(scale * directions),
        torch.from_numpy(np.concatenate([part.faces + start for part, start in zip(parts, starts)])),
        _tensor(np.concatenate([part.uv for part in parts])),
        torch.from_numpy(np.repeat(np.arange(len(parts)), sizes)),
        tuple(part.texture for part in parts),
        _eyeballs(path, eyes, owner, vertices),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """A primitive in the frame of the scene; `owner` is the nearest name at or above its node."""

    vertices: np.ndarray
    directions: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    texture: Tensor
    owner: str

    @staticmethod
    def read(character: Character, arrays: GltfArrays, node: int, primitive: Json) -> _Part:
        document = character.document
        matrix = _world_matrix(document, node)
        vertices = arrays.array(primitive["attributes"]["POSITION"]) @ matrix[:3, :3].T + matrix[:3, 3]
        directions = np.zeros((len(ARKIT_NAMES), *vertices.shape))
        mesh = document["nodes"][node]["mesh"]
        matrices = dict(zip((each.index for each in character.meshes), retarget_matrices(character.targets)))
        for target, row in zip(primitive.get("targets", []), matrices[mesh].T if mesh in matrices else []):
            offset = arrays.array(target["POSITION"]) @ matrix[:3, :3].T
            directions += row[:, None, None] * offset
        faces = _triangles(arrays, primitive, len(vertices))
        uv, texture = _texture(character, arrays, primitive, len(vertices))
        return _Part(vertices, directions, faces, uv, texture, _nearest_name(document, node))


def _triangles(arrays: GltfArrays, primitive: Json, count: int) -> np.ndarray:
    """Return the triangles (F, 3) int64 of a primitive; without indices its vertices follow one another."""
    index = arrays.array(primitive["indices"]) if "indices" in primitive else np.arange(count)
    faces = index.reshape(-1, 3).astype(np.int64)
    if faces.size and not 0 <= faces.min() <= faces.max() < count:
        raise ValueError(f"it has triangles of other than its {count} vertices")
    return faces


def _primitives(document: Json) -> list[tuple[int, Json]]:
    nodes, meshes = document["nodes"], document["meshes"]
    return [(n, each) for n, node in enumerate(nodes) if "mesh" in node for each in meshes[node["mesh"]]["primitives"]]


def _texture(character: Character, arrays: GltfArrays, primitive: Json, count: int) -> tuple[np.ndarray, Tensor]:
    """Return texture coordinates (N, 2) and the base colour (3, H, W), flat grey where there is no texture."""
    document = character.document
    material = document.get("materials", [{}])[primitive.get("material", 0)].get("pbrMetallicRoughness", {})
    factor = _tensor(np.array(material.get("baseColorFactor", (1, 1, 1, 1))[:3]))[:, None, None]
    texture = material.get("baseColorTexture")
    if texture is None or "TEXCOORD_0" not in primitive["attributes"]:
        return np.zeros((count, 2)), factor * torch.full((3, 1, 1), GREY)
    transform = texture.get("extensions", {}).get("KHR_texture_transform", {})
    uv = arrays.array(primitive["attributes"]["TEXCOORD_0"])
    uv = uv * transform.get("scale", (1, 1)) + transform.get("offset", (0, 0))
    image = document["images"][document["textures"][texture["index"]]["source"]]
    with Image.open(io.BytesIO(arrays.view(image["bufferView"])[0]), formats=("PNG", "JPEG", "WEBP")) as picture:
        if picture.width * picture.height > MAX_TEXTURE_PIXELS:
            raise ValueError(f"a texture of {picture.width}x{picture.height} pixels")
        pixels = np.array(picture.convert("RGB"))
    return uv, factor * torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def _world_matrix(document: Json, node: int) -> np.ndarray:
    """Return a node's (4, 4) transform to the scene."""
    nodes = document["nodes"]
    parents = {child: n for n, each in enumerate(nodes) for child in each.get("children", [])}
    matrix = node_matrix(nodes[node])
    for _ in nodes:
        if node not in parents:
            return matrix
        node = parents[node]
        matrix = node_matrix(nodes[node]) @ matrix
    raise ValueError("a node is below itself")


def _nearest_name(document: Json, node: int) -> str:
    nodes = document["nodes"]
    parents = {child: n for n, each in enumerate(nodes) for child in each.get("children", [])}
    at: int | None = node
    for _ in nodes:
        if at is None or nodes[at].get("name"):
            break
        at = parents.get(at)
    return "" if at is None else str(nodes[at].get("name", ""))


def _center(vertices: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return the centre (3,) of the vertices (V, 3) that offsets (V, 3) move, weighted by how far."""
    distance = np.linalg.norm(offset, axis=1)
    return (vertices * distance[:, None]).sum(0) / max(distance.sum(), 1e-12)


def _eyeballs(
    path: Path, eyes: Sequence[str], owner: np.ndarray, vertices: np.ndarray
) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return the left and the right eyeball; names choose the nodes, positions the sides."""
    found = []
    for name in eyes:
        mask = owner == name
        if not mask.any():
            known = ", ".join(sorted({each for each in owner.tolist() if each}))
            raise Smirk3dError(f"{printable(path)}: no mesh is named {name!r}; it has {known}")
        found.append((torch.from_numpy(mask), _tensor((vertices[mask].min(0) + vertices[mask].max(0)) / 2)))
    return tuple(sorted(found, key=lambda eye: -float(eye[1][0])))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
