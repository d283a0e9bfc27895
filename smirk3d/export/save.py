"""Saving of one face in any format, with its skin texture where the format holds one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from smirk3d.assets import make_folder, printable
from smirk3d.errors import Smirk3dError
from smirk3d.face_writers import OWN_FORMATS, find_face_writer

if TYPE_CHECKING:
    from smirk3d.export.texture import Texture
    from smirk3d.face import Face

FORMATS: tuple[str, ...] = tuple(f".{name}" for name in OWN_FORMATS)
"""Suffixes of the package's own formats; other packages may add some, see `smirk3d.face_writers`."""
TEXTURED_FORMATS: tuple[str, ...] = (".glb", ".gltf")
"""Suffixes of the formats that hold a skin texture."""


def save_face(face: Face, path: str | Path, *, texture: Texture | None = None) -> Path:
    """Write a face in the format of the suffix, whole or not at all; missing folders are created.

    Args:
        face: The face.
        path: Target, ending in one of `FORMATS` or in a suffix that another package registers (any case).
        texture: Skin texture for `TEXTURED_FORMATS`; by default that of the face's appearance.

    Returns:
        The path written.

    Raises:
        Smirk3dError: The suffix is unknown, a texture was given for another format, or writing failed.
    """
    path = Path(path)
    if texture is None:
        return face.save(path)
    find_face_writer(path)
    if path.suffix.lower() not in TEXTURED_FORMATS:
        raise Smirk3dError(f"{printable(path)}: only .glb and .gltf hold a texture; choose one of them")
    from smirk3d.export.gltf.head import save_gltf

    make_folder(path.parent)
    save_gltf(face, path, texture)
    return path
