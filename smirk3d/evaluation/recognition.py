"""Measures of the expression network: labelled face crops, and photos of people it has not learned from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from smirk3d.evaluation.probe import MAX_FACES, ProbeFaces, probe_faces
from smirk3d.fer.calibration import expected_calibration_error
from smirk3d.fer.datasets import read_labelled
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.face_windows import crop_window, face_window
from smirk3d.fer.linear_probe import probe_predictions
from smirk3d.fer.vectors import Expressions, expressions_of
from smirk3d.media.images import read_image
from smirk3d.metrics.classification import recall_by_class

SPLITS = ("train", "val")


def crop_figures(weights: Path | None, data: Path, split: str) -> list[str]:
    """Return WAR, UAR, ECE and the confusion matrix on labelled face crops as lines of text.

    The temperature of a packaged network was set on FERPlus' validation faces, so that its ECE there is flattering; the
    model card states that of halves.

    Args:
        weights: File of `smirk3d fer train`; None: the packaged network.
        data: See `smirk3d.fer.datasets.read_labelled`.
        split: Its split.

    Raises:
        Smirk3dError: Data or weights cannot be read.
    """
    faces = read_labelled(data, split)
    windows = np.stack([crop_window(read_image(face.source).pixels) for face in faces])
    label = np.array([face.label for face in faces])
    began_s = time.perf_counter()
    probabilities = expressions_of(windows, weights).probabilities
    cost_ms = 1e3 * (time.perf_counter() - began_s) / len(faces)
    lines = _class_lines(EMOTIONS, probabilities, label)
    return [f"{len(faces)} face crops, split {split}: {lines[0]}; {cost_ms:.1f} ms a face", *lines[1:]]


def photo_figures(weights: Path | None, folder: Path) -> list[str]:
    """Return a linear probe's and the network's own recalls on photos with emotion labels as lines of text.

    The probe learns on at most `MAX_FACES` faces of each emotion of the training split; the network itself has learned
    from none of these photos.

    Args:
        weights: As for `crop_figures`.
        folder: Folder of shards with the splits train and val.

    Raises:
        Smirk3dError: Data or weights cannot be read, or there are too few labels.
    """
    faces = probe_faces(folder, SPLITS, MAX_FACES)
    (train, train_label), (test, test_label) = (_expressions(faces, k, weights) for k in range(2))
    predicted = probe_predictions(train.vectors, train_label, test.vectors)
    names = faces.classes
    recalls = recall_by_class(predicted, test_label, len(names))
    lines = [f"{len(test_label)} photos of the split {SPLITS[1]}, {len(names)} emotions"]
    lines.append(f"probe on the vector: balanced accuracy {np.nanmean(recalls):.3f} ({_recalls(names, recalls)})")
    known = [EMOTIONS.index(name) for name in names]
    own = test.probabilities[:, known] / test.probabilities[:, known].sum(axis=1, keepdims=True)
    zero_shot = _class_lines(names, own, test_label)
    return [*lines, f"zero-shot: {zero_shot[0]}", *zero_shot[1:]]


def _expressions(faces: ProbeFaces, split: int, weights: Path | None) -> tuple[Expressions, np.ndarray]:
    """Return what the network predicts of the faces of a split, and their classes (N,)."""
    photos, class_of = faces.photos[split], faces.class_of[split]
    windows = [
        face_window(each.photo.pixels, each.detection.landmarks_px) for batch in photos.batches() for each in batch
    ]
    label = np.array([class_of[record.key] for record in photos.records], dtype=np.int64)
    return expressions_of(np.stack(windows), weights), label


def _class_lines(names: Sequence[str], probabilities: np.ndarray, label: np.ndarray) -> list[str]:
    """Return a line of figures, and lines with the confusion matrix in per cent of each true class."""
    predicted = probabilities.argmax(axis=1)
    recalls = recall_by_class(predicted, label, len(names))
    ece = expected_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(label))
    lines = [f"WAR {100 * (predicted == label).mean():.1f}, UAR {100 * np.nanmean(recalls):.1f}, ECE {ece:.3f}"]
    lines.append("  per cent of the true emotion (rows): " + ", ".join(names))
    for k, name in enumerate(names):
        if (label == k).any():
            share = np.bincount(predicted[label == k], minlength=len(names)) / (label == k).sum()
            cells = " ".join(f"{100 * value:5.1f}" for value in share)
            lines.append(f"  {name:>10} {cells}  ({int((label == k).sum())})")
    return lines


def _recalls(names: Sequence[str], recalls: np.ndarray) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(names, recalls))
