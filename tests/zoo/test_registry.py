"""Every packaged file is registered, unchanged and described."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from safetensors import safe_open

from smirk3d.assets import sha256
from smirk3d.errors import Smirk3dError
from smirk3d.zoo import registry
from smirk3d.zoo.registry import ARTEFACTS, Artefact, files_dir, find, lookup


@pytest.fixture(params=ARTEFACTS, ids=lambda artefact: artefact.name)
def artefact(request: pytest.FixtureRequest) -> Artefact:
    return request.param


def test_the_file_is_there_and_unchanged(artefact: Artefact) -> None:
    assert find(artefact.name) == files_dir() / artefact.file
    assert sha256(find(artefact.name)) == artefact.sha256


def test_a_model_card_describes_it(artefact: Artefact) -> None:
    card = (files_dir() / artefact.card).read_text(encoding="utf-8")
    assert card.startswith("# Model card: ") and artefact.file in card
    assert "## Limits" in card or "**Limits**" in card


def test_the_recipe_exists(artefact: Artefact) -> None:
    command = artefact.recipe.split()
    if command[0] == "smirk3d":
        words = command[2:] if command[1] == "fer" else command[1:]
        is_file = words[0] == "train" and (Path(__file__).parents[2] / words[1]).is_file()
        assert command[1:3] == ["head", "build"] or is_file
    else:
        assert command[:2] == ["python", "-m"] and importlib.util.find_spec(command[2]) is not None


def test_headers_have_no_absolute_paths(artefact: Artefact) -> None:
    if artefact.file.endswith(".safetensors"):
        with safe_open(files_dir() / artefact.file, "numpy") as file:
            header = json.dumps(file.metadata())
        assert re.search(r"[\s\"']/\w+/", header.replace("\\n", "\n")) is None


def test_nothing_else_lies_beside_them() -> None:
    registered = {artefact.file for artefact in ARTEFACTS} | {artefact.card for artefact in ARTEFACTS}
    assert {path.name for path in files_dir().iterdir()} == registered


def test_names_are_unique() -> None:
    assert (
        len({artefact.name for artefact in ARTEFACTS})
        == len({artefact.file for artefact in ARTEFACTS})
        == len(ARTEFACTS)
    )


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no packaged artefact 'nothing'; there are open_head, encoder"):
        lookup("nothing")


def test_a_missing_file_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry.resources, "files", lambda package: tmp_path)
    with pytest.raises(Smirk3dError, match=r"encoder\.safetensors: missing from this installation; reinstall"):
        find("encoder")
