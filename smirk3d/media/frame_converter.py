"""Conversion of decoded frames to upright sRGB with square pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from smirk3d.media.tone_mapping import HDR_TRANSFERS, UNSPECIFIED, ToneMapper


@dataclass(frozen=True)
class PixelCoding:
    """How a stream codes pixels and colours.

    Attributes:
        pixel_aspect: Width of a pixel over its height.
        transfer: FFmpeg's number of the transfer function; see `smirk3d.media.tone_mapping`.
        primaries: FFmpeg's number of the primaries.
    """

    pixel_aspect: float = 1.0
    transfer: int = UNSPECIFIED
    primaries: int = UNSPECIFIED

    @classmethod
    def of_stream(cls, stream: Any) -> PixelCoding:
        """Return the coding of a PyAV video stream."""
        context = stream.codec_context
        return cls(float(stream.sample_aspect_ratio or 1), int(context.color_trc), int(context.color_primaries))


class FrameConverter:
    """Converts the frames of a stream to upright sRGB with square pixels, all of the size of the first.

    Args:
        coding: How the stream codes pixels and colours.
    """

    def __init__(self, coding: PixelCoding) -> None:
        from av.video.reformatter import VideoReformatter  # pyright: ignore[reportMissingImports]

        # One for all frames, since setting it up takes longer than converting a frame.
        self._reformatter = VideoReformatter()
        self._coding, self._tone_mapper = coding, None
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: Any) -> np.ndarray:
        """Return the pixels (H, W, 3) uint8 of a PyAV frame."""
        if self._size is None:
            self._size = max(1, round(frame.width * self._coding.pixel_aspect)), frame.height
            if self._coding.transfer in HDR_TRANSFERS:
                self._tone_mapper = ToneMapper(self._size, self._coding.transfer, self._coding.primaries)
        width, height = self._size
        matrix = display_matrix(frame)
        if self._tone_mapper is not None:
            frame = self._tone_mapper(frame)
        rgb = self._reformatter.reformat(frame, width=width, height=height, format="rgb24")
        return np.ascontiguousarray(displayed(rgb.to_ndarray(), matrix))


def display_matrix(frame: Any) -> np.ndarray:
    """Return the (2, 2) matrix [[a, b], [c, d]] by which a PyAV frame is shown; the identity where it has none.

    A stored point (x, y) is shown at (a x + c y, b x + d y), x to the right and y down. Source: ISO/IEC 14496-12,
    6.2.2.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None or data.buffer_size < 36:
        return np.eye(2)
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
    return np.array([[a, b], [c, d]]) / (1 << 16)


def displayed(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return pixels as a display matrix shows them, by whole quarter turns and mirroring.

    Args:
        pixels: (H, W, 3), as stored.
        matrix: (2, 2) as of `display_matrix`. Its determinant is negative where it mirrors. Another angle counts as
            the nearest quarter turn.

    Returns:
        A view (H, W, 3) or (W, H, 3) of the pixels.
    """
    (a, b), (c, d) = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, x_sign, y_sign = pixels.transpose(1, 0, 2), c, b
    else:
        x_sign, y_sign = a, d
    return pixels[:: -1 if y_sign < 0 else 1, :: -1 if x_sign < 0 else 1]
