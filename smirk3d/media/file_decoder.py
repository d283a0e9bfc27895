"""Decoding of a video file from its beginning to its end; damaged packets are left out and counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from smirk3d.media.decoding import error_text, open_file, pyav, video_stream

FORMATS_WITH_DURATION = frozenset({"mov", "mp4", "matroska", "webm", "avi"})
"""Formats that state their duration; for others FFmpeg estimates it."""
ONE_FRAME_PER_PACKET = frozenset({"h264", "hevc", "mpeg4"})
"""Codecs whose packets hold one frame each."""
MAX_DECODER_DELAY = 64
"""A decoder holds back at most so many frames."""


@dataclass
class Damage:
    """What of a file could not be decoded.

    Attributes:
        n_before: Number of frames before the first damage.
        n_damaged: Number of packets that are damaged, and of frames that are partly wrong; 0 for an intact file.
        n_wrong: Number of frames that are partly wrong.
        n_lost: Number of packets without a frame.
        n_packets: Number of packets.
        reason: FFmpeg's message about the first damaged packet; "" without one.
    """

    n_before: int = 0
    n_damaged: int = 0
    n_wrong: int = 0
    n_lost: int = 0
    n_packets: int = 0
    reason: str = ""

    def __str__(self) -> str:
        parts = [f"damaged after {self.n_before} frames"]
        parts += [f"{self.n_lost} of {self.n_packets} frames lost"] if self.n_lost else []
        parts += [f"{self.n_wrong} partly wrong"] if self.n_wrong else []
        return ", ".join(parts)


class FileDecoder:
    """Decodes the video stream of a file once, and compares its length with what the file states.

    As in FFmpeg, a packet that cannot be decoded is left out, and decoding goes on with the next.

    Attributes:
        damage: What has not been decoded so far.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._pass = path, _Pass()

    @property
    def damage(self) -> Damage:
        """What has not been decoded so far."""
        return self._pass.damage

    @property
    def stated_s(self) -> float:
        """End of the video according to the file, in seconds; 0 where it states none or only an estimate."""
        return self._pass.stated_s

    @property
    def reached_s(self) -> float:
        """End of what has been decoded so far, in seconds."""
        return self._pass.reached_s

    @property
    def missing_s(self) -> float:
        """How much earlier than stated the file ended, in seconds."""
        return self.stated_s - self.reached_s

    def frames(self) -> Iterator[Any]:
        """Yield decoded PyAV frames.

        Raises:
            Smirk3dError: The file cannot be opened.
            FFmpegError: Its packets cannot be read; the frames before that have been yielded.
        """
        n_frames = 0
        with open_file(self._path) as container:
            for frame in self._pass.frames(container, stops=True):
                n_frames += 1
                yield frame
        if not self._pass.is_incomplete:
            return
        # A decoder with several threads loses more than the damaged packets, so one thread decodes the file again.
        self._pass = _Pass()
        with open_file(self._path, n_threads=1) as container:
            yield from islice(self._pass.frames(container), n_frames, None)


class _Pass:
    """Decodes an open file once.

    Attributes:
        damage: What has not been decoded so far.
        is_incomplete: Whether more could be decoded with one thread.
        stated_s: As in `FileDecoder`.
        reached_s: As in `FileDecoder`.
    """

    def __init__(self) -> None:
        self.damage, self.is_incomplete = Damage(), False
        self.stated_s = self.reached_s = 0.0
        self._n_frames = self._n_skipped = 0
        self._early_pts: list[int] = []
        self._first_pts: int | None = None

    def frames(self, container: Any, stops: bool = False) -> Iterator[Any]:
        """Yield decoded PyAV frames.

        Args:
            container: As of `open_file`.
            stops: Stop at the first damaged packet.
        """
        stream = video_stream(container)
        # AVI has decoding times only. Frames are shown in their order, whichever the order of the packets.
        times: deque[int] | None = None
        if container.format.name == "avi" and stream.codec_context.has_b_frames:
            times = deque()
        for packet in self._packets(container, stream):
            if times is not None and packet.size and packet.dts is not None:
                times.append(packet.dts)
            decoded, error = _decoded(packet)
            for frame in decoded:
                self._count_frame(frame)
                if times:
                    frame.pts = times.popleft()
                yield frame
            if error is not None:
                self._note_damage(self._n_packets_before, error_text(error))
                if times:
                    times.pop()
                if stops:
                    self.is_incomplete = True
                    return
        self._finish(stream)

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield the packets of a stream; an error while reading is raised after all packets before it are decoded."""
        error: Exception | None = None
        try:
            for packet in container.demux(*self._demuxed(container, stream)):
                start = packet.dts if packet.pts is None else packet.pts
                if start is not None:
                    end_s = float((start + (packet.duration or 0)) * packet.time_base)
                    self.reached_s = max(self.reached_s, end_s)
                if packet.stream is stream:
                    self._count_packet(packet)
                    yield packet
        except (pyav().FFmpegError, OSError, ValueError) as caught:
            error = caught
        if error is not None:
            flush = pyav().Packet()
            flush.stream = stream
            yield flush
            raise error

    def _demuxed(self, container: Any, stream: Any) -> list[Any]:
        """Return the streams to read; sets `stated_s`."""
        if FORMATS_WITH_DURATION.isdisjoint(container.format.name.split(",")):
            return [stream]
        if stream.duration is not None:
            self.stated_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        elif container.duration is not None:
            # This is the duration of the longest stream, so the packets of all streams have to be read.
            self.stated_s = container.duration / pyav().time_base
            return list(container.streams)
        return [stream]

    def _count_packet(self, packet: Any) -> None:
        if packet.size and not packet.is_discard:
            self.damage.n_packets += 1
            if packet.pts is not None and not self._n_frames:
                self._early_pts.append(packet.pts)
            elif packet.pts is not None and self._first_pts is not None:
                self._n_skipped += packet.pts < self._first_pts
        # Recordings of broadcasts begin with parts of frames.
        if packet.is_corrupt and self._n_frames:
            self._note_damage(self._n_packets_before)

    def _count_frame(self, frame: Any) -> None:
        if not self._n_frames and frame.pts is not None:
            # Where a file was cut, frames that refer to others before them are skipped.
            self._first_pts = frame.pts
            self._n_skipped = sum(pts < frame.pts for pts in self._early_pts)
        if frame.is_corrupt and self._n_frames:
            self.damage.n_wrong += 1
            self._note_damage(self._n_frames)
        self._n_frames += 1

    @property
    def _n_packets_before(self) -> int:
        """Number of packets before the last one, without those whose frames are skipped."""
        return max(0, self.damage.n_packets - self._n_skipped - 1)

    def _note_damage(self, n_before: int, reason: str = "") -> None:
        damage = self.damage
        if not damage.n_damaged:
            damage.n_before = n_before
        damage.n_damaged += 1
        damage.reason = damage.reason or reason

    def _finish(self, stream: Any) -> None:
        n_lost = max(0, self.damage.n_packets - self._n_frames)
        self.damage.n_lost = n_lost if self.damage.n_damaged else 0
        n_hidden = n_lost - self._n_skipped
        # PyAV hides an error among the frames that a decoder has held back.
        has_delay = stream.codec_context.name in ONE_FRAME_PER_PACKET and stream.codec_context.thread_count != 1
        self.is_incomplete = has_delay and 0 < n_hidden <= MAX_DECODER_DELAY


def _decoded(packet: Any) -> tuple[list[Any], Exception | None]:
    """Return the frames that a decoder yields for a packet, and its error."""
    try:
        return packet.decode(), None
    except pyav().FFmpegError as error:
        return [], error
