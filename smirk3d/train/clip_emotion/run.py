"""The training run of the clip network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.emotion_clips.label_noise import noisy_labels
from smirk3d.datasets.synthetic.emotion_clips.photo_people import PhotoPeople
from smirk3d.errors import Smirk3dError
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.config import ClipTrainConfig
from smirk3d.train.clip_emotion.label_review import LabelReview
from smirk3d.train.clip_emotion.photo_vectors import photo_vectors
from smirk3d.train.clip_emotion.real_data import real_clip_set
from smirk3d.train.clip_emotion.reanimated_clips import FrameModel, reanimated_clips
from smirk3d.train.clip_emotion.synthetic_data import SyntheticClipSet, synthetic_clip_set, weight_only_clips
from smirk3d.train.clip_emotion.task import ClipTask
from smirk3d.train.provenance import DATA
from smirk3d.train.small_network.run import Report, TrainResult, train_network

WEIGHTS_NAME = "clips.safetensors"


@dataclass(frozen=True, eq=False)
class ReviewedClips:
    """The clips of a run, and the judgement of their labels.

    Attributes:
        clips: The clips that it has learned from.
        review: Judgement of their labels.
        paths: Clip -> file, of clips that are files.
    """

    clips: ClipSet
    review: LabelReview
    paths: dict[str, Path]


def train_clip_network(
    config: ClipTrainConfig, *, resume: bool = False, report: Report
) -> tuple[TrainResult, ReviewedClips]:
    """Train the clip network; see `smirk3d.train.small_network.run.train_network`.

    Returns:
        How the run ended, and its clips.
    """
    reviewed: list[ReviewedClips] = []

    def prepare(is_resumed: bool) -> ClipTask:
        train, test, paths = _clips(config, report)
        report(f"{len(train)} clips to learn from, {len(test)} to measure")
        task = ClipTask(train, config, test=test)
        task.record[DATA] = {"train": train.fingerprint, "test": test.fingerprint}
        reviewed.append(ReviewedClips(train, task.review, paths))
        return task

    result = train_network(config, prepare, weights_path(config), resume=resume, report=report)
    return result, reviewed[0]


def weights_path(config: ClipTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME


def _clips(config: ClipTrainConfig, report: Report) -> tuple[ClipSet, ClipSet, dict[str, Path]]:
    """Return the clips to learn from, those to measure, and the files of the former.

    Measured are the test clips of the data sets; without data sets synthetic ones.
    """
    parts, paths = _synthetic(config, report), {}
    real = real_clip_set(config.data, "train", config.expression, report)
    if real is not None:
        clips, files = real
        parts.append(clips)
        paths = dict(zip(clips.names, files))
    if not parts:
        raise Smirk3dError("no clips to learn from; give data.folder or another data set, or data.synthetic.count")
    test = real_clip_set(config.data, "test", config.expression, report)
    if test is not None:
        return ClipSet.joined(parts), test[0], paths
    synthetic = config.data.synthetic
    validation = _rendered(config, synthetic.validation, synthetic.seed + 1, "val", report)
    return ClipSet.joined(parts), validation.clips, paths


def _synthetic(config: ClipTrainConfig, report: Report) -> list[ClipSet]:
    settings, parts = config.data.synthetic, []
    if settings.count:
        rendered = _rendered(config, settings.count, settings.seed, "train", report)
        parts.append(rendered.clips)
        if settings.reanimated:
            model = FrameModel(rendered.clips, rendered.truth)
            parts.append(reanimated_clips(model, settings.reanimated, settings.seed)[0])
    if settings.weights_only:
        photos = settings.photos and photo_vectors(settings.photos, config.expression, settings.seed)
        parts.append(weight_only_clips(settings.weights_only, settings.seed, photos)[0])
    if settings.label_noise:
        rng = np.random.default_rng([settings.seed, 3])
        parts = [each.relabelled(noisy_labels(each.label.numpy(), settings.label_noise, rng)[0]) for each in parts]
    return parts if settings.key_truth else [each.without_keys() for each in parts]


def _rendered(config: ClipTrainConfig, count: int, seed: int, split: str, report: Report) -> SyntheticClipSet:
    """Return rendered clips; those of people in photos have those of a split."""
    settings, head = config.data.synthetic, load_head("open", report=report)
    folder = settings.photo_people
    photos = None if folder is None else PhotoPeople.from_folder(head, folder, split)
    return synthetic_clip_set(head, count, seed, config.expression, settings.path, photos=photos)
