"""A saved track, shared by the tests of the viewer."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_track import synthetic_track

from smirk3d.export.gltf.animation import save_animation
from smirk3d.export.tables.track_table import save_track_npz
from smirk3d.head.model import HeadModel


@pytest.fixture(scope="module")
def clip_dir(open_head: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    track = synthetic_track(open_head, 30, lost=slice(20, 24))
    save_animation(track, folder / "clip.glb")
    save_track_npz(track, folder / "clip.npz")
    return folder
