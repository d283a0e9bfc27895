"""Plots of classifiers: confusion matrices, and reliability diagrams of probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smirk3d.viz.plot_style import GREY, GRID_COLOR, TEXT_COLOR, add_title, drawn, new_figure, style_axes

RELIABILITY_BINS = 10
_BAR_COLOR, _DARK = "#4278c4", 0.55


def draw_confusion(
    classes: Sequence[str], confusion: np.ndarray, title: str, details: str, size: tuple[int, int] = (1280, 1000)
) -> np.ndarray:
    """Draw a confusion matrix: shares of each true class as shades, counts as numbers.

    Args:
        classes: C names.
        confusion: (C, C) counts, true class by predicted one.
        title: Title.
        details: Line below it.
        size: Width and height in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    figure = new_figure(size)
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*confusion.shape):
        hue = "white" if shares[row, column] > _DARK else TEXT_COLOR
        text = f"{100 * shares[row, column]:.0f} %\n{confusion[row, column]}"
        axes.text(column, row, text, ha="center", va="center", color=hue, fontsize=10)
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right", color=TEXT_COLOR)
    axes.set_yticks(range(len(classes)), classes, color=TEXT_COLOR)
    axes.set_xlabel("predicted", color=TEXT_COLOR)
    axes.set_ylabel("true", color=TEXT_COLOR)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set(visible=False)
    add_title(figure, title, details)
    figure.subplots_adjust(left=0.14, right=0.96, top=0.88, bottom=0.13)
    return drawn(figure)


def draw_reliability(
    probabilities: np.ndarray, label: np.ndarray, title: str, details: str, size: tuple[int, int] = (1280, 800)
) -> np.ndarray:
    """Draw how often predictions of each confidence are right.

    Source: DeGroot and Fienberg, "The Comparison and Evaluation of Forecasters", The Statistician 1983.

    Args:
        probabilities: (N, C).
        label: (N,) int.
        title: Title.
        details: Line below it.
        size: Width and height in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == label
    bins = (confidence * RELIABILITY_BINS).astype(int).clip(0, RELIABILITY_BINS - 1)
    count = np.bincount(bins, minlength=RELIABILITY_BINS)
    accuracy = np.bincount(bins, correct, RELIABILITY_BINS) / np.maximum(count, 1)
    centers, width = (np.arange(RELIABILITY_BINS) + 0.5) / RELIABILITY_BINS, 0.9 / RELIABILITY_BINS
    figure = new_figure(size)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.bar(centers[count > 0], accuracy[count > 0], width, color=_BAR_COLOR, label="share that is right")
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (4, 2)), linewidth=1.2, label="perfectly calibrated")
    upper.set_ylim(0, 1)
    upper.set_ylabel("accuracy")
    lower.bar(centers, count, width, color=GRID_COLOR, edgecolor=GREY)
    lower.set_ylabel("faces")
    lower.set_xlabel("confidence: probability of the predicted class")
    for axes in (upper, lower):
        axes.set_xlim(0, 1)
        style_axes(axes)
    add_title(figure, title, details)
    figure.subplots_adjust(left=0.075, right=0.8, top=0.88, bottom=0.1, hspace=0.12)
    return drawn(figure)
