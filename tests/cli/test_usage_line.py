"""Wrong usage is one line that names what is wrong and the remedy, at any width of the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smirk3d.cli.main import main
from smirk3d.cli.usage_line import GROUPS, usage_line

WRONG = {
    "": "name a command: reconstruct, video, features, .* or doctor; see smirk3d --help",
    "reconstuct a.jpg --out o": r"there is no command reconstuct \(did you mean reconstruct\?\); see smirk3d --help",
    "fer predct a.jpg": r"there is no command predct \(did you mean predict\?\); see smirk3d fer --help",
    "xyz": "there is no command xyz; name reconstruct, video, .* or doctor; see smirk3d --help",
    "reconstruct": r"--out DIR\S* is missing; see smirk3d reconstruct --help",
    "video": r"VIDEO\S* and --out DIR are missing; see smirk3d video --help",
    "reconstruct a.jpg --out": "--out: its value is missing; see smirk3d reconstruct --help",
    "reconstruct a.jpg --out o --max-face 3": r"there is no option --max-face \(did you mean --max-faces\?\); see .*",
    "reconstruct a.jpg --out o --fps 3": "there is no option --fps here; see smirk3d reconstruct --help",
    "reconstruct a.jpg --out o --max-faces 1.5": "--max-faces 1.5: must be a whole number; see .*",
    "reconstruct a.jpg --out o --focal 50mm": "--focal 50mm: must be auto, orthographic or a number; see .*",
    "reconstruct a.jpg --out o --method FIT": "--method FIT: must be auto, fit, encoder or refine; see .*",
    "reconstruct a.jpg --out o --format fbx": "--format: unknown format 'fbx'; choose from glb,gltf,.*json; see .*",
    "video a.mp4 --out o --smooth x": "--smooth x: must be a number; see smirk3d video --help",
    "view a.glb --port 80x": "--port 80x: must be a whole number; see smirk3d view --help",
    "view a.glb b.glb": "b.glb: is one argument too many; see smirk3d view --help",
    "fer vae edit a.jpg smile=1": "--out FILE is missing; see smirk3d fer vae edit --help",
}


@pytest.mark.parametrize("columns", ["40", "200"])
@pytest.mark.parametrize("line", WRONG)
def test_one_line_with_the_remedy(
    line: str, columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main(line.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(f"smirk3d: {WRONG[line]}\n", shown.err), shown.err


@pytest.mark.parametrize("words", GROUPS)
def test_groups_need_a_command(words: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    assert main(words) == 2
    assert f"; see smirk3d {' '.join(words)} --help" in capsys.readouterr().err


def test_empty_arguments_are_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reconstruct", "a.jpg", "--out", ""]) == 2
    assert "argument 4 after --out is empty" in capsys.readouterr().err
    assert main([""]) == 2
    assert "argument 1 is empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_whose_name_begins_with_a_dash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-a.jpg").touch()
    assert main(["reconstruct", "-a.jpg", "--out", "o"]) == 2
    assert "-a.jpg: is no option but a file; write ./-a.jpg" in capsys.readouterr().err


def test_an_unknown_panel_is_left_as_it_is() -> None:
    assert usage_line("╭─ News ─╮\n│ no such thing │\n╰────────╯\n", ["view"]) is None
