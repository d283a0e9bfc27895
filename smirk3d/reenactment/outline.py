"""The outline of a turning head: what it newly shows lies, in the photo, at the outline."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.reenactment.source_photo import SourcePhoto
from smirk3d.render.photo_warp.image_fields import blur

BEYOND = 0.02
"""Width of the surroundings that move with the outline, over the side of the region."""
UNCOVERED_M = 1.0
"""Depth of pixels without a mesh in `SourcePhoto.front`."""


def at_outline(source: SourcePhoto, at: Tensor, is_hidden: Tensor) -> Tensor:
    """Return where the photo shows points, those that it hides being at its outline of the head, (S, S, 2).

    A point behind the far cheek lies within the outline in the photo. Read there, the far side of the face would move
    as fast as the nose; the outline of a turning head hardly moves.

    Args:
        source: The photo.
        at: (S, S, 2) where the fitted mesh has the points, half sides.
        is_hidden: (S, S) bool, points on surfaces that turn away from the camera in the photo.
    """
    covered = source.front[0] < UNCOVERED_M
    if not bool(is_hidden.any()) or not bool(covered.any()):
        return at
    left, right = _sides(covered)
    x, y = at[is_hidden].unbind(1)
    row = ((y + 1) / 2 * len(at)).long().clamp(0, len(at) - 1)
    on_left, on_right = left[row], right[row]
    nearest = torch.where((x - on_left).abs() < (x - on_right).abs(), on_left, on_right)
    result = at.clone()
    result[is_hidden] = torch.stack([nearest, y], dim=1)
    return result


def beyond_outline(moved: Tensor, is_hidden: Tensor, covered: Tensor) -> tuple[Tensor, Tensor]:
    """Return a displacement (S, S, 2) that goes on beyond a turning outline, and where it does, (S, S) bool.

    Args:
        moved: (S, S, 2) from each pixel to where the photo shows its point.
        is_hidden: (S, S) bool, points that the photo hides.
        covered: (S, S) bool, pixels of the head.
    """
    if not bool(is_hidden.any()):
        return moved, is_hidden
    share = blur(is_hidden.float(), BEYOND / 2)
    mean = blur((moved * is_hidden[..., None]).permute(2, 0, 1), BEYOND / 2).permute(1, 2, 0)
    is_beyond = ~covered & (share > 0.02)
    return torch.where(is_beyond[..., None], mean / share.clamp_min(1e-6)[..., None], moved), is_beyond


def _sides(covered: Tensor) -> tuple[Tensor, Tensor]:
    """Return left and right ends (S,) of the covered pixels (S, S) in each row, half sides; empty rows take others'."""
    size = len(covered)
    rows = covered.any(1).nonzero()[:, 0]
    nearest = (torch.arange(size)[:, None] - rows).abs().argmin(1)
    pixels = covered[rows].float()
    first, last = pixels.argmax(1), size - pixels.flip(1).argmax(1)
    return tuple((2 * ends / size - 1)[nearest] for ends in (first, last))  # type: ignore[return-value]
