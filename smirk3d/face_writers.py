"""Registry of the file formats of a face, which `Face.save` chooses from by the suffix.

A format is an entry point of the group `smirk3d.face_writers`: its name is the suffix without the dot, its value a
function that takes the face and the path of the file to write. The package's own formats are declared in its
`pyproject.toml`. Another package adds a format in the same way:

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


def face_formats() -> tuple[str, ...]:
    """Return the suffixes that faces can be saved with, each with its dot, sorted."""
    return tuple(sorted(f".{name}" for name in _entry_points()))


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
    if not _entry_points():
        raise Smirk3dError("no file formats are registered; install smirk3d again (pip install -e . in a checkout)")
    raise Smirk3dError(f"{printable(path)}: unknown format {suffix!r}; choose one of {' '.join(face_formats())}")


@functools.cache
def _entry_points() -> dict[str, EntryPoint]:
    """Return the entry points by name, the package's own before those of others."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(
        entry_points(group=GROUP), key=lambda entry: (not entry.value.startswith("smirk3d."), entry.value)
    ):
        found.setdefault(entry.name.lower(), entry)
    return found
