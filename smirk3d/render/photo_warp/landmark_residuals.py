"""Residuals of a landmark fit, spread over the mesh, so that it lies exactly where the photo shows the face."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

REACH_M = 0.012
"""Distance over which a landmark's residual falls by e."""
_FLOOR = 0.05
"""Weight of no residual at all: far from every landmark the mesh stays where it is."""


@cache_per_head
def residual_weights(head: HeadModel) -> Tensor:
    """Return by how much each vertex follows the residual of each landmark, (V, 478), rows with a sum below 1.

    Distances are those on a face with mouth and eyes wide open: else the upper lip would follow the lower one.

    Args:
        head: A head with the 52 ARKit blendshapes and MediaPipe's landmarks.
    """
    expression = torch.zeros(1, len(ARKIT_NAMES))
    for name, weight in (("jawOpen", 1.0), ("eyeWideLeft", 1.0), ("eyeWideRight", 1.0)):
        expression[0, ARKIT_NAMES.index(name)] = weight
    with torch.no_grad():
        mesh = head(FaceParams(expression=expression))
        distance = torch.cdist(mesh.vertices[0], mesh.landmarks("mediapipe")[0])
    weight = torch.exp(-distance / REACH_M) ** 2
    return weight / (weight.sum(1, keepdim=True) + _FLOOR**2)
