"""A character: our own head as a .glb, read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smirk3d.evaluation.character_mesh import CharacterMesh, load_character_mesh
from smirk3d.export import save_face
from smirk3d.face import Face


@pytest.fixture(scope="package")
def character_file(make_face: Callable[..., Face], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(save_face(make_face({}, seed=2), tmp_path_factory.mktemp("character") / "face.glb"))


@pytest.fixture(scope="package")
def character(character_file: Path) -> CharacterMesh:
    return load_character_mesh(character_file)
