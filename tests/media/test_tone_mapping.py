"""HDR video, PQ or HLG, looks as its SDR original; SDR video is not touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from video_files import shades, write_video

from smirk3d.media.tone_mapping import (
    ARIB_STD_B67,
    BT_2020_TO_BT_709,
    REFERENCE_WHITE_NITS,
    SMPTE_2084,
    hdr_to_srgb,
)
from smirk3d.media.video import VideoFile

av = pytest.importorskip("av")
TRANSFERS = {SMPTE_2084: "smpte2084", ARIB_STD_B67: "arib-std-b67"}
BT_2020 = 9


def as_hdr(rgb: np.ndarray, transfer: int) -> np.ndarray:
    """Return an sRGB image (H, W, 3) uint8 as HDR R'G'B' of BT.2020 (H, W, 3) uint16, white at the reference white."""
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.linalg.inv(BT_2020_TO_BT_709).T, 0, None)
    if transfer == SMPTE_2084:
        root = (linear * REFERENCE_WHITE_NITS / 10_000) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)) ** 78.84375
    else:
        display = linear * REFERENCE_WHITE_NITS / 1000
        luminance = display @ np.array([0.2627, 0.6780, 0.0593])
        scene = display * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    return np.round(65535 * signal.clip(0, 1)).astype(np.uint16)


def palette() -> np.ndarray:
    """Return colours as of faces, in squares of 8 pixels, (48, 64, 3) uint8."""
    colors = np.random.default_rng(0).integers(20, 200, (6, 8, 3)).astype(np.uint8)
    return np.kron(colors, np.ones((8, 8, 1), dtype=np.uint8))


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_colors_below_the_highlights_are_those_of_the_original(transfer: int) -> None:
    rgb = palette()
    difference = np.abs(hdr_to_srgb(as_hdr(rgb, transfer), transfer, BT_2020).astype(int) - rgb)
    assert difference.max() <= 3 and difference.mean() < 0.7


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_highlights_keep_their_order(transfer: int) -> None:
    grey = np.linspace(0, 65535, 500).astype(np.uint16)
    found = hdr_to_srgb(np.repeat(grey, 3).reshape(1, -1, 3), transfer, BT_2020)[0].astype(int)
    assert (np.diff(found, axis=0) >= 0).all() and found[0].max() == 0 and found[-1].min() >= 245
    assert np.ptp(found, axis=1).max() <= 1


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_hdr_video_looks_as_its_original(transfer: int, tmp_path: Path) -> None:
    rgb = palette()
    path = write_hdr(tmp_path / "a.mp4", as_hdr(rgb, transfer), transfer)
    frames = list(VideoFile(path).frames())
    assert len(frames) == 3 and frames[0].pixels.dtype == np.uint8
    for frame in frames:
        middle = frame.pixels.reshape(6, 8, 8, 8, 3)[:, 3:5, :, 3:5].mean(axis=(1, 3))
        assert np.abs(middle - rgb[::8, ::8]).mean() < 4


def write_hdr(path: Path, rgb: np.ndarray, transfer: int) -> Path:
    """Write three frames of R'G'B' (H, W, 3) uint16 as H.265 of 10 bits that states its colours."""
    name = TRANSFERS[transfer]
    params = f"log-level=none:colorprim=bt2020:transfer={name}:colormatrix=bt2020nc:crf=4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": params})
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt = "yuv420p10le"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=BT_2020)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_sdr_video_is_not_tone_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smirk3d.media.frame_converter.ToneMapper", None)
    assert len(list(VideoFile(write_video(tmp_path / "a.mp4", shades(2), codec="libx264")).frames())) == 2
