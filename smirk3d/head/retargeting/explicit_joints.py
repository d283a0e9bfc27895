"""Jaw, eyelids and eyes in numbers, also of heads whose expression says them."""

from __future__ import annotations

from torch import Tensor

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams


def resolve_explicit_joints(head: HeadModel, params: FaceParams, arkit: Tensor) -> dict[str, Tensor]:
    """Return jaw (B, 3), eyelids (B, 2) and eyes (B, 6) also of heads whose expression says them.

    Args:
        head: the model. params: (B, ...), with an expression. arkit: (B, 52) weights, whose blinks are eyelids that
            the head does not have.
    """
    expression, readout = params.expression, head.data.jaw_readout
    assert expression is not None
    jaw = params.jaw
    if jaw is None:
        unturned = expression.new_zeros(len(expression), 3)
        jaw = unturned if readout is None else expression @ readout[: head.n_expression].to(expression)
    blink = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
    return {
        "jaw": jaw,
        "eyelids": arkit[:, blink] if params.eyelids is None else params.eyelids,
        "eyes": head.joint_rotvec(expression, params)[..., 3:, :].flatten(-2) if params.eyes is None else params.eyes,
    }
