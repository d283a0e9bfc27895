"""Whether the blendshapes mean what Apple's mean, and whether lids and lips close, on the mean head and on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from smirk3d.authoring.action_measures import MEASURES, Amplitude, measure_actions, within
from smirk3d.authoring.closure import Closure, measure_closure
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest, ReconstructionMethod
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.head.arkit import ARKIT_NAMES

PEOPLE = 80
"""Random identities besides the mean head on which closure is measured."""
MEASURED_PEOPLE = 8
"""The first of them, on which the amplitudes are measured."""
LID_GAP = (-0.03, 0.06)
MAX_VISIBLE, MAX_LIP_GAP, MAX_CLOSED_MOUTH_GAP = 0.02, 0.01, 0.015
FIGURES = (
    Figure("actions"),
    Figure("within_25_percent_first", better="higher"),
    Figure("within_25_percent_all", better="higher"),
    Figure("others_within_first", better="higher"),
    Figure("others_within_all", better="higher"),
    Figure("lids_meet_percent", "%", "higher"),
    Figure("eye_hidden_percent", "%", "higher"),
    Figure("visible_at_half"),
    Figure("lips_touch_percent", "%", "higher"),
    Figure("mouth_shuts_percent", "%", "higher"),
    Figure("largest_lid_overlap", better="lower"),
)


class ActionsMeasure:
    """See `actions_result`."""

    name = "actions"
    summary = "amplitudes of the blendshapes against Apple's, and how lids and lips close, over random identities"
    needs = frozenset({"reconstruction"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        head = data.head
        if not isinstance(method, ReconstructionMethod) or head.expression_names != ARKIT_NAMES:
            raise MeasureNotApplicableError("needs a head whose expressions are the ARKit blendshapes")
        shapes = [None, *torch.randn(PEOPLE, head.n_shape, generator=data.generator())]
        amplitudes, closures = [], []
        with data.progress(self.name, len(shapes)) as display:
            for number, shape in enumerate(shapes):
                if number <= MEASURED_PEOPLE:
                    amplitudes.append(measure_actions(head, shape))
                closures.append(measure_closure(head, shape))
                display.advance()
        yield actions_result(method.method, amplitudes, closures)


def actions_result(method: str, amplitudes: Sequence[list[Amplitude]], closures: Sequence[Closure]) -> Result:
    """Return the figures of people.

    Args:
        method: Method under test, which names the result.
        amplitudes: Of the mean head, then of others.
        closures: Of all people.
    """
    mean, *others = [within(rows) for rows in amplitudes]
    low, high = LID_GAP
    numbers = {
        "actions": float(len(MEASURES)),
        "within_25_percent_first": float(mean[0]),
        "within_25_percent_all": float(mean[1]),
        "others_within_first": float(np.mean([each[0] for each in others])) if others else float("nan"),
        "others_within_all": float(np.mean([each[1] for each in others])) if others else float("nan"),
        "lids_meet_percent": _percent([low <= each.lid_gap <= high for each in closures]),
        "eye_hidden_percent": _percent([each.visible_at_1 <= MAX_VISIBLE for each in closures]),
        "visible_at_half": float(np.mean([each.visible_at_half for each in closures])),
        "lips_touch_percent": _percent([abs(each.lip_gap) <= MAX_LIP_GAP for each in closures]),
        "mouth_shuts_percent": _percent([abs(each.closed_mouth_gap) <= MAX_CLOSED_MOUTH_GAP for each in closures]),
        "largest_lid_overlap": max(each.squint_overlap for each in closures),
    }
    return Result("actions", method, len(closures), values_of(FIGURES, numbers))


def _percent(flags: list[bool]) -> float:
    return 100 * float(np.mean(flags))
