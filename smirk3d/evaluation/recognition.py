"""Measures of the expression network: labelled face crops, and photos of people it has not learned from."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.probe import MAX_FACES, ProbeFaces, probe_faces
from smirk3d.fer.calibration import expected_calibration_error
from smirk3d.fer.dataset_check import NEAR_DUPLICATE
from smirk3d.fer.dataset_readers.csv_rows import numbered_rows
from smirk3d.fer.datasets import read_labelled
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.face_windows import face_window
from smirk3d.fer.linear_probe import probe_predictions
from smirk3d.fer.vectors import Expressions, expressions_of
from smirk3d.metrics.classification import recall_by_class, recall_gain_interval

SPLITS = ("train", "val")


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions for labelled faces.

    Attributes:
        title: What was measured.
        names: C names of classes.
        probabilities: (N, C).
        label: (N,) int.
        notes: Further figures, one line each.
        people: (N,) whose faces they are; None: unknown.
    """

    title: str
    names: tuple[str, ...]
    probabilities: np.ndarray
    label: np.ndarray
    notes: tuple[str, ...] = ()
    people: np.ndarray | None = None

    @property
    def prediction(self) -> np.ndarray:
        """The most probable class (N,) of each face."""
        return self.probabilities.argmax(axis=1)

    @property
    def recalls(self) -> np.ndarray:
        """Recall (C,) of each class, NaN where it does not occur."""
        return recall_by_class(self.prediction, self.label, len(self.names))

    @property
    def ece(self) -> float:
        """Expected calibration error."""
        return expected_calibration_error(torch.from_numpy(self.probabilities), torch.from_numpy(self.label))

    @property
    def confusion(self) -> np.ndarray:
        """Counts (C, C) by true and predicted class."""
        counts = np.zeros((len(self.names), len(self.names)), dtype=np.int64)
        np.add.at(counts, (self.label, self.prediction), 1)
        return counts

    @property
    def intervals(self) -> str:
        """95 % intervals of WAR and UAR over people, or over faces where people are unknown, as text."""
        right = (self.prediction == self.label).astype(float)
        war = balanced_interval(right, np.zeros_like(self.label), self.people)
        uar = balanced_interval(right, self.label, self.people)
        texts = [f"{name} {100 * low:.1f} to {100 * high:.1f}" for name, (low, high) in (("WAR", war), ("UAR", uar))]
        return f"95 % intervals over {'faces' if self.people is None else 'people'}: {', '.join(texts)}"

    def figures(self) -> str:
        """Return WAR, UAR and ECE as text."""
        war = 100 * (self.prediction == self.label).mean()
        return f"WAR {war:.1f}, UAR {100 * np.nanmean(self.recalls):.1f}, ECE {self.ece:.3f}"

    def lines(self) -> list[str]:
        """Return all figures, and the confusion in per cent of each true class, as lines of text."""
        lines = [f"{self.title}: {self.figures()}", f"  {self.intervals}", *self.notes]
        lines.append("  per cent of the true emotion (rows): " + ", ".join(self.names))
        for name, row in zip(self.names, self.confusion):
            if row.sum():
                cells = " ".join(f"{100 * value:5.1f}" for value in row / row.sum())
                lines.append(f"  {name:>10} {cells}  ({row.sum()})")
        return lines


def balanced_interval(right: np.ndarray, label: np.ndarray, people: np.ndarray | None) -> tuple[float, float]:
    """Return the 95 % interval of the mean recall of the classes.

    Args:
        right: (N,) 1 for a face that was recognised, else 0.
        label: (N,) int classes; equal ones for the interval of the accuracy.
        people: (N,) whose faces they are; None: each face is drawn on its own.
    """
    group = np.arange(len(right)) if people is None else people
    low, high = recall_gain_interval(right, label, group, seed=0)
    return float(low), float(high)


def predicted_crops(weights: Path | None, data: Path, split: str, left_out: Collection[str] = frozenset()) -> Predicted:
    """Predict labelled face crops.

    The temperature of a packaged network was set on FERPlus' validation faces, so that its ECE there is flattering; the
    model card states that of halves.

    Args:
        weights: File of `smirk3d fer train`; None: the packaged network.
        data: See `smirk3d.fer.datasets.read_labelled`.
        split: Its split.
        left_out: Keys of faces that are not measured, see `duplicated_keys`.

    Raises:
        Smirk3dError: Data or weights cannot be read, or no face is left.
    """
    faces = [face for face in read_labelled(data, split) if face.key not in left_out]
    if not faces:
        raise Smirk3dError(f"{printable(data)}: no face of the split {split} is left; check the table of problems")
    windows = np.stack([face.window() for face in faces])
    label = np.array([face.label for face in faces])
    began_s = time.perf_counter()
    probabilities = expressions_of(windows, weights).probabilities
    cost_ms = 1e3 * (time.perf_counter() - began_s) / len(faces)
    title = f"{len(faces)} face crops, split {split}"
    return Predicted(title, EMOTIONS, probabilities, label, (f"  {cost_ms:.1f} ms a face",))


def duplicated_keys(problems: Path, split: str) -> frozenset[str]:
    """Return the keys of the faces of a split that have a near-duplicate in another one.

    Args:
        problems: Table of `smirk3d fer check --problems`.
        split: The split.

    Raises:
        Smirk3dError: It is no such table.
    """
    keys: set[str] = set()
    for _, row in numbered_rows(problems, ("kind", "split", "key", "other_split", "other_key")):
        if row["kind"] == NEAR_DUPLICATE:
            keys |= {row[key] for where, key in (("split", "key"), ("other_split", "other_key")) if row[where] == split}
    return frozenset(keys)


def predicted_photos(weights: Path | None, folder: Path) -> Predicted:
    """Predict photos with emotion labels, and train a linear probe on the vectors of others.

    The probe learns on at most `MAX_FACES` faces of each emotion of the training split; the network itself has learned
    from none of these photos. Its probabilities are those of the emotions that occur, scaled to a sum of 1.

    Args:
        weights: As for `predicted_crops`.
        folder: Folder of shards with the splits train and val.

    Raises:
        Smirk3dError: Data or weights cannot be read, or there are too few labels.
    """
    faces = probe_faces(folder, SPLITS, MAX_FACES)
    (train, train_label), (test, test_label) = (_expressions(faces, k, weights) for k in range(2))
    prediction = probe_predictions(train.vectors, train_label, test.vectors)
    names = tuple(faces.classes)
    recalls = recall_by_class(prediction, test_label, len(names))
    by_class = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, recalls))
    people = np.array([record.person or record.key for record in faces.photos[1].records])
    low, high = balanced_interval((prediction == test_label).astype(float), test_label, people)
    note = (
        f"  probe on the vector: balanced accuracy {np.nanmean(recalls):.3f}, 95 % interval over people {low:.3f} to "
        f"{high:.3f} ({by_class})"
    )
    known = [EMOTIONS.index(name) for name in names]
    own = test.probabilities[:, known] / test.probabilities[:, known].sum(axis=1, keepdims=True)
    return Predicted(
        f"{len(test_label)} photos of the split {SPLITS[1]}, zero-shot", names, own, test_label, (note,), people
    )


def _expressions(faces: ProbeFaces, split: int, weights: Path | None) -> tuple[Expressions, np.ndarray]:
    """Return what the network predicts of the faces of a split, and their classes (N,)."""
    photos, class_of = faces.photos[split], faces.class_of[split]
    windows = [
        face_window(each.photo.pixels, each.detection.landmarks_px) for batch in photos.batches() for each in batch
    ]
    label = np.array([class_of[record.key] for record in photos.records], dtype=np.int64)
    return expressions_of(np.stack(windows), weights), label
