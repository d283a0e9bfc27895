"""Changes of the expression on real skin: photos whose own pixels are moved by known weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from smirk3d.datasets.face_dataset import FaceSet
from smirk3d.datasets.pseudo_targets import fit_targets, join_targets
from smirk3d.datasets.synthetic.photo_textured import PhotoTexturedFaces
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.encoder_predictions import FrozenEncoder
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.metrics.correlation import correlations, mean_of_known
from smirk3d.progress import Progress

MIN_CHANGE = 0.3
"""Gains are taken over changes of at least this size."""
FIGURES = (
    Figure("mean_correlation", better="higher"),
    Figure("gain", better="higher"),
    Figure("asymmetry_gain", better="higher"),
    Figure("unchanged_mean", better="lower"),
)
_BATCH = 32


class PhotoChangesMeasure:
    """See `measure_photo_changes`."""

    name = "photo-changes"
    summary = "known changes of the expression on real skin: change found against change made"
    needs = frozenset({"encoder", "data"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result, on as many pairs as `--count` has photos."""
        encoder = data.encoder
        if tuple(encoder.head.expression_names) != ARKIT_NAMES:
            raise MeasureNotApplicableError("needs the open head")
        records = data.photos.records
        table = join_targets(fit_targets(encoder.head, records))
        faces = FaceSet.from_records(records)
        pairs = PhotoTexturedFaces(encoder.head, faces, table, len(records), data.options.seed, encoder.size_px)
        with data.progress(self.name, len(pairs)) as display:
            yield measure_photo_changes(encoder, pairs, display)


@torch.no_grad()
def measure_photo_changes(encoder: FrozenEncoder, pairs: PhotoTexturedFaces, display: Progress) -> Result:
    """Compare the difference between the predictions for two pictures of a pair with the change made.

    Args:
        encoder: The encoder.
        pairs: Photos and their changes.
        display: Counts the pairs.
    """
    found, made, unchanged = [], [], []
    for rows in torch.arange(len(pairs)).split(_BATCH):
        before, after = pairs.pairs(rows)
        weights = [encoder.encoder.expression(each.image)["expression"] for each in (before, after)]
        assert before.target is not None and after.target is not None
        assert before.target.expression is not None and after.target.expression is not None
        found.append(weights[1] - weights[0])
        made.append(after.target.expression - before.target.expression)
        unchanged.append(weights[0])
        for _ in rows:
            display.advance()
    return photo_changes_result(*(torch.cat(each).numpy() for each in (found, made, unchanged)))


def photo_changes_result(found: np.ndarray, made: np.ndarray, unchanged: np.ndarray) -> Result:
    """Return correlation, gain and asymmetry gain of changes.

    Args:
        found: (N, 52) predicted changes of the weights.
        made: (N, 52) true changes.
        unchanged: (N, 52) predicted weights of the unchanged photos.
    """
    partner = list(ARKIT_MIRROR)
    correlation, gains = correlations(found, made), gain_of(found, made)
    numbers = {
        "mean_correlation": mean_of_known(correlation),
        "gain": float(np.nanmean(gains)),
        "asymmetry_gain": float(np.nanmean(gain_of(found - found[:, partner], made - made[:, partner]))),
        "unchanged_mean": float(unchanged.mean()),
    }
    columns = {"correlation": correlation, "gain": gains}
    return Result(PhotoChangesMeasure.name, "encoder", len(found), values_of(FIGURES, numbers), columns, worst="low")


def gain_of(found: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the slope (K,) of found over made changes (N, K) of at least `MIN_CHANGE`; NaN where there are none."""
    used = np.abs(made) >= MIN_CHANGE
    square = (made**2 * used).sum(axis=0)
    return np.divide((found * made * used).sum(axis=0), square, out=np.full(len(square), np.nan), where=square > 0)
