"""Parameters that open the mouth: closed lips touch, and a point between them would lie on either lip."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

JAW_OPEN_RAD = 0.2
"""Rotation of the jaw joint, radians."""
JAW_OPEN_WEIGHT = 0.45
"""Weight of the blendshape jawOpen."""
READOUT_RIDGE = 1e-4
"""Keeps expression coefficients small where several of them open the mouth, in radians squared."""


def open_mouth(head: HeadModel, shape: Tensor | None = None) -> FaceParams:
    """Return parameters of a person whose mouth is open by one to two centimetres.

    Args:
        head: Any head: with a blendshape jawOpen, with a jaw joint, or with the jaw as part of the expression.
        shape: (S,) identity coefficients, or None for the mean person.

    Returns:
        `shape`, and `expression` (E,) or `jaw` (3,) in radians.
    """
    if "jawOpen" in head.expression_names:
        expression = torch.zeros(head.n_expression)
        expression[head.expression_names.index("jawOpen")] = JAW_OPEN_WEIGHT
        return FaceParams(shape=shape, expression=expression)
    jaw = torch.tensor([JAW_OPEN_RAD, 0.0, 0.0])
    if head.data.jaw_readout is None:
        return FaceParams(shape=shape, jaw=jaw)
    # The jaw is part of the expression: take the smallest expression whose jaw rotation is the wanted one (ridge
    # regression).
    readout = head.data.jaw_readout[: head.n_expression]
    gram = readout.T @ readout + READOUT_RIDGE * torch.eye(3)
    return FaceParams(shape=shape, expression=readout @ torch.linalg.solve(gram, jaw))
