"""The 52 ARKit blendshape names, their left-right pairs and their antagonists.

Left and right are the subject's own, as in Apple's `ARFaceAnchor.BlendShapeLocation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft",
    "eyeLookDownLeft",
    "eyeLookInLeft",
    "eyeLookOutLeft",
    "eyeLookUpLeft",
    "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight",
    "eyeLookDownRight",
    "eyeLookInRight",
    "eyeLookOutRight",
    "eyeLookUpRight",
    "eyeSquintRight",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawRight",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthLeft",
    "mouthRight",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
)
"""The 52 names in the order of Apple's documentation.

Tables of Live Link Face use the same order, except that jawRight and mouthRight precede their left partners.
"""

GAZE_NAMES: tuple[str, ...] = tuple(name for name in ARKIT_NAMES if name.startswith("eyeLook"))
"""The eight blendshapes that rotate the eyeballs."""


def mirror_name(name: str) -> str:
    """Return the name of the mirrored blendshape: `mouthSmileLeft` becomes `mouthSmileRight`."""
    if name.endswith("Left"):
        return name[: -len("Left")] + "Right"
    if name.endswith("Right"):
        return name[: -len("Right")] + "Left"
    return name


ARKIT_MIRROR: tuple[int, ...] = tuple(ARKIT_NAMES.index(mirror_name(name)) for name in ARKIT_NAMES)
"""`weights[..., ARKIT_MIRROR]` are the weights of the mirrored face."""

ANTAGONISTS = tuple(
    (ARKIT_NAMES.index(a), ARKIT_NAMES.index(b))
    for a, b in (
        ("eyeLookUpLeft", "eyeLookDownLeft"),
        ("eyeLookUpRight", "eyeLookDownRight"),
        ("eyeLookInLeft", "eyeLookOutLeft"),
        ("eyeLookInRight", "eyeLookOutRight"),
        ("jawLeft", "jawRight"),
        ("mouthLeft", "mouthRight"),
    )
)
"""Index pairs of blendshapes whose offsets cancel each other."""


def resolve_antagonists(weights: Tensor) -> Tensor:
    """Subtract from both blendshapes of each antagonistic pair what they have in common.

    The deformation stays nearly the same, and at most one weight of a pair (an eye looks up or down) stays positive.

    Args:
        weights: (B, 52) weights in [0, 1], in the order of `ARKIT_NAMES`.

    Returns:
        (B, 52) weights in [0, 1].
    """
    first, second = (list(side) for side in zip(*ANTAGONISTS))
    common = weights[:, first].minimum(weights[:, second])
    weights = weights.clone()
    weights[:, first] -= common
    weights[:, second] -= common
    return weights
