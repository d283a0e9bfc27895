"""Registry of the file formats of a face, which `Face.save` chooses from by the suffix.

A format is an entry point: its name is the suffix without the dot, its value a function that takes the face and the
path of the file to write. The package's own formats are those of `OWN_FORMATS`. Another package adds one to the
group `smirk3d.face_writers` in its `pyproject.toml`:

    [project.entry-points."smirk3d.face_writers"]
    stl = "my_package.stl:save_stl"          # def save_stl(face: Face, path: Path) -> None

A format of this package cannot be replaced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError

if TYPE_CHECKING:
    from smirk3d.face import Face

    FaceWriter: TypeAlias = Callable[[Face, Path], object]

GROUP = "smirk3d.face_writers"
"""Name of the group of entry points."""
OWN_FORMATS = {
    "glb": "smirk3d.export.gltf.head:save_gltf",
    "gltf": "smirk3d.export.gltf.head:save_gltf",
    "obj": "smirk3d.export.meshes:save_obj",
    "ply": "smirk3d.export.meshes:save_ply",
    "npz": "smirk3d.export.tables.npz:save_npz",
    "json": "smirk3d.export.tables.npz:save_json",
}
"""The package's own formats. They are named here, not imported: a face is below what writes it."""


def face_formats() -> tuple[str, ...]:
    """Return the suffixes that faces can be saved with, each with its dot, the package's own first."""
    return tuple(f".{name}" for name in _entry_points())


def find_face_writer(path: Path) -> FaceWriter:
    """Return the function that writes a face in the format of a path's suffix.

    Args:
        path: Target; upper and lower case of the suffix are the same.

    Raises:
        Smirk3dError: No installed package writes this format.
    """
    suffix = path.suffix.lower()
    entry = _entry_points().get(suffix.removeprefix("."))
    if entry is not None:
        return entry.load()
    raise Smirk3dError(f"{printable(path)}: unknown format {suffix!r}; choose one of {' '.join(face_formats())}")


@functools.cache
def _entry_points() -> dict[str, EntryPoint]:
    """Return the entry points by name, the package's own before those of others."""
    found = {name: EntryPoint(name, value, GROUP) for name, value in OWN_FORMATS.items()}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.value):
        found.setdefault(entry.name.lower(), entry)
    return found
