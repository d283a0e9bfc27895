"""Photos with an emotion label: what a branch says of them should let a linear map tell the emotions apart."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.datasets.augment import augment
from smirk3d.datasets.config import AugmentConfig
from smirk3d.datasets.emotion_labels import LABELS_NAME, emotion_labels
from smirk3d.datasets.sources import PhotoSource
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.fer.linear_probe import MIN_FACES, fit_probe
from smirk3d.head.model import HeadModel

EVENNESS = 0.6
"""0: emotions are drawn as often as they occur, 1: all alike, which would show the few of some again and again."""
SMOOTHING = 0.1
"""Share of the labels that is spread over all emotions, because many are wrong."""
PENALTY = 0.01
"""Of the probe that a branch starts with."""


class LabelledPhotos:
    """The photos of a source that have a label, drawn with the rare emotions more often.

    Args:
        folder: Shards with labels, and `labels.csv` (key, person), whose photos were prepared for the source.
        source: The prepared photos, with targets. head: What the targets are parameters of.

    Raises:
        Smirk3dError: A file cannot be read, or fewer than two emotions have enough photos.
    """

    def __init__(self, folder: Path, source: PhotoSource, head: HeadModel) -> None:
        self.source, self.head, self.augment = source, head, AugmentConfig()
        emotion = emotion_labels(folder, "train")
        with (folder / LABELS_NAME).open(encoding="utf-8") as file:
            emotion_of = {f"{row['person']}-{row['key']}": emotion.get(row["key"]) for row in csv.DictReader(file)}
        # The key of a prepared face ends in a hash of its photo and its number there.
        of_face = np.array([emotion_of.get(key.rsplit("-", 2)[0]) or "" for key in source.keys])
        rows = {name: np.flatnonzero(of_face == name) for name in sorted({*of_face.tolist()} - {""})}
        self.rows = {name: found for name, found in rows.items() if len(found) >= MIN_FACES}
        if len(self.rows) < 2:
            raise Smirk3dError(f"{folder}: labels fewer than two emotions of {MIN_FACES} prepared photos or more")
        often = np.array([len(found) for found in self.rows.values()]) ** (1 - EVENNESS)
        self.share = often / often.sum()

    def draw(self, count: int, seed: int) -> tuple[TrainingBatch, Tensor]:
        """Return photos and the numbers (count,) of their emotions."""
        rng = np.random.default_rng(seed)
        label = rng.choice(len(self.share), count, p=self.share)
        rows = list(self.rows.values())
        index = np.array([rng.choice(rows[number]) for number in label.tolist()])
        generator = torch.Generator().manual_seed(seed)
        return augment(self.source.batch(index, rng), self.augment, generator, self.head), torch.from_numpy(label)


class EmotionProbe(nn.Module):
    """A linear map from standardised weights to emotions, which learns along with the branch.

    Args:
        said: (N, 52) of photos, by the branch as it is. label: (N,) numbers of their emotions. share: (C,) of photos.
    """

    def __init__(self, said: Tensor, label: Tensor, share: np.ndarray) -> None:
        super().__init__()
        self.normal = nn.BatchNorm1d(said.shape[1], affine=False, momentum=None)
        self.linear = nn.Linear(said.shape[1], len(share))
        weight = torch.from_numpy(1 / share).float()
        self.loss = nn.CrossEntropyLoss(weight / weight.mean(), label_smoothing=SMOOTHING)
        self.normal(said)
        self.normal.train(False)
        weight = fit_probe(self.normal(said).double(), label, PENALTY).float()
        self.linear.load_state_dict({"bias": weight[0], "weight": weight[1:].T})

    def forward(self, said: Tensor, label: Tensor) -> Tensor:
        """Return how badly the emotions are told."""
        return self.loss(self.linear(self.normal(said)), label)
