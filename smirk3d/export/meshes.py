"""Plain meshes: OBJ and PLY, with the head's vertex order kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path
from smirk3d.export.materials import vertex_colors
from smirk3d.face import Face


def save_obj(face: Face, path: Path) -> None:
    """Write the expressed, unturned head as Wavefront OBJ: metres, one `v` a vertex in the head's order.

    Raises:
        Smirk3dError: Writing failed.
    """
    from trimesh.exchange.obj import export_obj

    text = export_obj(_mesh(face), include_normals=False, include_color=False, digits=8, header="smirk3d")
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="ascii")


def save_ply(face: Face, path: Path, colors: np.ndarray | None = None) -> None:
    """Write the expressed, unturned head as binary PLY with a colour at each vertex.

    Args:
        face: The face.
        path: Target file.
        colors: (V, 3) uint8 sRGB; the head's plain colours where None.

    Raises:
        Smirk3dError: Writing failed.
    """
    from trimesh.exchange.ply import export_ply

    if colors is None:
        colors = (vertex_colors(face.head) * 255).round().astype(np.uint8)
    content = export_ply(_mesh(face, colors), vertex_normal=False)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _mesh(face: Face, colors: np.ndarray | None = None):
    import trimesh

    # process=False: merging or reordering vertices would break their correspondence to the head model.
    return trimesh.Trimesh(face.vertices, face.triangles, vertex_colors=colors, process=False)
