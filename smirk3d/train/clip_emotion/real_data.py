"""Clips of data sets as the clip network reads them; their features are kept between runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import atomic_path, cache_dir, make_folder, printable
from smirk3d.batch.prefetch import failure_reason
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.fer.clips.datasets import READERS
from smirk3d.fer.clips.frame_features import N_FRAME_FEATURES
from smirk3d.fer.clips.labelled_clip import LabelledClip, Part
from smirk3d.fer.clips.recognizer import clip_parts
from smirk3d.fer.clips.tracked_clip import track_clip
from smirk3d.media.video import open_source
from smirk3d.train.clip_emotion.clip_set import N_CLIP_FRAMES, ClipSet
from smirk3d.train.clip_emotion.config import ClipDataConfig
from smirk3d.zoo.registry import find

Report = Callable[[str], None]


def real_clip_set(
    data: ClipDataConfig, part: Part, expression: Path | None, report: Report
) -> tuple[ClipSet, tuple[Path, ...]] | None:
    """Return the clips of a part of all data sets that are given, and their paths; None where none is given.

    Clips without a face are left out, and named.

    Args:
        data: The data sets.
        part: "train" or "test".
        expression: Weights of the expression network; None: the packaged ones.
        report: Receives one-line messages.

    Raises:
        Smirk3dError: A data set cannot be read, or no clip of it has a face.
    """
    clips: list[LabelledClip] = []
    for name, read in READERS.items():
        root = getattr(data, name)
        if root is not None:
            clips += read(root, part, data.fold)[: data.max_clips]
    if not clips:
        return None
    features, kept = _features(clips, data.rate_fps, expression, report)
    if not kept:
        raise Smirk3dError(f"{printable(clips[0].path)}: no clip has a face; are the paths right?")
    label = torch.tensor([clip.label for clip in kept])
    key = torch.full((len(kept), 2), float("nan"))
    names = tuple(clip.name for clip in kept)
    return ClipSet(torch.from_numpy(np.stack(features)), label, key, names), tuple(clip.path for clip in kept)


def _features(
    clips: Sequence[LabelledClip], rate_fps: float, expression: Path | None, report: Report
) -> tuple[list[np.ndarray], list[LabelledClip]]:
    """Return the features (T, D) of the clips that have a face, and these clips."""
    weights = find("expression") if expression is None else expression
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    folder = cache_dir() / "clips"
    make_folder(folder)
    features, kept = [], []
    with closing(Reconstructor()) as reconstructor:
        for clip in clips:
            try:
                features.append(_of_clip(clip.path, rate_fps, folder, digest, (reconstructor, expression)))
                kept.append(clip)
            except Smirk3dError as error:
                report(f"left out: {failure_reason(error)}")
    report(f"{len(kept)} clips read, {len(clips) - len(kept)} left out")
    return features, kept


def _of_clip(
    path: Path, rate_fps: float, folder: Path, digest: str, reader: tuple[Reconstructor, Path | None]
) -> np.ndarray:
    """Return the features (T, D) of a clip, from the cache where the files have not changed."""
    state = f"{os.path.abspath(path)} {path.stat().st_mtime_ns} {rate_fps} {digest}"
    stored = folder / f"{hashlib.sha256(state.encode()).hexdigest()[:24]}.npy"
    if stored.is_file():
        values = np.load(stored, allow_pickle=False)
        if values.shape == (N_CLIP_FRAMES, N_FRAME_FEATURES):
            return values
    reconstructor, expression = reader
    tracked = track_clip(open_source(str(path), rate_fps), reconstructor, expression=expression)
    values = clip_parts(tracked.features)[0]
    values = values[len(values) // 2].astype(np.float32)
    with atomic_path(stored) as temporary:
        np.save(temporary, values)
    return values
