"""The look of plots over time: figure, colours, grid, legend, and shades where a face was lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smirk3d.assets import atomic_path
from smirk3d.track import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 12.8
"""Width of the figure that font sizes and line widths are given for; its resolution follows from the image size."""
TEXT_COLOR, GREY, GRID_COLOR = "#26292f", "#6b7280", "#e5e7eb"
_LOST_COLOR, _FILLED_COLOR = "#d6dae1", "#eef0f4"


def new_figure(size: tuple[int, int]) -> Figure:
    """Return an empty figure.

    Args:
        size: Width and height in pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = size[0] / WIDTH_IN
    # Slightly larger, because the canvas rounds its size down.
    figure = Figure(figsize=(WIDTH_IN + 1e-6, size[1] / dpi + 1e-6), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def drawn(figure: Figure) -> np.ndarray:
    """Return a figure as (H, W, 3) uint8 RGB."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def save_pixels(pixels: np.ndarray, path: Path) -> None:
    """Write a plot in the format of the suffix, atomically.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        path: The file.

    Raises:
        Smirk3dError: Writing failed.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    with atomic_path(path) as temporary:
        image.save(temporary)


def add_title(figure: Figure, title: str, details: str) -> None:
    """Write a title and a line of details at the top of a figure."""
    figure.text(0.065, 0.955, title, color=TEXT_COLOR, fontsize=15, va="center")
    figure.text(0.065, 0.915, details, color=GREY, fontsize=10.5, va="center")


def shade_status(axes: Axes, status: np.ndarray, time_s: np.ndarray, *, in_legend: bool) -> None:
    """Shade the times at which a face was lost, or its values were filled in.

    Args:
        axes: Time in seconds is its x.
        status: (T,), see `smirk3d.track.Status`.
        time_s: (T,) seconds.
        in_legend: Whether the shades have entries in the legend.
    """
    for kind, hue, label in ((Status.FILLED, _FILLED_COLOR, "filled in"), (Status.LOST, _LOST_COLOR, "face lost")):
        for start_s, end_s in _spans(status == kind, time_s):
            axes.axvspan(start_s, end_s, color=hue, linewidth=0, zorder=0, label=label if in_legend else "_")
            label = "_"  # one entry in the legend


def _spans(chosen: np.ndarray, time_s: np.ndarray) -> list[tuple[float, float]]:
    """Return start and end in seconds of each run of chosen frames, from the frame before to the frame after it."""
    edges = np.diff(np.concatenate([[0], chosen.astype(int), [0]]))
    starts, ends = np.flatnonzero(edges == 1) - 1, np.flatnonzero(edges == -1)
    return [(float(time_s[max(a, 0)]), float(time_s[min(b, len(time_s) - 1)])) for a, b in zip(starts, ends)]


def style_axes(axes: Axes) -> None:
    """Set grid, ticks and spines of a plot, and its legend on the right."""
    axes.grid(True, color=GRID_COLOR, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0)
    axes.tick_params(colors=GREY, labelsize=10, length=0, pad=6)
    axes.yaxis.label.set(color=TEXT_COLOR, fontsize=11)
    axes.xaxis.label.set(color=TEXT_COLOR, fontsize=11)
    axes.yaxis.set_label_coords(-0.062, 0.5)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=GREY)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.012, 1.02),
            frameon=False,
            fontsize=10.5,
            labelcolor=TEXT_COLOR,
            handlelength=2.2,
            borderaxespad=0,
            labelspacing=0.55,
        )
