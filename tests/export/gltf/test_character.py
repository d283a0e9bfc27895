"""Animations of a character, and the contents of its file that must not change."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygltflib as gl
import pytest
import trimesh
from character_files import (
    FACE,
    TILT,
    Json,
    animated,
    column,
    curves,
    glb,
    make_character,
    make_motion,
    parts,
    write_character,
)
from scipy.spatial.transform import Rotation

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.character import (
    find_head_node,
    head_node_rotations,
    read_character,
    save_animated_character,
)
from smirk3d.export.gltf.morph_names import retarget_matrices
from smirk3d.face import Face


@pytest.fixture
def character_path(tmp_path: Path) -> Path:
    return write_character(tmp_path)


def test_weights_of_all_mapped_targets(character_path: Path) -> None:
    motion = make_motion()
    found = curves(animated(character_path, character_path.with_name("out.glb"), motion))
    assert set(found) == {(3, "weights"), (5, "weights"), (4, "weights"), (2, "rotation")}
    jaw, ones = column(motion, "jawOpen"), np.ones(5)
    blinks = column(motion, "eyeBlinkLeft"), column(motion, "eyeBlinkRight")
    for times, _ in found.values():
        assert np.allclose(times, motion.time_s, atol=1e-6)
    assert np.allclose(found[3, "weights"][1], np.stack([jaw, 0.25 * ones, *blinks], axis=1), atol=1e-6)
    assert np.allclose(found[5, "weights"][1], np.stack([jaw, 0.75 * ones, *blinks], axis=1), atol=1e-6)
    assert np.allclose(found[4, "weights"][1], np.stack([jaw, 0 * ones], axis=1), atol=1e-6)


def test_the_rest_of_the_file_does_not_change(character_path: Path) -> None:
    before, blob = parts(character_path)
    out = animated(character_path, character_path.with_name("out.glb"), make_motion())
    after, longer = parts(out)
    assert set(after) == set(before)
    grown = {"accessors", "bufferViews", "animations"}
    assert all(after[name][: len(before[name])] == before[name] for name in grown)
    assert all(after[name] == before[name] for name in set(before) - grown - {"buffers"})
    assert len(after["animations"]) == 2 and len(after["buffers"]) == 1
    data = blob[: before["buffers"][0]["byteLength"]]
    assert longer[: len(data)] == data
    assert out.read_bytes().endswith(struct.pack("<I", 8) + b"XTRA12345678")
    assert {path.name for path in character_path.parent.iterdir()} == {"hero.glb", "out.glb"}


def test_other_libraries_read_the_result(character_path: Path) -> None:
    out = animated(character_path, character_path.with_name("out.glb"), make_motion())
    with pytest.warns(UserWarning, match="XTRA"):
        document = gl.GLTF2().load_binary(str(out))
    assert document is not None
    assert [animation.name for animation in document.animations] == ["nod", "smirk3d"]
    assert document.images[0].name == "red" and len(document.animations[1].channels) == 4
    scene = trimesh.load(out, force="scene")
    assert isinstance(scene, trimesh.Scene) and len(scene.geometry) == 3


def test_a_second_animation_has_another_name(character_path: Path) -> None:
    once = animated(character_path, character_path.with_name("once.glb"), make_motion(seed=1))
    twice = animated(once, character_path.with_name("twice.glb"), make_motion(seed=2))
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


def _mirror_root(document: Json) -> None:
    document["nodes"][0]["scale"] = [-2, 2, 2]


def _use_matrices(document: Json) -> None:
    for node, scale in ((1, (3, 3, 3)), (2, (-1, 2, 0.5))):
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_euler("zyx", [40, 70, -20], degrees=True).as_matrix() * scale
        matrix[:3, 3] = (1, 2, 3)
        document["nodes"][node] = {
            name: value
            for name, value in document["nodes"][node].items()
            if name not in ("rotation", "scale", "translation")
        } | {"matrix": matrix.T.ravel().tolist()}


@pytest.mark.parametrize("change", [_keep, _mirror_root, _use_matrices])
def test_the_head_rotates_in_the_scene_as_before_the_camera(change: Callable[[Json], None], tmp_path: Path) -> None:
    document, blob = make_character()
    change(document)
    (tmp_path / "hero.glb").write_bytes(glb(document, blob))
    motion = make_motion(12)
    out = animated(tmp_path / "hero.glb", tmp_path / "out.glb", motion)
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
def test_characters_of_vrm_0_face_the_other_way(extension: str, tmp_path: Path) -> None:
    """Rotations are relative to the direction that the character faces."""
    document, blob = make_character()
    (tmp_path / "hero.glb").write_bytes(glb(document | {"extensions": {extension: {}}}, blob))
    motion = make_motion()
    out = animated(tmp_path / "hero.glb", tmp_path / "out.glb", motion)
    after, _ = parts(out)
    up, forwards = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0 if extension == "VRM" else 1.0])
    own = np.stack([np.cross(up, forwards), up, forwards], axis=1)  # its left, up, forwards
    rest = _in_scene(after, 2, Rotation.from_quat(after["nodes"][2]["rotation"]).as_matrix())
    assert motion.rotation_rotmat is not None
    for quaternion, rotmat in zip(curves(out)[2, "rotation"][1], motion.rotation_rotmat, strict=True):
        turn = _in_scene(after, 2, Rotation.from_quat(quaternion).as_matrix()) @ np.linalg.inv(rest)
        assert np.allclose(own.T @ turn @ own, rotmat, atol=1e-5)


def test_no_rotation_leaves_the_head_at_rest(character_path: Path) -> None:
    character = read_character(character_path)
    (found,) = head_node_rotations(character, 2, np.eye(3)[None])
    assert np.allclose(found, Rotation.from_quat(TILT).as_matrix())


def test_the_node_of_the_head(character_path: Path) -> None:
    character = read_character(character_path)
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
    assert find_head_node(read_character_without_names(character_path)) is None


def read_character_without_names(character_path: Path):
    document, blob = parts(character_path)
    document["nodes"] = [{k: v for k, v in node.items() if k != "name"} for node in document["nodes"]]
    path = character_path.with_name("nameless.glb")
    path.write_bytes(glb(document, blob))
    return read_character(path)


def test_names_of_targets_in_other_places_or_missing(tmp_path: Path) -> None:
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


def test_an_exported_face_is_a_character(make_face: Callable[..., Face], tmp_path: Path) -> None:
    motion = make_motion(3)
    character = read_character(make_face().save(tmp_path / "head.glb"))
    (matrix,) = retarget_matrices(character.targets)
    assert (matrix == np.eye(52)).all()
    save_animated_character(character, motion, [matrix], tmp_path / "out.glb", find_head_node(character))
    found = curves(tmp_path / "out.glb")
    assert list(found) == [(0, "weights")] and np.allclose(found[0, "weights"][1], motion.arkit, atol=1e-6)
    mesh = trimesh.load(tmp_path / "out.glb", force="mesh")
    assert isinstance(mesh, trimesh.Trimesh) and len(mesh.faces) > 1000
