"""Reads meshes with morph targets, and the first animation, of a glTF file as a scene.

Vertices of skinned meshes are shown as stored in the file, without the skeleton.

Source: glTF 2.0 specification; section 3.11 for animations.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pygltflib as gl

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.reader import GltfArrays, node_matrix, rotmats_from_quaternions, uri_bytes
from smirk3d.track import Status
from smirk3d.viewer.color_patches import Surface, split_into_patches, subdivide, weld
from smirk3d.viewer.scene import Curves, ViewScene

_TESSELLATION_LEVELS = 3
"""Subdivisions of textured triangles: the texture of the eyes is finer than their triangles."""
_MAX_POINTS = 1500
"""Surfaces with more points are fine enough for their texture."""
_TEXTURE_SIDE_PX = 192
"""Textures are reduced to this size, so that no detail falls between the points."""
_DEFAULT_RATE_FPS = 25.0


def read_gltf(path: Path) -> ViewScene:
    """Read a .glb or .gltf file.

    Args:
        path: The file.

    Raises:
        Smirk3dError: It cannot be read, or has no mesh.
    """
    try:
        document = gl.GLTF2().load(str(path))
        if document is None:
            raise ValueError("no document")
    except Exception as error:  # pygltflib raises exceptions of any class
        raise Smirk3dError(f"{printable(path)}: cannot be read as glTF ({_reason(error)}); export it again") from error
    try:
        return scene_from_gltf(document, path.name, path.parent)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise Smirk3dError(f"{printable(path)}: is no whole glTF file ({_reason(error)}); export it again") from error


def scene_from_gltf(document: gl.GLTF2, name: str, folder: Path | None = None) -> ViewScene:
    """Return the meshes of a document, in the frame of the head, and its curves.

    The head is the topmost animated node; all meshes are shown in their rest pose relative to it.

    Args:
        document: The document.
        name: Title of the scene.
        folder: Folder of external files; None where there are none.

    Raises:
        Smirk3dError: It has no mesh, or is compressed.
    """
    if unsupported := set(document.extensionsRequired or []) - {"KHR_mesh_quantization", "KHR_texture_transform"}:
        raise Smirk3dError(f"{printable(name)}: needs {', '.join(sorted(unsupported))}; export it without")
    file, tree = GltfArrays(document, folder), _Tree(document)
    names = _target_names(document)
    surfaces = []
    for mesh_index, matrix in tree.meshes():
        for primitive in document.meshes[mesh_index].primitives:
            if primitive.mode in (None, gl.TRIANGLES) and primitive.attributes.POSITION is not None:
                surfaces.append(_surface(file, mesh_index, primitive, matrix, names, folder))
    if not surfaces:
        raise Smirk3dError(f"{printable(name)}: has no mesh; give a file with a head")
    mesh = split_into_patches(surfaces)
    return ViewScene(name, mesh.points, mesh.displacements, mesh.patches, names, _curves(file, tree, names))


def _target_names(document: gl.GLTF2) -> tuple[str, ...]:
    """Return the unique names of the targets of all meshes; unnamed targets are numbered."""
    names = [name for mesh in document.meshes for name in _names_of(mesh)]
    return tuple(dict.fromkeys(names))


def _names_of(mesh: gl.Mesh) -> list[str]:
    given = list((mesh.extras or {}).get("targetNames", ()))
    count = max((len(primitive.targets or []) for primitive in mesh.primitives), default=0)
    return given if len(given) == count else [f"target {k}" for k in range(count)]


class _Tree:
    """The nodes of a document's scene and their world matrices."""

    def __init__(self, document: gl.GLTF2):
        self.document = document
        scene = document.scenes[document.scene or 0] if document.scenes else None
        roots = scene.nodes if scene is not None and scene.nodes else range(len(document.nodes))
        self.world: dict[int, np.ndarray] = {}
        todo = [(root, np.eye(4)) for root in roots]
        while todo:  # breadth first, so that parents come before their children
            node, parent = todo.pop(0)
            if node not in self.world:
                self.world[node] = parent @ node_matrix(document.nodes[node])
                todo += [(child, self.world[node]) for child in document.nodes[node].children or []]
        animated = {
            channel.target.node
            for animation in document.animations[:1]
            for channel in animation.channels
            if channel.target.path in ("rotation", "translation")
        }
        self.head = next((node for node in self.world if node in animated), None)

    def meshes(self) -> list[tuple[int, np.ndarray]]:
        """Return the mesh of each node that has one, and the matrix (4, 4) to the frame of the head or scene."""
        to_head = np.eye(4) if self.head is None else np.linalg.inv(self.world[self.head])
        present = [(node, mesh) for node, mesh in _mesh_of_node(self.document).items() if node in self.world]
        return [(mesh, to_head @ (np.eye(4) if self._is_skinned(node) else self.world[node])) for node, mesh in present]

    def _is_skinned(self, node: int) -> bool:
        # The specification says that the transform of a skinned node is ignored.
        return self.document.nodes[node].skin is not None and self.head is None


def _surface(
    file: GltfArrays,
    mesh: int,
    primitive: gl.Primitive,
    matrix: np.ndarray,
    names: tuple[str, ...],
    folder: Path | None,
) -> Surface:
    linear = matrix[:3, :3]
    attributes, n_targets = primitive.attributes, len(names)
    points = file.array(attributes.POSITION or 0).astype(np.float64) @ linear.T + matrix[:3, 3]
    indices = np.arange(len(points)) if primitive.indices is None else file.array(primitive.indices)
    triangles = indices.astype(np.int64).reshape(-1, 3)
    displacements, normal_displacements = (np.zeros((n_targets, len(points), 3), dtype=np.float32) for _ in range(2))
    for name, target in zip(_names_of(file.document.meshes[mesh]), primitive.targets or []):
        for array, accessor in (
            (displacements, _attribute(target, "POSITION")),
            (normal_displacements, _attribute(target, "NORMAL")),
        ):
            if accessor is not None:
                array[names.index(name)] = file.array(accessor) @ linear.T
    normals = _normals(points, triangles)
    if attributes.NORMAL is not None:
        normals = file.array(attributes.NORMAL) @ linear.T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    colors, uv, texture = _base_color(file, primitive, len(points), folder)
    name = _material(file.document, primitive).name or "mesh"
    surface = Surface(
        name,
        points.astype(np.float32),
        normals.astype(np.float32),
        displacements,
        normal_displacements,
        colors,
        triangles,
    )
    return _textured(surface, uv, texture) if texture is not None and uv is not None else weld(surface)


def _textured(surface: Surface, uv: np.ndarray, texture: np.ndarray) -> Surface:
    """Set vertex colours from a texture, after subdivision of coarse triangles.

    Until then the colours hold the texture coordinates, (u, v, 0), so that subdivision interpolates them.
    """
    subdivided = replace(surface, colors=np.pad(uv, ((0, 0), (0, 1))).astype(np.float32))
    for _ in range(_TESSELLATION_LEVELS if len(uv) < _MAX_POINTS else 0):
        subdivided = subdivide(subdivided)
    height, width = texture.shape[:2]
    column = (subdivided.colors[:, 0] % 1 * width).astype(int).clip(0, width - 1)
    row = (subdivided.colors[:, 1] % 1 * height).astype(int).clip(0, height - 1)
    return replace(subdivided, colors=texture[row, column])


def _attribute(target: gl.Attributes | dict, name: str) -> int | None:
    return target.get(name) if isinstance(target, dict) else getattr(target, name, None)


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the area-weighted normal (N, 3) of the triangles around each point, not normalised."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    normals, across = np.zeros_like(points), np.cross(b - a, c - a)
    for corner in triangles.T:
        np.add.at(normals, corner, across)
    return normals


def _material(document: gl.GLTF2, primitive: gl.Primitive) -> gl.Material:
    return gl.Material() if primitive.material is None else document.materials[primitive.material]


def _base_color(
    file: GltfArrays, primitive: gl.Primitive, n_points: int, folder: Path | None
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return sRGB colours (N, 3) of the vertices, texture coordinates (N, 2) and the texture (H, W, 3)."""
    pbr = _material(file.document, primitive).pbrMetallicRoughness
    factor = np.array((pbr and pbr.baseColorFactor) or (1, 1, 1, 1), dtype=np.float32)[:3]
    linear = np.tile(factor, (n_points, 1))
    if (accessor := getattr(primitive.attributes, "COLOR_0", None)) is not None:
        linear *= file.array(accessor)[:, :3]
    reference = pbr and pbr.baseColorTexture
    if reference is None or primitive.attributes.TEXCOORD_0 is None:
        return _srgb(linear), None, None
    source = file.document.textures[reference.index].source
    texture = None if source is None else _texture(file, file.document.images[source], folder)
    return _srgb(linear), file.array(primitive.attributes.TEXCOORD_0), texture


def _srgb(linear: np.ndarray) -> np.ndarray:
    """Return sRGB in [0, 1] for linear light. Source: IEC 61966-2-1."""
    low, high = linear * 12.92, 1.055 * linear.clip(1e-6) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, low, high).clip(0, 1).astype(np.float32)


def _texture(file: GltfArrays, image: gl.Image, folder: Path | None) -> np.ndarray:
    from PIL import Image

    data = file.view(image.bufferView)[0] if image.bufferView is not None else uri_bytes(image.uri or "", folder)
    with Image.open(io.BytesIO(data)) as opened:
        small = opened.convert("RGB").resize((_TEXTURE_SIDE_PX, _TEXTURE_SIDE_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255


@dataclass(frozen=True, eq=False)
class _Channel:
    """One animated value.

    Attributes:
        time_s: (K,) float64, seconds of the keys.
        values: (K, ...) float64, values at the keys.
        is_step: Whether the value is constant between keys; otherwise it is interpolated linearly.
    """

    time_s: np.ndarray
    values: np.ndarray
    is_step: bool

    def at(self, time_s: np.ndarray) -> np.ndarray:
        """Return the values (M, ...) at times (M,), constant before the first and after the last key."""
        after = np.searchsorted(self.time_s, time_s, side="right").clip(1, max(len(self.time_s) - 1, 1))
        before, after = after - 1, np.minimum(after, len(self.time_s) - 1)
        span = (self.time_s[after] - self.time_s[before]).clip(1e-9)
        share = ((time_s - self.time_s[before]) / span).clip(0, 1)
        share = np.floor(share) if self.is_step else share
        share = share.reshape(-1, *[1] * (self.values.ndim - 1))
        return self.values[before] * (1 - share) + self.values[after] * share


def _curves(file: GltfArrays, tree: _Tree, names: tuple[str, ...]) -> Curves:
    """Return the first animation, with frames at the keys of the weights, or the rest pose."""
    document = file.document
    weights = {k: _channel(file, "weights", node, k) for node, k in _mesh_of_node(document).items()}
    weights = {mesh: channel for mesh, channel in weights.items() if channel is not None}
    rotation, translation = (_channel(file, path, tree.head) for path in ("rotation", "translation"))
    present = [channel for channel in (*weights.values(), rotation, translation) if channel is not None]
    if not present:
        return _still(document, names)
    time_s = present[0].time_s
    values = np.tile(_rest_weights(document, names), (len(time_s), 1))
    for mesh, channel in weights.items():
        columns = [names.index(name) for name in _names_of(document.meshes[mesh])]
        values[:, columns] = channel.at(time_s)
    rotations, positions = np.tile(np.eye(3), (len(time_s), 1, 1)), np.zeros((len(time_s), 3))
    if rotation is not None:
        signs = np.sign(
            np.sum(rotation.values[1:] * rotation.values[:-1], axis=1)
        )  # q and -q are one rotation; take the shorter way
        rotation.values[1:] *= np.cumprod(np.where(signs < 0, -1.0, 1.0))[:, None]
        rotations = rotmats_from_quaternions(rotation.at(time_s)) @ _rest_rotation(document, tree).T
    if translation is not None:
        positions = translation.at(time_s)
    step_s = np.median(np.diff(time_s)) if len(time_s) > 1 else 1 / _DEFAULT_RATE_FPS
    status = np.full(len(time_s), Status.SEEN, dtype=np.uint8)
    return Curves(
        time_s, values, rotations.astype(np.float32), positions.astype(np.float32), status, float(1 / max(step_s, 1e-3))
    )


def _mesh_of_node(document: gl.GLTF2) -> dict[int, int]:
    return {index: node.mesh for index, node in enumerate(document.nodes) if node.mesh is not None}


def _channel(file: GltfArrays, path: str, node: int | None, mesh: int | None = None) -> _Channel | None:
    """Return the channel of the first animation for a property of a node; None where there is none."""
    for animation in file.document.animations[:1]:
        for channel in animation.channels:
            if channel.target.node == node and channel.target.path == path:
                sampler = animation.samplers[channel.sampler]
                time_s = file.array(sampler.input)[:, 0].astype(np.float64)
                width = len(_names_of(file.document.meshes[mesh])) if mesh is not None else 0
                values = file.array(sampler.output).astype(np.float64)
                if sampler.interpolation == "CUBICSPLINE":  # in-tangent, value, out-tangent; only the values are used
                    values = values.reshape(len(time_s), 3, -1)[:, 1]
                values = values.reshape(len(time_s), width) if width else values
                return _Channel(time_s, values, sampler.interpolation == "STEP")
    return None


def _rest_weights(document: gl.GLTF2, names: tuple[str, ...]) -> np.ndarray:
    """Return the default weights (T,) float32 of the file."""
    weights = np.zeros(len(names), dtype=np.float32)
    for mesh in document.meshes:
        for name, weight in zip(_names_of(mesh), mesh.weights or []):
            weights[names.index(name)] = weight
    return weights


def _rest_rotation(document: gl.GLTF2, tree: _Tree) -> np.ndarray:
    """Return the rotation (3, 3) of the head's node at rest; identity in files of smirk3d."""
    if tree.head is None or document.asset.generator == "smirk3d":
        return np.eye(3)
    return rotmats_from_quaternions(np.array([document.nodes[tree.head].rotation or (0, 0, 0, 1)]))[0]


def _still(document: gl.GLTF2, names: tuple[str, ...]) -> Curves:
    """Return one frame: the default weights, and the rotation that files of smirk3d store in the extras of a node."""
    extras = [node.extras or {} for node in document.nodes]
    quaternion = next((each["rotation_quaternion"] for each in extras if "rotation_quaternion" in each), (0, 0, 0, 1))
    return Curves(
        np.zeros(1),
        _rest_weights(document, names)[None],
        rotmats_from_quaternions(np.array([quaternion])).astype(np.float32),
        np.zeros((1, 3), dtype=np.float32),
        np.full(1, Status.SEEN, dtype=np.uint8),
        _DEFAULT_RATE_FPS,
    )


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__)[:120]
