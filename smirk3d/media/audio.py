"""Transfer of the audio of a video file into another file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from smirk3d.errors import Smirk3dError
from smirk3d.media.decoding import error_text, pyav
from smirk3d.media.video import VideoFile

COPIED_CODECS = frozenset({"aac", "mp3", "mp3float", "opus", "flac"})
"""Decoders of the codecs that browsers play in MP4; audio of other codecs is transcoded."""
AAC_RATES_HZ = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})
DEFAULT_RATE_HZ = 48_000
LEAD_S = 0.1
"""Audio so long before the first frame is copied, too: decoders need some packets to start and do not play them."""
TAIL_S = 1.0
"""How much longer than the video the audio may be, in seconds."""


class AudioWriter:
    """Writes the audio of a video file into an MP4: copied, or transcoded to AAC where browsers would not play it.

    Times count from the first frame, as in `Frame`. Audio that cannot be read is left out with a note.

    Args:
        source: A video file with audio.
        container: An open PyAV container of an MP4 to which nothing has been written yet.
        note: Called with a message where audio is missing in the result.
    """

    def __init__(self, source: VideoFile, container: Any, note: Callable[[str], None]) -> None:
        self._container, self._name, self._note = container, source.info.name, note
        self._packets: Iterator[tuple[float, Any]] = iter(())
        self._next: tuple[float, Any] | None = None
        self._input: Any = None
        av = pyav()
        try:
            start_s = source.start_s()
            self._input = av.open(f"file:{source.path}")
            self._packets = self._open_packets(self._input.streams.audio[0], start_s)
        except (av.FFmpegError, Smirk3dError, OSError, ValueError) as error:
            self._note_failure(error)

    def write(self, until_s: float) -> None:
        """Write the packets that begin before a time, so that audio and video are interleaved in the file.

        Args:
            until_s: In seconds from the first frame.

        Raises:
            FFmpegError: They cannot be written.
        """
        while True:
            if self._next is None:
                self._next = self._read_next()
            if self._next is None or self._next[0] >= until_s:
                return
            self._container.mux(self._next[1])
            self._next = None

    def close(self) -> None:
        """Close the source."""
        if self._input is not None:
            self._input.close()

    def _read_next(self) -> tuple[float, Any] | None:
        try:
            return next(self._packets, None)
        except (pyav().FFmpegError, OSError, ValueError) as error:
            self._note_failure(error)
            return None

    def _note_failure(self, error: Exception) -> None:
        self._note(f"{self._name}: sound cannot be read ({error_text(error)}); the overlay lacks it from there on")

    def _open_packets(self, source: Any, start_s: float) -> Iterator[tuple[float, Any]]:
        """Add the output stream, which must exist before anything is written; return its packets with their times."""
        if source.codec_context is None:
            raise ValueError("unknown encoding")
        if source.codec_context.name in COPIED_CODECS:
            output = self._container.add_stream_from_template(source)
            packets = self._copied_packets(source, output, start_s)
        else:
            rate_hz = source.rate if source.rate in AAC_RATES_HZ else DEFAULT_RATE_HZ
            output = self._container.add_stream("aac", rate=rate_hz)
            output.codec_context.layout = "mono" if source.codec_context.channels == 1 else "stereo"
            packets = self._transcoded_packets(source, output, start_s)
        return ((float(packet.dts * packet.time_base), packet) for packet in packets)

    def _copied_packets(self, source: Any, output: Any, start_s: float) -> Iterator[Any]:
        for packet in self._input.demux(source):
            if packet.dts is None:  # the empty packet at the end of a stream
                continue
            shift = round(start_s / packet.time_base)
            packet.dts -= shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            if packet.pts * packet.time_base > -LEAD_S:
                packet.stream = output
                yield packet

    def _transcoded_packets(self, source: Any, output: Any, start_s: float) -> Iterator[Any]:
        for frame in self._input.decode(source):
            if frame.pts is not None:
                frame.pts -= round(start_s / frame.time_base)
                if frame.time + frame.samples / frame.sample_rate <= 0:
                    continue
            yield from output.encode(frame)
        yield from output.encode()
