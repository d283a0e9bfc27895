"""Curves of a person's emotions over time: the probabilities, and valence and arousal."""

from __future__ import annotations

import numpy as np

from smirk3d.fer.emotions import EMOTIONS, valence_arousal
from smirk3d.track import Track
from smirk3d.viz.plot_style import GRID_COLOR, add_title, drawn, new_figure, shade_status, style_axes

EMOTION_COLORS: dict[str, str] = {
    "neutral": "#9aa3af",
    "happiness": "#e0a100",
    "surprise": "#56a5d8",
    "sadness": "#0072b2",
    "anger": "#c4371c",
    "disgust": "#3f8f4f",
    "fear": "#6a51a3",
    "contempt": "#8c5a2b",
}
"""Colour of each emotion in plots."""
_PLACES = (("valence", "#009e73"), ("arousal", "#d55e00"))


def draw_emotion_curves(track: Track, probabilities: np.ndarray, size: tuple[int, int] = (1280, 720)) -> np.ndarray:
    """Draw the probabilities of all emotions, one above the other, and valence and arousal, over time in seconds.

    Args:
        track: Track of one person.
        probabilities: (T, 8) of `EMOTIONS` in its frames; NaN where the face was lost.
        size: Width and height in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    figure = new_figure(size)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    upper.stackplot(
        track.time_s,
        np.nan_to_num(probabilities).T,
        labels=EMOTIONS,
        colors=[EMOTION_COLORS[name] for name in EMOTIONS],
        linewidth=0,
    )
    upper.set_ylim(0, 1)
    upper.set_ylabel("probability")
    for column, (name, hue) in enumerate(_PLACES):
        lower.plot(track.time_s, valence_arousal(probabilities)[:, column], color=hue, linewidth=1.6, label=name)
    lower.set_ylim(-1.03, 1.03)
    lower.axhline(0, color=GRID_COLOR, linewidth=1, zorder=0)
    lower.set_ylabel("place in [-1, 1]")
    lower.set_xlabel("time in the clip, seconds")
    for axes in (upper, lower):
        shade_status(axes, track.status, track.time_s, in_legend=axes is upper)
        style_axes(axes)
    add_title(figure, f"Track {track.number}: emotions", "   ·   ".join(_details(track, probabilities)))
    figure.subplots_adjust(left=0.065, right=0.815, top=0.89, bottom=0.085, hspace=0.12)
    return drawn(figure)


def _details(track: Track, probabilities: np.ndarray) -> list[str]:
    mean = probabilities[track.known].mean(axis=0)
    shares = ", ".join(f"{EMOTIONS[k]} {mean[k]:.2f}" for k in np.argsort(-mean)[:3])
    lost = int((~track.known).sum())
    return [
        f"frames {int(track.frame[0])} to {int(track.frame[-1])}",
        f"mean: {shares}",
        *([f"face lost in {lost} of {len(track)}"] if lost else []),
    ]
