"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.viz.contact_sheet import contact_sheet


def test_contact_sheet():
    images = [np.full((30 + k, 40, 3), 10 * k, np.uint8) for k in range(5)]
    sheet = contact_sheet(images, [f"n{k}" for k in range(5)], 3, caption_px=16)
    assert sheet.shape == (2 * (34 + 16), 120, 3)
    assert (sheet[17, 20] == 0).all() and (sheet[17, 60] == 10).all() and (sheet[50 + 17, 20] == 30).all()
    with pytest.raises(ValueError, match="captions"):
        contact_sheet(images, ["one"], 3)
