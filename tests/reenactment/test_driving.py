from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from synthetic_track import synthetic_track

from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expression_file import write_arkit, write_arrays
from smirk3d.export.tables.livelink import save_livelink
from smirk3d.export.tables.track_table import save_track_npz, write_track_table
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.reenactment.driving import RATE_FPS, clip_driving, is_photo, is_table, table_driving
from smirk3d.track import Clip, Track


def test_a_table_has_weights_and_regular_times(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).uniform(0, 1, (5, 52)).astype(np.float32)
    write_arkit(tmp_path / "w.csv", [str(k) for k in range(5)], {"arkit": weights})
    driving = table_driving(str(tmp_path / "w.csv"))
    assert np.allclose(driving.weights, weights, atol=1e-4) and driving.rotations is None
    assert np.allclose(np.diff(driving.time_s), 1 / RATE_FPS)


def test_further_faces_are_left_out(tmp_path: Path) -> None:
    weights = np.zeros((3, 52), np.float32)
    weights[1] = 0.5
    write_arkit(tmp_path / "w.npz", ["0", "0#1", "1"], {"arkit": weights})
    assert not table_driving(str(tmp_path / "w.npz")).weights.any()


def _saved(track: Track, folder: Path, kind: str) -> Path:
    path = folder / f"clip.{kind}"
    if kind == "npz":
        save_track_npz(track, path)
    else:
        write_track_table([track], path)
    return path


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_a_clip_turns_the_head_and_holds_the_pose_where_the_face_is_lost(
    open_head: HeadModel, tmp_path: Path, kind: str
) -> None:
    track = synthetic_track(open_head, 12, lost=slice(4, 6))
    driving = table_driving(str(_saved(track, tmp_path, kind)))
    held = [0, 1, 2, 3, 3, 3, *range(6, 12)]
    assert driving.rotations is not None
    assert np.allclose(driving.rotations, track.rotation_rotmat[held], atol=1e-4)
    assert np.allclose(driving.weights, track.arkit[held], atol=1e-3)
    assert np.allclose(driving.time_s, track.time_s - track.time_s[0], atol=1e-3)


def test_a_recording_of_live_link_face_turns_the_head(open_head: HeadModel, tmp_path: Path) -> None:
    track = synthetic_track(open_head, 12)
    save_livelink(track, tmp_path / "take.csv")
    driving = table_driving(str(tmp_path / "take.csv"))
    assert driving.rotations is not None and driving.rate_fps == pytest.approx(track.rate_fps, rel=0.01)
    assert np.allclose(driving.rotations, track.rotation_rotmat, atol=1e-3)


def test_coefficients_of_a_head_are_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path / "c.npz", {"expression": np.zeros((3, 50), np.float32)})
    with pytest.raises(Smirk3dError, match="smirk3d retarget --to arkit"):
        table_driving(str(tmp_path / "c.npz"))


def test_frames_without_a_face_hold_the_last_pose(open_head: HeadModel) -> None:
    track = synthetic_track(open_head, 6, lost=slice(3, 5), first_frame=2)
    clip = Clip("a.mp4", track.rate_fps, track.image_size, 9, (track,))
    driving = clip_driving(clip, cast(Any, None))
    wanted = track.arkit[[0, 0, 0, 1, 2, 2, 2, 5, 5]]
    assert np.allclose(driving.weights, wanted)
    assert (np.diff(driving.time_s) > 0).all()


def test_kinds_by_name() -> None:
    assert is_photo("A.JPG") and not is_photo("a.mp4") and not is_photo("a.csv")
    assert is_table("a.npz") and is_table("a.CSV") and not is_table("a.png")
    assert len(ARKIT_NAMES) == 52
