"""The sound of a video file on its way into another file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from smirk3d.errors import Smirk3dError
from smirk3d.media.video import VideoFile, error_text, pyav

COPIED_CODECS = frozenset({"aac", "mp3", "mp3float", "opus", "flac"})
"""Decoders of what browsers play in MP4; other sound is encoded anew."""
AAC_RATES_HZ = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})
DEFAULT_RATE_HZ = 48_000
LEAD_S = 0.1
"""How much sound from before the first frame is copied: decoders need some to start with, and do not play it."""
TAIL_S = 1.0
"""How much longer than the pictures the sound may be."""


class AudioWriter:
    """The sound of a video file, packet by packet, into an MP4: copied, or as AAC where browsers would not play it.

    Times count from the first frame, as those of `Frame`. Sound that cannot be read is left out and told.

    Args:
        source: Has sound. container: An MP4 to which nothing has been written yet. note: Is told what is missing.
    """

    def __init__(self, source: VideoFile, container: Any, note: Callable[[str], None]) -> None:
        self._container, self._name, self._note = container, source.info.name, note
        self._packets: Iterator[tuple[float, Any]] = iter(())
        self._next: tuple[float, Any] | None = None
        self._given: Any = None
        av = pyav()
        try:
            start_s = source.start_s()
            self._given = av.open(f"file:{source.path}")
            self._packets = self._prepared(self._given.streams.audio[0], start_s)
        except (av.FFmpegError, Smirk3dError, OSError, ValueError) as error:
            self._tell(error)

    def write(self, until_s: float) -> None:
        """Write what begins before a time.

        Raises:
            FFmpegError: It cannot be written.
        """
        while True:
            if self._next is None:
                self._next = self._taken()
            if self._next is None or self._next[0] >= until_s:
                return
            self._container.mux(self._next[1])
            self._next = None

    def close(self) -> None:
        """Let go of the source."""
        if self._given is not None:
            self._given.close()

    def _taken(self) -> tuple[float, Any] | None:
        try:
            return next(self._packets, None)
        except (pyav().FFmpegError, OSError, ValueError) as error:
            self._tell(error)
            return None

    def _tell(self, error: Exception) -> None:
        self._note(f"{self._name}: sound cannot be read ({error_text(error)}); the overlay lacks it from there on")

    def _prepared(self, given: Any, start_s: float) -> Iterator[tuple[float, Any]]:
        """Make the stream, which has to be there before anything is written; return its packets with their times."""
        if given.codec_context is None:
            raise ValueError("unknown encoding")
        if given.codec_context.name in COPIED_CODECS:
            stream = self._container.add_stream_from_template(given)
            packets = self._copied(given, stream, start_s)
        else:
            rate_hz = given.rate if given.rate in AAC_RATES_HZ else DEFAULT_RATE_HZ
            stream = self._container.add_stream("aac", rate=rate_hz)
            stream.codec_context.layout = "mono" if given.codec_context.channels == 1 else "stereo"
            packets = self._encoded(given, stream, start_s)
        return ((float(packet.dts * packet.time_base), packet) for packet in packets)

    def _copied(self, given: Any, stream: Any, start_s: float) -> Iterator[Any]:
        for packet in self._given.demux(given):
            if packet.dts is None:
                continue
            shift = round(start_s / packet.time_base)
            packet.dts -= shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            if packet.pts * packet.time_base > -LEAD_S:
                packet.stream = stream
                yield packet

    def _encoded(self, given: Any, stream: Any, start_s: float) -> Iterator[Any]:
        for frame in self._given.decode(given):
            if frame.pts is not None:
                frame.pts -= round(start_s / frame.time_base)
                if frame.time + frame.samples / frame.sample_rate <= 0:
                    continue
            yield from stream.encode(frame)
        yield from stream.encode()
