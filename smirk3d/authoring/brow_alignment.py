"""Moves painted brows to where the brows of faces are.

MakeHuman's brows lie on its base mesh. On the mean face of the open head they end 7 mm below the landmarks at the nose,
which makes every face frown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import LinearNDInterpolator

from smirk3d.authoring.appearance_sources import TexelMap
from smirk3d.head.landmark_indices import BROW_LEFT
from smirk3d.render.appearance.materials import region_vertices

_DEGREE = 2
"""Of the polynomials for the middle line of a brow."""
_ENDS = (0.02, 0.98)
"""Quantiles of the opacity between which a brow lies."""
_MARGIN_M = 0.025
"""Room around the brows in which skin is looked at, metres."""


@dataclass(frozen=True)
class BrowLine:
    """The middle line of a brow in the frontal view.

    Attributes:
        ends_m: Distances of both ends from the middle of the face, metres.
        heights: Coefficients of the polynomial of the height over that distance.
    """

    ends_m: tuple[float, float]
    heights: np.ndarray

    def height_m(self, aside_m: np.ndarray) -> np.ndarray:
        """Return the heights at distances from the middle of the face, metres."""
        return np.polyval(self.heights, aside_m)


def landmark_line(texels: TexelMap) -> BrowLine:
    """Return the middle line between the landmarks on the lower and the upper edge of the left brow."""
    head = texels.head
    points = head.landmark_embedding("mediapipe").points(head.v_template, head.faces).cpu().numpy()[list(BROW_LEFT), :2]
    middle = (points[:5] + points[5:][::-1]) / 2
    aside = np.sort(middle[:, 0])
    return BrowLine((float(aside[0]), float(aside[-1])), np.polyfit(middle[:, 0], middle[:, 1], _DEGREE))


def painted_line(aside_m: np.ndarray, height_m: np.ndarray, opacity: np.ndarray) -> BrowLine:
    """Return the middle line of a brow's opacity (N,) at points of the skin."""
    order = np.argsort(aside_m)
    share = np.cumsum(opacity[order]) / opacity.sum()
    ends = aside_m[order][np.searchsorted(share, _ENDS)]
    heights = np.polyfit(aside_m, height_m, _DEGREE, w=np.sqrt(opacity))
    return BrowLine((float(ends[0]), float(ends[1])), heights)


def aligned_brows(opacity: np.ndarray, texels: TexelMap) -> np.ndarray:
    """Return the opacity (H, W) of brows that are moved onto the landmarks; both sides become alike.

    Args:
        opacity: (H, W), brows of about the same shape on both sides.
        texels: The texels of the texture.
    """
    aside, height, depth = np.abs(texels.points[:, 0]), texels.points[:, 1], texels.points[:, 2]
    target = landmark_line(texels)
    low, high = target.height_m(np.array(target.ends_m)).min(), target.height_m(np.array(target.ends_m)).max()
    # Sockets lie behind the brows in the frontal view.
    in_socket = texels.at_vertices(region_vertices(texels.head, "eye_sockets")[:, None].astype(np.float64))[:, 0] > 0
    near = (
        ~in_socket
        & (depth > 0)
        & (aside < target.ends_m[1] + _MARGIN_M)
        & (np.abs(height - (low + high) / 2) < 2 * _MARGIN_M)
    )
    aside, height, values = aside[near], height[near], opacity[texels.covered][near].astype(np.float64)
    source = painted_line(aside, height, values)
    stretch = (source.ends_m[1] - source.ends_m[0]) / (target.ends_m[1] - target.ends_m[0])
    from_aside = source.ends_m[0] + stretch * (aside - target.ends_m[0])
    from_height = source.height_m(from_aside) + height - target.height_m(aside)
    field = LinearNDInterpolator(np.stack([aside, height], axis=1), values, fill_value=0.0)
    moved = np.zeros(len(texels.points))
    moved[near] = field(np.stack([from_aside, from_height], axis=1))
    return texels.image(moved[:, None])[..., 0]
