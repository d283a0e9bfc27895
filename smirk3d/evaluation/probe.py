"""Linear probe: how well emotions can be classified from expression features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.datasets.emotion_labels import emotion_labels
from smirk3d.evaluation.data import TRAIN_SPLIT, EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.result import Figure, MeasureNotApplicableError, Result, values_of
from smirk3d.fer.linear_probe import MIN_FACES, probe_predictions
from smirk3d.metrics.classification import recall_by_class
from smirk3d.metrics.correlation import mean_of_known
from smirk3d.progress import Progress

MAX_FACES = 300
"""Of each emotion and split."""
FIGURES = (Figure("balanced_recall", better="higher"), Figure("chance"), Figure("recall_EMOTION", better="higher"))


@dataclass(frozen=True, eq=False)
class ProbeFaces:
    """Labelled faces of a training and of a test split.

    Attributes:
        classes: Names of the emotions.
        photos: Faces of both splits.
        class_of: Number of the emotion by key, of both splits.
    """

    classes: tuple[str, ...]
    photos: tuple[PhotoSet, PhotoSet]
    class_of: tuple[Mapping[str, int], Mapping[str, int]]

    def __len__(self) -> int:
        return sum(map(len, self.photos))


class ProbeMeasure:
    """See `measure_probe`."""

    name = "probe"
    summary = "balanced recall of emotions by a linear probe, trained on one split and tested on the other"
    needs = frozenset({"data"})
    figures = FIGURES
    is_default = True

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result."""
        splits, count = (TRAIN_SPLIT, data.options.split), min(data.options.count, MAX_FACES)
        faces = probe_faces(data.folder, splits, count)
        with data.progress(self.name, len(faces)) as display:
            yield measure_probe(method, faces, display)


def choose_faces(labels: Mapping[str, str], classes: Sequence[str], count: int) -> dict[str, int]:
    """Return the key and the number of the class of the first faces of each class, at most `count` of each."""
    chosen: dict[str, int] = {}
    for number, name in enumerate(classes):
        chosen |= dict.fromkeys([key for key, label in labels.items() if label == name][:count], number)
    return chosen


def frequent_emotions(*labels: Mapping[str, str]) -> list[str]:
    """Return the emotions of which every split has at least `MIN_FACES` faces, in alphabetical order."""
    counts = [Counter(split.values()) for split in labels]
    return sorted(name for name in counts[0] if all(count[name] >= MIN_FACES for count in counts))


def probe_faces(folder: str | Path, splits: tuple[str, str], count: int) -> ProbeFaces:
    """Choose the faces of a probe.

    Args:
        folder: Folder of shards with labels.
        splits: Training and test split.
        count: At most so many faces of each emotion of each split.

    Raises:
        MeasureNotApplicableError: Fewer than two emotions have enough faces.
        Smirk3dError: As for `PhotoSet.read`.
    """
    labels = [emotion_labels(folder, split) for split in splits]
    classes = frequent_emotions(*labels)
    if len(classes) < 2:
        raise MeasureNotApplicableError(f"fewer than two emotions have {MIN_FACES} faces in both splits")
    chosen = [choose_faces(of_split, classes, count) for of_split in labels]
    photos = [PhotoSet.read(folder, split, len(keys), keys) for split, keys in zip(splits, chosen, strict=True)]
    return ProbeFaces(tuple(classes), (photos[0], photos[1]), (chosen[0], chosen[1]))


def measure_probe(method: MethodUnderTest, faces: ProbeFaces, display: Progress) -> Result:
    """Train a probe on the features of one split and test it on the other.

    Args:
        method: Method under test.
        faces: Labelled faces of both splits.
        display: Counts the faces.

    Raises:
        MeasureNotApplicableError: No face is found in any training photo of a class.
    """
    train, test = (_features(method, *split, display) for split in zip(faces.photos, faces.class_of, strict=True))
    if set(train[1]) != set(range(len(faces.classes))):
        raise MeasureNotApplicableError("of some emotion no face was found in any photo")
    (features, label), (test_features, test_label) = train, test
    prediction = probe_predictions(features, label, test_features)
    recall = recall_by_class(prediction, test_label, len(faces.classes))
    numbers = {"balanced_recall": mean_of_known(recall), "chance": 1 / len(faces.classes)}
    numbers |= recall_numbers(faces.classes, recall)
    left_out = len(faces) - len(train[1]) - len(test[1])
    values = values_of(figures_of(faces.classes), numbers)
    return Result("probe", method.method, len(test[1]), values, left_out=left_out)


def recall_numbers(classes: Sequence[str], recall: np.ndarray) -> dict[str, float]:
    """Return recalls (C,) by the names of their figures."""
    return {f"recall_{name}": float(value) for name, value in zip(classes, recall)}


def figures_of(classes: Sequence[str]) -> tuple[Figure, ...]:
    """Return the figures of a probe for these emotions."""
    return (*FIGURES[:2], *(Figure(f"recall_{name}", better="higher") for name in classes))


def _features(
    method: MethodUnderTest, photos: PhotoSet, class_of: Mapping[str, int], display: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, K) and classes (N,) of the faces that are found."""
    features, classes = [], []
    records = iter(photos.records)
    for batch in photos.batches():
        pairs = [(method.observe(face), class_of[next(records).key]) for face in batch]
        if found := [(face, label) for face, label in pairs if face is not None]:
            features.append(method.features([face for face, _ in found]))
            classes += [label for _, label in found]
        for _ in batch:
            display.advance()
    if not features:
        raise MeasureNotApplicableError("no face was found in any of the photos")
    return np.concatenate(features), np.array(classes, dtype=np.int64)
