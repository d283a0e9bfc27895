"""What the README names exists, and it stays short."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

import smirk3d
from smirk3d.cli.main import main
from smirk3d.export.save import FORMATS
from smirk3d.face import Face

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = sorted(set(re.findall(r"(?:^|`)smirk3d ([a-z]+)", README, flags=re.MULTILINE)))


def test_is_one_page_with_a_picture_at_its_start() -> None:
    assert len(README.split()) <= 1500
    pictures = [number for number, line in enumerate(README.splitlines(), 1) if line.startswith("![")]
    assert pictures and pictures[0] <= 30


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"(?:^|`)make (\w+)", README, flags=re.MULTILINE)
    assert {"demo", "test", "docs"} <= set(targets)
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_continuous_integration_runs_the_test_command_and_builds_the_site() -> None:
    assert "\nmake test" in README
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in script
    assert "make docs" in script


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(command: str, capsys: pytest.CaptureFixture) -> None:
    assert main([command, "--help"]) == 0
    assert "usage: smirk3d" in capsys.readouterr().out


def test_the_commands_for_photos_videos_and_characters_are_shown() -> None:
    assert {"reconstruct", "video", "features", "retarget", "doctor"} <= set(COMMANDS)


@pytest.mark.parametrize("code", PYTHON_BLOCKS)
def test_python_names_exist(code: str) -> None:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert {alias.name for alias in node.names} <= set(dir(smirk3d))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "face":
            assert node.attr in {*dir(Face), *(field.name for field in fields(Face))}


def test_python_block_reaches_a_mesh_within_ten_lines() -> None:
    code = PYTHON_BLOCKS[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    saved = re.findall(r"face\.save\(.*?\)\s+# (.*)", code)
    assert saved[0].split() == sorted(FORMATS, key=FORMATS.index)


def test_files_named_exist() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / name).exists(), name


def test_citation_names_the_paper_and_this_version() -> None:
    import yaml

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == smirk3d.__version__
    paper = citation["references"][0]
    assert paper["title"] in README
    for author in paper["authors"]:
        assert author["family-names"].replace("ě", r"{\v{e}}").replace("č", r"{\v{c}}") in README
