"""Small videos whose content, time stamps and sound are known."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT = 64, 48
FPS, RATE_HZ = 25, 48_000
DISPLAY_MATRICES = {
    0: (1, 0, 0, 1),
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}
"""The upper left of a display matrix by the angle that players turn a video clockwise by."""


def shades(count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Iterable[np.ndarray]:
    """Yield grey frames, frame k of brightness 8 k (mod 256), with a red corner at the top left."""
    for k in range(count):
        pixels = np.full((size[1], size[0], 3), 8 * k % 256, dtype=np.uint8)
        pixels[: size[1] // 4, : size[0] // 4] = (255, 0, 0)
        yield pixels


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    times_ms: Sequence[int] | None = None,
    *,
    codec: str = "mpeg4",
    sound: str | None = None,
    sound_s: float = 0.5,
    start_ms: int = 0,
    **options: str,
) -> Path:
    """Write frames (H, W, 3) uint8 with their times, and sound (see `click`) in the codec of this name."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        if times_ms is not None or start_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        other = _sound_stream(container, sound) if sound else None
        for k, pixels in enumerate(frames):
            if k == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times_ms is not None or start_ms:
                frame.pts = start_ms + (1000 * k // FPS if times_ms is None else times_ms[k])
                frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if other is not None:
            for frame in click(sound_s, start_ms):
                container.mux(other.encode(frame))
            container.mux(other.encode())
    return path


def _sound_stream(container: Any, codec: str) -> Any:
    if codec == "vorbis":  # FFmpeg's own encoder
        return container.add_stream(codec, rate=RATE_HZ, layout="stereo", options={"strict": "experimental"})
    return container.add_stream(codec, rate=RATE_HZ, layout="mono")


def click(length_s: float, start_ms: int = 0) -> Iterable[av.AudioFrame]:
    """Yield the sound: silence with a burst from 0.2 to 0.25 s."""
    samples = np.arange(int(length_s * RATE_HZ))
    wave = np.where(abs(samples / RATE_HZ - 0.225) < 0.025, 20_000 * np.sin(samples * 0.4), 0).astype(np.int16)
    for start in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
        frame.pts = start + start_ms * RATE_HZ // 1000
        yield frame


def turned(path: Path, angle_deg: int) -> Path:
    """Give an MP4 a display matrix, as phones do."""
    a, b, c, d = (value << 16 for value in DISPLAY_MATRICES[angle_deg])
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def cut_off(path: Path, share: float) -> Path:
    """Leave only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def packets(path: Path, kind: str = "audio") -> list[bytes]:
    """Return the packets of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [bytes(packet) for packet in container.demux(stream) if packet.dts is not None]


def burst_s(path: Path) -> float:
    """Return when the burst of sound begins, in seconds from the first picture."""
    with av.open(str(path)) as container:
        first = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            wave = np.abs(frame.to_ndarray().astype(np.float64).reshape(-1))
            wave = wave / 32768 if frame.format.name.startswith("s16") else wave
            if wave.max() > 0.3:
                return float(frame.time + np.argmax(wave > 0.3) / frame.sample_rate - first)
    raise AssertionError("no burst")
