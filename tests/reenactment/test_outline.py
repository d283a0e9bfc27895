from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.reenactment.composition import compose
from smirk3d.reenactment.displacement import ShownPoints
from smirk3d.reenactment.face_layers import face_layers
from smirk3d.reenactment.outline import at_outline, beyond_outline


def turned_person(person: Any, yaw_deg: float) -> Any:
    """Return the same person, turned to a side."""
    face = person.face.with_arkit({})
    camera = replace(face.camera, rotation_rotmat=rotation_from_angles(yaw_deg, 0, 0))
    return replace(person, face=replace(face, camera=camera))


@pytest.mark.parametrize("side", [1, -1])
def test_the_far_outline_comes_nearer_to_the_truth_than_where_skin_drags_it(
    person: Any, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = turned_person(person, 24.0 * side)
    source, wanted = turned.source(), rotation_from_angles(-9.0 * side, 0, 0) @ turned.face.rotation
    truth = turned.picture({}, wanted)
    far = np.s_[50:115, 100:130] if side > 0 else np.s_[50:115, 30:60]

    def squared_error() -> float:
        made = compose(source.pixels, source.region, face_layers(source, source.placed(source.face, wanted)))
        return float(((made[far].astype(float) - truth[far]) ** 2).mean())

    found = squared_error()
    monkeypatch.setattr(ShownPoints, "is_new", lambda points, head: torch.zeros_like(points.covered))
    assert found < 0.9 * squared_error()


def test_hidden_points_are_read_at_the_outline_and_others_where_they_are(person: Any) -> None:
    source = person.source()
    size = source.region.size
    at = torch.zeros(size, size, 2)
    is_hidden = torch.zeros(size, size, dtype=torch.bool)
    is_hidden[10, 10] = True
    at[10, 10, 0] = 0.2  # right of the middle, behind the cheek
    found = at_outline(source, at, is_hidden)
    assert found[10, 10, 0] > 0.25 and found[10, 10, 1] == 0
    assert torch.equal(found[~is_hidden], at[~is_hidden])


def test_surroundings_go_on_with_the_outline() -> None:
    covered = torch.zeros(100, 100, dtype=torch.bool)
    covered[:, :50] = True
    is_hidden = covered.clone()
    is_hidden[:, :47] = False
    moved = torch.zeros(100, 100, 2)
    moved[:, 47:50] = 0.1
    result, is_beyond = beyond_outline(moved, is_hidden, covered)
    assert is_beyond[50, 50] and not is_beyond[50, 70] and not (is_beyond & covered).any()
    assert torch.allclose(result[is_beyond], torch.tensor(0.1), atol=1e-3)
