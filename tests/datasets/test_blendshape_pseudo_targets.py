"""Blendshapes from scores: weakly fitted brows get stronger; neutral and turned faces, and asymmetries, stay."""

import numpy as np
import pytest
import torch

from smirk3d.datasets.blendshape_pseudo_targets import PROFILE_RAD, blend_blendshape_scores
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.params import FaceParams

LEFT, RIGHT, JAW = map(ARKIT_NAMES.index, ("browDownLeft", "browDownRight", "jawOpen"))
COUNT = 20
USUAL = 0.1


@pytest.fixture
def table() -> TargetTable:
    """Ten faces with one brow a little lower; the last but one is turned."""
    expression = torch.zeros(COUNT, 52)
    expression[:, LEFT], expression[:, RIGHT], expression[:, JAW] = 0.03, 0.01, 0.4
    pose = torch.zeros(COUNT, 3)
    pose[-2, 1] = -PROFILE_RAD
    params = FaceParams(shape=torch.zeros(COUNT, 5), expression=expression, pose=pose)
    return TargetTable(tuple(f"f{k}" for k in range(COUNT)), params, torch.ones(COUNT), ARKIT_NAMES)


@pytest.fixture
def scores_of() -> dict[str, np.ndarray]:
    """Scores that stand out in the last two faces, more on one side than on the other."""
    scores = np.full((COUNT, 52), USUAL, np.float32)
    scores[-2:, LEFT], scores[-2:, RIGHT] = 0.5, 0.7
    return {f"f{k}": row for k, row in enumerate(scores)}


def test_what_stands_out_is_strong(table: TargetTable, scores_of: dict[str, np.ndarray]) -> None:
    given = table.params.expression
    found = blend_blendshape_scores(table, scores_of).params.expression
    assert found is not None and given is not None
    assert found[-1, [LEFT, RIGHT]].mean().item() == pytest.approx(1.2 * 0.5)
    assert (found[-1, LEFT] - found[-1, RIGHT]).item() == pytest.approx(0.02)  # the fit's
    torch.testing.assert_close(found[-2], given[-2])
    assert found[:-2, [LEFT, RIGHT]].mean(1).max() < 0.02
    others = [k for k in range(52) if k not in (LEFT, RIGHT)]
    torch.testing.assert_close(found[:, others], given[:, others])
    assert given[-1, LEFT] == 0.03  # not in place


def test_only_arkit_weights_are_told(table: TargetTable, scores_of: dict[str, np.ndarray]) -> None:
    other = TargetTable(table.keys, table.params, table.weight, tuple(f"e{k}" for k in range(52)))
    with pytest.raises(ValueError, match="only ARKit weights"):
        blend_blendshape_scores(other, scores_of)


def test_weights_keep_their_range(table: TargetTable, scores_of: dict[str, np.ndarray]) -> None:
    scores_of[f"f{COUNT - 1}"][:] = 1
    found = blend_blendshape_scores(table, scores_of).params.expression
    assert found is not None and found[-1].max() == 1 and found.min() == 0
