"""One door to all formats of a single face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError

if TYPE_CHECKING:
    from smirk3d.export.texture import Texture
    from smirk3d.face import Face

FORMATS: tuple[str, ...] = (".glb", ".gltf", ".obj", ".ply", ".npz", ".json")
"""Suffixes that `save_face` knows."""


def save_face(face: Face, path: str | Path, *, texture: Texture | None = None) -> Path:
    """Write a face in the format of the suffix, whole or not at all; missing folders are created.

    Args:
        face: The face.
        path: Target, ending in one of `FORMATS` (any case).
        texture: Skin texture for .glb and .gltf; without it the skin has plain vertex colours.

    Returns:
        The path written.

    Raises:
        Smirk3dError: The suffix is unknown, a texture was given for another format, or writing failed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise Smirk3dError(f"{printable(path)}: unknown format {suffix!r}; choose one of {' '.join(FORMATS)}")
    if texture is not None and suffix not in (".glb", ".gltf"):
        raise Smirk3dError(f"{printable(path)}: only .glb and .gltf hold a texture; choose one of them")
    make_folder(path.parent)
    if suffix in (".glb", ".gltf"):
        from smirk3d.export.gltf.head import save_gltf

        save_gltf(face, path, texture)
    else:
        _writer(suffix)(face, path)
    return path


def make_folder(folder: Path) -> None:
    """Create a folder and its parents.

    Raises:
        Smirk3dError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Smirk3dError(
            f"cannot create the folder {printable(folder)}: {error.strerror}; choose another place"
        ) from error


def _writer(suffix: str) -> Callable[[Face, Path], None]:
    from smirk3d.export import meshes
    from smirk3d.export.tables import npz

    writers = {
        ".obj": meshes.save_obj,
        ".ply": meshes.save_ply,
        ".npz": npz.save_npz,
        ".json": npz.save_json,
    }
    return writers[suffix]
