"""Cross-validated linear probe of features, with people kept apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from smirk3d.errors import Smirk3dError

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Values of scikit-learn's `C` among which the training people choose."""
MIN_PEOPLE = 2
NEAR_DUPLICATE = 0.02
"""Root mean square difference of standardised features below which two faces count as one picture."""
_INNER_FOLDS, _RESAMPLES, _MAX_ITERATIONS, _BLOCK = 3, 1000, 1000, 512


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What a probe has reached.

    Attributes:
        classes: Names of the classes.
        confusion: (C, C) int, true class by predicted one.
        balanced_accuracy: Mean of the recalls (UAR).
        interval: Its 95 % interval, by redrawing people.
        war: Accuracy (WAR).
        macro_f1: Mean of the F1 scores.
        people: Number of people, or groups, that were kept apart.
        merged: Number of groups that were joined because they share nearly the same picture.
    """

    classes: tuple[str, ...]
    confusion: np.ndarray
    balanced_accuracy: float
    interval: tuple[float, float]
    war: float
    macro_f1: float
    people: int
    merged: int

    @property
    def uar(self) -> float:
        """Unweighted average recall, the same as the balanced accuracy."""
        return self.balanced_accuracy


def cross_validated_probe(
    features: np.ndarray, labels: Sequence[str], groups: Sequence[str], *, folds: int = 5, seed: int = 0
) -> ProbeResult:
    """Train a logistic regression on some people and test it on the others, each person once.

    The penalty is chosen by the training people alone. Faces with nearly the same features never lie on both sides:
    their groups are joined.

    Args:
        features: (N, D).
        labels: N names of classes.
        groups: N names of people, or of anything that must not be divided.
        folds: Number of folds.
        seed: Of the folds and of the bootstrap.

    Raises:
        Smirk3dError: scikit-learn is missing, or there are too few classes or people.
    """
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError as error:
        raise Smirk3dError("the probe needs scikit-learn; pip install 'smirk3d[fer]'") from error
    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    group, merged = joined_groups(features, np.unique(np.asarray(groups), return_inverse=True)[1])
    _check_counts(classes, label, group, folds)
    predicted = np.full(len(label), -1)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(features, label, group):
        if len(np.unique(label[train])) < 2:
            raise Smirk3dError("the training people of a fold show one class alone; take fewer folds or more people")
        predicted[test] = fitted_probe(features[train], label[train], group[train], seed).predict(features[test])
    return probe_result(tuple(map(str, classes)), label, predicted, group, seed=seed, merged=merged)


def probe_result(
    classes: tuple[str, ...], label: np.ndarray, predicted: np.ndarray, group: np.ndarray, *, seed: int, merged: int
) -> ProbeResult:
    """Return the measures of predictions.

    Args:
        classes: C names.
        label: (N,) int, the true classes.
        predicted: (N,) int.
        group: (N,) int, the people.
        seed: Of the bootstrap.
        merged: See `ProbeResult`.
    """
    confusion = confusion_of(label, predicted, len(classes))
    return ProbeResult(
        classes,
        confusion,
        _mean_recall(confusion),
        _bootstrap_interval(label, predicted, group, len(classes), seed),
        float(np.trace(confusion) / confusion.sum()),
        _macro_f1(confusion),
        len(np.unique(group)),
        merged,
    )


def joined_groups(features: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, int]:
    """Return groups (N,) of which those with nearly equal faces are joined, and how many fewer there are.

    Args:
        features: (N, D).
        group: (N,) int.
    """
    joined = group.copy()
    for first, second in similar_pairs(features):
        one, other = joined[first], joined[second]
        if one != other:
            joined[joined == max(one, other)] = min(one, other)
    return joined, len(np.unique(group)) - len(np.unique(joined))


def similar_pairs(features: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the pairs of faces whose features (N, D) are nearly equal; of each pair once, the smaller index first."""
    standardised = (features - features.mean(0)) / (features.std(0) + 1e-9)
    square = (standardised**2).mean(1)
    for start in range(0, len(standardised), _BLOCK):
        part = slice(start, start + _BLOCK)
        product = standardised[part] @ standardised.T / standardised.shape[1]
        similar = square[part, None] + square - 2 * product < NEAR_DUPLICATE**2
        for row, column in zip(*np.nonzero(similar)):
            if start + row < column:
                yield int(start + row), int(column)


def confusion_of(label: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Return counts (C, C) int by true and predicted class."""
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (label, predicted), 1)
    return counts


def _check_counts(classes: np.ndarray, label: np.ndarray, group: np.ndarray, folds: int) -> None:
    if len(classes) < 2:
        raise Smirk3dError("the labels name one class alone; a probe needs at least two")
    for number, name in enumerate(classes):
        people = len(np.unique(group[label == number]))
        if people < MIN_PEOPLE:
            raise Smirk3dError(f"class {str(name)!r} has faces of one person alone; add people or leave the class out")
    if len(np.unique(group)) < folds:
        raise Smirk3dError(f"there are {len(np.unique(group))} people for {folds} folds; give --folds a smaller number")


def fitted_probe(features: np.ndarray, label: np.ndarray, group: np.ndarray, seed: int):
    """Return a logistic regression, its penalty chosen by cross-validation over the groups.

    Args:
        features: (N, D).
        label: (N,) int.
        group: (N,) int.
        seed: Of the folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=_MAX_ITERATIONS))
    folds = min(_INNER_FOLDS, *(len(np.unique(group[label == k])) for k in np.unique(label)))
    if folds < 2:
        return model.set_params(logisticregression__C=PENALTIES[1]).fit(features, label)
    inner = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    search = GridSearchCV(model, {"logisticregression__C": PENALTIES}, scoring="balanced_accuracy", cv=inner)
    return search.fit(features, label, groups=group)


def _mean_recall(confusion: np.ndarray) -> float:
    total = confusion.sum(1)
    return float(np.mean(np.diag(confusion)[total > 0] / total[total > 0]))


def _macro_f1(confusion: np.ndarray) -> float:
    return float(np.mean(2 * np.diag(confusion) / np.maximum(confusion.sum(0) + confusion.sum(1), 1)))


def _bootstrap_interval(
    label: np.ndarray, predicted: np.ndarray, group: np.ndarray, n_classes: int, seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of the balanced accuracy over people redrawn with replacement."""
    people, index = np.unique(group, return_inverse=True)
    of_person = np.zeros((len(people), n_classes, n_classes), dtype=np.int64)
    np.add.at(of_person, (index, label, predicted), 1)
    generator = np.random.default_rng(seed)
    drawn = [
        _mean_recall(of_person[generator.integers(len(people), size=len(people))].sum(0)) for _ in range(_RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
