"""Hidden regions of a face over time: visibility without flicker, and motions that fade to neutral where it is low."""

from __future__ import annotations

import numpy as np
import torch

from smirk3d.estimation.hidden_regions import shrink_hidden
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.tracking.motion import HeadMotion

MEDIAN_S, FADE_S = 0.2, 0.12
"""Time over which the median of visibilities is taken, which leaves out flicker, and standard deviation of the Gaussian
that follows, over which weights fade; in seconds at strength 1."""


def smooth_visibility(visibility: np.ndarray, time_s: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Return visible shares that do not flicker: a running median, then a Gaussian mean in time.

    Args:
        visibility: (T, 4) in [0, 1].
        time_s: (T,) when the frames are shown, in seconds, increasing.
        strength: Factor on both times; 0 keeps the values.
    """
    if strength == 0 or len(visibility) < 3:
        return visibility
    values = np.asarray(visibility, dtype=np.float64)
    half_s = strength * MEDIAN_S / 2
    first = np.searchsorted(time_s, time_s - half_s, side="left")
    stop = np.searchsorted(time_s, time_s + half_s, side="right")
    medians = np.stack([np.median(values[a:b], axis=0) for a, b in zip(first.tolist(), stop.tolist(), strict=True)])
    reach_s = 4 * strength * FADE_S
    first = np.searchsorted(time_s, time_s - reach_s, side="left").tolist()
    stop = np.searchsorted(time_s, time_s + reach_s, side="right").tolist()
    result = np.empty_like(medians)
    for k, (a, b) in enumerate(zip(first, stop, strict=True)):
        weight = np.exp(-0.5 * ((time_s[a:b] - time_s[k]) / (strength * FADE_S)) ** 2)
        result[k] = weight @ medians[a:b] / weight.sum()
    return result


def shrink_hidden_motion(head: HeadModel, motion: HeadMotion, visibility: np.ndarray) -> HeadMotion:
    """Return a motion whose weights are shrunk where they are hidden, see `shrink_hidden`.

    Args:
        head: The head model.
        motion: T frames.
        visibility: (T, 4) of the regions of `Visibility`.
    """
    arkit = torch.from_numpy(motion.arkit)
    params = FaceParams(**{name: torch.from_numpy(values) for name, values in motion.native.items()})
    shrunk, native = shrink_hidden(head, arkit, params if motion.native else None, visibility)
    if shrunk is arkit:
        return motion
    own = {} if native is None else {name: value.double().numpy() for name, value in native.items()}
    return motion.replace(arkit=shrunk.double().numpy(), native=own)
