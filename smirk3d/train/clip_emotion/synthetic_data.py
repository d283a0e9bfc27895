"""Synthetic clips as the clip network's input: expression vectors and ARKit weights that networks read from frames."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import atomic_path
from smirk3d.datasets.cached_renderings import prepared_renderings, renderings_folder
from smirk3d.datasets.synthetic.emotion_clips.clip_set import ClipTruth, SyntheticClips, random_motions
from smirk3d.datasets.synthetic.emotion_clips.estimation_noise import estimated_angles, estimated_weights
from smirk3d.datasets.synthetic.emotion_clips.photo_people import PhotoPeople
from smirk3d.fer.clips.frame_features import frame_features
from smirk3d.fer.network import N_FEATURES
from smirk3d.fer.vectors import expressions_of
from smirk3d.head.model import HeadModel
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.photo_vectors import PhotoVectors
from smirk3d.zoo.registry import find


@dataclass(frozen=True, eq=False)
class SyntheticClipSet:
    """Synthetic clips with their ground truth.

    Attributes:
        clips: Features; the labels are the true emotions.
        truth: All that was planted.
        probabilities: (N, T, 8) float32 emotions of single frames by the expression network.
        is_photo: (N,) bool, whose people wear the pixels of photos.
    """

    clips: ClipSet
    truth: ClipTruth
    probabilities: np.ndarray
    is_photo: np.ndarray


def synthetic_clip_set(
    head: HeadModel,
    count: int,
    seed: int,
    expression: Path | None = None,
    path: Path | None = None,
    *,
    photos: PhotoPeople | None = None,
) -> SyntheticClipSet:
    """Return synthetic clips, rendered and read where they are not in the cache.

    Expression vectors and ARKit weights are those of the networks; head angles have the errors of tracking.

    Args:
        head: The open head.
        count: Number of clips.
        seed: Of everything random.
        expression: Weights of the expression network; None: the packaged ones.
        path: Folder in which windows and vectors are kept between runs; None: in the cache.
        photos: People in photos, for a part of the clips; None: all people are rendered.
    """
    folder = renderings_folder(path)
    clips = prepared_renderings(SyntheticClips(head, count, seed, folder, photos), folder, "synthetic clips")
    predicted = np.concatenate(
        [_predicted(windows, expression, folder, clips.fingerprint) for windows in clips.windows()]
    ).astype(np.float32)
    truth, rng = clips.truth(), np.random.default_rng([seed, 7])
    angles = estimated_angles(truth, rng)
    features = frame_features(predicted[..., :N_FEATURES], clips.regressed_weights(), angles)
    names = tuple(f"synthetic_{seed}_{index:05d}" for index in range(count))
    label, key = torch.from_numpy(truth.emotion), torch.from_numpy(truth.key.copy())
    probabilities = predicted[..., N_FEATURES:]
    return SyntheticClipSet(
        ClipSet(torch.from_numpy(features), label, key, names), truth, probabilities, clips.is_photo
    )


def weight_only_clips(count: int, seed: int, photos: PhotoVectors | None = None) -> tuple[ClipSet, ClipTruth]:
    """Return synthetic clips that are not rendered, and their truth.

    Args:
        count: Number of clips.
        seed: Of everything random.
        photos: Whence their expression vectors come; None: these are not numbers.
    """
    truth, rng = random_motions(count, seed), np.random.default_rng([seed, 8])
    if photos is None:
        vectors = np.full((*truth.weights.shape[:2], N_FEATURES), np.nan)
    else:
        vectors = photos.of_clips(truth, np.random.default_rng([seed, 10]))
    features = frame_features(vectors, estimated_weights(truth, rng), estimated_angles(truth, rng))
    names = tuple(f"weights_{seed}_{index:05d}" for index in range(count))
    label, key = torch.from_numpy(truth.emotion), torch.from_numpy(truth.key.copy())
    return ClipSet(torch.from_numpy(features), label, key, names), truth


def _predicted(windows: np.ndarray, expression: Path | None, folder: Path | None, prefix: str) -> np.ndarray:
    """Return vectors and emotions (K, T, 264) float16 of windows (K, T, 48, 48), from the cache where possible."""
    if folder is None:
        return _predictions(windows, expression)
    digest = hashlib.sha256((find("expression") if expression is None else expression).read_bytes())
    digest.update(windows.tobytes())
    path = folder / f"{prefix}_vectors_{digest.hexdigest()[:16]}.npy"
    if path.is_file():
        kept = np.load(path, allow_pickle=False)
        if kept.shape[:2] == windows.shape[:2]:
            return kept
    result = _predictions(windows, expression)
    with atomic_path(path) as temporary:
        np.save(temporary, result)
    return result


def _predictions(windows: np.ndarray, expression: Path | None) -> np.ndarray:
    found = expressions_of(windows.reshape(-1, *windows.shape[2:]), expression)
    both = np.concatenate([found.vectors, found.probabilities], axis=1)
    return both.reshape(*windows.shape[:2], -1).astype(np.float16)
