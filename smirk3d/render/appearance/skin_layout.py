"""The layout of the skin's texture image: texture coordinates of its own.

The layout of a head reserves much room for the rest of a body. Here its largest island, turned so that the face is
upright and with its features enlarged, takes most of the image; the small ones are put in a column beside it.
"""

from __future__ import annotations

import numpy as np

from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import material_parts, region_vertices

TEXTURE_SIZE = (576, 768)
"""Height and width of the texture of the appearance model in pixels."""
SIDE_COLUMN_WIDTH = 0.1
"""Part of the texture's width for the small islands."""
_FEATURE_REGIONS = ("left_eye_region", "right_eye_region", "nose", "lips")
_FEATURE_SHARE = (0.54, 0.46)
"""Part of the island's height and width that eyes, nose and lips get together, where they have less."""
_FEATURE_MARGIN = 0.02
"""Room around them, relative to the island, that is enlarged with them."""


@cache_per_head
def skin_uv(head: HeadModel) -> np.ndarray:
    """Return texture coordinates that arrange the islands of the skin in one image.

    Args:
        head: A head with texture coordinates.

    Returns:
        (T, 2) float32 in [0, 1], v upwards, for each row of the head's `uv`; read-only, 0 for rows that the skin does
        not use.
    """
    faces_uv = head.faces_uv.cpu().numpy()[material_parts(head)[0].face_index]
    uv = head.uv.cpu().numpy().astype(np.float64)
    island = islands(faces_uv, len(uv))
    labels, counts = np.unique(island[faces_uv[:, 0]], return_counts=True)
    labels = labels[np.argsort(-counts)]
    column = SIDE_COLUMN_WIDTH if len(labels) > 1 else 0.0
    cell = 1 / max(len(labels) - 1, 1)
    boxes = [(column, 0.0, 1.0, 1.0)]
    boxes += [(0.0, k * cell, column, (k + 1) * cell) for k in range(len(labels) - 1)]
    result = np.zeros_like(uv)
    for label, box in zip(labels, boxes, strict=True):
        low, high = np.array(box[:2]), np.array(box[2:])
        rows = island == label
        points = uv[rows]
        inner = (points - points.min(0)) / np.ptp(points, axis=0).clip(1e-9)
        if label == labels[0]:
            inner = _enlarge_features(head, uv, rows, inner)
        result[rows] = low + (0.01 + 0.98 * inner) * (high - low)
    result = result.astype(np.float32)
    result.setflags(write=False)
    return result


def islands(faces_uv: np.ndarray, count: int) -> np.ndarray:
    """Return the connected parts of a texture layout.

    Args:
        faces_uv: (F, 3) int64 rows of the texture coordinates.
        count: Number of rows.

    Returns:
        (count,) int64: for each row the smallest row that is connected with it, -1 for rows without a triangle.
    """
    # Union by label propagation, with pointer jumping in each pass.
    label = np.arange(count)
    while True:
        lowest = label.copy()
        np.minimum.at(lowest, faces_uv, label[faces_uv].min(axis=1, keepdims=True))
        lowest = lowest[lowest]
        if np.array_equal(lowest, label):
            break
        label = lowest
    unused = np.ones(count, dtype=bool)
    unused[faces_uv] = False
    return np.where(unused, -1, label)


def _enlarge_features(head: HeadModel, uv: np.ndarray, rows: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Turn the main island upright and enlarge eyes, nose and lips, by a stretch of each axis."""
    vertex = np.zeros(len(uv), dtype=np.int64)
    vertex[head.faces_uv.cpu().numpy()] = head.faces.cpu().numpy()
    points = head.v_template.detach().cpu().numpy()[vertex[rows]]
    centered = inner - inner.mean(0)
    across = np.abs(centered.T @ points[:, 0])
    if across[1] > across[0]:  # left and right of the head are along v: a quarter turn, without mirroring
        inner = np.stack([inner[:, 1], 1 - inner[:, 0]], axis=1)
    features = np.any([region_vertices(head, name) for name in _FEATURE_REGIONS], axis=0)[vertex[rows]]
    if not features.any():
        return inner
    low, high = inner[features].min(0) - _FEATURE_MARGIN, inner[features].max(0) + _FEATURE_MARGIN
    shares = (_FEATURE_SHARE[1], _FEATURE_SHARE[0])
    return np.stack([_stretch(inner[:, k], low[k], high[k], shares[k]) for k in (0, 1)], axis=1)


def _stretch(values: np.ndarray, low: float, high: float, share: float) -> np.ndarray:
    """Map [0, 1] to itself so that [low, high] takes `share` of it, piecewise linearly; unchanged if it has that."""
    low, high = max(low, 0.0), min(high, 1.0)
    if high - low >= share or high <= low:
        return values
    rest = (1 - share) / max(1 - (high - low), 1e-9)
    return np.interp(values, [0.0, low, high, 1.0], [0.0, low * rest, low * rest + share, 1.0])
