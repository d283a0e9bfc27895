"""Every frame of a clip has a row, and every file of a track with lost ends can be written and read."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_track import synthetic_track

from smirk3d.export.gltf.animation import build_animation, key_frames
from smirk3d.export.tables.livelink import save_livelink
from smirk3d.export.tables.motion_file import read_motion
from smirk3d.export.tables.track_table import read_track_npz, save_track_npz, write_track_table
from smirk3d.head.model import HeadModel
from smirk3d.track import FRAME_FIELDS, Status, Track
from smirk3d.tracking.untracked_frames import with_untracked_frames
from smirk3d.viz.curves import draw_curves

N = 12
TIME_S = np.arange(N) / 25


@pytest.fixture(scope="module")
def whole(open_head: HeadModel) -> Track:
    return synthetic_track(open_head, N, first_frame=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, N - 1), st.integers(1, N)), min_size=1, max_size=4))
def test_every_frame_of_the_clip_has_a_row(whole: Track, spans: list[tuple[int, int]]) -> None:
    tracks = [replace(whole.frames(slice(start, start + size)), number=k) for k, (start, size) in enumerate(spans)]
    found = with_untracked_frames(tracks, TIME_S)
    frames = np.concatenate([track.frame for track in found])
    assert set(frames) == set(range(N)) and [track.number for track in found] == list(range(len(spans)))
    n_untracked = N - len(set(np.concatenate([track.frame for track in tracks])))
    assert len(frames) == sum(len(track) for track in tracks) + n_untracked
    for before, after in zip(tracks, found, strict=True):
        np.testing.assert_array_equal(after.frame, np.arange(after.frame[0], after.frame[-1] + 1))
        np.testing.assert_array_equal(after.time_s, TIME_S[after.frame])
        start = int(before.frame[0] - after.frame[0])
        assert after.frames(slice(start, start + len(before))) == before
        assert np.delete(after.known, range(start, start + len(before))).sum() == 0
        for name in FRAME_FIELDS:
            assert np.isnan(getattr(after, name)[~after.known]).all()


def test_a_track_of_all_frames_stays_as_it_is(whole: Track) -> None:
    (found,) = with_untracked_frames([whole], TIME_S)
    assert found is whole


def test_files_of_a_track_with_lost_ends(whole: Track, open_head: HeadModel, tmp_path: Path) -> None:
    part = whole.frames(slice(4, 9))
    (found,) = with_untracked_frames([part], TIME_S)
    np.testing.assert_array_equal(found.status, [Status.LOST] * 4 + [Status.SEEN] * 5 + [Status.LOST] * 3)
    write_track_table([found], tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["lost"] * 4 + ["seen"] * 5 + ["lost"] * 3
    assert [float(row["time_s"]) for row in rows] == pytest.approx(TIME_S)
    save_track_npz(found, tmp_path / "a.npz")
    assert read_track_npz(tmp_path / "a.npz", open_head) == found
    save_livelink(found, tmp_path / "a_livelink.csv")
    assert len((tmp_path / "a_livelink.csv").read_text().splitlines()) == N + 1
    build_animation(found)
    np.testing.assert_array_equal(key_frames(found).time_s, key_frames(part).time_s)
    assert draw_curves(found).shape[2] == 3
    for name in ("a.csv", "a.npz", "a_livelink.csv"):
        motion = read_motion(tmp_path / name, None, lambda expressions: expressions.arrays["arkit"])
        assert motion.n_frames == N
