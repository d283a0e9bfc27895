"""Reads meshes with morph targets of a glTF file, and its first animation, as a scene.

Vertices of skinned meshes are shown as stored in the file, without the skeleton. Sizes are checked before arrays are
made: a small file can state any number of vertices, targets and pixels.

Source: glTF 2.0 specification.
"""

from __future__ import annotations

import io
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.character_file import parse_gltf
from smirk3d.export.gltf.reader import GltfArrays, Json, item, node_matrix
from smirk3d.export.gltf.resources import RefusedFile, read_plain_file
from smirk3d.viewer.color_patches import Surface, split_into_patches, subdivide, weld
from smirk3d.viewer.gltf_curves import read_curves
from smirk3d.viewer.gltf_targets import TargetIndex
from smirk3d.viewer.scene import ViewScene

MAX_VERTICES = 2_000_000
"""Vertices of all surfaces together; triangles may be twice as many."""
MAX_DISPLACEMENTS = 16_000_000
"""Vertices times morph targets of all surfaces together."""
MAX_SURFACES, MAX_NODES = 1000, 50_000
MAX_TEXTURE_PIXELS = 1 << 28
"""Pixels of all textures together."""
_MAX_COORDINATE = 1e9
_TESSELLATION_LEVELS = 3
"""Subdivisions of textured triangles, within the limits: the texture of the eyes is finer than their triangles."""
_FINE_POINTS, _MAX_POINTS = 1500, 8000
"""Surfaces with more points are subdivided once, or are fine enough for their texture; so are those with four times as
many triangles."""
_TEXTURE_SIDE_PX = 384
"""Textures are reduced to this size, so that no detail falls between the points."""
_TRIANGLES = 4
_SUPPORTED_EXTENSIONS = {"KHR_mesh_quantization", "KHR_texture_transform"}


def read_gltf(path: Path) -> ViewScene:
    """Read a .glb or .gltf file.

    Args:
        path: The file.

    Raises:
        Smirk3dError: It cannot be read, has no mesh, or is larger than the limits of this module.
    """
    try:
        document, blob, _ = parse_gltf(read_plain_file(path))
    except RefusedFile as error:
        raise Smirk3dError(f"{printable(path)}: {error}") from error
    except Exception as error:  # the file is not ours: whatever its values provoke is its damage
        raise Smirk3dError(f"{printable(path)}: cannot be read as glTF ({_reason(error)}); export it again") from error
    try:
        return scene_from_gltf(document, blob, path.name, path.parent)
    except Smirk3dError:
        raise
    except RefusedFile as error:
        raise Smirk3dError(f"{printable(path)}: {error}") from error
    except MemoryError as error:
        raise Smirk3dError(f"{printable(path)}: does not fit into the memory; export fewer meshes") from error
    except Exception as error:  # as above
        raise Smirk3dError(f"{printable(path)}: is no whole glTF file ({_reason(error)}); export it again") from error


def scene_from_gltf(document: Json, blob: bytes, name: str, folder: Path | None = None) -> ViewScene:
    """Return the meshes of a document, in the frame of the head, and its curves.

    The head is the topmost animated node; all meshes are shown in their rest pose relative to it.

    Args:
        document: JSON of the file.
        blob: Binary chunk of the file.
        name: Title of the scene.
        folder: Folder of external files; None where there are none.

    Raises:
        Smirk3dError: It has no mesh, or is compressed.
        RefusedFile: It is larger than the limits of this module.
        ValueError: It is damaged; so may be other exceptions.
    """
    if unsupported := set(document.get("extensionsRequired") or []) - _SUPPORTED_EXTENSIONS:
        raise Smirk3dError(f"{printable(name)}: needs {printable(', '.join(sorted(unsupported)))}; export it without")
    file, tree, targets = GltfArrays(document, blob, folder), _Tree(document), TargetIndex(document)
    surfaces = _Surfaces(file, targets)
    for mesh_index, matrix in tree.meshes():
        for primitive in item(document, "meshes", mesh_index)["primitives"]:
            if primitive.get("mode", _TRIANGLES) == _TRIANGLES and "POSITION" in primitive["attributes"]:
                surfaces.add(mesh_index, primitive, matrix)
    if not surfaces.found:
        raise Smirk3dError(f"{printable(name)}: has no mesh; give a file with a head")
    mesh = split_into_patches(surfaces.found)
    curves = read_curves(file, tree.head, targets)
    return ViewScene(name, mesh.points, mesh.displacements, mesh.patches, targets.names, curves)


class _Tree:
    """The nodes of a document's scene and their world matrices."""

    def __init__(self, document: Json):
        self.document = document
        nodes, scenes = document.get("nodes", []), document.get("scenes", [])
        if len(nodes) > MAX_NODES:
            raise RefusedFile(f"has {len(nodes)} nodes, at most {MAX_NODES} are read; export fewer of them")
        scene = item(document, "scenes", document.get("scene") or 0) if scenes else {}
        roots = scene.get("nodes") or range(len(nodes))
        self.world: dict[int, np.ndarray] = {}
        todo = deque((root, np.eye(4)) for root in roots)
        while todo:  # breadth first, so that parents come before their children
            node, parent = todo.popleft()
            if node not in self.world:
                record = item(document, "nodes", node)
                self.world[node] = parent @ node_matrix(record)
                todo += [(child, self.world[node]) for child in record.get("children") or []]
        animated = {
            channel["target"].get("node")
            for animation in document.get("animations", [])[:1]
            for channel in animation["channels"]
            if channel["target"]["path"] in ("rotation", "translation")
        }
        self.head: int | None = next((node for node in self.world if node in animated), None)

    def meshes(self) -> list[tuple[int, np.ndarray]]:
        """Return the mesh of each node that has one, and the matrix (4, 4) to the frame of the head or scene."""
        to_head = np.eye(4) if self.head is None else np.linalg.inv(self.world[self.head])
        nodes = self.document.get("nodes", [])
        present = [(k, node["mesh"]) for k, node in enumerate(nodes) if "mesh" in node and k in self.world]
        return [(mesh, to_head @ (np.eye(4) if self._is_skinned(node) else self.world[node])) for node, mesh in present]

    def _is_skinned(self, node: int) -> bool:
        # The specification says that the transform of a skinned node is ignored.
        return "skin" in self.document["nodes"][node] and self.head is None


class _Surfaces:
    """Reads primitives as surfaces, within the limits of this module.

    Attributes:
        found: The surfaces.
    """

    def __init__(self, file: GltfArrays, targets: TargetIndex):
        self.found: list[Surface] = []
        self._file, self._targets = file, targets
        self._n_vertices = self._n_displacements = self._n_pixels = 0
        self._textures: dict[int, np.ndarray] = {}

    def add(self, mesh: int, primitive: Json, matrix: np.ndarray) -> None:
        """Read a primitive of a mesh.

        Args:
            mesh: Index of the mesh.
            primitive: One of its primitives.
            matrix: (4, 4) transform from the mesh to the frame of the head.

        Raises:
            RefusedFile: The scene becomes larger than the limits.
            ValueError: The primitive is damaged.
        """
        file, attributes, linear = self._file, primitive["attributes"], matrix[:3, :3]
        n_points, indices = file.count(attributes["POSITION"]), primitive.get("indices")
        self._reserve(n_points, n_points if indices is None else file.count(indices))
        points = _rows(file.array(attributes["POSITION"]), n_points, 3).astype(np.float64) @ linear.T + matrix[:3, 3]
        triangles = (np.arange(n_points) if indices is None else file.array(indices)).astype(np.int64).reshape(-1, 3)
        if triangles.min() < 0 or triangles.max() >= n_points:
            raise ValueError("its triangles refer to vertices that it does not have")
        displacements, normal_displacements = self._displacements(mesh, primitive, n_points, linear)
        normals = _normals(points, triangles)
        if "NORMAL" in attributes:
            normals = _rows(file.array(attributes["NORMAL"]), n_points, 3) @ linear.T
        normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
        colors, uv, texture = self._base_color(primitive, n_points)
        surface = Surface(
            _display_name(_material(file.document, primitive)),
            _checked_points(points),
            normals.astype(np.float32),
            displacements,
            normal_displacements,
            colors,
            triangles,
        )
        if texture is None or uv is None:
            self.found.append(weld(surface))
        else:
            self.found.append(_textured(surface, uv, texture, self._tessellation_levels(surface)))

    def _reserve(self, n_points: int, n_corners: int) -> None:
        """Count vertices before they are read."""
        self._n_vertices += n_points
        self._n_displacements += n_points * len(self._targets.names)
        if self._n_vertices > MAX_VERTICES or n_corners > 6 * MAX_VERTICES or len(self.found) >= MAX_SURFACES:
            raise RefusedFile(
                f"has more than {MAX_VERTICES} vertices or {MAX_SURFACES} surfaces to show; export fewer of its meshes"
            )
        if self._n_displacements > MAX_DISPLACEMENTS:
            raise RefusedFile(
                f"has more than {MAX_DISPLACEMENTS} vertices times morph targets; export fewer meshes or shape keys"
            )

    def _tessellation_levels(self, surface: Surface) -> int:
        """Return how often a textured surface is subdivided, within the limits, and count its new vertices."""
        n_triangles = len(surface.triangles)
        if len(surface.points) >= _MAX_POINTS or n_triangles >= 4 * _MAX_POINTS:
            return 0
        is_fine = len(surface.points) >= _FINE_POINTS
        for levels in range(1 if is_fine else _TESSELLATION_LEVELS, 0, -1):
            sides = 2**levels
            n_points = n_triangles * (sides + 1) * (sides + 2) // 2
            if self._n_displacements + n_points * len(self._targets.names) <= MAX_DISPLACEMENTS:
                self._reserve(n_points, 0)
                return levels
        return 0

    def _displacements(
        self, mesh: int, primitive: Json, n_points: int, linear: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the displacements (T, N, 3) float32 of points and normals by each target."""
        rows, shape = self._targets.rows[mesh], (len(self._targets.names), n_points, 3)
        positions, normals = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        for row, target in zip(rows, primitive.get("targets", [])):
            for array, name in ((positions, "POSITION"), (normals, "NORMAL")):
                if name in target:
                    array[row] = _checked_points(_rows(self._file.array(target[name]), n_points, 3) @ linear.T)
        return positions, normals

    def _base_color(self, primitive: Json, n_points: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return sRGB colours (N, 3) of the vertices, texture coordinates (N, 2) and the texture (H, W, 3)."""
        file, attributes = self._file, primitive["attributes"]
        pbr = _material(file.document, primitive).get("pbrMetallicRoughness") or {}
        factor = np.array(pbr.get("baseColorFactor") or (1, 1, 1, 1), dtype=np.float32)[:3]
        linear = np.tile(_finite(factor), (n_points, 1))
        if "COLOR_0" in attributes:
            linear *= _rows(file.array(attributes["COLOR_0"]), n_points)[:, :3]
        reference = pbr.get("baseColorTexture")
        if reference is None or "TEXCOORD_0" not in attributes:
            return _srgb(linear), None, None
        source = item(file.document, "textures", reference["index"]).get("source")
        texture = None if source is None else self._texture(source)
        return _srgb(linear), _rows(file.array(attributes["TEXCOORD_0"]), n_points, 2), texture

    def _texture(self, source: int) -> np.ndarray:
        """Return an image, reduced, (H, W, 3) float32 sRGB in [0, 1]."""
        from PIL import Image

        if source in self._textures:
            return self._textures[source]
        image = item(self._file.document, "images", source)
        view = image.get("bufferView")
        data = self._file.view(view)[0] if view is not None else self._file.resources.read(image.get("uri", ""))
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as opened:
            self._n_pixels += opened.width * opened.height
            if self._n_pixels > MAX_TEXTURE_PIXELS:
                raise RefusedFile(f"its textures have more than {MAX_TEXTURE_PIXELS} pixels together; reduce them")
            small = opened.convert("RGB").resize((_TEXTURE_SIDE_PX, _TEXTURE_SIDE_PX), Image.Resampling.BOX)
        self._textures[source] = np.asarray(small, dtype=np.float32) / 255
        return self._textures[source]


def _rows(values: np.ndarray, count: int, width: int | None = None) -> np.ndarray:
    """Return values of vertices.

    Raises:
        ValueError: Their number or width is another.
    """
    if len(values) != count or (width or values.shape[1]) != values.shape[1]:
        raise ValueError("it has other numbers of values than of vertices")
    return values


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError("it holds numbers that are not finite")
    return values


def _checked_points(points: np.ndarray) -> np.ndarray:
    """Return points as float32.

    Raises:
        ValueError: One is farther away than anything that can be shown.
    """
    if not np.abs(points).max(initial=0) < _MAX_COORDINATE:
        raise ValueError("its vertices are farther away than can be shown")
    return points.astype(np.float32)


def _textured(surface: Surface, uv: np.ndarray, texture: np.ndarray, levels: int) -> Surface:
    """Set vertex colours from a texture, after subdivision of coarse triangles.

    Until then the colours hold the texture coordinates, (u, v, 0), so that subdivision interpolates them.
    """
    subdivided = replace(surface, colors=np.pad(uv, ((0, 0), (0, 1))).astype(np.float32))
    for _ in range(levels):
        subdivided = subdivide(subdivided)
    height, width = texture.shape[:2]
    column = (subdivided.colors[:, 0] % 1 * width).astype(int).clip(0, width - 1)
    row = (subdivided.colors[:, 1] % 1 * height).astype(int).clip(0, height - 1)
    return replace(subdivided, colors=texture[row, column])


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the area-weighted normal (N, 3) of the triangles around each point, not normalised."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    normals, across = np.zeros_like(points), np.cross(b - a, c - a)
    for corner in triangles.T:
        np.add.at(normals, corner, across)
    return normals


def _material(document: Json, primitive: Json) -> Json:
    return {} if primitive.get("material") is None else item(document, "materials", primitive["material"])


def _display_name(material: Json) -> str:
    """Return the name of a material for the scene of viser, where a stroke would open a level."""
    return printable(str(material.get("name") or "mesh"))[:60].replace("/", " ")


def _srgb(linear: np.ndarray) -> np.ndarray:
    """Return sRGB in [0, 1] for linear light. Source: IEC 61966-2-1."""
    low, high = linear * 12.92, 1.055 * linear.clip(1e-6) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, low, high).clip(0, 1).astype(np.float32)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return printable(" ".join(text.split()) or type(error).__name__)[:160]
