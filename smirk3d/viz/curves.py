"""Curves of a track over time: its most active weights and the rotation of the head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Track
from smirk3d.viz.plot_style import GREY, GRID_COLOR, add_title, drawn, new_figure, save_pixels, shade_status, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CURVES = 10
MIN_RANGE = 0.02
"""Weights with a smaller range over the track are inactive."""
# Colours that remain distinct with colour vision deficiencies, dark enough for thin lines on white.
_LINE_COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#b5589b",
    "#b8860b",
    "#56a5d8",
    "#8c2d19",
    "#4d4d4d",
    "#6a51a3",
    "#7fa71a",
)
_ANGLES = (("yaw, + to their left", "#0072b2"), ("pitch, + up", "#d55e00"), ("roll, + clockwise", "#009e73"))


def draw_curves(track: Track, size: tuple[int, int] = (1280, 720)) -> np.ndarray:
    """Draw the weights with the largest range, and yaw, pitch and roll, over time in seconds.

    Both sides of a pair have one colour; the right one is dashed. Times without a face are shaded.

    Args:
        track: Track of one person.
        size: Width and height in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    figure = new_figure(size)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    _draw_weights(upper, track)
    _draw_angles(lower, track)
    for axes in (upper, lower):
        shade_status(axes, track.status, track.time_s, in_legend=axes is upper)
        style_axes(axes)
    _title(figure, track)
    figure.subplots_adjust(left=0.065, right=0.815, top=0.89, bottom=0.085, hspace=0.12)
    return drawn(figure)


def save_curves(track: Track, path: Path) -> None:
    """Write the image of `draw_curves` in the format of the suffix, atomically.

    Args:
        track: Track of one person.
        path: The file.

    Raises:
        Smirk3dError: Writing failed.
    """
    save_pixels(draw_curves(track), path)


def most_active(track: Track, count: int = MAX_CURVES) -> list[str]:
    """Return the names of the weights with the largest range, largest first, without inactive ones.

    Both sides of a pair are adjacent where both are among them, the left one first.

    Args:
        track: Track of one person.
        count: Maximum number of names.

    Returns:
        ARKit names.
    """
    weights = track.arkit[track.known]
    if not len(weights):
        return []
    ranges = np.ptp(weights, axis=0)
    rows = [row for row in np.argsort(-ranges, kind="stable")[:count] if ranges[row] >= MIN_RANGE]
    chosen = [ARKIT_NAMES[row] for row in rows]
    stems = list(dict.fromkeys(_stem(name) for name in chosen))
    return sorted(chosen, key=lambda name: (stems.index(_stem(name)), name))


def _stem(name: str) -> str:
    """Return a name without its side."""
    return name.removesuffix("Left").removesuffix("Right")


def _draw_weights(axes: Axes, track: Track) -> None:
    names = most_active(track)
    stems = list(dict.fromkeys(map(_stem, names)))
    for name in names:
        is_right = f"{_stem(name)}Left" in names and name.endswith("Right")
        values = track.arkit[:, ARKIT_NAMES.index(name)]
        hue, style = _LINE_COLORS[stems.index(_stem(name)) % len(_LINE_COLORS)], (0, (4, 2)) if is_right else "-"
        axes.plot(track.time_s, values, color=hue, linestyle=style, linewidth=1.6, label=name)
    if not names:
        axes.text(0.5, 0.5, "no weight changes", color=GREY, ha="center", va="center", transform=axes.transAxes)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_ylabel("weight")


def _draw_angles(axes: Axes, track: Track) -> None:
    angles = track.angles_deg
    for column, (name, hue) in enumerate(_ANGLES):
        axes.plot(track.time_s, angles[:, column], color=hue, linewidth=1.6, label=name)
    max_deg = max(10.0, float(np.nanmax(np.abs(angles), initial=0)) * 1.1) if track.known.any() else 10.0
    axes.set_ylim(-max_deg, max_deg)
    axes.axhline(0, color=GRID_COLOR, linewidth=1, zorder=0)
    axes.set_ylabel("head, degrees")
    axes.set_xlabel("time in the clip, seconds")


def _title(figure: Figure, track: Track) -> None:
    lost, frames = int((~track.known).sum()), len(track)
    parts: Sequence[str] = [
        f"frames {int(track.frame[0])} to {int(track.frame[-1])}",
        f"{track.rate_fps:g} frames a second",
        *([f"face lost in {lost} of {frames}"] if lost else []),
    ]
    title = f"Track {track.number}: the weights that change most, and the head"
    add_title(figure, title, "   ·   ".join(parts))
