"""The scene: regions of targets and held values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smirk3d.viewer.discovery import read_scene
from smirk3d.viewer.scene import hold_last, short_name


def test_regions_hold_each_target_once(clip_dir: Path) -> None:
    scene = read_scene(clip_dir / "clip.glb")
    titles = [title for title, _ in scene.regions]
    assert titles == ["eyes", "brows", "jaw", "mouth", "cheeks, nose", "tongue"]
    assert sorted(k for _, members in scene.regions for k in members) == list(range(52))
    assert [scene.names[k] for k in scene.regions[0][1][:2]] == ["eyeBlinkLeft", "eyeBlinkRight"]
    smile = scene.names.index("mouthSmileLeft")
    assert scene.names[scene.partners[smile]] == "mouthSmileRight"
    assert short_name("mouthSmileLeft") == "smile L" and short_name("mouthLeft") == "left"


def test_unknown_values_are_held() -> None:
    known = np.array([False, True, False, False, True])
    assert hold_last(np.arange(5), known).tolist() == [1, 1, 1, 1, 4]
    with pytest.raises(ValueError, match="no frame"):
        hold_last(np.arange(2), np.zeros(2, dtype=bool))
