"""VRM files: expressions drive the targets that they bind, the humanoid names the head bone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from character_files import curves, glb, make_character, make_motion

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.character import find_head_node, read_character, save_animated_character
from smirk3d.export.gltf.morph_names import retarget_matrices
from smirk3d.head.arkit import ARKIT_NAMES

FACE, TEETH, FACE_NODE, TEETH_NODE, NECK = 0, 1, 3, 4, 1


def _vrm(tmp_path: Path, extensions: dict[str, Any]) -> Path:
    """Write the test character as VRM, with targets whose names mean nothing."""
    document, blob = make_character()
    document["extensions"] = extensions
    document["meshes"][FACE]["extras"]["targetNames"] = ["t0", "t1", "t2", "t3"]
    document["meshes"][TEETH]["extras"]["targetNames"] = ["t4", "t5"]
    (tmp_path / "hero.vrm.glb").write_bytes(glb(document, blob))
    return tmp_path / "hero.vrm.glb"


def _vrm_1(**expressions: dict[str, list[tuple[int, int, float]]]) -> dict[str, Any]:
    """Return the extension of VRM 1 with expressions: group -> name -> (node, target, weight)."""
    groups = {
        group: {
            name: {"morphTargetBinds": [{"node": n, "index": k, "weight": w} for n, k, w in binds]}
            for name, binds in named.items()
        }
        for group, named in expressions.items()
    }
    humanoid = {"humanBones": {"head": {"node": NECK}}}
    return {"VRMC_vrm": {"specVersion": "1.0", "humanoid": humanoid, "expressions": groups}}


def _vrm_0(*groups: tuple[str, str, list[tuple[int, int, float]]]) -> dict[str, Any]:
    """Return the extension of VRM 0 with groups (name, preset, binds (mesh, target, percent))."""
    listed = [
        {"name": name, "presetName": preset, "binds": [{"mesh": m, "index": k, "weight": w} for m, k, w in binds]}
        for name, preset, binds in groups
    ]
    bones = [{"bone": "hips", "node": 0}, {"bone": "head", "node": NECK}]
    return {"VRM": {"humanoid": {"humanBones": bones}, "blendShapeMaster": {"blendShapeGroups": listed}}}


def _weights(path: Path, **arkit: float) -> tuple[list[float], list[float]]:
    """Return the weights of the targets of face and teeth for ARKit weights."""
    character = read_character(path)
    given = np.zeros(52, dtype=np.float32)
    for name, value in arkit.items():
        given[ARKIT_NAMES.index(name)] = value
    face, teeth = (given @ matrix for matrix in retarget_matrices(character.targets))
    return np.round(face, 6).tolist(), np.round(teeth, 6).tolist()


def test_perfect_sync_of_vrm_1(tmp_path: Path) -> None:
    custom = {"JawOpen": [(FACE_NODE, 0, 1.0), (TEETH_NODE, 1, 0.5)], "eyeBlinkLeft": [(FACE_NODE, 2, 1.0)]}
    path = _vrm(tmp_path, _vrm_1(custom=custom, preset={"aa": [(FACE_NODE, 3, 1.0)]}))
    assert _weights(path, jawOpen=0.5) == ([0.5, 0, 0, 0], [0, 0.25])
    assert _weights(path, eyeBlinkLeft=1) == ([0, 0, 1, 0], [0, 0])


def test_perfect_sync_of_vrm_0(tmp_path: Path) -> None:
    groups = ("JawOpen", "unknown", [(FACE, 0, 100.0), (TEETH, 1, 50.0)]), ("A", "a", [(FACE, 3, 100.0)])
    assert _weights(_vrm(tmp_path, _vrm_0(*groups)), jawOpen=0.5) == ([0.5, 0, 0, 0], [0, 0.25])


@pytest.mark.parametrize("version", [0, 1])
def test_presets_drive_blinks_vowels_and_gaze(version: int, tmp_path: Path) -> None:
    if version:
        preset = {"blink": [(FACE_NODE, 0, 1.0)], "aa": [(FACE_NODE, 1, 1.0)], "lookLeft": [(FACE_NODE, 2, 1.0)]}
        extensions = _vrm_1(preset=preset)
    else:
        extensions = _vrm_0(
            ("まばたき", "blink", [(FACE, 0, 100.0)]),
            ("あ", "a", [(FACE, 1, 100.0)]),
            ("左", "lookleft", [(FACE, 2, 100.0)]),
        )
    path = _vrm(tmp_path, extensions)
    assert _weights(path, eyeBlinkLeft=1, eyeBlinkRight=1) == ([1, 0, 0, 0], [0, 0])
    assert _weights(path, eyeBlinkLeft=1) == ([0.5, 0, 0, 0], [0, 0])
    assert _weights(path, jawOpen=0.5) == ([0, 0.5, 0, 0], [0, 0])
    assert _weights(path, eyeLookOutLeft=1, eyeLookInRight=1) == ([0, 0, 1, 0], [0, 0])


def test_blinks_of_one_eye_are_preferred(tmp_path: Path) -> None:
    preset = {"blink": [(FACE_NODE, 0, 1.0)], "blinkLeft": [(FACE_NODE, 1, 1.0)], "blinkRight": [(FACE_NODE, 2, 1.0)]}
    assert _weights(_vrm(tmp_path, _vrm_1(preset=preset)), eyeBlinkLeft=1) == ([0, 1, 0, 0], [0, 0])


@pytest.mark.parametrize("extensions", [_vrm_0(), _vrm_1()], ids=["0", "1"])
def test_the_humanoid_names_the_head_bone(extensions: dict[str, Any], tmp_path: Path) -> None:
    """It is preferred to a node that is named head."""
    path = _vrm(tmp_path, extensions)
    character = read_character(path)
    assert find_head_node(character) == NECK
    motion = make_motion()
    save_animated_character(character, motion, retarget_matrices(character.targets), tmp_path / "o.glb", NECK)
    assert (NECK, "rotation") in curves(tmp_path / "o.glb")


@pytest.mark.parametrize(
    "extension",
    [
        {"humanoid": {"humanBones": {"head": {"node": 99}}}},
        {"humanoid": None, "expressions": None},
        {"expressions": {"custom": {"jawOpen": {"morphTargetBinds": [{"node": 3, "index": 77}]}}}},
    ],
)
def test_statements_about_nothing_are_ignored(extension: dict[str, Any], tmp_path: Path) -> None:
    character = read_character(_vrm(tmp_path, {"VRMC_vrm": extension}))
    assert character.document["nodes"][find_head_node(character) or 0]["name"] == "mixamorig:Head"
    assert not any(matrix.any() for matrix in retarget_matrices(character.targets))


@pytest.mark.parametrize(
    "extension",
    [
        {"humanoid": {"humanBones": {"head": [3]}}},
        {"humanoid": 3},
        {"expressions": {"custom": {"jawOpen": {"morphTargetBinds": [{"node": 99, "index": 0}]}}}},
        {"expressions": {"custom": [1]}},
    ],
)
def test_damaged_statements_are_refused(extension: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"hero.vrm.glb: is damaged"):
        find_head_node(read_character(_vrm(tmp_path, {"VRMC_vrm": extension})))
