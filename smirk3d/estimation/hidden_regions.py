"""What is hidden is not invented: weights of hidden regions shrink towards the neutral face, and so does confidence."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from smirk3d.detection.face_regions import REGIONS
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.params import FaceParams

HIDDEN_BELOW, VISIBLE_ABOVE = 0.25, 0.65
"""A region of which less is visible counts as hidden, one of which more is visible as visible; smooth in between."""
REGION_OF_PREFIX: Mapping[str, str] = {
    "eye": "eyes",
    "brow": "eyes",
    "cheekSquint": "eyes",
    "cheekPuff": "mouth",
    "noseSneer": "mouth",
    "jaw": "mouth",
    "mouth": "mouth",
    "tongue": "mouth",
}
"""Region in which an ARKit action shows, by the start of its name."""
DIRECTIONS: frozenset[str] = frozenset(("jawLeft", "jawRight", "mouthLeft", "mouthRight"))
"""Actions of both sides, whose names end in the direction in which they move."""


def action_region(name: str) -> tuple[str, str]:
    """Return region and side of an ARKit action: "eyes" or "mouth"; "left", "right", or "" for both."""
    region = next(region for prefix, region in REGION_OF_PREFIX.items() if name.startswith(prefix))
    side = next((side for side in ("Left", "Right") if name.endswith(side) and name not in DIRECTIONS), "")
    return region, side.lower()


def visible_part(visibility: np.ndarray, region: str, side: str = "") -> np.ndarray:
    """Return which share of one side of the eyes or the mouth is visible, (N,) in [0, 1].

    Where more of the one half of the face is visible than of the other, so is the region on this side.

    Args:
        visibility: (N, 4) of `REGIONS`.
        region: "eyes" or "mouth".
        side: "left", "right", or "" for the whole region.
    """
    return np.clip(visibility @ _region_weights(region, side), 0, 1)


def _region_weights(region: str, side: str) -> np.ndarray:
    """Return the weights (4,) float32 of `REGIONS` in the visible share of one side of a region."""
    sign = {"left": 0.5, "right": -0.5, "": 0.0}[side]
    return np.array([(name == region) + sign * ((name == "left") - (name == "right")) for name in REGIONS], np.float32)


@functools.cache
def _action_weights() -> np.ndarray:
    """Return the weights (4, 52) float32 of `REGIONS` in the visible share of each ARKit action."""
    return np.stack([_region_weights(*action_region(name)) for name in ARKIT_NAMES], axis=1)


def shrink_factor(share: np.ndarray) -> np.ndarray:
    """Return the factor in [0, 1] of weights of which this share is visible; its derivative is continuous."""
    ratio = ((share - HIDDEN_BELOW) / (VISIBLE_ABOVE - HIDDEN_BELOW)).clip(0, 1)
    return ratio * ratio * (3 - 2 * ratio)


def confidence_factor(visibility: np.ndarray) -> np.ndarray:
    """Return the factor (N,) in [0, 1] of the confidence for visibilities (N, 4): the mean over the regions."""
    return shrink_factor(np.asarray(visibility)).mean(axis=1)


def action_factors(visibility: np.ndarray) -> np.ndarray:
    """Return the factors (N, 52) in [0, 1] of the ARKit weights for visibilities (N, 4)."""
    return shrink_factor(np.clip(visibility @ _action_weights(), 0, 1))


def shrink_hidden(
    head: HeadModel, arkit: Tensor, params: FaceParams | None, visibility: np.ndarray
) -> tuple[Tensor, FaceParams | None]:
    """Shrink expressions towards the neutral face where their regions are hidden.

    Args:
        head: The head model.
        arkit: (N, 52) ARKit weights in [0, 1].
        params: Parameters of the head that do not follow from the weights, fields (N, ...), or None.
        visibility: (N, 4) of `REGIONS`.

    Returns:
        Weights and parameters; those of faces that are all visible stay as they are.
    """
    factors = action_factors(visibility)
    if (factors == 1).all():
        return arkit, params
    shrunk = arkit * torch.from_numpy(factors).to(arkit)
    if params is None:
        return shrunk, None
    changes: dict[str, Tensor | None] = {}
    if params.expression is not None:
        changes["expression"] = _shrunk_expression(head, params.expression, arkit, shrunk, factors)
    if params.jaw is not None:
        changes["jaw"] = params.jaw * _column(visible_part(visibility, "mouth"), params.jaw)
    sides = [_column(visible_part(visibility, "eyes", side), arkit) for side in ("left", "right")]
    if params.eyelids is not None:
        changes["eyelids"] = params.eyelids * torch.cat(sides, 1).to(params.eyelids)
    if params.eyes is not None:
        changes["eyes"] = params.eyes * torch.cat(sides, 1).repeat_interleave(3, 1).to(params.eyes)
    return shrunk, params.replace(**changes)


def _column(share: np.ndarray, like: Tensor) -> Tensor:
    """Return the factors of visible shares (N,) as a column (N, 1)."""
    return torch.from_numpy(shrink_factor(share)[:, None]).to(like)


def _shrunk_expression(
    head: HeadModel, expression: Tensor, arkit: Tensor, shrunk: Tensor, factors: np.ndarray
) -> Tensor:
    """Return expression coefficients (N, E) for shrunk weights (N, 52).

    On a head with other coefficients than ARKit's, the part of the expression that the weights explain is that of the
    shrunk weights; the rest shrinks by the mean factor of all actions.
    """
    retargeter = find_retargeter(head)
    if retargeter is None:
        return shrunk
    before, after = retargeter.from_arkit(arkit).expression, retargeter.from_arkit(shrunk).expression
    assert before is not None and after is not None
    rest = torch.from_numpy(factors.mean(axis=1, keepdims=True)).to(expression)
    # Faces that are all visible keep their coefficients to the last bit.
    return torch.where(rest == 1, expression, after + rest * (expression - before))
