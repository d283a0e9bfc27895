"""The measured part of a model card of an expression network, as Markdown with reliability plots beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path
from smirk3d.evaluation.consenting_people import EXPRESSIONS, GroupRow
from smirk3d.evaluation.recognition import Predicted
from smirk3d.viz.classification_plots import draw_confusion, draw_reliability
from smirk3d.viz.plot_style import save_pixels

MIN_CONFUSION = 0.15
"""Share of a true class from which a confusion is listed."""
USE = (
    "Probabilities describe how a face looks to raters of pictures, not what a person feels. The network must not be "
    "used for decisions about people, such as hiring, grading, policing or health, nor to monitor workers or pupils."
)


def write_card(path: Path, weights: str, measured: Sequence[Predicted], groups: Sequence[GroupRow], about: str) -> None:
    """Write a card, and beside it plots of reliability and confusion for each measured set.

    Args:
        path: The card, .md.
        weights: Name of the network.
        measured: Sets of labelled faces.
        groups: Counts of people by group; may be empty.
        about: The command that wrote the card.

    Raises:
        Smirk3dError: A file cannot be written.
    """
    parts = [f"# Measures of the expression network {Path(weights).name}\n", f"Written by `{about}`.\n"]
    for number, predicted in enumerate(measured):
        parts += _section(path, number, predicted)
    if groups:
        parts += _group_section(groups)
    parts += ["## Use\n", f"{USE}\n"]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def _section(path: Path, number: int, predicted: Predicted) -> list[str]:
    """Return the lines on a measured set, and write its plots."""
    stem = f"{path.stem}_{number}"
    pictures = {"reliability": f"{stem}_reliability.png", "confusion": f"{stem}_confusion.png"}
    save_pixels(
        draw_reliability(predicted.probabilities, predicted.label, "Reliability", predicted.title),
        path.parent / pictures["reliability"],
    )
    save_pixels(
        draw_confusion(predicted.names, predicted.confusion, "Confusion", predicted.title),
        path.parent / pictures["confusion"],
    )
    rows = [
        f"| {name} | {int(total)} | {100 * recall:.0f} % |"
        for name, total, recall in zip(predicted.names, predicted.confusion.sum(axis=1), predicted.recalls)
        if total
    ]
    return [
        f"## {predicted.title}\n",
        f"{predicted.figures()}.\n",
        *(f"{note.strip()}.\n" for note in predicted.notes),
        "| Emotion | Faces | Recall |\n|---|---|---|",
        *rows,
        "",
        f"What it still confuses: {'; '.join(confusions(predicted)) or 'nothing at this level'}.\n",
        *(f"![{name}]({file})\n" for name, file in pictures.items()),
    ]


def confusions(predicted: Predicted) -> list[str]:
    """Return the confusions of at least `MIN_CONFUSION` of a true class as texts, the largest share first."""
    counts = predicted.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    pairs = sorted(zip(*np.nonzero(shares >= MIN_CONFUSION)), key=lambda pair: -shares[pair])
    return [
        f"{predicted.names[true]} taken for {predicted.names[other]} ({100 * shares[true, other]:.0f} % of "
        f"{counts[true].sum()})"
        for true, other in pairs
    ]


def _group_section(groups: Sequence[GroupRow]) -> list[str]:
    header = " | ".join(f"{name} faces called {emotion}" for name, emotion in EXPRESSIONS.items())
    rows = [
        f"| {row.attribute} | {row.group} | {row.people} | "
        + " | ".join(f"{row.right[name]} ({100 * row.right[name] / row.people:.0f} %)" for name in EXPRESSIONS)
        + " |"
        for row in groups
    ]
    return [
        "## By group\n",
        "Sex, age and ethnicity as people stated them; skin tone is not known. In groups of a few people, differences "
        "of a face or two mean nothing.\n",
        f"| Attribute | Group | People | {header} |\n|---|---|---|{'---|' * len(EXPRESSIONS)}",
        *rows,
        "",
    ]
