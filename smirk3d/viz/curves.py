"""Curves of a track over time: its most active weights and the rotation of the head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smirk3d.assets import atomic_path
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Status, Track

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CURVES = 10
MIN_RANGE = 0.02
"""Weights with a smaller range over the track are inactive."""
_WIDTH_IN = 12.8
"""Width of the figure that font sizes and line widths are given for; its resolution follows from the image size."""
_TEXT_COLOR, _GREY, _GRID_COLOR = "#26292f", "#6b7280", "#e5e7eb"
_LOST_COLOR, _FILLED_COLOR = "#d6dae1", "#eef0f4"
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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = size[0] / _WIDTH_IN
    # Slightly larger, because the canvas rounds its size down.
    figure = Figure(figsize=(_WIDTH_IN + 1e-6, size[1] / dpi + 1e-6), dpi=dpi, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    _draw_weights(upper, track)
    _draw_angles(lower, track)
    for axes in (upper, lower):
        _shade(axes, track, in_legend=axes is upper)
        _style(axes)
    _title(figure, track)
    figure.subplots_adjust(left=0.065, right=0.815, top=0.89, bottom=0.085, hspace=0.12)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_curves(track: Track, path: Path) -> None:
    """Write the image of `draw_curves` in the format of the suffix, atomically.

    Args:
        track: Track of one person.
        path: The file.

    Raises:
        Smirk3dError: Writing failed.
    """
    from PIL import Image

    image = Image.fromarray(draw_curves(track))
    with atomic_path(path) as temporary:
        image.save(temporary)


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
        axes.text(0.5, 0.5, "no weight changes", color=_GREY, ha="center", va="center", transform=axes.transAxes)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_ylabel("weight")


def _draw_angles(axes: Axes, track: Track) -> None:
    angles = track.angles_deg
    for column, (name, hue) in enumerate(_ANGLES):
        axes.plot(track.time_s, angles[:, column], color=hue, linewidth=1.6, label=name)
    max_deg = max(10.0, float(np.nanmax(np.abs(angles), initial=0)) * 1.1) if track.known.any() else 10.0
    axes.set_ylim(-max_deg, max_deg)
    axes.axhline(0, color=_GRID_COLOR, linewidth=1, zorder=0)
    axes.set_ylabel("head, degrees")
    axes.set_xlabel("time in the clip, seconds")


def _shade(axes: Axes, track: Track, *, in_legend: bool) -> None:
    """Shade the times at which the face was lost, or its values were filled in."""
    for status, hue, label in ((Status.FILLED, _FILLED_COLOR, "filled in"), (Status.LOST, _LOST_COLOR, "face lost")):
        for start_s, end_s in _spans(track.status == status, track.time_s):
            axes.axvspan(start_s, end_s, color=hue, linewidth=0, zorder=0, label=label if in_legend else "_")
            label = "_"  # one entry in the legend


def _spans(chosen: np.ndarray, time_s: np.ndarray) -> list[tuple[float, float]]:
    """Return start and end in seconds of each run of chosen frames, from the frame before to the frame after it."""
    edges = np.diff(np.concatenate([[0], chosen.astype(int), [0]]))
    starts, ends = np.flatnonzero(edges == 1) - 1, np.flatnonzero(edges == -1)
    return [(float(time_s[max(a, 0)]), float(time_s[min(b, len(time_s) - 1)])) for a, b in zip(starts, ends)]


def _style(axes: Axes) -> None:
    axes.grid(True, color=_GRID_COLOR, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0)
    axes.tick_params(colors=_GREY, labelsize=10, length=0, pad=6)
    axes.yaxis.label.set(color=_TEXT_COLOR, fontsize=11)
    axes.xaxis.label.set(color=_TEXT_COLOR, fontsize=11)
    axes.yaxis.set_label_coords(-0.062, 0.5)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=_GREY)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.012, 1.02),
            frameon=False,
            fontsize=10.5,
            labelcolor=_TEXT_COLOR,
            handlelength=2.2,
            borderaxespad=0,
            labelspacing=0.55,
        )


def _title(figure: Figure, track: Track) -> None:
    lost, frames = int((~track.known).sum()), len(track)
    parts: Sequence[str] = [
        f"frames {int(track.frame[0])} to {int(track.frame[-1])}",
        f"{track.rate_fps:g} frames a second",
        *([f"face lost in {lost} of {frames}"] if lost else []),
    ]
    figure.text(
        0.065,
        0.955,
        f"Track {track.number}: the weights that change most, and the head",
        color=_TEXT_COLOR,
        fontsize=15,
        va="center",
    )
    figure.text(0.065, 0.915, "   ·   ".join(parts), color=_GREY, fontsize=10.5, va="center")
