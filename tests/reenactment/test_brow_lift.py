from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from smirk3d.head.landmark_indices import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT
from smirk3d.reenactment.brow_lift import with_stiff_brows

RAISED = {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0}


def below_the_brow(head: Any, brow: tuple[int, ...], height_m: tuple[float, float]) -> np.ndarray:
    """Return vertices of skin in a band below the middle of a brow's lower line."""
    line = head.landmark_embedding("mediapipe").points(head.v_template, head.faces)[list(brow[1:4])].numpy()
    x, y, z = head.v_template.numpy().T
    below = np.interp(x, *line[line[:, 0].argsort()][:, :2].T) - y
    inside = (x > line[:, 0].min()) & (x < line[:, 0].max()) & (z > line[:, 2].min() - 0.02)
    return np.flatnonzero(inside & (below > height_m[0]) & (below < height_m[1]))


@pytest.mark.parametrize(("brow", "eye"), [(BROW_LEFT, EYE_LEFT), (BROW_RIGHT, EYE_RIGHT)])
def test_skin_below_the_line_rises_with_the_brow_and_the_lid_stays(
    person: Any, brow: tuple[int, ...], eye: tuple[int, ...]
) -> None:
    face, head = person.face, person.face.head
    raised = face.with_arkit(RAISED)
    lifts = [vertices[:, 1] - face.vertices[:, 1] for vertices in (raised.vertices, with_stiff_brows(raised))]
    hanging = below_the_brow(head, brow, (0.001, 0.003))
    points = [
        head.landmark_embedding("mediapipe").points(torch.from_numpy(each).float(), head.faces).numpy()
        for each in (face.vertices, with_stiff_brows(raised))
    ]
    rise = points[1][:, 1] - points[0][:, 1]
    line = rise[list(brow[1:4])].mean()
    assert len(hanging) > 3 and line > 0.006
    plain, stiff = (lift[hanging].mean() for lift in lifts)
    assert plain < 0.5 * line and stiff > 0.85 * line
    assert np.abs(rise[list(eye)]).max() < 0.001


def test_without_raised_brows_nothing_changes(person: Any) -> None:
    face = person.face.with_arkit({"mouthSmileLeft": 1.0, "browDownLeft": 1.0})
    assert np.array_equal(with_stiff_brows(face), face.vertices)
