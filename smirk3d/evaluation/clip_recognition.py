"""Measures of the clip network on synthetic clips: emotions, key expressions, speed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.emotion_clips.motion import HARDNESS
from smirk3d.datasets.synthetic.emotion_clips.photo_people import PhotoPeople
from smirk3d.fer.clips.network import ClipNetwork, load_clip_network
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.train.clip_emotion.measures import key_errors, measures_of
from smirk3d.train.clip_emotion.synthetic_data import SyntheticClipSet, synthetic_clip_set
from smirk3d.zoo.registry import find

TRAIN_SEED, TEST_SEED = 100, 102
_SPEED_CLIPS = 64


@dataclass(frozen=True)
class ClipEvaluation:
    """What is measured.

    Attributes:
        test_clips: Rendered clips by which networks are measured.
        train_clips: Rendered clips of other people from which networks learn with wrong labels.
        seeds: Number of trainings of each method, with different seeds of labels and weights.
        epochs: Passes of each training.
        photos: Folder of shards whose faces a quarter of the people wear: those to learn from have faces of its split
            train, the others of val; None: all people are rendered.
        path: Folder in which rendered clips are kept; None: in the cache.
    """

    test_clips: int = 256
    train_clips: int = 640
    seeds: int = 3
    epochs: int = 32
    photos: Path | None = None
    path: Path | None = None

    def clips(self, count: int, seed: int, split: str) -> SyntheticClipSet:
        """Return rendered clips; people in photos are those of a split."""
        head = load_head("open")
        photos = None if self.photos is None else PhotoPeople.from_folder(head, self.photos, split)
        return synthetic_clip_set(head, count, seed, path=self.path, photos=photos)

    def test(self) -> SyntheticClipSet:
        """Return the clips by which networks are measured."""
        return self.clips(self.test_clips, TEST_SEED, "val")

    def train(self) -> SyntheticClipSet:
        """Return the clips from which networks learn with wrong labels."""
        return self.clips(self.train_clips, TRAIN_SEED, "train")


def packaged_figures(weights: Path | None, test: SyntheticClipSet) -> list[str]:
    """Return recall, key expressions and speed of a clip network on synthetic clips as lines of text.

    Args:
        weights: File of `smirk3d fer train`; None: the packaged network.
        test: The clips.
    """
    network = load_clip_network(find("clips") if weights is None else weights)
    found = sub_clip_predictions(network, test.clips.features)
    lines = [f"{len(test.clips)} synthetic clips: {_recalls(found.mean, test)}"]
    for kind, name in enumerate(HARDNESS):
        rows = test.truth.hardness == kind
        measured = measures_of(found.mean[rows], test.truth.emotion[rows])
        lines.append(f"  {name}: WAR {measured.war:.1f}, agreement {found.agreement[rows].mean():.3f} ({rows.sum()})")
    if test.is_photo.any():
        measured = measures_of(found.mean[test.is_photo], test.truth.emotion[test.is_photo])
        lines.append(f"  people in photos: WAR {measured.war:.1f} ({test.is_photo.sum()})")
    inside, ends = key_errors(found, test.truth.apex, test.truth.key)
    lines.append(f"key expression: middle within the apex {100 * inside:.1f} %, ends off by {ends:.2f} frames")
    mean = measures_of(test.probabilities.mean(axis=1), test.truth.emotion)
    lines.append(f"mean of the expression network's probabilities of frames: WAR {mean.war:.1f}, UAR {mean.uar:.1f}")
    return [*lines, f"speed beyond tracking: {_frames_per_s(network, test):.0f} frames/s"]


def _recalls(probabilities: np.ndarray, test: SyntheticClipSet) -> str:
    measured = measures_of(probabilities, test.truth.emotion)
    return f"WAR {measured.war:.1f}, UAR {measured.uar:.1f}"


def _frames_per_s(network: ClipNetwork, test: SyntheticClipSet) -> float:
    features = test.clips.features[:_SPEED_CLIPS]
    sub_clip_predictions(network, features[:2])
    began_s = time.perf_counter()
    for clip in features.split(1):
        sub_clip_predictions(network, clip)
    return features.shape[0] * features.shape[1] / (time.perf_counter() - began_s)
