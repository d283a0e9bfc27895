"""Predicted expressions on heads whose shape, resting face and blendshapes differ as those of other artists do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.blink_closure import BLINK_COLUMNS
from smirk3d.datasets.synthetic.scene_sampling import KIND_SHARES, Kind, random_expression
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.personal_rest import resting_weights, without_rest
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.options import DEFAULT_COUNT
from smirk3d.evaluation.photo_changes import gain_of
from smirk3d.evaluation.randomized_heads import RandomizedHead, RandomizedHeadPictures, blinking
from smirk3d.evaluation.result import Figure, Result, values_of
from smirk3d.evaluation.synthetic_accuracy import COMPARED, predict_all
from smirk3d.evaluation.synthetic_set import SIZE_PX, Detect, SyntheticTestSet
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.metrics.correlation import correlations, mean_of_known
from smirk3d.progress import Progress

DEFAULT_HEADS, MAX_HEADS = 60, 100
KIND_CYCLE: tuple[Kind, ...] = tuple(kind for kind, share in KIND_SHARES if kind != "neutral" for _ in range(share))
"""What the random expression of each head is drawn from, in turn; the neutral face is a picture of its own."""
RUNGS = (0.25, 0.5, 0.75, 1.0)
"""Weights of both blinks."""
NEUTRAL, RANDOM, FIRST_RUNG = 0, 1, 2
"""Pictures of a head in order."""
PICTURES = FIRST_RUNG + len(RUNGS)
FIGURES = (
    Figure("mean_correlation", better="higher"),
    Figure("gain", better="higher"),
    Figure("asymmetry_gain", better="higher"),
    Figure("neutral_mean", better="lower"),
    Figure("correlation_without_rest", better="higher"),
    Figure("gain_without_rest", better="higher"),
    Figure("blink_at_1", better="higher"),
    Figure("blink_ladder_error", better="lower"),
    Figure("blink_when_open", better="lower"),
)


class OutOfDomainHeadsMeasure:
    """See `measure_out_of_domain_heads`; networks are measured by all three methods."""

    name = "out-of-domain-heads"
    summary = "expressions and a ladder of blinks on rendered heads as unlike the open head as those of other artists"
    needs = frozenset[str]()
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result a method, on as many heads as `--count` has, at most `MAX_HEADS`."""
        asked = data.options.count
        count = DEFAULT_HEADS if asked == DEFAULT_COUNT else min(asked, MAX_HEADS)
        with data.progress("out-of-domain heads", count) as display:
            pictures = out_of_domain_pictures(
                load_head(), data.method.detect, display, count=count, seed=data.options.seed
            )
        if data.options.keep is not None:
            pictures.save_sheet(data.clip_folder / f"{self.name}.png", columns=PICTURES, rows=8)
        for each in data.methods(COMPARED):
            with data.progress(f"{self.name}: {each.method}", len(pictures)) as display:
                yield measure_out_of_domain_heads(each, pictures, display)


def out_of_domain_pictures(
    head: HeadModel, detect: Detect, display: Progress, *, count: int, seed: int, size: int = SIZE_PX
) -> SyntheticTestSet:
    """Render random heads, `PICTURES` in turn each: neutral, a random expression, a ladder of blinks.

    A head with a picture in which no face is found is left out.

    Args:
        head: The open head.
        detect: Finds faces.
        display: Counts the heads.
        count: Heads that are rendered; a larger set starts with the smaller one.
        seed: Of everything random.
        size: Side of a picture, pixels.

    Raises:
        Smirk3dError: The detector finds a face in all pictures of none of the heads.
    """
    rendered = RandomizedHeadPictures(head, seed, size)
    pictures: list[np.ndarray] = []
    expressions: list[np.ndarray] = []
    kinds: list[str] = []
    rotmats: list[np.ndarray] = []
    detections: list[Detection] = []
    for number in range(count):
        generator = rendered.generator(number)
        actor = RandomizedHead.random(head, generator)
        kind = KIND_CYCLE[number % len(KIND_CYCLE)]
        acted = [blinking(0.0), random_expression(kind, generator), *map(blinking, RUNGS)]
        shown = rendered.render(actor, acted, generator)
        found = [detect(pixels) for pixels in shown]
        if all(found):
            pictures += shown
            expressions += [weights.numpy() for weights in acted]
            kinds += ["neutral", kind, *(f"blink {rung:g}" for rung in RUNGS)]
            rotmats += PICTURES * [actor.rotmat.numpy()]
            detections += [faces[0] for faces in found]
        display.advance()
    if not pictures:
        raise Smirk3dError(
            f"a face was found in all pictures of none of {count} rendered heads; check the installation with doctor"
        )
    return SyntheticTestSet.of(
        pictures, expressions, kinds, rotmats, detections, missed=PICTURES * count - len(pictures)
    )


@torch.no_grad()
def measure_out_of_domain_heads(method: MethodUnderTest, pictures: SyntheticTestSet, display: Progress) -> Result:
    """Compare predicted expressions with the ground truth, with and without the resting face of each head.

    Args:
        method: Method under test.
        pictures: Rendered heads.
        display: Counts the pictures.
    """
    weights = predict_all(method, pictures, display)
    return out_of_domain_result(weights, pictures.expression, method.method, pictures.missed)


def out_of_domain_result(found: np.ndarray, truth: np.ndarray, method: str, left_out: int = 0) -> Result:
    """Return the figures of predictions.

    Args:
        found: (N, 52) predicted weights, `PICTURES` of each head in turn.
        truth: (N, 52) true weights.
        method: Name of the method.
        left_out: Number of pictures that were left out.
    """
    by_head = found.reshape(-1, PICTURES, len(ARKIT_NAMES))
    neutral, acted, made = by_head[:, NEUTRAL], by_head[:, RANDOM], truth[RANDOM::PICTURES]
    rests = np.stack([resting_weights(each[None]) for each in neutral])
    rested = without_rest(acted, rests)
    partner = list(ARKIT_MIRROR)
    correlation, gains = correlations(acted, made), gain_of(acted, made)
    blinks = by_head[:, FIRST_RUNG:, BLINK_COLUMNS].mean(axis=(0, 2))
    numbers = {
        "mean_correlation": mean_of_known(correlation),
        "gain": mean_of_known(gains),
        "asymmetry_gain": mean_of_known(gain_of(acted - acted[:, partner], made - made[:, partner])),
        "neutral_mean": float(neutral.mean()),
        "correlation_without_rest": mean_of_known(correlations(rested, made)),
        "gain_without_rest": mean_of_known(gain_of(rested, made)),
        "blink_at_1": float(blinks[-1]),
        "blink_ladder_error": float(np.abs(blinks - np.array(RUNGS)).mean()),
        "blink_when_open": float(neutral[:, BLINK_COLUMNS].mean()),
    }
    columns = {"correlation": correlation, "gain": gains}
    values = values_of(FIGURES, numbers)
    return Result(OutOfDomainHeadsMeasure.name, method, len(found), values, columns, left_out=left_out, worst="low")
