"""Linear probe with a given division into training and test faces, which must share no person and no picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.fer.labelled_features import LabelledFeatures
from smirk3d.fer.probe import ProbeResult, fitted_probe, probe_result, similar_pairs

TRAINING = ("train", "training")
"""Names of the training split, in any case; faces of all other splits are tested."""


def split_probe(faces: LabelledFeatures, *, seed: int = 0) -> ProbeResult:
    """Train a logistic regression on the training faces and test it on the others.

    Args:
        faces: Features with labels, groups and splits.
        seed: Of the choice of the penalty and of the bootstrap.

    Raises:
        Smirk3dError: The splits share a person or a near-duplicate, a split is empty, or a class is missing in one.
    """
    is_train = np.array([name.strip().lower() in TRAINING for name in faces.splits])
    if is_train.all() or not is_train.any():
        names = ", ".join(sorted({printable(name) for name in faces.splits}))
        raise Smirk3dError(f"the splits are {names}; the probe needs faces of the split train, and others")
    _refuse_shared(faces, is_train)
    classes, label = np.unique(np.asarray(faces.labels), return_inverse=True)
    group = np.unique(np.asarray(faces.groups), return_inverse=True)[1]
    train, test = np.flatnonzero(is_train), np.flatnonzero(~is_train)
    if missing := sorted(set(label[test].tolist()) - set(label[train].tolist())):
        name = str(classes[missing[0]])
        raise Smirk3dError(f"class {name!r} is in no training face; add some or leave the class out")
    model = fitted_probe(faces.features[train], label[train], group[train], seed)
    predicted = model.predict(faces.features[test])
    return probe_result(tuple(map(str, classes)), label[test], predicted, group[test], seed=seed, merged=0)


def _refuse_shared(faces: LabelledFeatures, is_train: np.ndarray) -> None:
    shared = sorted(set(_of(faces.groups, is_train)) & set(_of(faces.groups, ~is_train)))
    if shared:
        raise Smirk3dError(
            f"{len(shared)} persons are in the training split and in another one, such as {printable(shared[0])}; "
            "divide by person"
        )
    for one, other in similar_pairs(faces.features):
        if is_train[one] != is_train[other]:
            raise Smirk3dError(
                f"{printable(faces.keys[one])} and {printable(faces.keys[other])} are nearly the same picture, one of "
                "them for training; leave one out or put both into one split"
            )


def _of(values: Sequence[str], chosen: np.ndarray) -> list[str]:
    return [values[int(k)] for k in np.flatnonzero(chosen)]
