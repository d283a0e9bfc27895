"""glTF 2.0: the head as a character with named morph targets.

glTF's frame is the head frame (right-handed, metres, +Y up, +Z out of the face), so the node has no
transform: the character stands upright, and how the head was turned in the photo is written in the node's
    `extras`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pygltflib as gl
import roma
import torch

from smirk3d.assets import atomic_path
from smirk3d.export.gltf_buffer import BufferBuilder
from smirk3d.export.materials import (
    MaterialPart,
    eye_texture,
    eye_uv,
    material_parts,
    srgb_to_linear,
    vertex_colors,
)
from smirk3d.export.morphs import morph_targets
from smirk3d.face import Face
from smirk3d.render.shading import vertex_normals

if TYPE_CHECKING:
    from smirk3d.export.texture import Texture

_STILL_M = 1e-6
"""Offsets below a micrometre are left out of the sparse morph targets."""
_STILL_NORMAL = 1e-3


@dataclass(frozen=True)
class _Corners:
    """The vertices of one primitive: a mesh vertex once for each texture coordinate that it has.

    `vertex` (N,) int64 in the mesh, `uv` (N, 2) with v upwards, `triangles` (K, 3) rows of `vertex`.
    """

    vertex: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True)
class _Surface:
    """Per-vertex arrays of the whole mesh that the primitives take their rows from."""

    positions: np.ndarray
    normals: np.ndarray
    colors_linear: np.ndarray
    target_offsets: np.ndarray
    target_normals: np.ndarray


def save_gltf(face: Face, path: Path, texture: Texture | None = None) -> None:
    """Write a face as `.glb`, or as `.gltf` with the buffer embedded.

    Raises:
        Smirk3dError: Writing failed.
    """
    document = build_gltf(face, texture)
    if path.suffix.lower() == ".glb":
        content = b"".join(document.save_to_bytes())
    else:
        document.convert_buffers(gl.BufferFormat.DATAURI)
        content = document.gltf_to_json().encode("utf-8")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def build_gltf(face: Face, texture: Texture | None = None) -> gl.GLTF2:
    """Build a document with one mesh: a primitive for each material, and the same morph targets in each.

    The base mesh is the neutral face; `mesh.weights` are this face's own, so viewers open it with its
    expression. Offsets are those of `morph_targets`; colours, materials and the painted eyes those of
    `export.materials`.

    Args:
        face: The face.
        texture: Skin texture; without it the skin has plain vertex colours.
    """
    builder = BufferBuilder()
    targets = morph_targets(face)
    surface = _surface(face, targets.offsets)
    parts = material_parts(face.head)
    pictures = _pictures(parts, texture)
    primitives = []
    for index, part in enumerate(parts):
        corners = _corners(face, part, texture)
        colored = part.name not in pictures
        primitives.append(_primitive(builder, corners, surface, material=index, colored=colored))
    mesh = gl.Mesh(name="head", primitives=primitives, weights=[float(weight) for weight in targets.weights])
    mesh.extras = {"targetNames": list(targets.names)}
    document = gl.GLTF2(
        asset=_asset(face),
        scene=0,
        scenes=[gl.Scene(nodes=[0])],
        nodes=[gl.Node(name="head", mesh=0, extras=_node_extras(face))],
        meshes=[mesh],
    )
    _add_materials(document, builder, parts, pictures)
    document.bufferViews, document.accessors = builder.views, builder.accessors
    document.buffers = [gl.Buffer(byteLength=len(builder.blob))]
    document.set_binary_blob(builder.blob)
    return document


def _surface(face: Face, offsets: np.ndarray) -> _Surface:
    neutral, triangles = torch.from_numpy(face.neutral_vertices), torch.from_numpy(face.triangles)
    normals = vertex_normals(neutral, triangles).numpy()
    moved = vertex_normals(neutral + torch.from_numpy(offsets), triangles).numpy()
    colors = srgb_to_linear(vertex_colors(face.head))
    return _Surface(face.neutral_vertices, normals, colors, offsets, moved - normals)


def _corners(face: Face, part: MaterialPart, texture: Texture | None) -> _Corners:
    head = face.head
    vertices = face.triangles[part.face_index]
    if part.name == "eyes" or len(head.uv) == 0:
        uv, uv_index = eye_uv(head), vertices
    else:
        uv = texture.uv if texture is not None and part.name == "skin" else head.uv.cpu().numpy()
        uv_index = head.faces_uv.cpu().numpy()[part.face_index]
    pairs = np.stack([vertices.ravel(), uv_index.ravel()], axis=1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return _Corners(unique[:, 0], uv[unique[:, 1]], inverse.reshape(-1, 3))


def _primitive(
    builder: BufferBuilder, corners: _Corners, surface: _Surface, *, material: int, colored: bool
) -> gl.Primitive:
    rows = corners.vertex
    attributes = gl.Attributes(
        POSITION=builder.add_attribute(surface.positions[rows], bounds=True),
        NORMAL=builder.add_attribute(surface.normals[rows]),
        # glTF counts v downwards from the top of the image.
        TEXCOORD_0=builder.add_attribute(corners.uv * (1, -1) + (0, 1)),
    )
    if colored:
        attributes.COLOR_0 = builder.add_attribute(surface.colors_linear[rows])
    positions = builder.add_sparse([offset[rows] for offset in surface.target_offsets], _STILL_M)
    normals = builder.add_sparse([offset[rows] for offset in surface.target_normals], _STILL_NORMAL)
    return gl.Primitive(
        attributes=attributes,
        indices=builder.add_indices(corners.triangles),
        material=material,
        targets=[gl.Attributes(POSITION=p, NORMAL=n) for p, n in zip(positions, normals, strict=True)],
    )


def _pictures(parts: tuple[MaterialPart, ...], texture: Texture | None) -> dict[str, np.ndarray]:
    """Return the texture image (H, W, 3) of each material that has one."""
    pictures = {"eyes": eye_texture()} if any(part.name == "eyes" for part in parts) else {}
    return pictures | ({} if texture is None else {"skin": texture.image})


def _add_materials(
    document: gl.GLTF2,
    builder: BufferBuilder,
    parts: tuple[MaterialPart, ...],
    pictures: dict[str, np.ndarray],
) -> None:
    for name, picture in pictures.items():
        view = builder.add_bytes(_png(picture))
        document.images.append(gl.Image(name=name, mimeType="image/png", bufferView=view))
        document.textures.append(gl.Texture(sampler=0, source=len(document.images) - 1))
    if pictures:
        clamp = gl.CLAMP_TO_EDGE
        document.samplers = [
            gl.Sampler(magFilter=gl.LINEAR, minFilter=gl.LINEAR_MIPMAP_LINEAR, wrapS=clamp, wrapT=clamp)
        ]
    names = list(pictures)
    for part in parts:
        look = gl.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=part.roughness)
        if part.name in pictures:
            look.baseColorTexture = gl.TextureInfo(index=names.index(part.name))
        # The neck is open below: a camera there shall see the inside and not through the head.
        document.materials.append(
            gl.Material(name=part.name, pbrMetallicRoughness=look, doubleSided=True, alphaCutoff=None)
        )


def _asset(face: Face) -> gl.Asset:
    asset = gl.Asset(generator="smirk3d", version="2.0")
    asset.extras = {"head": face.head.data.name, "licence": face.head.data.meta.get("licence", "unknown")}
    return asset


def _node_extras(face: Face) -> dict[str, object]:
    quaternion = roma.rotmat_to_unitquat(torch.as_tensor(face.rotation, dtype=torch.float64))
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


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()
