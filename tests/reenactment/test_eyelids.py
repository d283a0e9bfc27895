from __future__ import annotations

from typing import Any

import torch

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.eyelids import LidChange, lash_line, lid_weights, skin_between_lids
from smirk3d.render.photo_warp.mesh_parts import EYE, FACE


def test_only_the_closing_eye_gets_lashes_and_a_lid(person: Any) -> None:
    source = person.source()
    changed = source.placed(source.face.with_arkit({"eyeBlinkLeft": 1.0}), source.face.rotation)
    change = LidChange.between(source.fitted, changed)
    assert change.closing[0] == 0 and change.closing[1] == 1
    weights, head = lid_weights(source.face.head, change), source.face.head
    assert (weights[head.region_mask("right_eye_region")] == 0).all()
    assert weights[head.region_mask("left_eye_region")].max() > 0.8
    assert not weights[head.region_mask("lips")].any()
    line = lash_line(change, changed, source.region.size)
    assert line.max() > 0.4
    columns = (line > 0.1).any(0).nonzero()[:, 0]
    assert columns.min() > source.region.size / 2  # the subject's left is on the right


def test_opening_eyes_change_no_lids(person: Any) -> None:
    source = person.source()
    changed = source.placed(
        source.face.with_arkit({name: 1.0 for name in ARKIT_NAMES if "eyeWide" in name}), source.face.rotation
    )
    assert LidChange.between(source.fitted, changed) == LidChange((0.0, 0.0), (0.0, 0.0))


def test_a_slit_between_lids_has_the_colour_of_the_skin() -> None:
    part = torch.full((40, 40), FACE)
    part[20] = EYE
    fill = torch.full((3, 40, 40), 0.6)
    fill[:, 20] = 1.0
    lid = (part == EYE).float()
    assert torch.allclose(skin_between_lids(fill, lid, part), torch.full((3, 40, 40), 0.6), atol=1e-4)
    assert torch.equal(skin_between_lids(fill, torch.zeros(40, 40), part), fill)


def test_lashes_in_blurred_photos_are_blurred(person: Any) -> None:
    source = person.source()
    changed = source.placed(source.face.with_arkit({"eyeBlinkLeft": 1.0}), source.face.rotation)
    change = LidChange.between(source.fitted, changed)
    sharp, soft = (lash_line(change, changed, source.region.size, blur) for blur in (0.0, 2.5))
    assert soft.max() < 0.8 * sharp.max()
