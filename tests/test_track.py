"""The result for one person in a video: a plain value, whose rows are faces."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from other_process import use_track
from synthetic_track import synthetic_track

from smirk3d import Clip, Track
from smirk3d.head.model import HeadModel


@pytest.fixture
def track(open_head: HeadModel) -> Track:
    return synthetic_track(open_head, 12, lost=slice(4, 6))


def test_rows_are_faces(track: Track, open_head: HeadModel) -> None:
    face = track.face(2)
    assert face.head is open_head and face.method == track.method and face.image_size == track.image_size
    np.testing.assert_array_equal(list(face.arkit.values()), track.arkit[2])
    np.testing.assert_array_equal(face.rotation, track.rotation_rotmat[2])
    np.testing.assert_array_equal(face.eyes, track.eyes[2])
    assert np.abs(face.vertices - face.neutral_vertices).max() > 1e-3
    with pytest.raises(ValueError, match="frame 7: the face was lost there"):
        track.face(4)


def test_tracks_and_clips_are_compared_by_contents(track: Track, open_head: HeadModel) -> None:
    other = synthetic_track(open_head, 12, lost=slice(4, 6))
    for same in (copy.copy(track), copy.deepcopy(track), pickle.loads(pickle.dumps(track)), replace(track), other):
        assert track == same and hash(track) == hash(same) and track in [same]
    assert track != track.frames(slice(0, 5)) and track != track.replace(arkit=track.arkit + 1)
    clip = Clip("a.mp4", 25.0, (640, 480), 12, (track,))
    assert clip == Clip("a.mp4", 25.0, (640, 480), 12, (other,)) and hash(clip) == hash(copy.deepcopy(clip))
    assert clip != replace(clip, tracks=()) and clip != replace(clip, tracks=(track.frames(slice(0, 5)),))


def test_a_track_is_plain_arrays(track: Track) -> None:
    assert not any(isinstance(value, torch.nn.Module | torch.Tensor) for value in vars(track).values())
    assert len(pickle.dumps(track)) < 20_000


def test_a_track_works_in_another_process(track: Track, other_process: ProcessPoolExecutor) -> None:
    there, face = other_process.submit(use_track, track).result()
    assert there == track and face == track.face(0)
