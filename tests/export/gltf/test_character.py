"""A character that the tests build gets an animation; everything else in its file stays as it was."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib as gl
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.character import (
    find_head_node,
    head_node_rotations,
    read_character,
    save_animated_character,
)
from smirk3d.export.gltf.morph_names import retarget_matrices
from smirk3d.export.tables.motion_file import KeyframeMotion
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES

Json = dict[str, Any]
FACE, TEETH = ("jawOpen", "extra", "eyeBlink_L", "EyeBlinkRight"), ("teeth_jawOpen", "other")
TURN = Rotation.from_euler("xyz", [30, -40, 20], degrees=True).as_quat().tolist()
TILT = Rotation.from_euler("xyz", [-90, 15, 0], degrees=True).as_quat().tolist()


class _Builder:
    """Packs arrays into the buffer of a document."""

    def __init__(self) -> None:
        self.blob, self.views, self.accessors = b"", [], []

    def view(self, data: bytes) -> int:
        self.blob += b"\0" * (-len(self.blob) % 4)
        self.views.append({"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(data)})
        self.blob += data
        return len(self.views) - 1

    def add(self, values: np.ndarray, kind: str, **more: object) -> int:
        values = values.astype(np.float32)
        bounds = {"min": np.atleast_1d(values.min(0)).tolist(), "max": np.atleast_1d(values.max(0)).tolist()}
        record = {"bufferView": self.view(values.tobytes()), "componentType": 5126, "count": len(values), "type": kind}
        self.accessors.append(record | bounds | more)
        return len(self.accessors) - 1


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (200, 10, 10)).save(file, "PNG")
    return file.getvalue()


def make_character() -> tuple[Json, bytes]:
    """Two meshes of one triangle, one of them shown twice; a head under a turned, scaled root; an animation."""
    build = _Builder()
    triangle = build.add(np.eye(3), "VEC3")
    corners = build.add(np.eye(3)[:, :2], "VEC2")
    primitive = {"attributes": {"POSITION": triangle, "TEXCOORD_0": corners}, "material": 0}
    offsets = [build.add(np.full((3, 3), 0.1 * k), "VEC3") for k in range(1, 5)]
    meshes = [
        {
            "name": "Face",
            "primitives": [primitive | {"targets": [{"POSITION": k} for k in offsets]}],
            "weights": [0.0, 0.25, 0.5, 0.0],
            "extras": {"targetNames": list(FACE), "artist": "someone"},
        },
        {
            "name": "Teeth",
            "primitives": [primitive | {"targets": [{"POSITION": k} for k in offsets[:2]]}],
            "extras": {"targetNames": list(TEETH)},
        },
        {"name": "Still", "primitives": [primitive]},
    ]
    times, nod = build.add(np.array([0.0, 1.0]), "SCALAR"), build.add(np.array([[0, 0, 0, 1.0], TURN]), "VEC4")
    document = {
        "asset": {"version": "2.0", "generator": "a test", "extras": {"odd": [1, None, "ü"]}},
        "extensionsUsed": ["VENDOR_unknown"],
        "extensions": {"VENDOR_unknown": {"deep": {"list": [0.1, 1e-9, 12345678901234567890]}}},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {"name": "Root", "children": [1, 3, 4, 5, 6], "rotation": TILT, "scale": [0.01, 0.01, 0.01]},
            {"name": "Neck", "children": [2], "rotation": TURN, "translation": [0, 2, 0]},
            {"name": "mixamorig:Head", "rotation": TILT, "extras": {"bone": True}},
            {"name": "FaceNode", "mesh": 0},
            {"name": "TeethNode", "mesh": 1},
            {"name": "FaceAgain", "mesh": 0, "weights": [0.0, 0.75, 0.0, 0.0]},
            {"name": "StillNode", "mesh": 2},
        ],
        "meshes": meshes,
        "materials": [{"name": "skin", "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"name": "red", "mimeType": "image/png", "bufferView": build.view(_png())}],
        "animations": [
            {
                "name": "nod",
                "samplers": [{"input": times, "output": nod, "interpolation": "LINEAR"}],
                "channels": [{"sampler": 0, "target": {"node": 2, "path": "rotation"}}],
                "extras": {"kept": True},
            }
        ],
        "accessors": build.accessors,
        "bufferViews": build.views,
        "buffers": [{"byteLength": len(build.blob)}],
    }
    return document, build.blob


def glb(document: Json, blob: bytes, *more: tuple[bytes, bytes]) -> bytes:
    text = json.dumps(document).encode()
    chunks = [(b"JSON", text + b" " * (-len(text) % 4)), (b"BIN\0", blob + b"\0" * (-len(blob) % 4)), *more]
    body = b"".join(struct.pack("<I", len(content)) + kind + content for kind, content in chunks)
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


def parts(path: Path) -> tuple[Json, bytes]:
    """Return JSON and binary chunk of a .glb."""
    content = path.read_bytes()
    (size,) = struct.unpack_from("<I", content, 12)
    assert struct.unpack_from("<I", content, 8) == (len(content),)
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def values_of(document: Json, blob: bytes, index: int) -> np.ndarray:
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    assert view["buffer"] == 0 and view["byteLength"] == 4 * width * accessor["count"]
    found = np.frombuffer(blob, np.float32, accessor["count"] * width, view.get("byteOffset", 0))
    return found if width == 1 else found.reshape(-1, width)


def curves(path: Path, name: str = "smirk3d") -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
    """Return (node, property) -> times and values of an animation."""
    document, blob = parts(path)
    (animation,) = (one for one in document["animations"] if one.get("name") == name)
    found = {}
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        assert sampler["interpolation"] == "LINEAR"
        times = values_of(document, blob, sampler["input"])
        record = document["accessors"][sampler["input"]]
        assert record["min"] == [times.min()] and record["max"] == [times.max()] and (np.diff(times) > 0).all()
        values = values_of(document, blob, sampler["output"])
        key = (channel["target"]["node"], channel["target"]["path"])
        assert key not in found
        found[key] = times, values.reshape(len(times), -1)
    return found


def make_motion(count: int = 5, seed: int = 0) -> KeyframeMotion:
    random = np.random.default_rng(seed)
    rotations = Rotation.from_rotvec(random.normal(0, 1.5, (count, 3))).as_matrix()
    return KeyframeMotion(0.12 + np.arange(count) / 24, random.uniform(0, 1, (count, 52)), rotations)


def column(motion: KeyframeMotion, name: str) -> np.ndarray:
    return motion.arkit[:, ARKIT_NAMES.index(name)]


@pytest.fixture
def hero(tmp_path: Path) -> Path:
    (tmp_path / "hero.glb").write_bytes(glb(*make_character(), (b"XTRA", b"12345678")))
    return tmp_path / "hero.glb"


def _animated(path: Path, out: Path, motion: KeyframeMotion, head: str | None = "mixamorig:Head") -> Path:
    character = read_character(path)
    node = None if head is None else find_head_node(character, head)
    save_animated_character(character, motion, retarget_matrices(character.targets), out, node)
    return out


def test_all_weights_are_where_they_belong(hero: Path) -> None:
    motion = make_motion()
    found = curves(_animated(hero, hero.with_name("out.glb"), motion))
    assert set(found) == {(3, "weights"), (5, "weights"), (4, "weights"), (2, "rotation")}
    jaw, still = column(motion, "jawOpen"), np.ones(5)
    blinks = column(motion, "eyeBlinkLeft"), column(motion, "eyeBlinkRight")
    for times, _ in found.values():
        assert np.allclose(times, motion.time_s, atol=1e-6)
    assert np.allclose(found[3, "weights"][1], np.stack([jaw, 0.25 * still, *blinks], axis=1), atol=1e-6)
    assert np.allclose(found[5, "weights"][1], np.stack([jaw, 0.75 * still, *blinks], axis=1), atol=1e-6)
    assert np.allclose(found[4, "weights"][1], np.stack([jaw, 0 * still], axis=1), atol=1e-6)


def test_nothing_else_changes(hero: Path) -> None:
    before, blob = parts(hero)
    out = _animated(hero, hero.with_name("out.glb"), make_motion())
    after, longer = parts(out)
    assert set(after) == set(before)
    grown = {"accessors", "bufferViews", "animations"}
    assert all(after[name][: len(before[name])] == before[name] for name in grown)
    assert all(after[name] == before[name] for name in set(before) - grown - {"buffers"})
    assert len(after["animations"]) == 2 and len(after["buffers"]) == 1
    data = blob[: before["buffers"][0]["byteLength"]]
    assert longer[: len(data)] == data
    assert out.read_bytes().endswith(struct.pack("<I", 8) + b"XTRA12345678")
    assert {path.name for path in hero.parent.iterdir()} == {"hero.glb", "out.glb"}


def test_other_readers_read_it(hero: Path) -> None:
    out = _animated(hero, hero.with_name("out.glb"), make_motion())
    with pytest.warns(UserWarning, match="XTRA"):
        document = gl.GLTF2().load_binary(str(out))
    assert document is not None
    assert [animation.name for animation in document.animations] == ["nod", "smirk3d"]
    assert document.images[0].name == "red" and len(document.animations[1].channels) == 4
    scene = trimesh.load(out, force="scene")
    assert isinstance(scene, trimesh.Scene) and len(scene.geometry) == 3


def test_a_second_animation_has_a_name_of_its_own(hero: Path) -> None:
    once = _animated(hero, hero.with_name("once.glb"), make_motion(seed=1))
    twice = _animated(once, hero.with_name("twice.glb"), make_motion(seed=2))
    for name, seed in (("smirk3d", 1), ("smirk3d.1", 2)):
        assert np.allclose(curves(twice, name)[3, "weights"][1][:, 0], column(make_motion(seed=seed), "jawOpen"))


def _in_scene(document: Json, node: int, own: np.ndarray) -> np.ndarray:
    """Return the linear part (3, 3) of a node in the scene, if it had the rotation `own`."""

    def linear(record: Json) -> np.ndarray:
        if "matrix" in record:
            return np.reshape(record["matrix"], (4, 4)).T[:3, :3]
        return Rotation.from_quat(record.get("rotation", [0, 0, 0, 1])).as_matrix() @ np.diag(
            record.get("scale", [1, 1, 1])
        )

    result = own @ np.diag(document["nodes"][node].get("scale", [1, 1, 1]))
    above = [n for n, record in enumerate(document["nodes"]) if node in record.get("children", [])]
    while above:
        result = linear(document["nodes"][above[0]]) @ result
        above = [n for n, record in enumerate(document["nodes"]) if above[0] in record.get("children", [])]
    return result


def _keep(document: Json) -> None:
    pass


def _mirror_the_root(document: Json) -> None:
    document["nodes"][0]["scale"] = [-2, 2, 2]


def _matrices_instead(document: Json) -> None:
    for node, scale in ((1, (3, 3, 3)), (2, (-1, 2, 0.5))):
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_euler("zyx", [40, 70, -20], degrees=True).as_matrix() * scale
        matrix[:3, 3] = (1, 2, 3)
        document["nodes"][node] = {
            name: value
            for name, value in document["nodes"][node].items()
            if name not in ("rotation", "scale", "translation")
        } | {"matrix": matrix.T.ravel().tolist()}


@pytest.mark.parametrize("change", [_keep, _mirror_the_root, _matrices_instead])
def test_the_head_turns_in_the_scene_as_before_the_camera(change: Callable[[Json], None], tmp_path: Path) -> None:
    document, blob = make_character()
    change(document)
    (tmp_path / "hero.glb").write_bytes(glb(document, blob))
    motion = make_motion(12)
    out = _animated(tmp_path / "hero.glb", tmp_path / "out.glb", motion)
    after, _ = parts(out)
    head = after["nodes"][2]
    assert "matrix" not in head and head["name"] == "mixamorig:Head"
    if "matrix" in document["nodes"][2]:
        assert np.allclose(head["translation"], (1, 2, 3)) and np.allclose(head["scale"], (-1, 2, 0.5))
    rest = _in_scene(after, 2, Rotation.from_quat(head["rotation"]).as_matrix())
    if "matrix" in document["nodes"][2]:
        original = _in_scene(document, 2, np.reshape(document["nodes"][2]["matrix"], (4, 4)).T[:3, :3])
        assert np.allclose(rest, original, atol=1e-6)
    quaternions = curves(out)[2, "rotation"][1]
    assert np.allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-6)
    assert ((quaternions[1:] * quaternions[:-1]).sum(axis=1) >= 0).all()
    assert motion.rotation_rotmat is not None
    for quaternion, rotmat in zip(quaternions, motion.rotation_rotmat, strict=True):
        turned = _in_scene(after, 2, Rotation.from_quat(quaternion).as_matrix())
        assert np.allclose(turned, rotmat @ rest, atol=1e-5 * np.abs(rest).max())


@pytest.mark.parametrize("extension", ["VRM", "VRMC_vrm"])
def test_characters_of_vrm_0_look_the_other_way(extension: str, tmp_path: Path) -> None:
    """A turn is seen from where the character looks: to its left, up and towards its right shoulder, as the subject."""
    document, blob = make_character()
    (tmp_path / "hero.glb").write_bytes(glb(document | {"extensions": {extension: {}}}, blob))
    motion = make_motion()
    out = _animated(tmp_path / "hero.glb", tmp_path / "out.glb", motion)
    after, _ = parts(out)
    up, looks = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0 if extension == "VRM" else 1.0])
    own = np.stack([np.cross(up, looks), up, looks], axis=1)  # its left, up, forwards
    still = _in_scene(after, 2, Rotation.from_quat(after["nodes"][2]["rotation"]).as_matrix())
    assert motion.rotation_rotmat is not None
    for quaternion, rotmat in zip(curves(out)[2, "rotation"][1], motion.rotation_rotmat, strict=True):
        turn = _in_scene(after, 2, Rotation.from_quat(quaternion).as_matrix()) @ np.linalg.inv(still)
        assert np.allclose(own.T @ turn @ own, rotmat, atol=1e-5)


def test_no_turn_leaves_the_head_at_rest(hero: Path) -> None:
    character = read_character(hero)
    (found,) = head_node_rotations(character, 2, np.eye(3)[None])
    assert np.allclose(found, Rotation.from_quat(TILT).as_matrix())


def test_which_node_is_the_head(hero: Path) -> None:
    character = read_character(hero)
    nodes = character.document["nodes"]
    assert find_head_node(character) == find_head_node(character, "mixamorig:Head") == 2
    with pytest.raises(Smirk3dError, match=r"hero\.glb: no node is named 'Nek'; did you mean Neck\?"):
        find_head_node(character, "Nek")
    nodes[3]["name"] = "Head"  # shows a mesh
    assert find_head_node(character) == 2
    nodes[1]["name"] = "head"
    assert find_head_node(character) is None and find_head_node(character, "Head") == 3
    nodes[0]["name"] = "head"
    with pytest.raises(Smirk3dError, match="2 nodes are named 'head'"):
        find_head_node(character, "head")
    assert find_head_node(read_character_without_names(hero)) is None


def read_character_without_names(hero: Path):
    document, blob = parts(hero)
    document["nodes"] = [{k: v for k, v in node.items() if k != "name"} for node in document["nodes"]]
    path = hero.with_name("nameless.glb")
    path.write_bytes(glb(document, blob))
    return read_character(path)


def test_files_beside_a_gltf_come_along(hero: Path, tmp_path: Path) -> None:
    document, blob = make_character()
    picture = document["images"][0]
    view = document["bufferViews"][picture.pop("bufferView")]
    del picture["name"]
    (tmp_path / "my textures").mkdir()
    (tmp_path / "my textures" / "röt.png").write_bytes(blob[view["byteOffset"] :][: view["byteLength"]])
    picture["uri"] = "my%20textures/r%C3%B6t.png"
    inline = "data:image/png;base64," + base64.b64encode(_png()).decode()
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
    out, usual = tmp_path / "elsewhere" / "out.glb", _animated(hero, tmp_path / "usual.glb", motion)
    out.parent.mkdir()
    _animated(tmp_path / "hero.gltf", out, motion)
    (after, longer), (other, other_blob) = parts(out), parts(usual)
    assert len(after["buffers"]) == 1 and "uri" not in json.dumps(after) and after["buffers"][0]["name"] == "first"
    assert [image["name"] for image in after["images"][:1]] == ["röt"]
    for image in after["images"]:
        place = after["bufferViews"][image["bufferView"]]
        assert image["mimeType"] == "image/png"
        assert longer[place["byteOffset"] :][: place["byteLength"]] == _png()
    for index in range(len(document["accessors"])):
        assert (values_of(after, longer, index) == values_of(other, other_blob, index)).all()
    for key, (_, values) in curves(usual).items():
        assert (curves(out)[key][1] == values).all()


def test_compressed_views_keep_pointing_at_their_data(tmp_path: Path) -> None:
    """Much as gltfpack writes them: there is a buffer that only a decoder fills."""
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
    after, longer = parts(_animated(tmp_path / "hero.glb", tmp_path / "out.glb", make_motion()))
    view = after["bufferViews"][len(document["bufferViews"]) - 1]
    assert after["buffers"][1] == document["buffers"][2] and len(after["buffers"]) == 2
    assert view["buffer"] == 1 and view["byteLength"] == 36
    moved = view["extensions"]["EXT_meshopt_compression"]
    assert moved["buffer"] == 0 and longer[moved["byteOffset"] :][:4] == b"efgh"
    assert moved | {"buffer": 1, "byteOffset": 4} == packed


def test_names_elsewhere_and_nowhere(tmp_path: Path) -> None:
    document, blob = make_character()
    face, teeth, _ = document["meshes"]
    face["primitives"][0]["extras"] = {"targetNames": face.pop("extras")["targetNames"]}
    teeth["extras"] = {"targetNames": ["too", "many", "names"]}
    for mesh in (face, teeth):
        mesh["name"] = "Same"
    (tmp_path / "hero.glb").write_bytes(glb(document, blob))
    first, second = read_character(tmp_path / "hero.glb").meshes
    assert first.targets.names == FACE and first.targets.from_file and first.nodes == (3, 5)
    assert second.targets.names == ("mesh1[0]", "mesh1[1]") and not second.targets.from_file
    for target, name in zip(face["primitives"][0]["targets"], "abcd"):
        document["accessors"][target["POSITION"]]["name"] = name
    (tmp_path / "hero.glb").write_bytes(glb(document, blob))
    first, second = read_character(tmp_path / "hero.glb").meshes
    assert first.targets.names == FACE and second.targets.names == ("a", "b")


def test_our_own_head_is_a_character(make_face: Callable[..., Face], tmp_path: Path) -> None:
    motion = make_motion(3)
    character = read_character(make_face().save(tmp_path / "head.glb"))
    (matrix,) = retarget_matrices(character.targets)
    assert (matrix == np.eye(52)).all()
    save_animated_character(character, motion, [matrix], tmp_path / "out.glb", find_head_node(character))
    found = curves(tmp_path / "out.glb")
    assert list(found) == [(0, "weights")] and np.allclose(found[0, "weights"][1], motion.arkit, atol=1e-6)
    mesh = trimesh.load(tmp_path / "out.glb", force="mesh")
    assert isinstance(mesh, trimesh.Trimesh) and len(mesh.faces) > 1000


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
        _animated(tmp_path / "hero.glb", tmp_path / "out.glb", make_motion())
    message = str(refused.value)
    assert reason in message and message.startswith(str(tmp_path / "hero.glb")) and "\n" not in message
    assert not (tmp_path / "out.glb").exists()


def test_a_missing_character(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"none\.glb: cannot be read \(No such file"):
        read_character(tmp_path / "none.glb")
