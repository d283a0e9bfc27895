"""Names of morph targets: automatic matches, mapping files, suggestions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.morph_names import (
    TargetNames,
    match_names,
    read_mapping,
    retarget_matrices,
    suggest_targets,
    suggestion_yaml,
)
from smirk3d.head.arkit import ARKIT_NAMES


def _driving(names: list[str]) -> dict[str, str]:
    """Return target -> blendshape of all names that match automatically."""
    matrix = match_names(names)
    assert matrix.shape == (52, len(names)) and set(np.unique(matrix)) <= {0, 1}
    return {names[column]: ARKIT_NAMES[row] for row, column in zip(*np.nonzero(matrix))}


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


SPELLINGS = (
    lambda name: name,
    lambda name: name[0].upper() + name[1:],
    str.lower,
    str.upper,
    _snake,
    lambda name: _snake(name).replace("_", " ").title(),
    lambda name: re.sub("(Left|Right)$", lambda match: "_" + match[0][0], name),
    lambda name: re.sub("(Left|Right)$", lambda match: match[0][0], name),
    lambda name: re.sub("(Left|Right)$", lambda match: "." + match[0][0].lower(), _snake(name)),
)
AROUND = ("{}", "head_{}", "blendShape1.{}", "Wolf3D_Head:{}", "{}_Mesh", "BS_{}.001", "mouth_{}", "CC_Base {}")


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_all_spellings_of_blendshapes_match(spelling, around: str) -> None:
    names = [around.format(spelling(name)) for name in ARKIT_NAMES]
    assert (match_names(names) == np.eye(52)).all()


@pytest.mark.parametrize(
    "name",
    [
        "Fcl_EYE_Close_L",
        "Fcl_MTH_Up",
        "Fcl_ALL_Joy",
        "Blink_L",
        "eyeBlink",
        "mouthSmile",
        "viseme_aa",
        "mouth_left_smile",
        "mouth_left_cheek",
        "Mouth_Pucker_Up_L",
        "jawOpen_mouthSmileLeft",
        "eyeBlinkLeft_corrective",
        "not_eyeBlinkLeft",
        "right_mouthLeft",
        "eyeBlinkLeftRight",
        "lookLeft",
        "jaw",
        "まばたき",
        "",
    ],
)
def test_similar_names_do_not_match(name: str) -> None:
    assert _driving([name]) == {}


def test_the_closest_spelling_matches_and_ties_do_not() -> None:
    assert _driving(["jawOpen_50", "jawOpen", "JawOpen"]) == {"jawOpen": "jawOpen"}
    assert _driving(["head_jawOpen", "JawOpen"]) == {"JawOpen": "jawOpen"}
    assert _driving(["head_jawOpen", "teeth_jawOpen", "tongueOut"]) == {"tongueOut": "tongueOut"}
    assert _driving(["jawOpen", "jawOpen"]) == {}


def test_two_halves_of_a_blendshape_without_sides() -> None:
    both = ["browInnerUp_L", "Brow_Inner_Up_R"]
    assert _driving([*both, "cheekPuffLeft"]) == dict.fromkeys(both, "browInnerUp")
    assert _driving([*both, "browInnerUp"]) == {"browInnerUp": "browInnerUp"}


@given(st.lists(st.text(max_size=30), max_size=8))
def test_any_names_at_most_one_blendshape_per_target(names: list[str]) -> None:
    assert (match_names(names).sum(axis=0) <= 1).all()


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
