"""Cross-validated linear probes on the expressions predicted by several methods.

The probe of `smirk3d.evaluation.probe` is trained on one split and tested on the other, which has few faces of rare
emotions. Here both splits are cut into `FOLDS` folds without a person in two of them; each fold is classified by a
probe that was trained on the others, several times with other folds. Only faces of the test split count in the end,
because an encoder may have learned from the labels of the training split.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import open_plain_text
from smirk3d.datasets.emotion_labels import LABELS_NAME
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.data import TRAIN_SPLIT, EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.probe import MAX_FACES, ProbeFaces, probe_faces, recall_numbers
from smirk3d.evaluation.probe import figures_of as probe_figures
from smirk3d.evaluation.result import Figure, Result, values_of
from smirk3d.fer.linear_probe import probe_predictions
from smirk3d.metrics.classification import recall_by_class, recall_gain_interval
from smirk3d.progress import Progress

FOLDS = 5
PERSON_COLUMN = "group"
INTERVAL_FIGURES = (Figure("gain_over_detector_low", better="higher"), Figure("gain_over_detector_high"))
FIGURES = (*probe_figures(("EMOTION",)), Figure("persons"), *INTERVAL_FIGURES)


@dataclass(frozen=True, eq=False)
class ProbeFeatures:
    """Features of N faces by several methods.

    Attributes:
        label: (N,) int, the emotions.
        person: (N,) int, the persons.
        is_test: (N,) bool, which faces are of the test split.
        features: Name of the method -> (N, K).
    """

    label: np.ndarray
    person: np.ndarray
    is_test: np.ndarray
    features: Mapping[str, np.ndarray]


class ProbeComparisonMeasure:
    """Balanced recall of each method with its gain over the detector's scores, 95 % interval over persons."""

    name = "probe-comparison"
    summary = "balanced recall of emotions by cross-validated linear probes: detector, fit, encoder, refine"
    needs = frozenset({"data", "encoder"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result a method."""
        options = data.options
        faces = probe_faces(data.folder, (TRAIN_SPLIT, options.split), min(options.count, MAX_FACES))
        persons = read_persons(data.folder)
        methods = data.methods(("fit", "encoder", "refine", "detector"))
        with data.progress(self.name, len(faces)) as display:
            found = predict_features(methods, faces, persons, display)
        yield from compare_probes(found, faces.classes, options.probe.repeats, options.probe.all_splits, options.seed)


def read_persons(folder: Path) -> dict[str, str]:
    """Return the person of each face by its key, from the columns `key` and `group` of `labels.csv`.

    Raises:
        Smirk3dError: The file cannot be read, or lacks a column.
    """
    path = folder / LABELS_NAME
    try:
        with open_plain_text(path) as file:
            return {row["key"]: row[PERSON_COLUMN] for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        needed = f"a table with the columns key and {PERSON_COLUMN} is needed"
        raise Smirk3dError(f"{printable(path)}: unreadable ({type(error).__name__}); {needed}") from error


def predict_features(
    methods: Sequence[MethodUnderTest], faces: ProbeFaces, persons: Mapping[str, str], display: Progress
) -> ProbeFeatures:
    """Return the features of all methods on the same detections, those of the first method.

    Faces that the first method does not find are left out.

    Args:
        methods: Methods to compare.
        faces: Labelled faces of both splits.
        persons: Person by the key of a face.
        display: Counts the faces.
    """
    features: dict[str, list[np.ndarray]] = {method.method: [] for method in methods}
    keys: list[str] = []
    labels, is_test = [], []
    for photos, class_of in zip(faces.photos, faces.class_of, strict=True):
        records = iter(photos.records)
        for batch in photos.batches():
            pairs = [(methods[0].observe(face), next(records).key) for face in batch]
            found = [(face, key) for face, key in pairs if face is not None]
            keys += [key for _, key in found]
            labels += [class_of[key] for _, key in found]
            is_test += [photos is faces.photos[1]] * len(found)
            for method in methods if found else ():
                features[method.method].append(method.features([face for face, _ in found]))
            for _ in batch:
                display.advance()
    _, person = np.unique([persons[key] for key in keys], return_inverse=True)
    joined = {name: np.concatenate(parts) for name, parts in features.items()}
    return ProbeFeatures(np.array(labels), person, np.array(is_test), joined)


def cross_validated(found: ProbeFeatures, features: np.ndarray, repeats: int, seed: int) -> np.ndarray:
    """Return the class of each face by probes that were trained without its person.

    Args:
        found: Labels and persons of N faces.
        features: (N, K) of one method.
        repeats: How often the folds are drawn anew.
        seed: Of the folds.

    Returns:
        (repeats, N) int.
    """
    random = np.random.default_rng(seed)
    prediction = np.empty((repeats, len(features)), np.int64)
    for repeat in range(repeats):
        fold_of_face = random.integers(FOLDS, size=found.person.max() + 1)[found.person]
        for fold in range(FOLDS):
            train = fold_of_face != fold
            prediction[repeat, ~train] = probe_predictions(features[train], found.label[train], features[~train])
    return prediction


def compare_probes(
    found: ProbeFeatures, classes: Sequence[str], repeats: int, all_splits: bool, seed: int
) -> Iterator[Result]:
    """Yield the recalls of each method, and the interval of its gain over the detector's scores.

    Args:
        found: Features of all methods; one of them is named "detector".
        classes: Names of the emotions.
        repeats: How often the folds are drawn anew; 1 to 10.
        all_splits: Whether faces of the training split count, too.
        seed: Of folds and resampling.
    """
    counts = found.is_test | all_splits
    label, person = found.label[counts], found.person[counts]
    predictions = {
        name: cross_validated(found, features, repeats, seed)[:, counts] for name, features in found.features.items()
    }
    correct = {name: (prediction == label).mean(axis=0) for name, prediction in predictions.items()}
    figures = (*probe_figures(classes), *FIGURES[-3:])
    for name, prediction in predictions.items():
        recall = np.mean([recall_by_class(each, label, len(classes)) for each in prediction], axis=0)
        low, high = recall_gain_interval(correct[name] - correct["detector"], label, person, seed=seed)
        numbers = {"balanced_recall": float(recall.mean()), "chance": 1 / len(classes)}
        numbers |= recall_numbers(classes, recall) | {"persons": len(np.unique(person))}
        numbers |= {"gain_over_detector_low": float(low), "gain_over_detector_high": float(high)}
        yield Result("probe-comparison", name, len(label), values_of(figures, numbers))
