"""Whether emotions can be read off expression features by a linear map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.datasets.emotion_labels import emotion_labels
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.report import MeasureNotApplicableError, Result
from smirk3d.fer.linear_probe import MIN_FACES, probe_predictions
from smirk3d.metrics.classification import recall_by_class
from smirk3d.metrics.correlation import mean_of_known
from smirk3d.progress import Progress


@dataclass(frozen=True, eq=False)
class ProbeFaces:
    """Labelled faces, to learn from and to judge by.

    Attributes:
        classes: Names of the emotions. photos: Of both splits. class_of: Number of the emotion by key, likewise.
    """

    classes: tuple[str, ...]
    photos: tuple[PhotoSet, PhotoSet]
    class_of: tuple[Mapping[str, int], Mapping[str, int]]

    def __len__(self) -> int:
        return sum(map(len, self.photos))


def choose_faces(labels: Mapping[str, str], classes: Sequence[str], most: int) -> dict[str, int]:
    """Return the key and the class's number of at most `most` faces of each class, the first ones."""
    chosen: dict[str, int] = {}
    for number, name in enumerate(classes):
        chosen |= dict.fromkeys([key for key, label in labels.items() if label == name][:most], number)
    return chosen


def usual_emotions(*labels: Mapping[str, str]) -> list[str]:
    """Return the emotions of which every split has at least `MIN_FACES` faces, in alphabetical order."""
    counts = [Counter(split.values()) for split in labels]
    return sorted(name for name in counts[0] if all(count[name] >= MIN_FACES for count in counts))


def probe_faces(folder: str | Path, splits: tuple[str, str], most: int) -> ProbeFaces:
    """Choose the faces of a probe.

    Args:
        folder: Of shards with labels. splits: To learn from and to judge by. most: Faces of each emotion of each split.

    Raises:
        CannotMeasureError: Fewer than two emotions have enough faces.
        Smirk3dError: As for `PhotoSet.read`.
    """
    labels = [emotion_labels(folder, split) for split in splits]
    classes = usual_emotions(*labels)
    if len(classes) < 2:
        raise MeasureNotApplicableError(f"fewer than two emotions have {MIN_FACES} faces in both splits")
    chosen = [choose_faces(of_split, classes, most) for of_split in labels]
    photos = [PhotoSet.read(folder, split, len(keys), keys) for split, keys in zip(splits, chosen, strict=True)]
    return ProbeFaces(tuple(classes), (photos[0], photos[1]), (chosen[0], chosen[1]))


def measure_probe(subject: MethodUnderTest, faces: ProbeFaces, display: Progress) -> Result:
    """Train a probe on the features of one split and judge it on the other.

    Raises:
        CannotMeasureError: In all photos of a class that is to be learned no face is found.
    """
    learned, judged = (_features(subject, *side, display) for side in zip(faces.photos, faces.class_of, strict=True))
    if set(learned[1]) != set(range(len(faces.classes))):
        raise MeasureNotApplicableError("of some emotion no face was found in any photo")
    (features, label), (judged_features, judged_label) = learned, judged
    answer = probe_predictions(features, label, judged_features)
    recall = recall_by_class(answer, judged_label, len(faces.classes))
    figures = {"balanced_recall": mean_of_known(recall), "chance": 1 / len(faces.classes)}
    figures |= {f"recall_{name}": float(value) for name, value in zip(faces.classes, recall)}
    left_out = len(faces) - len(learned[1]) - len(judged[1])
    return Result("probe", subject.method, len(judged[1]), figures, left_out=left_out)


def _features(
    subject: MethodUnderTest, photos: PhotoSet, class_of: Mapping[str, int], display: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, K) and classes (N,) of the faces that are found."""
    features, classes = [], []
    records = iter(photos.records)
    for batch in photos.batches():
        looks = [(subject.look(seen.photo, seen.detection), class_of[next(records).key]) for seen in batch]
        if found := [(look, label) for look, label in looks if look is not None]:
            features.append(subject.features([look for look, _ in found]))
            classes += [label for _, label in found]
        for _ in batch:
            display.advance()
    if not features:
        raise MeasureNotApplicableError("no face was found in any of the photos")
    return np.concatenate(features), np.array(classes, dtype=np.int64)
