"""Reading of characters' files: buffers and images in other files, compressed views, damaged files."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from character_files import (
    animated,
    curves,
    glb,
    make_character,
    make_motion,
    parts,
    red_png,
    values_of,
    write_character,
)

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.character import read_character


@pytest.fixture
def character_path(tmp_path: Path) -> Path:
    return write_character(tmp_path)


def test_files_beside_a_gltf_are_embedded(character_path: Path, tmp_path: Path) -> None:
    document, blob = make_character()
    picture = document["images"][0]
    view = document["bufferViews"][picture.pop("bufferView")]
    del picture["name"]
    (tmp_path / "my textures").mkdir()
    (tmp_path / "my textures" / "röt.png").write_bytes(blob[view["byteOffset"] :][: view["byteLength"]])
    picture["uri"] = "my%20textures/r%C3%B6t.png"
    inline = "data:image/png;base64," + base64.b64encode(red_png()).decode()
    document["images"].append({"uri": inline})
    # The first views lie in a file, the next in the JSON.
    cut = document["bufferViews"][4]["byteOffset"]
    for later in document["bufferViews"][4:]:
        later.update(buffer=1, byteOffset=later["byteOffset"] - cut)
    (tmp_path / "data.bin").write_bytes(blob[:cut])
    second = "data:application/octet-stream;base64," + base64.b64encode(blob[cut:]).decode()
    document["buffers"] = [
        {"byteLength": cut, "uri": "data.bin", "name": "first"},
        {"byteLength": len(blob) - cut, "uri": second},
    ]
    (tmp_path / "hero.gltf").write_text(json.dumps(document), encoding="utf-8")
    motion = make_motion()
    out, expected = tmp_path / "elsewhere" / "out.glb", animated(character_path, tmp_path / "expected.glb", motion)
    out.parent.mkdir()
    animated(tmp_path / "hero.gltf", out, motion)
    (after, longer), (other, other_blob) = parts(out), parts(expected)
    assert len(after["buffers"]) == 1 and "uri" not in json.dumps(after) and after["buffers"][0]["name"] == "first"
    assert [image["name"] for image in after["images"][:1]] == ["röt"]
    for image in after["images"]:
        place = after["bufferViews"][image["bufferView"]]
        assert image["mimeType"] == "image/png"
        assert longer[place["byteOffset"] :][: place["byteLength"]] == red_png()
    for index in range(len(document["accessors"])):
        assert (values_of(after, longer, index) == values_of(other, other_blob, index)).all()
    for key, (_, values) in curves(expected).items():
        assert (curves(out)[key][1] == values).all()


def test_compressed_views_still_refer_to_their_data(tmp_path: Path) -> None:
    """As in files of gltfpack, which have a placeholder buffer for the decompressed data."""
    document, blob = make_character()
    document["buffers"] += [
        {"byteLength": 8, "uri": "data:;base64," + base64.b64encode(b"abcdefgh").decode()},
        {"byteLength": 999, "extensions": {"EXT_meshopt_compression": {"fallback": True}}},
    ]
    packed = {"buffer": 1, "byteOffset": 4, "byteLength": 4, "byteStride": 12, "count": 3, "mode": "ATTRIBUTES"}
    document["bufferViews"].append(
        {"buffer": 2, "byteLength": 36, "extensions": {"EXT_meshopt_compression": dict(packed)}}
    )
    (tmp_path / "hero.glb").write_bytes(glb(document, blob))
    after, longer = parts(animated(tmp_path / "hero.glb", tmp_path / "out.glb", make_motion()))
    view = after["bufferViews"][len(document["bufferViews"]) - 1]
    assert after["buffers"][1] == document["buffers"][2] and len(after["buffers"]) == 2
    assert view["buffer"] == 1 and view["byteLength"] == 36
    moved = view["extensions"]["EXT_meshopt_compression"]
    assert moved["buffer"] == 0 and longer[moved["byteOffset"] :][:4] == b"efgh"
    assert moved | {"buffer": 1, "byteOffset": 4} == packed


def _changed(**changes: object) -> bytes:
    document, blob = make_character()
    return glb(document | changes, blob)


def _cycle() -> bytes:
    document, blob = make_character()
    document["nodes"][2]["children"] = [0]
    return glb(document, blob)


GOOD = glb(*make_character())
BROKEN = {
    "cut": (GOOD[:-20], "is cut off"),
    "start": (GOOD[:10], "is cut off"),
    "chunk": (GOOD[:12] + b"\xff\xff\xff\x7f" + GOOD[16:], "is damaged"),
    "version": (GOOD[:4] + b"\x01\0\0\0" + GOOD[8:], "its glTF version is 1; export it as glTF 2.0"),
    "old": (b'{"asset": {"version": "1.0"}}', "its glTF version is 1.0; export it as glTF 2.0"),
    "empty": (b"", "is no glTF file"),
    "fbx": (b"Kaydara FBX Binary  \0", "is no glTF file"),
    "list": (b"[1, 2]", "its glTF version is unknown"),
    "meshes": (_changed(meshes=[]), "none of its 0 meshes has a node and morph targets; export it with its shape keys"),
    "nodes": (_changed(nodes=[]), "none of its 3 meshes has a node and morph targets"),
    "odd": (_changed(meshes=5), "is damaged (TypeError"),
    "primitives": (_changed(meshes=[{}]), "is damaged (KeyError"),
    "buffer": (_changed(buffers=[{"byteLength": 10**6}]), "its buffer 0 is shorter than its stated length"),
    "missing": (_changed(buffers=[{"byteLength": 1, "uri": "no.bin"}]), "its file no.bin cannot be read"),
    "web": (
        _changed(buffers=[{"byteLength": 1, "uri": "https://a.b/c"}]),
        "refers to https://a.b/c; export it as .glb",
    ),
    "views": (_changed(buffers=[]), "is damaged (IndexError"),
    "picture": (_changed(images=[{"uri": "data:,abc"}]), "its image data:,abc is of an unknown kind"),
    "weights": (_changed(meshes=[make_character()[0]["meshes"][0] | {"weights": [1]}]), "has 1 weights for 4 targets"),
    "cycle": (_cycle(), "a node is its own parent"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_characters(kind: str, tmp_path: Path) -> None:
    content, reason = BROKEN[kind]
    (tmp_path / "hero.glb").write_bytes(content)
    with pytest.raises(Smirk3dError) as refused:
        animated(tmp_path / "hero.glb", tmp_path / "out.glb", make_motion())
    message = str(refused.value)
    assert reason in message and message.startswith(str(tmp_path / "hero.glb")) and "\n" not in message
    assert not (tmp_path / "out.glb").exists()


def test_a_missing_character(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"none\.glb: cannot be read \(No such file"):
        read_character(tmp_path / "none.glb")
