"""Frames without a face before, between and after the tracks of a clip get rows, so that N frames have N rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smirk3d.track import FRAME_FIELDS, Status, Track


def with_untracked_frames(tracks: Sequence[Track], time_s: np.ndarray) -> tuple[Track, ...]:
    """Return tracks such that every frame of the clip belongs to at least one.

    Frames in which nobody is tracked are LOST frames at the end of the track before them, or at the beginning of the
    first track. Other tracks, and their frames, stay as they are.

    Args:
        tracks: At least one, of one clip.
        time_s: (T,) when each frame of the clip is shown, in seconds.
    """
    is_tracked = np.zeros(len(time_s), dtype=bool)
    for track in tracks:
        is_tracked[track.frame] = True
    result = list(tracks)
    for first, last in _runs(~is_tracked):
        if first:
            row = next(k for k, track in enumerate(result) if track.frame[-1] == first - 1)
        else:
            row = next(k for k, track in enumerate(result) if track.frame[0] == last + 1)
        track = result[row]
        frames = (min(first, int(track.frame[0])), max(last, int(track.frame[-1])))
        result[row] = _extended(track, *frames, time_s)
    return tuple(result)


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and the last index of each run of true values (T,)."""
    steps = np.diff(np.concatenate([[False], values, [False]]).astype(np.int8))
    return list(zip(np.flatnonzero(steps == 1).tolist(), (np.flatnonzero(steps == -1) - 1).tolist(), strict=True))


def _extended(track: Track, first: int, last: int, time_s: np.ndarray) -> Track:
    """Return a track from a first to a last frame of the clip, LOST where it had none."""
    before, after = int(track.frame[0]) - first, last - int(track.frame[-1])

    def pad(values: np.ndarray, value: float) -> np.ndarray:
        return np.pad(values, [(before, after)] + [(0, 0)] * (values.ndim - 1), constant_values=value)

    values = {name: pad(getattr(track, name), np.nan) for name in FRAME_FIELDS}
    frames = np.arange(first, last + 1)
    return track.replace(frame=frames, time_s=time_s[frames], status=pad(track.status, Status.LOST), **values)
