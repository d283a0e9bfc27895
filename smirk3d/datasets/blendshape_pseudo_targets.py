"""Pseudo-targets of actions that the landmark fit leaves too weak, by the detector's scores.

The fit trusts the detector as far as rendered heads bear it out, and there MediaPipe hardly answers to brows and pursed
lips: fitted photos have still brows. Of photos it tells more: within the pictures of one person the brows of its
landmarks move 1.0 to 2.3 times as far per score as those of the open head per weight. So where scores of photos stand
out from those of other photos, they set the strength of these actions; what differs between the sides stays the fit's,
because scores even faces out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.head.arkit import ARKIT_NAMES

TOLD_BY_SCORES = {
    "browInnerUp": 0.7,
    "browDown": 0.85,
    "browOuterUp": 0.7,
    "mouthPucker": 0.7,
    "mouthStretch": 0.7,
    "mouthFrown": 0.7,
}
"""Actions without the side. Scores up to this quantile of the photos count as nothing: faces differ at rest, and most
photos are calm. Low brows at rest are common, and what is beyond them is told from them by few photos."""
STRENGTH = 1.2
"""Weight of the open head per score beyond that."""
FACING_RAD, TURNED_RAD = 0.3, 0.7
"""Scores of faces that are turned further count less, those beyond the latter not at all."""


def blend_blendshape_scores(table: TargetTable, scores_of: Mapping[str, np.ndarray]) -> TargetTable:
    """Return targets in which the actions of `TOLD_BY_SCORES` are as strong as scores say.

    Args:
        table: N faces, of a head whose expressions are ARKit's. scores_of: (52,) float32 in [0, 1] by key.

    Raises:
        ValueError: The head has other expressions.
    """
    expression, pose = table.params.expression, table.params.pose
    if table.expression_names != ARKIT_NAMES or expression is None or pose is None:
        raise ValueError("only ARKit weights can be told by scores")
    scores = torch.from_numpy(np.stack([scores_of[key] for key in table.keys]))
    turned = ((pose[:, :2].abs().amax(1) - FACING_RAD) / (TURNED_RAD - FACING_RAD)).clamp(0, 1)[:, None]
    expression = expression.clone()
    for action, usual in TOLD_BY_SCORES.items():
        sides = [k for k, name in enumerate(ARKIT_NAMES) if name in (action, f"{action}Left", f"{action}Right")]
        fitted, score = expression[:, sides], scores[:, sides].mean(1, keepdim=True)
        said = (STRENGTH * (score - score.quantile(usual))).clamp(0, 1)
        both = fitted.mean(1, keepdim=True)
        expression[:, sides] = (said.lerp(both, turned) + fitted - both).clamp(0, 1)
    return replace(table, params=replace(table.params, expression=expression))
