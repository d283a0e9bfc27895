"""Presets of naming conventions: what each ARKit blendshape moves on such a character."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.export.gltf.morph_names import TargetNames, retarget_matrices
from smirk3d.export.naming_schemes import gaze_matrix
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES


def _split(names: str) -> list[str]:
    return names.split()


CC4 = _split(
    "V_Open Brow_Raise_Inner_L Brow_Raise_Inner_R Brow_Raise_Outer_L Brow_Raise_Outer_R Brow_Drop_L Brow_Drop_R "
    "Brow_Compress_L Brow_Compress_R Eye_Blink_L Eye_Blink_R Eye_Squint_L Eye_Squint_R Eye_Wide_L Eye_Wide_R "
    "Eye_L_Look_L Eye_R_Look_L Eye_L_Look_R Eye_R_Look_R Eye_L_Look_Up Eye_R_Look_Up Eye_L_Look_Down Eye_R_Look_Down "
    "Nose_Sneer_L Nose_Sneer_R Nose_Crease_L Cheek_Raise_L Cheek_Raise_R Cheek_Suck_L Cheek_Puff_L Cheek_Puff_R "
    "Mouth_Smile_L Mouth_Smile_R Mouth_Smile_Sharp_L Mouth_Frown_L Mouth_Frown_R Mouth_Stretch_L Mouth_Stretch_R "
    "Mouth_Dimple_L Mouth_Dimple_R Mouth_Press_L Mouth_Press_R Mouth_Pucker_Up_L Mouth_Pucker_Up_R "
    "Mouth_Pucker_Down_L Mouth_Pucker_Down_R Mouth_Funnel_Up_L Mouth_Funnel_Up_R Mouth_Funnel_Down_L "
    "Mouth_Funnel_Down_R Mouth_Roll_In_Upper_L Mouth_Roll_In_Upper_R Mouth_Roll_In_Lower_L Mouth_Roll_In_Lower_R "
    "Mouth_Roll_Out_Upper_L Mouth_Up_Upper_L Mouth_Up_Upper_R Mouth_Down_Lower_L Mouth_Down_Lower_R Mouth_Shrug_Upper "
    "Mouth_Shrug_Lower Mouth_L Mouth_R Mouth_Up Mouth_Down Mouth_Close Jaw_Open Jaw_Forward Jaw_Backward Jaw_L Jaw_R "
    "Jaw_Up Jaw_Down Head_Turn_L Head_Turn_R Tongue_Out Tongue_In"
)
METAHUMAN = [
    f"CTRL_expressions_{name}"
    for name in _split(
        "browDownL browDownR browLateralL browRaiseInL browRaiseInR browRaiseOuterL browRaiseOuterR eyeUpperLidUpL "
        "eyeBlinkL eyeBlinkR eyeWidenL eyeWidenR eyeSquintInnerL eyeSquintInnerR eyeCheekRaiseL eyeCheekRaiseR "
        "eyeLookUpL eyeLookUpR eyeLookDownL eyeLookDownR eyeLookLeftL eyeLookLeftR eyeLookRightL eyeLookRightR "
        "noseWrinkleL noseWrinkleR mouthCheekBlowL mouthCheekBlowR mouthLeft mouthRight mouthUp mouthDown "
        "mouthUpperLipRaiseL mouthUpperLipRaiseR mouthLowerLipDepressL mouthLowerLipDepressR mouthCornerPullL "
        "mouthCornerPullR mouthStretchL mouthStretchR mouthStretchLipsCloseL mouthDimpleL mouthDimpleR "
        "mouthCornerDepressL mouthCornerDepressR mouthPressUL mouthPressUR mouthPressDL mouthPressDR "
        "mouthLipsPurseUL mouthLipsPurseUR mouthLipsPurseDL mouthLipsPurseDR mouthLipsTowardsUL mouthFunnelUL "
        "mouthFunnelUR mouthFunnelDL mouthFunnelDR mouthLipsTogetherUL mouthLipsTogetherUR mouthLipsTogetherDL "
        "mouthLipsTogetherDR mouthUpperLipRollInL mouthUpperLipRollInR mouthLowerLipRollInL mouthLowerLipRollInR "
        "jawOpen jawLeft jawRight jawFwd jawBack jawOpenExtreme jawChinRaiseDL jawChinRaiseDR jawChinRaiseUL "
        "jawChinRaiseUR tongueOut tongueUp"
    )
]
VROID = [
    f"Face.M_F00_000_00_Fcl_{name}"
    for name in _split(
        "ALL_Joy BRW_Angry BRW_Sorrow BRW_Surprised EYE_Close EYE_Close_R EYE_Close_L EYE_Spread MTH_Angry MTH_Fun "
        "MTH_A MTH_I MTH_U MTH_E MTH_O"
    )
]
MMD = [
    "まばたき",
    "ウィンク",
    "ウィンク右",
    "ウィンク２",
    "ｳｨﾝｸ２右",
    "あ",
    "い",
    "う",
    "お",
    "困る",
    "怒り",
    "びっくり",
]
OCULUS = ["viseme_sil", "viseme_PP", "viseme_aa", "viseme_E", "viseme_I", "viseme_O", "viseme_U", "Blink_L", "Blink_R"]


def _moved(names: list[str], blendshape: str) -> dict[str, float]:
    """Return target -> weight that a blendshape moves."""
    (matrix,) = retarget_matrices((TargetNames("Face", tuple(names)),))
    row = matrix[ARKIT_NAMES.index(blendshape)]
    return {name.split("expressions_")[-1].split("Fcl_")[-1]: float(w) for name, w in zip(names, row) if w}


@pytest.mark.parametrize("names", [CC4, METAHUMAN, [f"CC_Base_Body.{name}" for name in CC4]])
def test_full_conventions_drive_all_blendshapes(names: list[str]) -> None:
    (matrix,) = retarget_matrices((TargetNames("Face", tuple(names)),))
    assert [ARKIT_NAMES[row] for row in range(52) if not matrix[row].any()] == []
    assert (matrix.sum(axis=0) <= 1).all(), "a target stands for more than one blendshape"


@pytest.mark.parametrize(
    ("names", "blendshape", "targets"),
    [
        (CC4, "eyeLookInLeft", {"Eye_L_Look_R": 1}),
        (CC4, "eyeLookOutRight", {"Eye_R_Look_R": 1}),
        (CC4, "browInnerUp", {"Brow_Raise_Inner_L": 1, "Brow_Raise_Inner_R": 1}),
        (CC4, "mouthUpperUpLeft", {"Mouth_Up_Upper_L": 1}),
        (METAHUMAN, "eyeLookInRight", {"eyeLookLeftR": 1}),
        (METAHUMAN, "eyeLookOutLeft", {"eyeLookLeftL": 1}),
        (METAHUMAN, "mouthSmileRight", {"mouthCornerPullR": 1}),
        (METAHUMAN, "jawOpen", {"jawOpen": 1}),
        (METAHUMAN, "mouthPressLeft", {"mouthPressUL": 1, "mouthPressDL": 1}),
        (VROID, "eyeBlinkLeft", {"EYE_Close_L": 1}),
        (VROID, "mouthSmileLeft", {"MTH_Fun": 0.5}),
        (VROID, "jawOpen", {"MTH_A": 1}),
        (VROID, "tongueOut", {}),
        (MMD, "eyeBlinkLeft", {"ウィンク２": 1}),
        (MMD, "eyeBlinkRight", {"ｳｨﾝｸ２右": 1}),
        (MMD[:1] + MMD[5:], "eyeBlinkRight", {"まばたき": 0.5}),
        (MMD, "jawOpen", {"あ": 1}),
        (MMD, "browInnerUp", {"困る": 1}),
        (OCULUS, "eyeBlinkRight", {"Blink_R": 1}),
        (OCULUS, "mouthPucker", {"viseme_U": 1}),
    ],
)
def test_targets_of_a_blendshape(names: list[str], blendshape: str, targets: dict[str, float]) -> None:
    assert _moved(names, blendshape) == targets


@pytest.mark.parametrize(
    ("left_eye", "right_eye"),
    [
        ("Eye_L_Look_{}", "Eye_R_Look_{}"),
        ("eyeLook{}L", "eyeLook{}R"),
        ("LeftEyeLook{}", "RightEyeLook{}"),
        ("look_{}_L", "look_{}_R"),
    ],
)
def test_gaze_is_matched_by_direction(left_eye: str, right_eye: str) -> None:
    """Towards the nose is the right for the left eye, and the left for the right eye."""
    names = [eye.format(where) for eye in (left_eye, right_eye) for where in ("Left", "Right", "Up", "Down")]
    found = gaze_matrix(names)
    assert {ARKIT_NAMES[row]: names[column] for row, column in zip(*np.nonzero(found))} == {
        "eyeLookOutLeft": names[0],
        "eyeLookInLeft": names[1],
        "eyeLookUpLeft": names[2],
        "eyeLookDownLeft": names[3],
        "eyeLookInRight": names[4],
        "eyeLookOutRight": names[5],
        "eyeLookUpRight": names[6],
        "eyeLookDownRight": names[7],
    }


def test_gaze_of_both_eyes_is_shared() -> None:
    names = ["eyesLookLeft", "eyesLookRight", "lookUp", "look_down"]
    weights = np.zeros(52)
    weights[[ARKIT_NAMES.index(name) for name in ("eyeLookOutLeft", "eyeLookInRight")]] = 1
    assert (weights @ gaze_matrix(names)).tolist() == [1, 0, 0, 0]
    assert {ARKIT_NAMES[row] for row in np.nonzero(gaze_matrix(names))[0]} == set(GAZE_NAMES)


@pytest.mark.parametrize("name", ["headLookLeft", "look", "overlookLeft", "eyeLookInLeft", "lookLeftRightUp", ""])
def test_other_names_are_no_gaze(name: str) -> None:
    assert not gaze_matrix([name]).any()
