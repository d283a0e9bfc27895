"""Pseudo-targets of weakly fitted blendshapes from the detector's blendshape scores.

The landmark fit weights the detector by its accuracy on rendered heads, where MediaPipe hardly responds to brows and
pursed lips: fitted photos have nearly static brows. On photos it responds more: within the photos of one person, brow
landmarks move 1.0 to 2.3 times as far per score as those of the open head per weight. Where the scores of a photo
exceed those of other photos, they therefore set the strength of these blendshapes. Differences between left and right
stay those of the fit, because scores are biased towards symmetry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.head.arkit import ARKIT_NAMES

SCORE_QUANTILES = {
    "browInnerUp": 0.7,
    "browDown": 0.85,
    "browOuterUp": 0.7,
    "mouthPucker": 0.7,
    "mouthStretch": 0.7,
    "mouthFrown": 0.7,
}
"""Blendshapes without their side. Scores up to this quantile over the photos count as 0: neutral faces differ, and most
photos are nearly neutral. Low brows at rest are common, so their quantile is higher."""
STRENGTH = 1.2
"""Weight of the open head per unit of score above the quantile."""
FRONTAL_RAD, PROFILE_RAD = 0.3, 0.7
"""Head rotations, radians, between which the influence of the scores falls from 1 to 0."""


def blend_blendshape_scores(table: TargetTable, scores_of: Mapping[str, np.ndarray]) -> TargetTable:
    """Return targets in which the scores set the strength of the blendshapes in `SCORE_QUANTILES`.

    Args:
        table: N faces of a head with the 52 ARKit blendshapes.
        scores_of: Key of the face -> (52,) float32 scores in [0, 1].

    Raises:
        ValueError: The head has other expressions.
    """
    expression, pose = table.params.expression, table.params.pose
    if table.expression_names != ARKIT_NAMES or expression is None or pose is None:
        raise ValueError("only ARKit weights can be blended with scores")
    scores = torch.from_numpy(np.stack([scores_of[key] for key in table.keys]))
    turned = ((pose[:, :2].abs().amax(1) - FRONTAL_RAD) / (PROFILE_RAD - FRONTAL_RAD)).clamp(0, 1)[:, None]
    expression = expression.clone()
    for name, quantile in SCORE_QUANTILES.items():
        sides = [k for k, each in enumerate(ARKIT_NAMES) if each in (name, f"{name}Left", f"{name}Right")]
        fitted, score = expression[:, sides], scores[:, sides].mean(1, keepdim=True)
        strength = (STRENGTH * (score - score.quantile(quantile))).clamp(0, 1)
        both = fitted.mean(1, keepdim=True)
        expression[:, sides] = (strength.lerp(both, turned) + fitted - both).clamp(0, 1)
    return replace(table, params=replace(table.params, expression=expression))
