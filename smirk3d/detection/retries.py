"""Views of a photo in which a face may be detected more easily, with the maps back to the photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_BORDER_GREY = 128
_MIN_SIDE_PX = 320  # smaller photos are enlarged
_MIN_TILED_SIDE_PX = 600
_TILE_OVERLAP = 0.3
_MIN_TILE_STEP_PX = 150
_MIN_SHORT_TILE_STEP_PX = 75  # along the short side; panoramas are divided less often there
_MAX_WHOLE_SIDE_PX = 1024
_MAX_SIDE_PX = 16384  # OpenCV inside MediaPipe ends the process at sides of 2^15 pixels
_FACE_CROP_PX = 384  # the landmarker's network takes the face with a margin of a quarter at 256 pixels
_FACE_CROP_SCALE = 2.2  # side of the crop over that of the face; the face detector needs context


@dataclass(frozen=True, eq=False)
class SearchView:
    """An image derived from a photo, in which faces are searched.

    Pixels have the origin at the top-left corner of the top-left pixel, x right, y down.

    Attributes:
        pixels: (H, W, 3) uint8 RGB in [0, 255].
        to_photo: (2, 3) float64 affine map from its pixels to those of the photo.
        score: `Detection.score` of faces that are found in it, in [0, 1].
        is_photo: Whether it is the photo itself.
    """

    pixels: np.ndarray
    to_photo: np.ndarray
    score: float
    is_photo: bool = False


def identity_view(pixels: np.ndarray) -> SearchView:
    """Return the photo (H, W, 3) uint8 as it is."""
    return SearchView(pixels, np.eye(2, 3), 1.0, is_photo=True)


def within_limits(view: SearchView) -> SearchView:
    """Return a view that MediaPipe can take: reduced where it is too large."""
    longest = max(view.pixels.shape[:2])
    if longest <= _MAX_SIDE_PX:
        return view
    reduced = _resized(view.pixels, _MAX_SIDE_PX / longest)
    return SearchView(reduced.pixels, _compose(view.to_photo, reduced.to_photo), view.score)


def face_crop_view(
    pixels: np.ndarray, points_px: np.ndarray, across_px: np.ndarray, size: int = _FACE_CROP_PX
) -> SearchView:
    """Return an upright square crop about a face.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        points_px: (L, 2) landmarks of the face, pixels.
        across_px: (2,) vector from the subject's right eye to the left one, pixels; horizontal in the crop.
        size: Side of the crop, pixels.

    Returns:
        A view of `size` pixels a side, grey outside of the photo.
    """
    from PIL import Image

    x_axis = across_px.astype(np.float64) / max(float(np.linalg.norm(across_px)), 1e-6)
    axes = np.stack([x_axis, [-x_axis[1], x_axis[0]]])
    turned = points_px.astype(np.float64) @ axes.T
    low, high = turned.min(0), turned.max(0)
    linear = axes.T * _FACE_CROP_SCALE * float((high - low).max()) / size
    corner = (low + high) / 2 @ axes - linear @ np.full(2, size / 2)
    to_photo = np.column_stack([linear, corner])
    part, part_to_photo = _reduced_part(pixels, to_photo, size)
    inverse = np.linalg.inv(part_to_photo[:, :2])
    to_part = np.column_stack([inverse @ linear, inverse @ (corner - part_to_photo[:, 2])])
    square = Image.fromarray(part).transform(
        (size, size),
        Image.Transform.AFFINE,
        tuple(to_part.ravel()),
        Image.Resampling.BILINEAR,
        fillcolor=(_BORDER_GREY,) * 3,
    )
    return SearchView(np.array(square), to_photo, 1.0)


def _reduced_part(pixels: np.ndarray, to_photo: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of a photo that a crop shows, at about the crop's resolution, and its affine map to the photo."""
    from PIL import Image

    ends = np.array([(x, y, 1) for x in (0, size) for y in (0, size)]) @ to_photo.T
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(ends.min(0)).astype(int) - 1, 0, (width - 1, height - 1))
    right, bottom = np.clip(np.ceil(ends.max(0)).astype(int) + 1, (left + 1, top + 1), (width, height))
    factor = max(1, int(np.sqrt(abs(np.linalg.det(to_photo[:, :2])))))
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    reduced = np.array(Image.fromarray(part).reduce(factor)) if factor > 1 else part
    return reduced, np.array([[factor, 0.0, left], [0.0, factor, top]])


def reframed(pixels: np.ndarray) -> Iterator[SearchView]:
    """Yield the photo, (H, W, 3) uint8 RGB, with grey borders, and enlarged if it is small."""
    for fraction in (0.25, 0.6):
        yield _bordered(pixels, fraction)
    if min(pixels.shape[:2]) < _MIN_SIDE_PX:
        yield _resized(pixels, 2.0)


def _resized(pixels: np.ndarray, factor: float) -> SearchView:
    from PIL import Image

    height, width = pixels.shape[:2]
    new_width, new_height = max(1, round(factor * width)), max(1, round(factor * height))
    resized = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    to_photo = np.diag((width / new_width, height / new_height)) @ np.eye(2, 3)
    return SearchView(np.array(resized), to_photo, 0.8)


def _reduced(pixels: np.ndarray) -> SearchView:
    """Limit the size of whole photos: copying many pixels costs more than the search, which needs few."""
    factor = min(1.0, _MAX_WHOLE_SIDE_PX / max(pixels.shape[:2]))
    return _resized(pixels, factor) if factor < 1.0 else SearchView(pixels, np.eye(2, 3), 1.0)


def _bordered(pixels: np.ndarray, fraction: float) -> SearchView:
    """Add a grey border: faces that fill the frame are too large for the detector."""
    inner = _reduced(pixels)
    margin = round(fraction * max(inner.pixels.shape[:2]))
    bordered = np.pad(inner.pixels, ((margin, margin), (margin, margin), (0, 0)), constant_values=_BORDER_GREY)
    return SearchView(bordered, _compose(inner.to_photo, [[1, 0, -margin], [0, 1, -margin]]), 0.9)


def rotated(pixels: np.ndarray, quarter_turns: int) -> SearchView:
    """Rotate the photo, for photos whose orientation was lost.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        quarter_turns: 1, 2 or 3, counter-clockwise.
    """
    inner = _reduced(pixels)
    height, width = inner.pixels.shape[:2]
    inverse = {
        1: [[0, -1, width], [1, 0, 0]],
        2: [[-1, 0, width], [0, -1, height]],
        3: [[0, 1, 0], [-1, 0, height]],
    }[quarter_turns]
    turned = np.ascontiguousarray(np.rot90(inner.pixels, quarter_turns))
    return SearchView(turned, _compose(inner.to_photo, inverse), 0.6)


def _compose(outer: np.ndarray, inner: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
    """Compose two affine maps (2, 3): first the inner, then the outer."""
    return outer @ np.vstack((np.asarray(inner, dtype=np.float64), (0.0, 0.0, 1.0)))


def tile_levels(pixels: np.ndarray) -> Iterator[Iterator[SearchView]]:
    """Yield ever finer grids of overlapping tiles of a large photo, (H, W, 3) uint8 RGB.

    The detector works on 128×128 pixels, in which small faces of a large photo vanish.
    """
    longest = max(pixels.shape[:2])
    if longest <= _MIN_TILED_SIDE_PX:
        return
    for per_side in (2, 4, 8, 16):
        if longest / per_side >= _MIN_TILE_STEP_PX:
            yield _tiles(pixels, per_side)


def _tiles(pixels: np.ndarray, per_side: int) -> Iterator[SearchView]:
    rows, columns = (_spans(length, per_side) for length in pixels.shape[:2])
    for y0, y1 in rows:
        for x0, x1 in columns:
            tile = np.ascontiguousarray(pixels[y0:y1, x0:x1])
            yield SearchView(tile, np.array([[1.0, 0.0, x0], [0.0, 1.0, y0]]), 0.8)


def _spans(length: int, max_count: int) -> list[tuple[int, int]]:
    """Divide a side into equal spans, each of which overlaps the next by `_TILE_OVERLAP` of its length."""
    count = min(max_count, max(1, length // _MIN_SHORT_TILE_STEP_PX))
    size = length / (count - (count - 1) * _TILE_OVERLAP)
    starts = [round(k * size * (1 - _TILE_OVERLAP)) for k in range(count)]
    return [(start, min(length, start + round(size))) for start in starts]
