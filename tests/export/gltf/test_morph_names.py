"""Morph targets of characters: what drives them, mapping files, suggestions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.morph_names import (
    TargetNames,
    read_mapping,
    retarget_matrices,
    suggest_targets,
    suggestion_yaml,
)
from smirk3d.head.arkit import ARKIT_NAMES

MESHES = (
    TargetNames("Face", ("jawOpen", "A", "smile", "eyeBlinkLeft")),
    TargetNames("Teeth", ("JawOpen", "A")),
    TargetNames("Lashes", ("Lashes[0]", "Lashes[1]"), from_file=False),
)


def _mapping(tmp_path: Path, text: str) -> Path:
    (tmp_path / "names.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "names.yaml"


def test_a_mapping_replaces_and_adds(tmp_path: Path) -> None:
    text = "jawOpen: A\nmouthSmileLeft: {smile: 0.5}\nmouthSmileRight: {smile: 0.25, 'Face[1]': -1}\n"
    text += "eyeBlinkLeft: []\neyeBlinkRight: ['Lashes[1]', eyeBlinkLeft]\ntongueOut:\n"
    face, teeth, lashes = retarget_matrices(MESHES, read_mapping(_mapping(tmp_path, text)))
    weights = np.zeros(52)
    for name, value in (("jawOpen", 1), ("mouthSmileLeft", 0.4), ("mouthSmileRight", 0.8), ("eyeBlinkRight", 0.3)):
        weights[ARKIT_NAMES.index(name)] = value
    assert np.allclose(weights @ face, [0, 1 - 0.8, 0.2 + 0.2, 0.3])
    assert np.allclose(weights @ teeth, [0, 1]) and np.allclose(weights @ lashes, [0, 0.3])
    weights[ARKIT_NAMES.index("eyeBlinkLeft")] = 1
    assert np.allclose((weights @ face)[3], 0.3)
    face, teeth, lashes = retarget_matrices(MESHES)
    assert face.sum() == 2 and teeth.sum() == 1 and not lashes.any()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("jawOpne: A", "'jawOpne' is no ARKit blendshape; did you mean jawOpen"),
        ("jawopen: A", "'jawopen' is no ARKit blendshape; did you mean jawOpen"),
        ("jawOpen: A\njawOpen: B", "jawOpen is given twice"),
        ("jawOpen: 3", "jawOpen: 3 is no name; a target without one is mesh[number]"),
        ("jawOpen: {A: much}", "the weight of 'A' is 'much', no number"),
        ("jawOpen: {A: .nan}", "the weight of 'A' is nan, no number"),
        ("jawOpen: {A: true}", "the weight of 'A' is True, no number"),
        ("jawOpen: [{A: 1}]", "is no name"),
        ("- jawOpen", "it is no list of `arkitName: target`"),
        ("", "it is no list of `arkitName: target`"),
        ("jawOpen: [A", "no YAML"),
        ("jawOpen: !!python/object/apply:os.getcwd []", "no YAML"),
    ],
)
def test_mappings_that_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(Smirk3dError) as refused:
        read_mapping(_mapping(tmp_path, text))
    message = str(refused.value)
    assert reason in message and "names.yaml: " in message and "--suggest" in message and "\n" not in message


def test_a_missing_mapping(tmp_path: Path) -> None:
    with pytest.raises(Smirk3dError, match=r"none\.yaml: cannot be read as a mapping \(No such file"):
        read_mapping(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("smlie", "did you mean smile?"),
        ("Lashes[2]", r"did you mean Lashes\["),
        ("xyzzy", "there are jawOpen, A, smile"),
    ],
)
def test_unknown_targets_in_a_mapping(tmp_path: Path, target: str, hint: str) -> None:
    mapping = read_mapping(_mapping(tmp_path, f"mouthPucker: '{target}'"))
    with pytest.raises(Smirk3dError, match=rf"names\.yaml: mouthPucker: no target '{re.escape(target)}'; {hint}"):
        retarget_matrices(MESHES, mapping)


def test_suggestions_respect_sides_and_other_naming_schemes() -> None:
    names = ["Fcl_EYE_Close_R", "Fcl_EYE_Close_L", "Mouth_Happy", "browsInnerRaised", "Basis", "xyz"]
    wanted = ["eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "tongueOut"]
    found = {guess.blendshape: guess for guess in suggest_targets(wanted, names)}
    assert {name: guess.target for name, guess in found.items()} == {
        "eyeBlinkLeft": "Fcl_EYE_Close_L",
        "eyeBlinkRight": "Fcl_EYE_Close_R",
        "mouthSmileLeft": "Mouth_Happy",
        "mouthSmileRight": "Mouth_Happy",
        "browInnerUp": "browsInnerRaised",
    }
    assert found["mouthSmileLeft"].weight == 0.5 and found["eyeBlinkLeft"].weight == 1
    assert not suggest_targets(["eyeBlinkLeft"], ["Fcl_EYE_Close_R", "Eye_Blink_R"])
    assert [guess.similarity for guess in suggest_targets(wanted, names)] == sorted(
        (guess.similarity for guess in found.values()), reverse=True
    )


def test_a_suggestion_is_a_mapping(tmp_path: Path) -> None:
    """It has the automatic matches and the suggestions; names with special characters are preserved."""
    odd = TargetNames("Odd: # mesh", ("mouth: 'smile' #1, [l]", "Odd: # mesh", "yes", "head_JawOpen", "笑顔"))
    meshes = (*MESHES, odd)
    matrices = retarget_matrices(meshes)
    text = suggestion_yaml("hero\n.glb", meshes, matrices)
    assert list(yaml.safe_load(text)) == list(ARKIT_NAMES)
    assert yaml.safe_load(text)["jawOpen"] == ["jawOpen", "JawOpen", "head_JawOpen"]
    assert yaml.safe_load(text)["mouthSmileLeft"] == "mouth: 'smile' #1, [l]"
    assert "#   笑顔" in text and "#   Lashes[0]" in text and "hero\\n.glb" in text
    again = retarget_matrices(meshes, read_mapping(_mapping(tmp_path, text)))
    driven = np.concatenate(matrices, axis=1) != 0
    assert (np.concatenate(again, axis=1)[driven] == 1).all()
    assert np.concatenate(again, axis=1).any(axis=1).sum() > driven.any(axis=1).sum()


def test_many_and_long_names_end_in_seconds() -> None:
    """The time does not grow with the square of the length of a name."""
    names = ("aA" * 20_000, *(f"shape_{k}" for k in range(20_000)), "jawOpen")
    mesh = TargetNames("Face", names)
    (matrix,) = retarget_matrices((mesh,))
    assert matrix.sum() == 1 and matrix[ARKIT_NAMES.index("jawOpen"), -1] == 1
    assert suggest_targets(["eyeBlinkLeft"], names) == []


def test_stylised_targets_apply_only_where_nothing_else_does() -> None:
    face = TargetNames("Face", ("viseme_aa", "viseme_O", "eyesClosed"))
    teeth = TargetNames("Teeth", ("jawOpen", "viseme_aa"))
    of_face, of_teeth = retarget_matrices((face, teeth))
    jaw, funnel, blink = (ARKIT_NAMES.index(name) for name in ("jawOpen", "mouthFunnel", "eyeBlinkLeft"))
    assert of_teeth[jaw].tolist() == [1, 0] and not of_face[jaw].any()
    assert of_face[funnel].tolist() == [0, 1, 0] and of_face[blink].tolist() == [0, 0, 0.5]
