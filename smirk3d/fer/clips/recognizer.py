"""A clip in, its emotion out: probabilities, key expression, agreement of sub-clips."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.fer.clips.network import ClipNetwork, load_clip_network
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.fer.clips.sampling import MAX_CLIP_FRAMES
from smirk3d.fer.clips.tracked_clip import TrackedClip, track_clip
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.media.video import FrameSource
from smirk3d.networks.file_cache import cached_by_files
from smirk3d.zoo.registry import find

STRETCH = 1.5
"""A clip up to so many times as long as a sub-clip's longest span is read as a whole; of a longer one, its most
expressive part."""
_NEUTRAL = EMOTIONS.index("neutral")


@dataclass(frozen=True, eq=False)
class ClipEmotion:
    """The emotion of a clip.

    Attributes:
        probabilities: Emotion -> calibrated probability, in the order of `smirk3d.fer.emotions.EMOTIONS`.
        key_s: Start, middle and end of the key expression in seconds; None in neutral clips.
        agreement: How much the sub-clips agree, in [0, 1]; see `smirk3d.fer.clips.agreement`.
        clip: The frames.
    """

    probabilities: dict[str, float]
    key_s: tuple[float, float, float] | None
    agreement: float
    clip: TrackedClip = field(repr=False)

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


def load_network(
    weights: str | os.PathLike[str] | None = None, expression: str | os.PathLike[str] | None = None
) -> ClipNetwork:
    """Return a clip network, read once; arguments and errors as for `recognize_clip_emotion`."""
    path = find("clips") if weights is None else Path(weights)
    return _network(path, None if expression is None else Path(expression))


@cached_by_files
def _network(path: Path, expression: Path | None) -> ClipNetwork:
    return load_clip_network(path, expression)


def recognize_clip_emotion(
    source: FrameSource,
    reconstructor: Reconstructor,
    *,
    weights: str | os.PathLike[str] | None = None,
    expression: str | os.PathLike[str] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> ClipEmotion:
    """Recognise the emotion of a clip.

    Args:
        source: The clip.
        reconstructor: Its detector and its estimator are used.
        weights: File of the clip network; None: the packaged one.
        expression: Weights of the expression network; None: the packaged ones.
        advance: Called after each frame.

    Raises:
        NoFaceError: There is no face in the clip.
        Smirk3dError: The clip or a network cannot be read.
    """
    network = load_network(weights, expression)
    tracked = track_clip(source, reconstructor, expression=expression, advance=advance)
    return classify_clip(tracked, network)


def classify_clip(clip: TrackedClip, network: ClipNetwork) -> ClipEmotion:
    """Return the emotion of a tracked clip."""
    parts, frames = clip_parts(clip.features)
    found = sub_clip_predictions(network, torch.from_numpy(parts))
    mean, agrees = found.mean, found.agreement
    best = int(((1 - mean[:, _NEUTRAL]) * agrees).argmax())
    key_s = None
    if mean[best].argmax() != _NEUTRAL:
        places = np.interp(found.key_spans[best], np.arange(MAX_CLIP_FRAMES), frames[best])
        start, middle, end = np.interp(places, np.arange(len(clip.times_s)), clip.times_s).tolist()
        key_s = (start, middle, end)
    return ClipEmotion(dict(zip(EMOTIONS, mean[best].tolist())), key_s, float(agrees[best]), clip)


def clip_parts(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the parts of a clip that are classified, each resampled to the same number of frames.

    Args:
        features: (S, D) at `RATE_FPS`.

    Returns:
        (P, T, D) float32 with T = `MAX_CLIP_FRAMES`, and the frames (P, T) at which these lie.
    """
    count = len(features)
    if count <= STRETCH * MAX_CLIP_FRAMES:
        places = np.linspace(0, count - 1, MAX_CLIP_FRAMES)[None]
    else:
        last = count - MAX_CLIP_FRAMES
        starts = np.unique([*range(0, last, MAX_CLIP_FRAMES // 2), last])
        places = starts[:, None] + np.arange(MAX_CLIP_FRAMES, dtype=float)
    before = np.floor(places).astype(int).clip(0, max(0, count - 2))
    after = (before + 1).clip(max=count - 1)
    share = (places - before)[..., None].astype(np.float32)
    return features[before] + share * (features[after] - features[before]), places
