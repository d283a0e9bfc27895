"""What a character may refer to: plain files in its own folder, of limited size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from character_files import animated, glb, make_character, make_motion, parts, red_png

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf import resources
from smirk3d.export.gltf.character import read_character
from smirk3d.export.gltf.resources import RefusedFile, Resources, read_plain_file
from smirk3d.viewer.discovery import read_scene

SECRET = b"root:x:0:0:secret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with good, hidden and special files; a secret is outside."""
    inside = tmp_path / "in side"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(SECRET)
    (inside / "sub" / "data.bin").write_bytes(b"data")
    (inside / ".hidden").write_bytes(SECRET)
    (inside / "link").symlink_to(tmp_path / "secret.bin")
    (inside / "out").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe")
    return inside


OUTSIDE = ("../secret.bin", "..%2fsecret.bin", "sub/../../secret.bin", "link", "out/secret.bin", ".hidden", "%2e%2e/x")
ABSOLUTE = (
    "/etc/passwd",
    "/dev/zero",
    "%2Fetc%2Fpasswd",
    "file:///etc/passwd",
    "C:\\x",
    "C:x",
    "\\\\host\\x",
    "http://a/b",
)
NO_PLAIN_FILE = ("pipe", "sub", "none.bin", "a%00b", "x" * 5000, "")


def test_files_in_the_folder_are_read(folder: Path) -> None:
    for uri in ("sub/data.bin", "sub/../sub/data.bin", "data:;base64,ZGF0YQ==", "data:,data"):
        assert Resources(folder).read(uri) == b"data"


@pytest.mark.parametrize("uri", [*OUTSIDE, *ABSOLUTE, *NO_PLAIN_FILE])
def test_nothing_else_is_read(uri: str, folder: Path) -> None:
    with pytest.raises(RefusedFile, match=";"):
        Resources(folder).read(uri)
    with pytest.raises(RefusedFile):
        Resources(None).read(uri)


@pytest.mark.parametrize("uri", [*OUTSIDE, "/etc/passwd", "/dev/zero", "pipe"])
@pytest.mark.parametrize("place", ["buffers", "images"])
def test_nothing_of_it_reaches_an_output_or_the_viewer(uri: str, place: str, folder: Path) -> None:
    document, blob = make_character()
    if place == "buffers":
        document["buffers"].append({"byteLength": 1, "uri": uri})
    else:
        document["images"] = [{"uri": uri, "mimeType": "image/png"}]
    path, out = folder / "hero.glb", folder / "out.glb"
    path.write_bytes(glb(document, blob))
    for read in (read_scene, read_character, lambda path: animated(path, out, make_motion())):
        with pytest.raises(Smirk3dError, match=r"hero\.glb: ") as refused:
            read(path)
        assert "\n" not in str(refused.value)
    assert not out.exists()


def test_devices_pipes_and_folders_are_no_characters(folder: Path) -> None:
    for path in (folder / "pipe", folder / "sub", Path("/dev/zero"), folder / "none.glb"):
        for read in (read_character, read_scene):
            with pytest.raises(Smirk3dError, match=";"):
                read(path)


def test_sizes_are_checked_before_reading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(folder / "huge.bin", "wb") as file:
        file.truncate(1 << 40)  # a sparse file
    with pytest.raises(RefusedFile, match="MB"):
        read_plain_file(folder / "huge.bin")
    with pytest.raises(RefusedFile, match=r"huge\.bin"):
        Resources(folder).read("huge.bin")
    (folder / "a.png").write_bytes(red_png())
    twice = Resources(folder, 2 * len(red_png()) - 1)
    twice.read("a.png")
    with pytest.raises(RefusedFile):  # the limit is for everything together
        twice.read("a.png")
    monkeypatch.setattr(resources, "MAX_FILE_BYTES", 100)
    with pytest.raises(RefusedFile):
        Resources(None, 3).read("data:,abcd")


def _edited(edit: Any) -> bytes:
    document, blob = make_character()
    edit(document)
    return glb(document, blob)


def _many_targets(document: dict[str, Any]) -> None:
    document["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": 0}] * 100_000


HOSTILE = {
    "targets": (_edited(_many_targets), "morph targets"),
    "deep": (b'{"asset": ' + b"[" * 200_000, "no glTF file"),
    "deep but whole": (b'{"asset":{"version":"2.0"},"extras":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "no glTF file"),
    "values": (b'{"asset":{"version":"2.0"},"extras":[' + b"1," * 5_000_000 + b"1]}", "values"),
    "nan": (_edited(lambda d: d["meshes"][0].update(weights=[float("nan")] * 4)), "NaN"),
    "weights": (_edited(lambda d: d["meshes"][0].update(weights=["nan"] * 4)), "finite"),
    "digits": (b'{"asset":{"version":"2.0"},"extras":' + b"9" * 5000 + b"}", "no glTF file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_documents_are_refused_in_a_moment(kind: str, tmp_path: Path) -> None:
    content, reason = HOSTILE[kind]
    (tmp_path / "hero.glb").write_bytes(content)
    with pytest.raises(Smirk3dError, match=r"hero\.glb: ") as refused:
        animated(tmp_path / "hero.glb", tmp_path / "out.glb", make_motion())
    message = str(refused.value)
    assert reason in message and "\n" not in message and len(message) < 500 + len(str(tmp_path))
    assert not (tmp_path / "out.glb").exists()


def test_long_chains_and_many_meshes_take_no_quadratic_time(tmp_path: Path) -> None:
    document, blob = make_character()
    first = len(document["nodes"])
    document["nodes"] += [{"children": [first + k + 1]} for k in range(10_000)] + [{"name": "chin"}]
    document["meshes"] += [{"name": f"m{k}", "primitives": [{"attributes": {}}]} for k in range(20_000)]
    document["nodes"] += [{"mesh": 3 + k} for k in range(20_000)]
    (tmp_path / "hero.glb").write_bytes(glb(document, blob))
    out = animated(tmp_path / "hero.glb", tmp_path / "out.glb", make_motion(), "chin")
    assert len(parts(out)[0]["nodes"]) == len(document["nodes"])


def test_names_of_many_words_are_matched_in_a_moment(tmp_path: Path) -> None:
    document, blob = make_character()
    names = ["aB" * 20_000, "a_" * 100 + "jawOpen", "x" * 256, "eyeBlinkLeft"]
    document["meshes"][0]["extras"]["targetNames"] = names
    (tmp_path / "hero.glb").write_bytes(glb(document, blob))
    out = animated(tmp_path / "hero.glb", tmp_path / "out.glb", make_motion())
    assert parts(out)[0]["meshes"] == document["meshes"]


def test_many_expressions_and_meshes_take_no_quadratic_time(tmp_path: Path) -> None:
    document, blob = make_character()
    document["meshes"] = [document["meshes"][1] | {"name": f"m{k}"} for k in range(2000)]
    document["nodes"] = [{"mesh": k} for k in range(2000)]
    binds = [{"name": f"e{k}", "binds": [{"mesh": k % 2000, "index": 0}]} for k in range(20_000)]
    document["extensions"]["VRM"] = {"blendShapeMaster": {"blendShapeGroups": binds}}
    (tmp_path / "hero.glb").write_bytes(glb(document, blob))
    assert len(read_character(tmp_path / "hero.glb").targets) == 2000
