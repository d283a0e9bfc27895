"""What the README names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

import smirk3d
from smirk3d.cli.main import main
from smirk3d.cli.reconstruct import Reconstruct
from smirk3d.export.save import FORMATS
from smirk3d.export.tables.expression_file import SPELLINGS
from smirk3d.export.tables.expressions_csv import TABLE_COLUMNS
from smirk3d.face import Face

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = sorted(set(re.findall(r"`smirk3d ((?:head |data )?[a-z]+)", README)))


def _table(title: str) -> list[str]:
    """Return the first cells of the rows of the table under a header that starts with `title`."""
    lines = README[README.index(f"| {title}") :].split("\n\n")[0].splitlines()[2:]
    return [line.split("|")[1].strip() for line in lines]


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_continuous_integration_runs_the_test_command() -> None:
    assert "\nmake test" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(command: str, capsys: pytest.CaptureFixture) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert "usage: smirk3d" in capsys.readouterr().out


def test_all_commands_are_described() -> None:
    heads = {"head build", "head info", "head convert"}
    training = {"data prepare", "data targets", "data check", "train", "evaluate"}
    assert set(COMMANDS) == {"reconstruct", "video", "features", "retarget", "view", "doctor"} | heads | training


def test_flags_are_those_of_the_command() -> None:
    described = {re.findall(r"--[a-z-]+", cell)[0] for cell in _table("Flag")}
    actual = {f"--{field.name.replace('_', '-')}" for field in fields(Reconstruct)} - {"--inputs", "--out"}
    assert described == actual


def test_table_columns_are_those_of_the_table() -> None:
    named = [name for cell in _table("Columns") for name in re.findall(r"`(\w+)`", cell)]
    assert set(named) <= set(TABLE_COLUMNS)
    assert named == sorted(named, key=TABLE_COLUMNS.index)
    assert (named[0], named[-1]) == (TABLE_COLUMNS[0], TABLE_COLUMNS[-1])


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


def test_npz_keys_are_those_of_the_archive(make_face: Callable[..., Face]) -> None:
    from smirk3d.export.tables.npz import face_arrays

    text = README[README.index("**npz**") : README.index("**Features**")]
    named = set(re.findall(r"`([a-z_0-9]+)`", text)) - {"allow_pickle"}
    assert named == set(face_arrays(make_face()))


def test_arrays_that_retarget_reads_are_those_it_knows() -> None:
    text = README[README.index("**FLAME to ARKit and back.**") :].split("\n\n")[0]
    named = set(re.findall(r"`([a-z_]+)`", text)) - set(COMMANDS)
    assert named >= set(SPELLINGS) - {"arkit"}
    assert named <= set(sum(SPELLINGS.values(), ()))


def test_files_named_exist() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / name).exists(), name
