"""Times of the frames of animated WebP files, which FFmpeg does not decode."""

from __future__ import annotations

import struct
from pathlib import Path

_MAX_FRAMES = 100_000
_DEFAULT_S = 0.1
"""Of frames that state 10 ms or less, as in browsers."""


def frame_durations_s(path: Path) -> list[float] | None:
    """Return how long each frame of an animated WebP file is shown, in seconds; None for all other files.

    Source: RFC 9649, section 2.7. Frames of a file that was cut off are listed up to its end.

    Args:
        path: A file; a path that is no regular file is not opened.
    """
    if not path.is_file():
        return None
    durations: list[float] = []
    try:
        with open(path, "rb") as file:
            start = file.read(12)
            if start[:4] != b"RIFF" or start[8:] != b"WEBP":
                return None
            while len(durations) < _MAX_FRAMES and len(header := file.read(8)) == 8:
                size = struct.unpack("<I", header[4:])[0]
                head = file.read(min(size, 16))
                if header[:4] == b"ANMF" and len(head) == 16:
                    milliseconds = int.from_bytes(head[12:15], "little")
                    durations.append(milliseconds / 1000 if milliseconds > 10 else _DEFAULT_S)
                file.seek(size + size % 2 - len(head), 1)
    except OSError:
        return None
    return durations or None
