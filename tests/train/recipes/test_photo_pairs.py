"""Photo-textured pairs of a run's photos."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from smirk3d.authoring.load import load_head
from smirk3d.errors import Smirk3dError
from smirk3d.train.recipes.photo_pairs import open_photo_pairs


def test_a_run_without_photos_with_targets_has_no_pairs() -> None:
    sampler = SimpleNamespace(sources=[SimpleNamespace(faces=None, table=None)])
    with pytest.raises(Smirk3dError, match="pairs need photos with targets"):
        open_photo_pairs(sampler, load_head(), 8, 0)  # type: ignore[arg-type]
