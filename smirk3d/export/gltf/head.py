"""glTF 2.0: the head as a character with named morph targets.

glTF's coordinate frame is the head frame (right-handed, metres, +Y up, +Z out of the face), so the node has no
transform: the character stands upright, and the rotation of the head in the photo is in the node's `extras`.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pygltflib as gl
import torch

from smirk3d.assets import atomic_path
from smirk3d.export.gltf.buffer import BufferBuilder, SparseRows, sparse_rows
from smirk3d.export.gltf.document import glb_bytes, gltf_bytes
from smirk3d.export.gltf.morph_sparsity import morph_pattern, normal_offsets
from smirk3d.export.gltf.morph_targets import morph_targets
from smirk3d.export.texture import appearance_texture
from smirk3d.face import Face
from smirk3d.geometry.rotations import rotmat_to_unitquat
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import (
    MaterialPart,
    eye_texture,
    iris_texture,
    material_parts,
    srgb_to_linear,
    vertex_colors,
)
from smirk3d.render.appearance.part_textures import TEXTURED_PARTS, part_uv
from smirk3d.render.appearance.teeth import teeth_texture

if TYPE_CHECKING:
    from smirk3d.export.texture import Texture

_PNG_LEVEL = 3
"""zlib level of embedded images; the default level takes three times as long for 2 % smaller files."""
_PNG_START = b"\x89PNG"
_JPEG_QUALITY = 92
"""Of textures, which have no edges like those of the irises' default texture."""


@dataclass(frozen=True)
class _PrimitiveLayout:
    """The vertices of one primitive: each vertex of the mesh once for each texture coordinate that it has.

    Attributes:
        material: Material of the primitive.
        vertex: (N,) int64 vertices of the mesh.
        uv_row: (N,) int64 rows of the texture coordinates.
        triangles: (K, 3) int64 rows of `vertex`.
        offset_rows: Layout of the targets' sparse position offsets.
        offset_source: (L,) int64 index target * V + vertex of each stored offset.
        normal_rows: Layout of the targets' sparse normal differences.
        normal_source: (L2,) int64 index target * V + vertex of each stored difference.
    """

    material: MaterialPart
    vertex: np.ndarray
    uv_row: np.ndarray
    triangles: np.ndarray
    offset_rows: SparseRows
    offset_source: np.ndarray
    normal_rows: SparseRows
    normal_source: np.ndarray


@dataclass(frozen=True)
class _VertexArrays:
    """Arrays of the whole mesh, of which primitives take rows: (V, 3) each, and (T, V, 3) for T targets."""

    positions: np.ndarray
    normals: np.ndarray
    colors_linear: np.ndarray
    target_offsets: np.ndarray
    target_normals: np.ndarray


def save_gltf(face: Face, path: Path, texture: Texture | None = None) -> None:
    """Write a face as `.glb`, or as `.gltf` with the buffer embedded.

    Args:
        face: The face.
        path: Target, ending in .glb or .gltf; its folder exists.
        texture: Skin texture; by default that of the face's appearance, without which the skin has vertex colours.

    Raises:
        Smirk3dError: Writing failed.
    """
    document = build_gltf(face, texture)
    content = (glb_bytes if path.suffix.lower() == ".glb" else gltf_bytes)(document)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def build_gltf(face: Face, texture: Texture | None = None) -> gl.GLTF2:
    """Build a document with one mesh, which has a primitive for each material and the same morph targets in each.

    The base mesh is the neutral face, and `mesh.weights` are those of this face, so that viewers show its expression.
    Offsets are those of `morph_targets`, colours and materials those of
    `smirk3d.render.appearance.materials`, textures of eyes and teeth those of `part_textures` beside it.

    Args:
        face: The face.
        texture: Skin texture; by default that of the face's appearance, without which the skin has vertex colours.
    """
    builder = BufferBuilder()
    document = build_character(builder, face, texture)
    builder.attach_to(document)
    return document


def build_character(builder: BufferBuilder, face: Face, texture: Texture | None = None) -> gl.GLTF2:
    """Build the document of `build_gltf` except its buffer, to which more can be added.

    Node 0 and mesh 0 are the head.
    """
    texture = appearance_texture(face) if texture is None else texture
    targets = morph_targets(face)
    surface = _vertex_arrays(face, targets.offsets)
    parts = material_parts(face.head)
    images = _texture_images(face, parts, texture)
    primitives = []
    for index, part in enumerate(_primitive_layouts(face.head)):
        primitive = _primitive(builder, part, surface, _uv(face.head, part, texture))
        primitive.material = index
        if part.material.name not in images:
            primitive.attributes.COLOR_0 = builder.add_attribute(surface.colors_linear[part.vertex])
        primitives.append(primitive)
    mesh = gl.Mesh(name="head", primitives=primitives, weights=[float(weight) for weight in targets.weights])
    mesh.extras = {"targetNames": list(targets.names)}
    document = gl.GLTF2(
        asset=_asset(face),
        scene=0,
        scenes=[gl.Scene(nodes=[0])],
        nodes=[gl.Node(name="head", mesh=0, extras=_node_extras(face))],
        meshes=[mesh],
    )
    _add_materials(document, builder, parts, images)
    return document


def _vertex_arrays(face: Face, offsets: np.ndarray) -> _VertexArrays:
    pattern = morph_pattern(face.head)
    normals, differences = normal_offsets(face.neutral_vertices, face.triangles, offsets, pattern)
    return _VertexArrays(face.neutral_vertices, normals, _colors_linear(face.head), offsets, differences)


@cache_per_head
def _colors_linear(head: HeadModel) -> np.ndarray:
    return srgb_to_linear(vertex_colors(head)).astype(np.float32)


@cache_per_head
def _primitive_layouts(head: HeadModel) -> tuple[_PrimitiveLayout, ...]:
    """Return the layout of a head's primitives, one for each material."""
    pattern, parts = morph_pattern(head), []
    for material in material_parts(head):
        vertices = head.faces.cpu().numpy()[material.face_index]
        uv_rows = vertices if _has_own_uv(head, material) else head.faces_uv.cpu().numpy()[material.face_index]
        pairs = np.stack([vertices.ravel(), uv_rows.ravel()], axis=1)
        (vertex, uv_row), inverse = _unique_pairs(pairs)
        layout = []
        for mask in (pattern.moved, pattern.normal_changed):
            target, row = np.nonzero(mask[:, vertex])
            layout += [sparse_rows(mask[:, vertex]), target * mask.shape[1] + vertex[row]]
        parts.append(_PrimitiveLayout(material, vertex, uv_row, inverse.reshape(-1, 3), *layout))
    return tuple(parts)


def _unique_pairs(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows of (N, 2) as (2, K), and for each row (N,) its index among them."""
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return unique.T, inverse


def _has_own_uv(head: HeadModel, material: MaterialPart) -> bool:
    return material.name in TEXTURED_PARTS or len(head.uv) == 0


def _uv(head: HeadModel, part: _PrimitiveLayout, texture: Texture | None) -> np.ndarray:
    """Return the texture coordinates (N, 2) of a primitive, v upwards."""
    if _has_own_uv(head, part.material):
        return part_uv(head)[part.uv_row]
    if texture is not None and part.material.name == "skin":
        return texture.uv[part.uv_row]
    return head.uv.cpu().numpy()[part.uv_row]


def _primitive(builder: BufferBuilder, part: _PrimitiveLayout, surface: _VertexArrays, uv: np.ndarray) -> gl.Primitive:
    attributes = gl.Attributes(
        POSITION=builder.add_attribute(surface.positions[part.vertex], bounds=True),
        NORMAL=builder.add_attribute(surface.normals[part.vertex]),
        # glTF counts v downwards from the top of the image.
        TEXCOORD_0=builder.add_attribute(uv * (1, -1) + (0, 1)),
    )
    offsets, differences = (array.reshape(-1, 3) for array in (surface.target_offsets, surface.target_normals))
    positions = builder.add_sparse(part.offset_rows, offsets[part.offset_source])
    normals = builder.add_sparse(part.normal_rows, differences[part.normal_source])
    return gl.Primitive(
        attributes=attributes,
        indices=builder.add_indices(part.triangles),
        targets=[gl.Attributes(POSITION=p, NORMAL=n) for p, n in zip(positions, normals, strict=True)],
    )


def _texture_images(face: Face, parts: tuple[MaterialPart, ...], texture: Texture | None) -> dict[str, bytes]:
    """Return the texture of each material that has one, as the bytes of a PNG or JPEG file."""
    names = {part.name for part in parts}
    images = {"eyes": _eye_image(face)} if "eyes" in names else {}
    images |= {"teeth": _teeth_jpeg()} if "teeth" in names else {}
    return images | ({} if texture is None else {"skin": _encode_jpeg(texture.image)})


def _eye_image(face: Face) -> bytes:
    return _eye_png() if face.appearance is None else _encode_jpeg(iris_texture(face.appearance.iris))


@functools.cache
def _eye_png() -> bytes:
    return _encode_png(eye_texture())


@functools.cache
def _teeth_jpeg() -> bytes:
    return _encode_jpeg(teeth_texture())


def _add_materials(
    document: gl.GLTF2,
    builder: BufferBuilder,
    parts: tuple[MaterialPart, ...],
    images: dict[str, bytes],
) -> None:
    for name, image in images.items():
        view = builder.add_bytes(image)
        mime_type = "image/png" if image.startswith(_PNG_START) else "image/jpeg"
        document.images.append(gl.Image(name=name, mimeType=mime_type, bufferView=view))
        document.textures.append(gl.Texture(sampler=0, source=len(document.images) - 1))
    if images:
        clamp = gl.CLAMP_TO_EDGE
        document.samplers = [
            gl.Sampler(magFilter=gl.LINEAR, minFilter=gl.LINEAR_MIPMAP_LINEAR, wrapS=clamp, wrapT=clamp)
        ]
    names = list(images)
    for part in parts:
        pbr = gl.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=part.roughness)
        if part.name in images:
            pbr.baseColorTexture = gl.TextureInfo(index=names.index(part.name))
        # The mesh is open at the neck; seen from below, its inside must be drawn.
        document.materials.append(
            gl.Material(name=part.name, pbrMetallicRoughness=pbr, doubleSided=True, alphaCutoff=None)
        )


def _asset(face: Face) -> gl.Asset:
    asset = gl.Asset(generator="smirk3d", version="2.0")
    asset.extras = {"head": face.head.data.name, "licence": face.head.data.meta.get("licence", "unknown")}
    return asset


def _node_extras(face: Face) -> dict[str, object]:
    quaternion = rotmat_to_unitquat(torch.as_tensor(face.rotation, dtype=torch.float64))
    yaw, pitch, roll = face.angles_deg
    return {
        "rotation_quaternion": [round(float(value), 7) for value in quaternion],  # x, y, z, w as in glTF
        "yaw_deg": round(yaw, 3),
        "pitch_deg": round(pitch, 3),
        "roll_deg": round(roll, 3),
        "camera_matrix": face.camera.matrix.tolist(),
        "confidence": round(float(face.confidence), 4),
        "method": face.method,
    }


def _encode_png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()


def _encode_jpeg(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
