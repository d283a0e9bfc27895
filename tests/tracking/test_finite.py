"""Numbers that are not finite: frames with them are left out, tracks of nothing else are failures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_track import synthetic_track

from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.head.registry import register
from smirk3d.track import FRAME_FIELDS, Track
from smirk3d.tracking.finite import check_tracks, finite_frames
from smirk3d.tracking.motion import HeadMotion


@pytest.fixture(scope="module")
def track(open_head: HeadModel) -> Track:
    return synthetic_track(open_head, 6, lost=slice(2, 3))


@pytest.mark.parametrize("field", ["arkit", "rotmat", "offset_px", "scale_px_per_m", "residual", "native"])
def test_frames_of_a_motion(field: str) -> None:
    columns = {"arkit": (52,), "rotmat": (3, 3), "offset_px": (2,), "scale_px_per_m": (), "residual": ()}
    arrays = {name: np.ones((4, *shape)) for name, shape in columns.items()}
    motion = HeadMotion(**arrays, native={"jaw": np.ones((4, 3))})
    assert finite_frames(motion).all()
    (motion.native["jaw"] if field == "native" else arrays[field])[2] = np.inf
    assert finite_frames(motion).tolist() == [True, True, False, True]


def test_lost_frames_are_no_failure(track: Track) -> None:
    assert np.isnan(track.arkit[2]).all()
    check_tracks([track, track], "a.mp4")


@pytest.mark.parametrize("field", [*FRAME_FIELDS, "shape", "center_px", "focal_px"])
def test_any_number_of_a_track(field: str, track: Track) -> None:
    values = float("inf") if field == "focal_px" else getattr(track, field).copy()
    if field != "focal_px":
        values[-1] = np.nan
    with pytest.raises(Smirk3dError, match=r"a\.mp4: method .* not finite .*--method fit"):
        check_tracks([track, replace(track, **{field: values})], "a.mp4")


def test_vertices_of_a_damaged_head(track: Track, open_head: HeadModel) -> None:
    for name in ("v_template", "expressiondirs"):
        damaged = getattr(open_head.data, name).clone()
        damaged[100] = float("nan")
        head = HeadModel(replace(open_head.data, name="damaged", **{name: damaged}))
        with pytest.raises(Smirk3dError, match="not finite"):
            check_tracks([replace(track, head_id=register(head))], "a.mp4")
