"""The registry of file formats: the package's own and those of others."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from smirk3d import face_writers
from smirk3d.errors import Smirk3dError
from smirk3d.export.save import FORMATS

GROUP = face_writers.GROUP


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Entry points in place of those that are installed."""
    entries: list[EntryPoint] = []
    monkeypatch.setattr(face_writers, "entry_points", lambda group: [e for e in entries if e.group == group])
    face_writers._entry_points.cache_clear()
    yield entries
    face_writers._entry_points.cache_clear()


def save_as_text(face: object, path: Path) -> None:
    """Writer of another package."""
    path.write_text(type(face).__name__)


def test_own_formats_are_registered() -> None:
    assert set(FORMATS) <= set(face_writers.face_formats())
    for suffix in FORMATS:
        assert callable(face_writers.find_face_writer(Path(f"face{suffix.upper()}")))


def test_another_package_adds_a_format(installed: list[EntryPoint], make_face, tmp_path: Path, monkeypatch) -> None:
    module = types.ModuleType("other_package")
    module.save_as_text = save_as_text  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "other_package", module)
    installed.append(EntryPoint("txt", "other_package:save_as_text", GROUP))
    path = make_face().save(tmp_path / "new" / "face.TXT")
    assert path.read_text() == "Face" and face_writers.face_formats() == (*FORMATS, ".txt")


def test_own_formats_cannot_be_replaced(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("obj", "other_package:save", GROUP))
    assert face_writers.find_face_writer(Path("a.obj")).__module__ == "smirk3d.export.meshes"


def test_own_formats_need_no_metadata_of_the_installation(installed: list[EntryPoint]) -> None:
    assert face_writers.face_formats() == FORMATS


def test_unknown_formats_list_the_known_ones(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("stl", "other_package:save", GROUP))
    for name in ("face.fbx", "face"):
        with pytest.raises(Smirk3dError, match=r"unknown format '.*'; choose one of .glb .*.json .stl$"):
            face_writers.find_face_writer(Path(name))
