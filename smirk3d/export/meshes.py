"""Static meshes: OBJ and PLY, with the vertex order of the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path
from smirk3d.face import Face
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.face_colors import head_colors

_PLY_HEADER = """ply
format binary_little_endian 1.0
comment smirk3d, metres
element vertex {vertices}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
property uchar alpha
element face {triangles}
property list uchar int vertex_indices
end_header
"""
_PLY_VERTEX = np.dtype([("position", "<f4", 3), ("color", "u1", 3), ("alpha", "u1")])
_PLY_TRIANGLE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def save_obj(face: Face, path: Path) -> None:
    """Write the head with its expression, in the head frame, as Wavefront OBJ in metres.

    With an appearance, lines of vertices hold their sRGB colours after the positions, as many programs read them.

    Args:
        face: The face.
        path: Target; its folder exists.

    Raises:
        Smirk3dError: Writing failed.
    """
    if face.appearance is None:
        vertices = "".join(map("v {:.8f} {:.8f} {:.8f}\n".format, *face.vertices.T.tolist()))
    else:
        columns = (*face.vertices.T.tolist(), *head_colors(face.head, face.appearance).T.tolist())
        vertices = "".join(map("v {:.8f} {:.8f} {:.8f} {:.3f} {:.3f} {:.3f}\n".format, *columns))
    with atomic_path(path) as temporary:
        temporary.write_text(f"# smirk3d\n{vertices}{_obj_triangles(face.head)}", encoding="ascii", newline="")


def save_ply(face: Face, path: Path, colors: np.ndarray | None = None) -> None:
    """Write the head with its expression, in the head frame, as binary PLY in metres with vertex colours.

    Args:
        face: The face.
        path: Target; its folder exists.
        colors: (V, 3) uint8 sRGB; those of the face's appearance by default.

    Raises:
        Smirk3dError: Writing failed.
    """
    if colors is None:
        colors = (head_colors(face.head, face.appearance) * 255).round().astype(np.uint8)
    vertices = np.empty(len(face.vertices), _PLY_VERTEX)
    vertices["position"], vertices["color"], vertices["alpha"] = face.vertices, colors, 255
    triangles = np.empty(len(face.triangles), _PLY_TRIANGLE)
    triangles["count"], triangles["corners"] = 3, face.triangles
    header = _PLY_HEADER.format(vertices=len(vertices), triangles=len(triangles)).encode("ascii")
    with atomic_path(path) as temporary:
        temporary.write_bytes(header + vertices.tobytes() + triangles.tobytes())


@cache_per_head
def _obj_triangles(head: HeadModel) -> str:
    """Return the lines with the triangles of a head; OBJ counts vertices from 1."""
    return "".join(map("f {} {} {}\n".format, *(head.faces.cpu() + 1).T.tolist()))
