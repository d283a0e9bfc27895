"""The resting face of a person, which is no expression: hooded lids, low brows, corners of the mouth that hang.

A photo of the person's neutral face shows it, or the most neutral photos of an album, or the most neutral frames of a
clip. Its weights are taken off all others.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from smirk3d.estimation.estimator import Estimator, FaceObservation, HeadEstimates, Intrinsics
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.retargeting.retargeter import find_retargeter

RESTING_STARTS = ("eyeBlink", "eyeSquint", "eyeWide", "brow", "mouth")
"""Starts of the names of actions that a resting face may have: those of lids, brows and mouth."""
RESTING = np.array([name.startswith(RESTING_STARTS) for name in ARKIT_NAMES])
MAX_REST = 0.35
"""Limit of a resting weight, since no face may have been neutral."""
MAX_NEUTRAL_WEIGHT = 0.7
"""Largest weight of an action in a neutral face."""
JAW_OPEN = ARKIT_NAMES.index("jawOpen")
NEUTRAL_SHARE = 0.1
"""Share of the photos or frames of a person that count as the most neutral."""


def without_rest(weights: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return weights that are 0 at rest and still reach 1.

    Args:
        weights: (..., 52) ARKit weights in [0, 1].
        rest: (52,) or (..., 52) weights of the resting face in [0, 1).
    """
    return ((weights - rest) / (1 - rest)).clip(0, 1)


def may_be_neutral(weights: np.ndarray) -> bool:
    """Return whether weights (52,) in [0, 1] may be those of a resting face."""
    return bool(weights[JAW_OPEN] <= MAX_REST and weights[RESTING].max() <= MAX_NEUTRAL_WEIGHT)


def resting_weights(weights: np.ndarray) -> np.ndarray:
    """Return the weights (52,) of the resting face, the mean of the most neutral of N faces of a person.

    Args:
        weights: (N, 52) ARKit weights in [0, 1].

    Returns:
        Zeros where no face may be at rest.
    """
    neutral = weights[[may_be_neutral(each) for each in weights]]
    if not len(neutral):
        return np.zeros(len(ARKIT_NAMES))
    count = max(1, round(NEUTRAL_SHARE * len(weights)))
    near_neutral = neutral[np.argsort(neutral.sum(1), kind="stable")[:count]]
    return np.where(RESTING, near_neutral.mean(0), 0.0).clip(0, MAX_REST)


def has_arkit_weights(estimator: Estimator) -> bool:
    """Return whether all that a method estimates of an expression follows from its ARKit weights."""
    return estimator.method != "encoder" or find_retargeter(estimator.head) is None


class RestCorrectedEstimator:
    """An estimator that takes the resting face of a person off the weights; an `Estimator`.

    Meshes show what remains, on the person's own shape.

    Args:
        estimator: Any method whose expressions are ARKit weights, see `has_arkit_weights`.
        rest: (52,) weights of the resting face of all faces; None to find that of each person among the faces that are
            solved together.
    """

    def __init__(self, estimator: Estimator, rest: np.ndarray | None = None) -> None:
        self.head, self.method, self.dtype = estimator.head, estimator.method, estimator.dtype
        self.estimator, self.rest = estimator, rest

    def observe(self, faces: Sequence[FaceObservation]) -> np.ndarray:
        """See `Estimator`."""
        return self.estimator.observe(faces)

    def intrinsics(self, records: np.ndarray, shared: bool = False) -> Intrinsics:
        """See `Estimator`."""
        return self.estimator.intrinsics(records, shared)

    def identity(self, records: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
        """See `Estimator`."""
        return self.estimator.identity(records, intrinsics)

    def solve(
        self,
        records: np.ndarray,
        intrinsics: Intrinsics,
        identity: np.ndarray | None = None,
        person: np.ndarray | None = None,
    ) -> HeadEstimates:
        """See `Estimator`; the weights are without the resting face."""
        found = self.estimator.solve(records, intrinsics, identity, person)
        weights = self._corrected(found.arkit, person)
        params = None if found.params is None else found.params.replace(expression=weights)
        return replace(found, arkit=weights, params=params)

    def _corrected(self, weights: Tensor, person: np.ndarray | None) -> Tensor:
        """Return ARKit weights (N, 52) without the resting faces of N faces."""
        values = weights.double().cpu().numpy()
        if self.rest is not None:
            rest = self.rest
        else:
            person = np.arange(len(values)) if person is None else person
            people = [values[person == number] for number in range(int(person.max(initial=-1)) + 1)]
            # A single face may be anything; only others tell what of it is rest.
            rests = [resting_weights(each) if len(each) > 1 else np.zeros(len(ARKIT_NAMES)) for each in people]
            rest = np.stack(rests)[person] if rests else np.zeros(len(ARKIT_NAMES))
        return torch.from_numpy(without_rest(values, rest)).to(weights)
