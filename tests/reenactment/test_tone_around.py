from __future__ import annotations

from typing import Any

import torch

from smirk3d.reenactment.tone_around import with_tone_around


def test_a_patch_of_the_model_gets_the_tone_of_the_photo_around_it(person: Any) -> None:
    source = person.source()
    size = source.region.size
    photo = source.region.cut(source.pixels)
    where = torch.zeros(size, size)
    middle = slice(size // 2 - 4, size // 2 + 4)
    where[middle, middle] = 1
    still = torch.zeros(size, size, 2)
    dark = photo * 0.8
    filled = with_tone_around(dark, source, still, where, 1 - where)
    before, after = ((each - photo)[:, middle, middle].abs().mean() for each in (dark, filled))
    assert after < 0.3 * before
    assert torch.equal(filled[:, where == 0], dark[:, where == 0])
    assert torch.equal(with_tone_around(dark, source, still, torch.zeros(size, size), where), dark)
