from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smirk3d.reenactment.pictures import PICTURE_SUFFIXES, beside, reduced, save_picture


@pytest.mark.parametrize("suffix", PICTURE_SUFFIXES)
def test_pictures_are_written_in_the_format_of_the_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_picture(np.full((20, 30, 3), 90, np.uint8), path)
    with Image.open(path) as image:
        assert image.size == (30, 20)


def test_sizes() -> None:
    photo = np.zeros((100, 50, 3), np.uint8)
    assert reduced(photo, 40).shape == (40, 20, 3)
    assert reduced(photo, 400) is photo
    assert beside(photo, np.zeros((50, 60, 3), np.uint8)).shape == (50, 85, 3)
