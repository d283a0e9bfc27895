"""Names that are recognised as ARKit blendshapes, and those that are not."""

from __future__ import annotations

import re
import sys
from types import FrameType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smirk3d.export.blendshape_names import match_names
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


def test_many_names_of_one_blendshape_take_work_that_grows_with_their_number() -> None:
    def calls(count: int) -> int:
        names, made = [f"jawOpen{k}" for k in range(count)], 0

        def count_call(frame: FrameType, event: str, argument: object) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(count_call)
        try:
            assert not match_names(names).any()
        finally:
            sys.setprofile(None)
        return made

    calls(100)
    assert calls(2000) < 5 * calls(500)  # four times as many; squared it were sixteen times
