"""Conversion of HDR video, PQ or HLG, to sRGB."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from typing import Any

import numpy as np

SMPTE_2084, ARIB_STD_B67 = 16, 18
"""FFmpeg's numbers of the transfer functions PQ and HLG."""
HDR_TRANSFERS = frozenset({SMPTE_2084, ARIB_STD_B67})
BT_709, DISPLAY_P3 = 1, 12
"""FFmpeg's numbers of primaries; HDR video without one of these has those of BT.2020."""
REFERENCE_WHITE_NITS = 203.0
"""Luminance that becomes white in sRGB. Source: ITU-R BT.2408."""
HLG_PEAK_NITS, HLG_GAMMA = 1000.0, 1.2
"""Nominal display of HLG. Source: ITU-R BT.2100."""
KNEE = 0.75
"""Linear values up to here stay as they are; larger ones are compressed towards 1."""
TO_BT_709 = {
    BT_709: np.eye(3),
    DISPLAY_P3: np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]]),
}
"""Matrices from linear RGB of other primaries to that of BT.709, all with white D65."""
BT_2020_TO_BT_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
"""Source: ITU-R BT.2087."""
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
_N_LEVELS = 4096
BT_2020_NCL = 9
"""FFmpeg's number of the colour matrix of HDR video."""
UNSPECIFIED = 2
"""FFmpeg's number of a colour property that a file does not state."""
LUT_SIZE = 65
"""Points of the colour table along each axis."""
DEEP_FORMAT = "gbrp16le"


class ToneMapper:
    """Converts frames of HDR video as `hdr_to_srgb`, by interpolation in a table, which is ten times faster.

    Args:
        size: (width, height) of the results in pixels.
        transfer: FFmpeg's number of the transfer function, one of `HDR_TRANSFERS`.
        primaries: FFmpeg's number of the primaries.
    """

    def __init__(self, size: tuple[int, int], transfer: int, primaries: int) -> None:
        from av.filter import Graph  # pyright: ignore[reportMissingImports]
        from av.video.reformatter import VideoReformatter  # pyright: ignore[reportMissingImports]

        self._size, self._graph, self._reformatter = size, Graph(), VideoReformatter()
        with tempfile.TemporaryDirectory(prefix="smirk3d-") as folder:
            path = os.path.join(folder, "hdr.cube")
            with open(path, "w", encoding="ascii") as file:
                file.write(cube_file(transfer, primaries))
            width, height = size
            source = self._graph.add("buffer", f"video_size={width}x{height}:pix_fmt={DEEP_FORMAT}:time_base=1/1000")
            table = self._graph.add("lut3d", file=path, interp="tetrahedral")
            source.link_to(table)
            table.link_to(self._graph.add("buffersink"))
            self._graph.configure()

    def __call__(self, frame: Any) -> Any:
        """Return a PyAV frame of the size given at construction, in a format of 16 bits, as sRGB."""
        width, height = self._size
        matrix = BT_2020_NCL if frame.colorspace == UNSPECIFIED else frame.colorspace
        deep = self._reformatter.reformat(frame, width, height, DEEP_FORMAT, src_colorspace=matrix)
        self._graph.push(deep)
        return self._graph.pull()


@cache
def cube_file(transfer: int, primaries: int) -> str:
    """Return the table of `hdr_to_srgb` in the format .cube, red fastest; arguments as there."""
    levels = np.round(np.linspace(0, 65535, LUT_SIZE)).astype(np.uint16)
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    values = hdr_to_srgb(np.stack([red, green, blue], axis=-1).reshape(LUT_SIZE**2, LUT_SIZE, 3), transfer, primaries)
    texts = [f"{value / 255:.4f}" for value in range(256)]
    lines = [" ".join([texts[r], texts[g], texts[b]]) for r, g, b in values.reshape(-1, 3).tolist()]
    return "\n".join([f"LUT_3D_SIZE {LUT_SIZE}", *lines, ""])


def hdr_to_srgb(rgb: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Return an HDR image as sRGB: reference white becomes white, and lights beyond it are compressed.

    Args:
        rgb: (H, W, 3) uint16 R'G'B' over the full range.
        transfer: FFmpeg's number of the transfer function, one of `HDR_TRANSFERS`.
        primaries: FFmpeg's number of the primaries.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    linear = _linear_levels(transfer)[rgb >> 4]
    if transfer == ARIB_STD_B67:
        # The system gamma applies to the luminance. Source: ITU-R BT.2100, table 5.
        linear *= np.maximum(linear @ _LUMA_2020, 1e-6)[..., None] ** (HLG_GAMMA - 1)
        linear *= HLG_PEAK_NITS / REFERENCE_WHITE_NITS
    linear = linear @ TO_BT_709.get(primaries, BT_2020_TO_BT_709).T.astype(np.float32)
    peak = np.maximum(linear.max(axis=-1, keepdims=True), KNEE)
    over = peak - KNEE
    # One factor for all channels keeps the hue.
    linear *= (KNEE + over * (1 - KNEE) / (over + 1 - KNEE)) / peak
    return _srgb_levels()[np.clip(linear * 65535, 0, 65535).astype(np.uint16)]


@cache
def _linear_levels(transfer: int) -> np.ndarray:
    """Return the linear value of each level (4096,): display light over reference white for PQ, scene light for HLG."""
    signal = np.linspace(0, 1, _N_LEVELS)
    return (_pq_nits(signal) / REFERENCE_WHITE_NITS if transfer == SMPTE_2084 else _hlg_scene(signal)).astype(
        np.float32
    )


def _pq_nits(signal: np.ndarray) -> np.ndarray:
    """Return the luminance of PQ values. Source: SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def _hlg_scene(signal: np.ndarray) -> np.ndarray:
    """Return the scene light in [0, 1] of HLG values. Source: ITU-R BT.2100."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


@cache
def _srgb_levels() -> np.ndarray:
    """Return the sRGB value (65536,) uint8 of each linear level. Source: IEC 61966-2-1."""
    linear = np.linspace(0, 1, 65536)
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * value).astype(np.uint8)
