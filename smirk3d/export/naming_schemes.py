"""Blendshapes of other naming conventions, as presets of ARKit blendshapes.

A preset lists for each ARKit blendshape the targets that stand for it, best first, with weights. A target for both
sides of the face has the weight 0.5 on each of the two blendshapes. Gaze is matched by direction: the app's In is
towards the nose, so it is to the subject's right for the left eye.

Sources: the names are those that the programs export. MetaHuman: the curves `CTRL_expressions_*`. CC4 and iClone: the
extended profile of Character Creator, and its standard profile where that has no finer target. VRoid: `Fcl_*`. MMD:
the common Japanese morphs of its standard models. Oculus: the 15 visemes of its LipSync library.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from smirk3d.export.blendshape_names import MAX_NAME, SIDES, split_words
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES

Preset = Mapping[str, Sequence[Mapping[str, float]]]
"""ARKit name -> alternatives, best first, each target -> weight."""


def _sided(*entries: tuple[str, str, str]) -> dict[str, list[dict[str, float]]]:
    """Return entries (stem, left target, right target) as alternatives of the left and the right blendshape."""
    found: dict[str, list[dict[str, float]]] = {}
    for stem, left, right in entries:
        weight = 0.5 if left == right else 1.0
        for side, target in (("Left", left), ("Right", right)):
            found.setdefault(stem + side, []).append({part: weight for part in target.split()})
    return found


def _plain(**entries: str) -> dict[str, list[dict[str, float]]]:
    """Return `blendshape="target target | alternative"` as a preset."""
    return {
        name: [dict.fromkeys(alternative.split(), 1.0) for alternative in text.split("|")]
        for name, text in entries.items()
    }


def _lr(stem: str, target: str) -> tuple[str, str, str]:
    """Return an entry of `_sided`; `*` in the target stands for the side."""
    return stem, target.replace("*", "L"), target.replace("*", "R")


_METAHUMAN_PLAIN = _plain(
    browInnerUp="browRaiseInL browRaiseInR",
    cheekPuff="mouthCheekBlowL mouthCheekBlowR",
    jawForward="jawFwd",
    jawLeft="jawLeft",
    jawOpen="jawOpen",
    jawRight="jawRight",
    mouthClose="mouthLipsTogetherUL mouthLipsTogetherUR mouthLipsTogetherDL mouthLipsTogetherDR",
    mouthFunnel="mouthFunnelUL mouthFunnelUR mouthFunnelDL mouthFunnelDR",
    mouthLeft="mouthLeft",
    mouthPucker="mouthLipsPurseUL mouthLipsPurseUR mouthLipsPurseDL mouthLipsPurseDR",
    mouthRight="mouthRight",
    mouthRollLower="mouthLowerLipRollInL mouthLowerLipRollInR",
    mouthRollUpper="mouthUpperLipRollInL mouthUpperLipRollInR",
    mouthShrugLower="jawChinRaiseDL jawChinRaiseDR",
    mouthShrugUpper="jawChinRaiseUL jawChinRaiseUR",
    tongueOut="tongueOut",
)
_METAHUMAN_SIDED = _sided(
    *(_lr(stem, target) for stem, target in (("browDown", "browDown*"), ("browOuterUp", "browRaiseOuter*"))),
    _lr("cheekSquint", "eyeCheekRaise*"),
    _lr("eyeBlink", "eyeBlink*"),
    _lr("eyeSquint", "eyeSquintInner*"),
    _lr("eyeWide", "eyeWiden*"),
    _lr("eyeWide", "eyeUpperLidUp*"),
    _lr("mouthDimple", "mouthDimple*"),
    _lr("mouthFrown", "mouthCornerDepress*"),
    _lr("mouthLowerDown", "mouthLowerLipDepress*"),
    _lr("mouthPress", "mouthPressU* mouthPressD*"),
    _lr("mouthPress", "mouthLipsPress*"),
    _lr("mouthSmile", "mouthCornerPull*"),
    _lr("mouthStretch", "mouthStretch*"),
    _lr("mouthUpperUp", "mouthUpperLipRaise*"),
    _lr("noseSneer", "noseWrinkle*"),
)
_CC4_PLAIN = _plain(
    browInnerUp="Brow_Raise_Inner_L Brow_Raise_Inner_R",
    cheekPuff="Cheek_Puff_L Cheek_Puff_R|Cheek_Blow_L Cheek_Blow_R",
    jawForward="Jaw_Forward",
    jawLeft="Jaw_L",
    jawOpen="Jaw_Open|V_Open",
    jawRight="Jaw_R",
    mouthClose="Mouth_Close",
    mouthFunnel="Mouth_Funnel_Up_L Mouth_Funnel_Up_R Mouth_Funnel_Down_L Mouth_Funnel_Down_R|Mouth_Funnel|V_Tight_O",
    mouthLeft="Mouth_L",
    mouthPucker="Mouth_Pucker_Up_L Mouth_Pucker_Up_R Mouth_Pucker_Down_L Mouth_Pucker_Down_R|Mouth_Pucker|V_Tight",
    mouthRight="Mouth_R",
    mouthRollLower="Mouth_Roll_In_Lower_L Mouth_Roll_In_Lower_R|Mouth_Roll_In_Lower",
    mouthRollUpper="Mouth_Roll_In_Upper_L Mouth_Roll_In_Upper_R|Mouth_Roll_In_Upper",
    mouthShrugLower="Mouth_Shrug_Lower",
    mouthShrugUpper="Mouth_Shrug_Upper",
    tongueOut="Tongue_Out",
)
_CC4_SIDED = _sided(
    _lr("browDown", "Brow_Drop_*"),
    _lr("browOuterUp", "Brow_Raise_Outer_*"),
    _lr("cheekSquint", "Cheek_Raise_*"),
    _lr("mouthFrown", "Mouth_Frown_*"),
    _lr("mouthLowerDown", "Mouth_Down_Lower_*"),
    _lr("mouthLowerDown", "Mouth_Bottom_Lip_Down"),
    _lr("mouthSmile", "Mouth_Smile_*"),
    _lr("mouthUpperUp", "Mouth_Up_Upper_*"),
    _lr("mouthUpperUp", "Mouth_Top_Lip_Up"),
    _lr("noseSneer", "Nose_Sneer_*"),
    _lr("noseSneer", "Nose_Scrunch"),
)
_VROID = _plain(
    browInnerUp="Fcl_BRW_Sorrow", jawOpen="Fcl_MTH_A", mouthFunnel="Fcl_MTH_O", mouthPucker="Fcl_MTH_U"
) | _sided(
    _lr("browDown", "Fcl_BRW_Angry"),
    _lr("browOuterUp", "Fcl_BRW_Surprised"),
    _lr("eyeBlink", "Fcl_EYE_Close_*"),
    _lr("eyeBlink", "Fcl_EYE_Close"),
    _lr("eyeWide", "Fcl_EYE_Spread"),
    _lr("eyeWide", "Fcl_EYE_Surprised"),
    _lr("mouthFrown", "Fcl_MTH_Angry"),
    _lr("mouthSmile", "Fcl_MTH_Fun"),
    _lr("mouthStretch", "Fcl_MTH_I"),
)
_MMD = _plain(
    browInnerUp="困る",
    cheekPuff="頬膨らみ|ぷくー",
    jawOpen="あ|ワ",
    mouthFunnel="お",
    mouthPucker="う|ω",
    tongueOut="ぺろっ|べろ|てへぺろ",
) | _sided(
    ("browDown", "怒り左", "怒り右"),
    ("browDown", "怒り", "怒り"),
    ("browOuterUp", "上左", "上右"),
    ("browOuterUp", "上", "上"),
    ("eyeBlink", "ウィンク2", "ウィンク2右"),
    ("eyeBlink", "まばたき左", "まばたき右"),
    ("eyeBlink", "ウィンク", "ウィンク右"),
    ("eyeBlink", "まばたき", "まばたき"),
    ("eyeSquint", "じと目", "じと目"),
    ("eyeWide", "びっくり", "びっくり"),
    ("mouthFrown", "口角下げ", "口角下げ"),
    ("mouthFrown", "∧", "∧"),
    ("mouthSmile", "口角上げ", "口角上げ"),
    ("mouthSmile", "にやり", "にやり"),
    ("mouthStretch", "口横広げ", "口横広げ"),
    ("mouthStretch", "い", "い"),
)
_OCULUS = _plain(jawOpen="viseme_aa|mouthOpen", mouthFunnel="viseme_O", mouthPucker="viseme_U") | _sided(
    _lr("eyeBlink", "Blink_*"),
    ("eyeBlink", "blinkLeft", "blinkRight"),
    _lr("eyeBlink", "eyesClosed"),
    _lr("eyeBlink", "eyeBlink"),
    _lr("eyeBlink", "Blink"),
    _lr("mouthPress", "viseme_PP"),
    _lr("mouthSmile", "mouthSmile"),
    _lr("mouthStretch", "viseme_I"),
)
FAITHFUL: Mapping[str, Preset] = {
    "MetaHuman": _METAHUMAN_PLAIN | _METAHUMAN_SIDED,
    "Character Creator": _CC4_PLAIN | _CC4_SIDED,
}
"""Conventions whose targets move what the ARKit blendshape moves; they also apply to columns of tables."""
SIMPLIFIED: Mapping[str, Preset] = {"VRoid": _VROID, "MMD": _MMD, "Oculus visemes": _OCULUS}
"""Conventions of characters with few, stylised targets."""
_SIGNATURES: Mapping[str, tuple[str, ...]] = {
    "MetaHuman": ("ctrlexpressions",),
    "Character Creator": (
        *("browdropl", "browraiseinnerl", "cheekraisel", "eyellookl", "mouthupupperl"),
        *("mouthdownlowerl", "mouthrollinlower", "mouthrollinlowerl", "mouthbottomlipdown", "eyellookdown"),
    ),
    "VRoid": ("fclmth", "fcleye", "fclbrw"),
    "MMD": ("まばたき", "ウィンク", "あ", "笑い"),
    "Oculus visemes": ("visemeaa", "visemepp", "visemeo"),
}
"""Parts of names, without separators, that show that a mesh follows a convention."""


def preset_matrix(names: Sequence[str], presets: Mapping[str, Preset]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the linear map from ARKit weights to targets by presets of conventions.

    Args:
        names: K names of targets or columns.
        presets: Conventions that may apply, the first that has a target of a blendshape counts.

    Returns:
        (52, K) float32, and the conventions that apply.
    """
    matrix = np.zeros((len(ARKIT_NAMES), len(names)), dtype=np.float32)
    columns = _columns_by_key(names)
    found = tuple(name for name in presets if _follows(name, columns))
    for name in found:
        for row, blendshape in enumerate(ARKIT_NAMES):
            if not matrix[row].any():
                for target, weight in _first_present(presets[name].get(blendshape, ()), columns).items():
                    matrix[row, columns[_key(target)]] = weight
    return matrix, found


def _first_present(alternatives: Sequence[Mapping[str, float]], columns: Mapping[str, int]) -> Mapping[str, float]:
    """Return the first alternative all of whose targets exist; {} for none."""
    present = (each for each in alternatives if all(_key(target) in columns for target in each))
    return next(present, {})


def _follows(convention: str, columns: Mapping[str, int]) -> bool:
    signature = _SIGNATURES[convention]
    if convention in ("MetaHuman", "VRoid"):
        return any(name in key for key in columns for name in signature)
    return any(name in columns for name in signature)


def _key(name: str) -> str:
    """Return a name in lower case, in compatibility form, with letters and digits only."""
    plain = unicodedata.normalize("NFKC", name).lower()
    return "".join(c for c in plain if c.isalnum()) or plain


def _columns_by_key(names: Sequence[str]) -> dict[str, int]:
    """Return the column of each name by its key, and by the endings of its words where these are unique.

    Endings let names with a prefix be found (`head_CTRL_expressions_jawOpen`, `CC_Base_Body.Brow_Drop_L`).
    """
    whole: dict[str, int] = {}
    endings: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        if len(name) > MAX_NAME:
            continue
        whole.setdefault(_key(name), column)
        words = split_words(unicodedata.normalize("NFKC", name))
        for start in range(max(1, len(words) - 6), len(words)):
            endings.setdefault("".join(words[start:]), []).append(column)
    unique = {key: columns[0] for key, columns in endings.items() if len(columns) == 1}
    return unique | whole


def gaze_matrix(names: Sequence[str]) -> np.ndarray:
    """Match names of gaze by direction: `Eye_L_Look_R`, `eyeLookLeftL`, `lookLeft` for both eyes.

    The first side after "look" is the direction, the other one the eye; left and right are the subject's.

    Args:
        names: K names of targets or columns.

    Returns:
        (52, K) float32: 1 for a target of one eye, 0.5 on both eyes for a target of both, which counts only where an
        eye has no target of its own.
    """
    matrix = np.zeros((len(ARKIT_NAMES), len(names)), dtype=np.float32)
    shared = matrix.copy()
    for column, name in enumerate(names):
        for eye, direction, weight in _gaze(split_words(name)):
            row = ARKIT_NAMES.index(_gaze_name(eye, direction))
            (matrix if weight == 1 else shared)[row, column] = weight
    several = (matrix > 0).sum(axis=1) > 1
    matrix[several] = 0
    alone = ~matrix.any(axis=1) & ((shared > 0).sum(axis=1) == 1)
    matrix[alone] = shared[alone]
    return matrix


def _gaze(words: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    """Yield eye ("left" or "right"), direction (left, right, up, down) and weight that the words of a name state."""
    if words.count("look") != 1:
        return
    at = words.index("look")
    before = [SIDES[word] for word in words[:at] if word in SIDES]
    after = [SIDES.get(word, word) for word in words[at + 1 :] if word in SIDES or word in ("up", "down")]
    of_eyes = at == 0 or words[at - 1] in SIDES or {"eye", "eyes"} & {*words[:at]}
    if not of_eyes or not after or len(before) + len(after) > 2 or {"in", "out"} & {*words[at + 1 :]}:
        return
    direction, eye = after[0], (before + after[1:])[:1]
    if eye and eye[0] in ("left", "right"):
        yield eye[0], direction, 1.0
    elif not eye:
        yield from ((side, direction, 0.5) for side in ("left", "right"))


def _gaze_name(eye: str, direction: str) -> str:
    """Return the ARKit blendshape: In is towards the nose, to the right for the left eye."""
    if direction in ("left", "right"):
        direction = "out" if direction == eye else "in"
    name = f"eyeLook{direction.title()}{eye.title()}"
    assert name in GAZE_NAMES
    return name
