"""Measures of clip networks on labelled clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import atomic_path
from smirk3d.fer.calibration import fit_temperature
from smirk3d.fer.clips.network import ClipNetwork
from smirk3d.fer.clips.predictor import SubClipPredictions, sub_clip_predictions
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.metrics.classification import recall_by_class
from smirk3d.train.clip_emotion.clip_set import ClipSet

MIN_CALIBRATION_CLIPS = 50


@dataclass(frozen=True, eq=False)
class ClipMeasures:
    """How a network does on labelled clips.

    Attributes:
        war: Weighted average recall, the accuracy, per cent.
        uar: Unweighted average recall over the emotions that occur, per cent.
        confusion: (8, 8) counts, rows true.
    """

    war: float
    uar: float
    confusion: np.ndarray


def measure_clips(network: ClipNetwork, clips: ClipSet) -> ClipMeasures:
    """Measure a network."""
    return measures_of(sub_clip_predictions(network, clips.features).mean, clips.label.numpy())


def measures_of(probabilities: np.ndarray, label: np.ndarray) -> ClipMeasures:
    """Measure predictions (N, 8) by labels (N,)."""
    predicted = probabilities.argmax(axis=1)
    recalls = recall_by_class(predicted, label, len(EMOTIONS))
    confusion = np.zeros((len(EMOTIONS), len(EMOTIONS)), dtype=np.int64)
    np.add.at(confusion, (label, predicted), 1)
    return ClipMeasures(100 * float((predicted == label).mean()), 100 * float(np.nanmean(recalls)), confusion)


def write_confusion(path: Path, found: ClipMeasures) -> None:
    """Write the confusion as CSV, a row for each true emotion."""
    lines = [",".join(("true", *EMOTIONS))]
    lines += [",".join((name, *map(str, row.tolist()))) for name, row in zip(EMOTIONS, found.confusion)]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def calibrate(network: ClipNetwork, clips: ClipSet) -> float:
    """Set the temperature of a network by clips that it has not learned from, in place, and return it.

    Of fewer than `MIN_CALIBRATION_CLIPS` it stays 1, because a few right predictions would make it sure of everything.
    """
    network.temperature.fill_(1.0)
    if len(clips) < MIN_CALIBRATION_CLIPS:
        return 1.0
    mean = torch.from_numpy(sub_clip_predictions(network, clips.features).mean)
    network.temperature.fill_(fit_temperature(mean.clamp(min=1e-8).log(), torch.eye(len(EMOTIONS))[clips.label]))
    return float(network.temperature)


def key_errors(found: SubClipPredictions, apex: np.ndarray, key: np.ndarray) -> tuple[float, float]:
    """Return how well key expressions are found in clips that have one.

    Args:
        found: Predictions of N clips.
        apex: (N, 2) first and last frame of the true apex; not a number where there is none.
        key: (N, 2) first and last frame of the true key expression.

    Returns:
        Share of clips whose predicted middle lies within the true apex, half a frame allowed; and the mean error of
        the ends in frames.
    """
    has_key = np.isfinite(apex).all(axis=1)
    spans = found.key_spans[has_key]
    inside = (spans[:, 1] >= apex[has_key, 0] - 0.5) & (spans[:, 1] <= apex[has_key, 1] + 0.5)
    return float(inside.mean()), float(np.abs(spans[:, [0, 2]] - key[has_key]).mean())
