"""Compare how well emotions can be read off the expressions that several methods see, cross-validated.

    python smirk3d/evaluation/probe_comparison.py ../shared/data/faces

The probe of `smirk3d evaluate` learns from one split and is judged by the other, which has few faces of rare emotions.
Here both splits are cut into `FOLDS` parts with no person in two of them, and each part is judged by a probe that
learned from the others, `--repeats` times with other parts. Only faces of the validation split count in the end,
because an encoder may have learned from the labels of the other one (`--all-count` lets them all count). Behind each
method: its recalls, and the interval of 95 % of what it gains over the detector's scores if other persons were drawn.
Column of `labels.csv` used: group, the person, by key.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from smirk3d.authoring.load import load_head
from smirk3d.evaluation.method_under_test import SHIPPED, Checkpoint, Method, MethodUnderTest, checkpoint_path
from smirk3d.evaluation.probe import ProbeFaces, probe_faces
from smirk3d.fer.linear_probe import probe_predictions
from smirk3d.metrics.classification import recall_by_class, recall_gain_interval
from smirk3d.progress import progress

FOLDS = 5
DETECTOR = "detector's scores"


@dataclass(frozen=True)
class Options:
    """What is compared."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Of shards with labels, and `labels.csv`."""
    most: int = 300
    """Faces of an emotion and split, at most."""
    repeats: int = 4
    all_count: bool = False
    """Count the faces of the training split, too."""
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Answers:
    """Of N faces: emotion (N,) and person (N,), both as numbers, and what each method says of them, (N, K).

    `is_held_out` (N,) bool: of the validation split.
    """

    emotion: np.ndarray
    person: np.ndarray
    is_held_out: np.ndarray
    features: Mapping[str, np.ndarray]


def read_faces(faces: ProbeFaces, person_of: Mapping[str, str]) -> Answers:
    """Let all methods answer for the same detections; faces that are not found again are left out."""
    head, path = load_head(), checkpoint_path(SHIPPED)
    assert path is not None
    methods: tuple[Method, ...] = ("fit", "encoder", "refine")
    subjects = [MethodUnderTest(method, head, checkpoint=Checkpoint.read(path, head)) for method in methods]
    said: dict[str, list[np.ndarray]] = {name: [] for name in (DETECTOR, *methods)}
    keys, emotions, is_held_out = [], [], []
    with progress(len(faces)) as display:
        for photos, class_of in zip(faces.photos, faces.class_of, strict=True):
            records = iter(photos.records)
            for batch in photos.batches():
                looks = [(subjects[0].look(seen.photo, seen.detection), next(records).key) for seen in batch]
                found = [(look, key) for look, key in looks if look is not None]
                keys += [key for _, key in found]
                emotions += [class_of[key] for _, key in found]
                is_held_out += [photos is faces.photos[1]] * len(found)
                face_observations = [look for look, _ in found]
                said[DETECTOR].append(np.array([each.detection.blendshape_scores for each in face_observations]))
                for subject in subjects:
                    said[subject.method].append(subject.features(face_observations))
                for _ in batch:
                    display.advance()
    for subject in subjects:
        subject.close()
    _, person = np.unique([person_of[key] for key in keys], return_inverse=True)
    features = {name: np.concatenate(parts) for name, parts in said.items()}
    return Answers(np.array(emotions), person, np.array(is_held_out), features)


def told(answers: Answers, features: np.ndarray, repeats: int, seed: int) -> np.ndarray:
    """Return the emotion (repeats, N) of each face by a probe that has not seen the person."""
    random = np.random.default_rng(seed)
    found = np.empty((repeats, len(features)), np.int64)
    for k in range(repeats):
        fold = random.integers(FOLDS, size=answers.person.max() + 1)[answers.person]
        for part in range(FOLDS):
            learned = fold != part
            found[k, ~learned] = probe_predictions(features[learned], answers.emotion[learned], features[~learned])
    return found


def main(options: Options) -> None:
    """Read the expressions, train the probes, print a table."""
    faces = probe_faces(options.folder, ("train", "val"), options.most)
    with (options.folder / "labels.csv").open(encoding="utf-8") as file:
        person_of = {row["key"]: row["group"] for row in csv.DictReader(file)}
    answers = read_faces(faces, person_of)
    counts = answers.is_held_out | options.all_count
    emotion, person = answers.emotion[counts], answers.person[counts]
    print(f"{len(emotion)} faces of {len(np.unique(person))} persons count: {', '.join(faces.classes)}")
    answer_of = {
        name: told(answers, features, options.repeats, options.seed)[:, counts]
        for name, features in answers.features.items()
    }
    right_of = {name: (answer == emotion).mean(axis=0) for name, answer in answer_of.items()}
    for name, answer in answer_of.items():
        recall = np.mean([recall_by_class(row, emotion, len(faces.classes)) for row in answer], axis=0)
        low, high = recall_gain_interval(right_of[name] - right_of[DETECTOR], emotion, person, seed=options.seed)
        each = " ".join(f"{value:.2f}" for value in recall)
        print(f"{name:18} balanced recall {recall.mean():.3f} ({each}), over the scores {low:+.3f} to {high:+.3f}")


if __name__ == "__main__":
    main(tyro.cli(Options))
