"""Hostile glTF files in the viewer: sizes, indices and numbers are checked before arrays are made."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from character_files import Json, glb, make_character
from PIL import Image

from smirk3d.errors import Smirk3dError
from smirk3d.viewer.discovery import read_scene


def _accessor(**changes: Any) -> Callable[[Json], None]:
    def edit(document: Json) -> None:
        document["accessors"][0].update(changes)

    return edit


def _zeros(**changes: Any) -> Callable[[Json], None]:
    def edit(document: Json) -> None:
        del document["accessors"][0]["bufferView"]
        document["accessors"][0].update(changes)

    return edit


def _sparse(count: int, kind: int = 5125, view: int = 0) -> Json:
    return {"count": count, "indices": {"bufferView": view, "componentType": kind}, "values": {"bufferView": 0}}


def _at(*keys: Any, value: Any) -> Callable[[Json], None]:
    def edit(document: Json) -> None:
        place: Any = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return edit


HOSTILE = {
    "count": _accessor(count=10**10),
    "count of zeros": _zeros(count=10**10),
    "count of many zeros": _zeros(count=3_999_999),
    "negative count": _accessor(count=-1),
    "count of a bool": _accessor(count=True),
    "no rows": _accessor(count=0),
    "component": _accessor(componentType=9),
    "type": _accessor(type=["VEC3"]),
    "offset": _accessor(byteOffset=2**63),
    "negative offset": _accessor(byteOffset=-12),
    "view": _accessor(bufferView=-1),
    "sparse count": _accessor(sparse=_sparse(10**9)),
    "sparse indices": _accessor(sparse=_sparse(2)),
    "sparse kind": _accessor(sparse=_sparse(1, 5126)),
    "view length": _at("bufferViews", 0, "byteLength", value=2**40),
    "view offset": _at("bufferViews", 0, "byteOffset", value=-4),
    "view stride": _at("bufferViews", 0, "byteStride", value=1),
    "view buffer": _at("bufferViews", 0, "buffer", value=-1),
    "buffer length": _at("buffers", 0, "byteLength", value=2**40),
    "position": _at("meshes", 0, "primitives", 0, "attributes", "POSITION", value=-1),
    "texture": _at("textures", 0, "source", value=-1),
    "root": _at("scenes", 0, "nodes", value=[-1]),
    "child": _at("nodes", 0, "children", value=[10**9]),
    "scale": _at("nodes", 3, "scale", value=[1e300, 1, 1]),
    "rotation": _at("nodes", 3, "rotation", value=[0, 0, 0, 0]),
    "matrix": _at("nodes", 3, "matrix", value=[1e400] * 16),
    "weights": _at("meshes", 0, "weights", value=[1e300, 0, 0, 0]),
    "instances": lambda d: d.update(nodes=[{"mesh": 0} for _ in range(5000)], scenes=[]),
    "nodes": lambda d: d.update(nodes=[{} for _ in range(60_000)], scenes=[]),
    "primitives": lambda d: d["meshes"][0].update(primitives=d["meshes"][0]["primitives"] * 5000),
    "samplers": _at("animations", 0, "channels", 0, "sampler", value=7),
    "times": _at("animations", 0, "samplers", 0, "input", value=0),
    "targets": lambda d: d["meshes"][0]["primitives"][0].update(targets=[{"POSITION": 0}] * 100_000),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_sizes_and_indices_are_checked(kind: str, tmp_path: Path) -> None:
    document, blob = make_character()
    HOSTILE[kind](document)
    (tmp_path / "a.glb").write_bytes(glb(document, blob))
    with pytest.raises(Smirk3dError, match=r"a\.glb: .*;") as refused:
        read_scene(tmp_path / "a.glb")
    assert "\n" not in str(refused.value)


def test_targets_times_vertices_are_limited(tmp_path: Path) -> None:
    """Zeros need no bytes in the file, but 9,000 targets of 3,000 vertices would need a gigabyte."""
    document, blob = make_character()
    for accessor in document["accessors"][:3]:
        del accessor["bufferView"]
        accessor["count"] = 3000
    primitive: Json = {"attributes": {"POSITION": 0}, "targets": [{"POSITION": 2}] * 9000}
    document["meshes"][0] = {"primitives": [primitive]}
    (tmp_path / "a.glb").write_bytes(glb(document, blob))
    with pytest.raises(Smirk3dError, match="vertices times morph targets"):
        read_scene(tmp_path / "a.glb")


def test_long_names_are_shown_as_numbers(tmp_path: Path) -> None:
    document, blob = make_character()
    document["meshes"][0]["extras"]["targetNames"][1] = "n" * 40_000
    (tmp_path / "a.glb").write_bytes(glb(document, blob))
    assert read_scene(tmp_path / "a.glb").names[:3] == ("jawOpen", "target 1", "eyeBlink_L")


def test_texture_pixels_are_counted_before_decoding(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("1", (30_000, 10_000)).save(file, "PNG")
    document, blob = make_character()
    document["bufferViews"].append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(file.getvalue())})
    document["images"][0]["bufferView"] = len(document["bufferViews"]) - 1
    document["buffers"][0]["byteLength"] = len(blob) + len(file.getvalue())
    (tmp_path / "a.glb").write_bytes(glb(document, blob + file.getvalue()))
    with pytest.raises(Smirk3dError, match="pixels"):
        read_scene(tmp_path / "a.glb")


ODD = (None, True, -1, 0, 2**40, 1.5, "x", [], {}, [None], "data:,a", "../a", 1e308, [[]], {"a": 1})


def _mutate(value: Any, chance: random.Random) -> Any:
    """Return JSON with some of its values replaced by odd ones."""
    if chance.random() < 0.01:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {name: _mutate(each, chance) for name, each in value.items() if chance.random() > 0.005}
    return [_mutate(each, chance) for each in value] if isinstance(value, list) else value


def test_mutated_files_are_shown_or_refused_in_one_line(tmp_path: Path) -> None:
    path, refused = tmp_path / "a.glb", 0
    for seed in range(150):
        chance = random.Random(seed)
        document, blob = make_character()
        content = bytearray(glb(_mutate(document, chance), blob))
        for _ in range(chance.choice((0, 0, 3))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            scene = read_scene(path)
        except Smirk3dError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            assert abs(scene.vertices_at(0.0)).max() < 1e12
    assert 20 < refused < 150
