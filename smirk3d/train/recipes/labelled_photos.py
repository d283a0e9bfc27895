"""Photos with emotion labels: an auxiliary loss by which a linear probe must find the emotion in the expression."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.bounded_io import open_plain_text
from smirk3d.datasets.augment import augment
from smirk3d.datasets.config import AugmentConfig
from smirk3d.datasets.emotion_labels import LABELS_NAME, emotion_labels
from smirk3d.datasets.sources import PhotoSource
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.fer.linear_probe import MIN_FACES, fit_probe
from smirk3d.head.model import HeadModel

BALANCE = 0.6
"""Exponent of the class balancing. 0: natural frequencies; 1: uniform, which would repeat rare photos too often."""
LABEL_SMOOTHING = 0.1
"""Many labels are wrong."""
PROBE_PENALTY = 0.01
"""Ridge penalty of the initial probe."""


class LabelledPhotos:
    """The labelled photos of a source, drawn with rare emotions oversampled.

    Args:
        folder: Shards with labels, and `labels.csv` (key, person), from which the source was prepared.
        source: The prepared photos, with targets.
        head: Head model of the targets.

    Attributes:
        share: (C,) probability of each emotion in a batch.

    Raises:
        Smirk3dError: A file cannot be read, or fewer than two emotions have enough photos.
    """

    def __init__(self, folder: Path, source: PhotoSource, head: HeadModel) -> None:
        self.source, self.head, self.augment = source, head, AugmentConfig()
        emotion = emotion_labels(folder, "train")
        with open_plain_text(folder / LABELS_NAME) as file:
            emotion_of = {f"{row['person']}-{row['key']}": emotion.get(row["key"]) for row in csv.DictReader(file)}
        # The key of a prepared face ends in a hash of its photo and its number there.
        of_face = np.array([emotion_of.get(key.rsplit("-", 2)[0]) or "" for key in source.keys])
        rows = {name: np.flatnonzero(of_face == name) for name in sorted({*of_face.tolist()} - {""})}
        self.rows = {name: found for name, found in rows.items() if len(found) >= MIN_FACES}
        if len(self.rows) < 2:
            raise Smirk3dError(f"{folder}: labels fewer than two emotions of {MIN_FACES} prepared photos or more")
        frequency = np.array([len(found) for found in self.rows.values()]) ** (1 - BALANCE)
        self.share = frequency / frequency.sum()

    def draw(self, count: int, seed: int) -> tuple[TrainingBatch, Tensor]:
        """Return augmented photos and their emotions (count,) int64."""
        rng = np.random.default_rng(seed)
        label = rng.choice(len(self.share), count, p=self.share)
        rows = list(self.rows.values())
        index = np.array([rng.choice(rows[number]) for number in label.tolist()])
        generator = torch.Generator().manual_seed(seed)
        return augment(self.source.batch(index, rng), self.augment, generator, self.head), torch.from_numpy(label)


class EmotionProbe(nn.Module):
    """A linear classifier of emotions on standardised expressions, trained along with the branch.

    Args:
        size: Number of expression coefficients.
        share: (C,) probability of each emotion in a batch; the cross entropy is weighted by its inverse.
    """

    def __init__(self, size: int, share: np.ndarray) -> None:
        super().__init__()
        self.normal = nn.BatchNorm1d(size, affine=False, momentum=None)
        self.linear = nn.Linear(size, len(share))
        weight = torch.from_numpy(1 / share).float()
        self.loss = nn.CrossEntropyLoss(weight / weight.mean(), label_smoothing=LABEL_SMOOTHING)

    def fit(self, prediction: Tensor, label: Tensor) -> None:
        """Initialise the classifier, in place.

        Args:
            prediction: (N, K) raw expressions of photos by the branch as it is.
            label: (N,) int64 emotions in [0, C).
        """
        # The statistics are those of the initial branch and stay fixed, so that scale alone cannot lower the loss.
        self.normal.train(True)
        self.normal(prediction)
        self.normal.train(False)
        weight = fit_probe(self.normal(prediction).double(), label, PROBE_PENALTY).float()
        self.linear.load_state_dict({"bias": weight[0], "weight": weight[1:].T})

    def forward(self, prediction: Tensor, label: Tensor) -> Tensor:
        """Return the cross entropy, (), of labels (K,) given expressions (K, 52)."""
        return self.loss(self.linear(self.normal(prediction)), label)
