"""Report about the labels of training clips, so that a person can clean a data set: a table, and strips of clips."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from smirk3d.assets import atomic_path
from smirk3d.errors import Smirk3dError
from smirk3d.fer.clips.agreement import VERDICTS
from smirk3d.fer.clips.strip import MAX_STRIPS, Strip, strip_sheet, thumbnail_row
from smirk3d.fer.clips.thumbnails import clip_thumbnails
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.train.clip_emotion.run import ReviewedClips
from smirk3d.viz.overlay import save_png

REPORT_NAME = "labels.csv"
COLUMNS = ("clip", "label", "verdict", "predicted", "label_support", "agreement", "noise_score")


def write_label_report(reviewed: ReviewedClips, out_dir: Path) -> list[Path]:
    """Write the report of a run.

    `labels.csv` lists the clips, the most probably mislabelled first, then the hard ones by agreement, then the clean
    ones. `labels_noisy.png` and `labels_hard.png` show the first clips of both kinds that are files.

    Args:
        reviewed: The clips of the run.
        out_dir: Folder of the run.

    Returns:
        The files.

    Raises:
        Smirk3dError: A file cannot be written.
    """
    review, evidence = reviewed.review, reviewed.review.evidence
    order = np.lexsort((-evidence.noise_score, _rank(review.verdict)))
    rows = [
        (
            reviewed.clips.names[k],
            EMOTIONS[review.label[k]],
            VERDICTS[review.verdict[k]],
            EMOTIONS[evidence.mean[k].argmax()],
            f"{evidence.support[k]:.4f}",
            f"{evidence.agreement[k]:.4f}",
            f"{evidence.noise_score[k]:.4f}",
        )
        for k in order
    ]
    paths = [out_dir / REPORT_NAME]
    with atomic_path(paths[0]) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    for verdict in ("noisy", "hard"):
        strips = _strips([row for row in rows if row[2] == verdict], reviewed)
        if strips:
            paths.append(out_dir / f"labels_{verdict}.png")
            save_png(paths[-1], strip_sheet(strips))
    return paths


def _rank(verdict: np.ndarray) -> np.ndarray:
    """Return 0 for noisy, 1 for hard, 2 for clean."""
    return np.select([verdict == VERDICTS.index("noisy"), verdict == VERDICTS.index("hard")], [0, 1], 2)


def _strips(rows: list[tuple[str, ...]], reviewed: ReviewedClips) -> list[Strip]:
    strips: list[Strip] = []
    for name, label, _, predicted, _, agrees, _ in rows:
        path = reviewed.paths.get(name)
        if path is None or len(strips) >= MAX_STRIPS:
            continue
        try:
            thumbnails = clip_thumbnails(path)
        except Smirk3dError:  # it has been read before, so the file is gone; its row remains
            continue
        row = thumbnail_row(thumbnails, np.arange(len(thumbnails)), None)
        strips.append(Strip(f"{name}: labelled {label}, predicted {predicted}, agreement {agrees}", row))
    return strips
