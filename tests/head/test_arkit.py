"""The 52 names: complete, in Apple's order, and paired."""

from collections import Counter
from pathlib import Path

import torch

from smirk3d.authoring.makehuman import load_makehuman
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES, mirror_name


def test_there_are_52_different_names_in_apples_groups():
    assert len(set(ARKIT_NAMES)) == 52
    groups = [name[: next(i for i, c in enumerate(name) if c.isupper())] for name in ARKIT_NAMES]
    assert list(dict.fromkeys(groups)) == ["eye", "jaw", "mouth", "brow", "cheek", "nose", "tongue"]
    assert groups == [group for group, count in Counter(groups).items() for _ in range(count)]
    assert list(Counter(groups).values()) == [14, 4, 23, 5, 3, 2, 1]


def test_landmarks_of_apples_order():
    # Places that animators know by heart from the enumeration of ARKit.
    known = {0: "eyeBlinkLeft", 7: "eyeBlinkRight", 14: "jawForward", 15: "jawLeft", 17: "jawOpen"}
    known |= {18: "mouthClose", 21: "mouthLeft", 23: "mouthSmileLeft", 36: "mouthPressRight"}
    known |= {37: "mouthLowerDownLeft", 43: "browInnerUp", 46: "cheekPuff", 51: "tongueOut"}
    assert {index: ARKIT_NAMES[index] for index in known} == known


def test_left_comes_before_right():
    for name in ARKIT_NAMES:
        if name.endswith("Left"):
            assert ARKIT_NAMES.index(name) < ARKIT_NAMES.index(mirror_name(name))


def test_the_source_data_have_exactly_these_blendshapes():
    folder = load_makehuman().root / "faceunits01/targets/faceunits"
    assert set(ARKIT_NAMES) <= {Path(file).stem for file in folder.glob("*.target")}


def test_mirroring_twice_changes_nothing_and_once_swaps_sides():
    weights = torch.arange(52)
    mirrored = weights[list(ARKIT_MIRROR)]
    assert mirrored[list(ARKIT_MIRROR)].equal(weights)
    assert mirror_name("mouthSmileLeft") == "mouthSmileRight" and mirror_name("cheekPuff") == "cheekPuff"
    middle = [name for name in ARKIT_NAMES if ARKIT_MIRROR[ARKIT_NAMES.index(name)] == ARKIT_NAMES.index(name)]
    assert middle and all(not name.endswith(("Left", "Right")) for name in middle)


def test_gaze_is_four_directions_of_two_eyes():
    assert len(GAZE_NAMES) == 8
    assert {mirror_name(name) for name in GAZE_NAMES} == set(GAZE_NAMES)
