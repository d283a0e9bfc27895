"""`smirk3d head convert` and `info` on FLAME files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flame_layout import make_flame_layout

from smirk3d.authoring import load
from smirk3d.authoring.open_head import OpenHeadConfig, source_versions
from smirk3d.cli.head import describe
from smirk3d.cli.main import main
from smirk3d.head.data import HeadData
from smirk3d.head.flame.loader import read_flame
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import load_pack, save_pack


@pytest.fixture(scope="module")
def content() -> bytes:
    layout = make_flame_layout()
    names = ("f", "v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
    return pickle.dumps({name: getattr(layout, name) for name in names})


@pytest.fixture
def path(content, tmp_path, monkeypatch) -> Path:
    """A FLAME file, an empty cache, and a completion that adds nothing but its line of text."""

    def transfer_annotations(data, detector, report, points):
        report("completing")
        return data

    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(load, "transfer_annotations", transfer_annotations)
    monkeypatch.setattr("smirk3d.detection.detector.Detector.__init__", lambda self, **options: None)
    monkeypatch.setattr("smirk3d.detection.detector.Detector.close", lambda self: None)
    (tmp_path / "generic_model.pkl").write_bytes(content)
    return tmp_path / "generic_model.pkl"


def test_build_writes_the_named_file_and_only_where_needed(
    tiny_data: HeadData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    built: list[Path] = []

    def build(path: Path, report: Callable[[str], None]) -> None:
        report("building")
        save_pack(replace(tiny_data, meta=source_versions(OpenHeadConfig())), path)
        built.append(path)

    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(load, "build_open_head_pack", build)
    default = tmp_path / "cache" / "heads" / "open.pack"
    for words in ([], [], ["--force"], ["--out", str(tmp_path / "own.pack")]):
        assert main(["head", "build", *words]) == 0
    assert built == [default, default, tmp_path / "own.pack"]
    captured = capsys.readouterr()
    places = [line.split(" (")[0] for line in captured.out.splitlines()]
    assert places == [str(default)] * 3 + [str(tmp_path / "own.pack")]
    assert captured.err.count("building") == 3


def test_convert(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "new" / "flame.pack"
    assert main(["head", "convert", str(path), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [str(out)]
    assert "completing" in captured.err
    licence = captured.err.splitlines()[-1]
    assert "generic_model.pkl" in licence and "licence" in licence and "non-commercial" in licence
    assert load_pack(out).v_template.equal(read_flame(path).v_template)


def test_a_pack_is_copied(tiny_data: object, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    save_pack(tiny_data, tmp_path / "a.pack")  # type: ignore[arg-type]
    assert main(["head", "convert", str(tmp_path / "a.pack"), "--out", str(tmp_path / "b.pack")]) == 0
    assert load_pack(tmp_path / "b.pack").name == "tiny"
    assert "not stated" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["missing.pkl", "evil.pkl", "photo.jpg"])
def test_a_wrong_file_is_one_line_and_writes_nothing(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    assert main(["head", "convert", str(tmp_path / name), "--out", str(tmp_path / "x.pack")]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1 and name in captured.err
    assert not (tmp_path / "x.pack").exists()


def test_convert_without_an_output_is_wrong_usage(path: Path) -> None:
    assert main(["head", "convert", str(path)]) == 2


def test_info(path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["head", "info", str(path)]) == 0
    captured = capsys.readouterr()
    facts = dict(line.split("  ", 1) for line in captured.out.splitlines())
    assert facts["vertices"].strip() == "5023" and facts["triangles"].strip() == "9976"
    assert facts["shape components"].strip() == "300" and facts["expression components"].strip() == "100"
    assert facts["expression names"].strip() == "flame_00 flame_01 … flame_99"
    assert facts["texture coordinates"].strip().startswith("cylindrical") and int(facts["texture corners"]) > 5023
    assert facts["jaw"].strip() == "joint" and len(facts["source_sha256"].strip()) == 64
    assert "completing" in captured.err and "completing" not in captured.out


def test_names_are_shortened_only_where_they_are_many(open_head: HeadModel, tiny_data: object) -> None:
    assert "tongueOut" in describe(open_head) and "jawOpen" in describe(open_head)
    assert "one two three" in describe(HeadModel(tiny_data))  # type: ignore[arg-type]
