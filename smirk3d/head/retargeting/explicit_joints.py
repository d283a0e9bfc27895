"""Explicit jaw, eyelid and eye parameters, also of heads whose expression includes them."""

from __future__ import annotations

from torch import Tensor

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams


def resolve_explicit_joints(head: HeadModel, params: FaceParams, arkit: Tensor) -> dict[str, Tensor]:
    """Return jaw, eyelids and eyes, computed from the expression where they are no parameters of the head.

    Args:
        head: The model.
        params: Fields (B, ...), with an expression.
        arkit: (B, 52) weights in [0, 1]; its blinks are the eyelids of heads without eyelid parameters.

    Returns:
        "jaw" (B, 3) and "eyes" (B, 6) rotation vectors in radians, "eyelids" (B, 2) in [0, 1].
    """
    expression, readout = params.expression, head.data.jaw_readout
    assert expression is not None
    jaw = params.jaw
    if jaw is None:
        zero = expression.new_zeros(len(expression), 3)
        jaw = zero if readout is None else expression @ readout[: head.n_expression].to(expression)
    blink = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
    return {
        "jaw": jaw,
        "eyelids": arkit[:, blink] if params.eyelids is None else params.eyelids,
        "eyes": head.joint_rotvec(expression, params)[..., 3:, :].flatten(-2) if params.eyes is None else params.eyes,
    }
