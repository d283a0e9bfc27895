"""How well hidden regions of faces are told from visible ones, and what becomes of their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from smirk3d.datasets.synthetic.occluders import HELD_OUT_KINDS, occlude, visible_shares
from smirk3d.detection.boxes import iou
from smirk3d.detection.face_regions import REGIONS
from smirk3d.estimation.estimator import FaceObservation, observed_visibility
from smirk3d.estimation.hidden_regions import HIDDEN_BELOW, action_region, shrink_hidden, visible_part
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.images import Photo
from smirk3d.metrics.classification import area_under_roc

HIDDEN_SHARE = 0.5
"""A region of which less is visible is hidden; a false alarm is such a visibility of a photo as it is."""
MIN_IOU = 0.3
"""Overlap of a face with itself behind an occluder; with less, something else was found."""
FIGURES = (
    *(Figure(f"auroc_{region}", better="higher") for region in REGIONS),
    *(Figure(f"false_alarms_{region}_percent", "%", "lower") for region in REGIONS),
    Figure("hidden_weight_before"),
    Figure("hidden_weight_after", better="lower"),
    Figure("clean_change_median", better="lower"),
    Figure("clean_change_p99", better="lower"),
)


class OcclusionMeasure:
    """See `measure_occlusion`."""

    name = "occlusion"
    summary = "visibility of regions behind drawn occluders of kinds that were not trained on, and their weights"
    needs = frozenset({"data", "reconstruction"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        known = [face for batch in data.photos.batches() for face in batch]
        yield measure_occlusion(data.reconstructor(), known, data.options.seed)


@dataclass(eq=False)
class _Log:
    """What was found of N faces: visibilities (4,), and weights (52,) before and after they are shrunk.

    Attributes:
        visibility: Estimated visibilities.
        before: Weights before.
        after: Weights after.
    """

    visibility: list[np.ndarray] = field(default_factory=list)
    before: list[np.ndarray] = field(default_factory=list)
    after: list[np.ndarray] = field(default_factory=list)

    def add(self, reconstructor: Reconstructor, face: FaceObservation) -> None:
        """Estimate one face."""
        estimator = reconstructor.estimator
        records = estimator.observe([face])
        with torch.no_grad():
            estimates = estimator.solve(records, estimator.intrinsics(records))
            visibility = observed_visibility([face])
            after, _ = shrink_hidden(estimator.head, estimates.arkit, estimates.params, visibility)
        self.visibility.append(visibility[0])
        self.before.append(estimates.arkit[0].cpu().numpy())
        self.after.append(after[0].cpu().numpy())


def measure_occlusion(reconstructor: Reconstructor, faces: Sequence[FaceObservation], seed: int) -> Result:
    """Draw an occluder before each face, in turn of each kind of `HELD_OUT_KINDS`, and compare with the photo itself.

    Args:
        reconstructor: Detects and estimates.
        faces: Faces with known landmarks.
        seed: Of what is drawn.

    Raises:
        MeasureNotApplicableError: No face is found behind an occluder.
    """
    rng, kinds = np.random.default_rng(seed), list(HELD_OUT_KINDS.values())
    clean, covered, shares = _Log(), _Log(), []
    for k, face in enumerate(faces):
        pixels, landmarks_px = face.photo.pixels, face.detection.landmarks_px
        other = faces[k - 1].photo.pixels.mean(axis=2).astype(np.uint8)
        drawn, coverage = occlude(pixels, landmarks_px, kinds[k % len(kinds)], other, rng)
        itself, behind = (_found(reconstructor, face, image) for image in (pixels, drawn))
        if itself is not None:
            clean.add(reconstructor, itself)
        if behind is not None:
            covered.add(reconstructor, behind)
            shares.append(visible_shares(coverage, landmarks_px))
    if not clean.visibility or not shares:
        raise MeasureNotApplicableError("no face was found behind an occluder; name more photos")
    numbers = _numbers(clean, covered, np.array(shares))
    found = len(covered.visibility)
    name = reconstructor.estimator.method
    return Result("occlusion", name, found, values_of(FIGURES, numbers), left_out=len(faces) - found)


def _found(reconstructor: Reconstructor, face: FaceObservation, pixels: np.ndarray) -> FaceObservation | None:
    detected = reconstructor.detect(pixels)
    nearest = max(detected, key=lambda each: iou(each.box_px, face.detection.box_px), default=None)
    if nearest is None or iou(nearest.box_px, face.detection.box_px) < MIN_IOU:
        return None
    return FaceObservation(Photo(pixels), nearest)


def _numbers(clean: _Log, covered: _Log, shares: np.ndarray) -> dict[str, float]:
    """Return the figures; `shares` are the true visible shares (N, 4) of the covered faces."""
    visible, found = np.array(clean.visibility), np.array(covered.visibility)
    numbers: dict[str, float] = {}
    for k, region in enumerate(REGIONS):
        numbers[f"auroc_{region}"] = area_under_roc(visible[:, k], found[shares[:, k] < HIDDEN_SHARE, k])
        numbers[f"false_alarms_{region}_percent"] = 100 * float((visible[:, k] < HIDDEN_SHARE).mean())
    parts = np.stack([visible_part(shares, *action_region(name)) for name in ARKIT_NAMES], axis=1)
    is_hidden = parts < HIDDEN_BELOW
    before, after = np.array(covered.before), np.array(covered.after)
    numbers["hidden_weight_before"] = float(before[is_hidden].mean()) if is_hidden.any() else float("nan")
    numbers["hidden_weight_after"] = float(after[is_hidden].mean()) if is_hidden.any() else float("nan")
    change = np.abs(np.array(clean.before) - np.array(clean.after)).max(axis=1)
    numbers["clean_change_median"] = float(np.median(change))
    numbers["clean_change_p99"] = float(np.quantile(change, 0.99))
    return numbers
