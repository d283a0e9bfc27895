"""Heads with parted lips: closed lips touch, and a place between them could be on either."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

JAW_OPEN_RAD = 0.2
JAW_OPEN_WEIGHT = 0.45
READOUT_RIDGE = 1e-4
"""Keeps expression coefficients small where several of them open the mouth, in radians squared."""


def open_mouth(head: HeadModel, shape: Tensor | None = None) -> FaceParams:
    """Return parameters of a person (S,) with a mouth opened by about a centimetre or two."""
    if "jawOpen" in head.expression_names:
        expression = torch.zeros(head.n_expression)
        expression[head.expression_names.index("jawOpen")] = JAW_OPEN_WEIGHT
        return FaceParams(shape=shape, expression=expression)
    jaw = torch.tensor([JAW_OPEN_RAD, 0.0, 0.0])
    if head.data.jaw_readout is None:
        return FaceParams(shape=shape, jaw=jaw)
    # The jaw is part of the expression: the smallest expression that looks like the turned jaw.
    readout = head.data.jaw_readout[: head.n_expression]
    gram = readout.T @ readout + READOUT_RIDGE * torch.eye(3)
    return FaceParams(shape=shape, expression=readout @ torch.linalg.solve(gram, jaw))
