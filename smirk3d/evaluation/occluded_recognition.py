"""What repair is worth: emotions of faces behind drawn things, patches that are found, pixels that are rebuilt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smirk3d.datasets.synthetic.occluded_windows import UNSEEN_KINDS
from smirk3d.evaluation.latent_description import MahalanobisDescription, patch_latents
from smirk3d.evaluation.occluded_windows import (
    CONDITIONS,
    OccludedWindows,
    draw_condition,
    psnr_in,
    rebuilt_by_inpainting,
    rebuilt_by_mean_face,
)
from smirk3d.fer.calibration import expected_calibration_error
from smirk3d.fer.datasets import LabelledFace, read_labelled
from smirk3d.fer.face_windows import WINDOW_PX, crop_window
from smirk3d.fer.occlusion.patches import SIDE_PX
from smirk3d.fer.occlusion.repair import flattened, patch_distances, rebuilt_windows, reduced, repair_windows
from smirk3d.fer.occlusion.views import mean_of_views
from smirk3d.fer.vectors import expressions_of
from smirk3d.media.images import read_image
from smirk3d.metrics.classification import area_under_roc

MAX_FACES = 1000
"""Faces that are measured; evenly chosen of those that there are."""
COVERED_FROM, TOUCHED_FROM = 0.5, 0.02
"""A patch of which so much is covered is occluded; one with less than the second is visible."""


@dataclass(frozen=True, eq=False)
class _Faces:
    """N faces: windows (N, 48, 48) and (N, 96, 96) uint8, and labels (N,)."""

    small: np.ndarray
    windows: np.ndarray
    label: np.ndarray


@dataclass(frozen=True, eq=False)
class _Judged:
    """Probabilities (N, 8) of faces behind something: as they are, with repair, with repair of known patches."""

    occluded: np.ndarray
    repaired: np.ndarray
    known: np.ndarray
    shares: np.ndarray


def occlusion_figures(
    data: Path, split: str, *, weights: Path | None = None, recognition: Path | None = None, count: int = MAX_FACES,
    seed: int = 0,
) -> list[str]:  # fmt: skip
    """Return the measures of repair on labelled face crops as lines of text.

    Args:
        data: See `smirk3d.fer.datasets.read_labelled`.
        split: Its split.
        weights: Occlusion network; None: the packaged one.
        recognition: Expression network; None: the packaged one.
        count: At most so many faces.
        seed: Of what is drawn.

    Raises:
        Smirk3dError: Data or weights cannot be read.
    """
    faces = _read(read_labelled(data, split), count)
    lines = _accuracy_lines(faces, weights, recognition, seed)
    lines += _detection_lines(faces, weights, seed)
    return lines + _pixel_lines(faces, weights, seed)


def _read(faces: Sequence[LabelledFace], count: int) -> _Faces:
    chosen = [faces[k] for k in np.linspace(0, len(faces) - 1, min(count, len(faces))).round().astype(int)]
    photos = [read_image(face.source).pixels for face in chosen]
    small, large = (np.stack([crop_window(each, side) for each in photos]) for side in (WINDOW_PX, SIDE_PX))
    return _Faces(small, large, np.array([face.label for face in chosen]))


def _accuracy_lines(faces: _Faces, weights: Path | None, recognition: Path | None, seed: int) -> list[str]:
    """Return accuracies in per cent before and after repair, and how well the probabilities are calibrated."""
    label = faces.label
    clean = expressions_of(faces.small, recognition).probabilities
    found = repair_windows(faces.windows, weights)
    repaired = _recognized(faces.small, found.windows, found.core, recognition)
    before, after = _accuracy(clean, label), _accuracy(repaired, label)
    lines = [
        f"{len(label)} faces; accuracy in per cent, drop against clean faces, share of it that repair wins back "
        "(with known patches)",
        f"  clean          {before:5.1f}, after repair {after:5.1f} ({after - before:+.1f})",
    ]
    parts = []
    for name in CONDITIONS:
        judged = _judge(faces, draw_condition(faces.windows, name, seed), weights, recognition)
        hidden, won, known = (_accuracy(each, label) for each in (judged.occluded, judged.repaired, judged.known))
        drop = before - hidden
        shares = [f"{(each - hidden) / drop:.2f}" if drop > 0 else "-" for each in (won, known)]
        lines.append(
            f"  {name:<14} {hidden:5.1f}, drop {drop:4.1f}; repaired {won:5.1f}, won back {shares[0]} ({shares[1]})"
        )
        parts.append(judged)
    return [*lines, _calibration_line(parts, label)]


def _judge(faces: _Faces, drawn: OccludedWindows, weights: Path | None, recognition: Path | None) -> _Judged:
    small = np.stack([reduced(each, WINDOW_PX) for each in drawn.windows])
    found = repair_windows(drawn.windows, weights)
    touched = drawn.shares > TOUCHED_FROM
    known = rebuilt_windows(drawn.windows, touched, weights)
    return _Judged(
        expressions_of(small, recognition).probabilities,
        _recognized(small, found.windows, found.core, recognition),
        _recognized(small, known, drawn.shares >= COVERED_FROM, recognition),
        shares=found.shares,
    )


def _recognized(small: np.ndarray, windows: np.ndarray, hidden: np.ndarray, weights: Path | None) -> np.ndarray:
    """Return the probabilities (N, 8) of faces with repair.

    Args:
        small: (N, 48, 48) as they are.
        windows: (N, 96, 96) repaired.
        hidden: (N, 12, 12) bool, occluded patches.
        weights: Expression network.
    """
    repaired = np.stack([reduced(each, WINDOW_PX) for each in windows])
    return mean_of_views(lambda each: expressions_of(each, weights).probabilities, small, repaired, hidden)


def _accuracy(probabilities: np.ndarray, label: np.ndarray) -> float:
    return 100 * float((probabilities.argmax(axis=1) == label).mean())


def _calibration_line(parts: Sequence[_Judged], label: np.ndarray) -> str:
    """Return the calibration errors of all occluded faces: as they are, repaired, repaired and flattened."""
    shares = np.concatenate([each.shares for each in parts])
    repaired = np.concatenate([each.repaired for each in parts])
    views = (np.concatenate([each.occluded for each in parts]), repaired, flattened(repaired, shares))
    labels = torch.from_numpy(np.tile(label, len(parts)))
    errors = [expected_calibration_error(torch.from_numpy(each), labels) for each in views]
    return "  ECE of the occluded faces {:.3f}, repaired {:.3f}, flattened with the occluded share {:.3f}".format(
        *errors
    )


def _detection_lines(faces: _Faces, weights: Path | None, seed: int) -> list[str]:
    """Return how well patches behind unseen kinds of occluders are separated from visible ones."""
    clean = repair_windows(faces.windows, weights)
    hidden = clean.hidden.mean(axis=(1, 2))
    share = 100 * float((hidden > 0).mean())
    lines = [f"patches marked on faces as they are: {100 * hidden.mean():.1f} %, on {share:.0f} % of them"]
    described = MahalanobisDescription.fit(patch_latents(faces.windows[: len(faces.windows) // 2], weights))
    plain = described.distances(patch_latents(faces.windows, weights))
    scores: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {
        "hypersphere": ([], [clean.distances.ravel()]),
        "Mahalanobis": ([], [plain[len(plain) // 2 :].ravel()]),
    }
    for number, name in enumerate(UNSEEN_KINDS):
        drawn = draw_condition(faces.windows[number :: len(UNSEEN_KINDS)], name, seed + 1)
        inside, outside = drawn.shares >= COVERED_FROM, drawn.shares < TOUCHED_FROM
        found = patch_distances(drawn.windows, weights), described.distances(patch_latents(drawn.windows, weights))
        for (high, low), distances in zip(scores.values(), found, strict=True):
            high.append(distances[inside])
            low.append(distances[outside])
        lines.append(f"  AUROC of patches, {name} {area_under_roc(found[0][inside], found[0][outside]):.3f}")
    areas = [area_under_roc(np.concatenate(high), np.concatenate(low)) for high, low in scores.values()]
    return [
        *lines,
        f"  AUROC of patches, all kinds that were never learned and clean faces {areas[0]:.3f}; "
        f"Mahalanobis distance of the same latents {areas[1]:.3f}",
    ]


def _pixel_lines(faces: _Faces, weights: Path | None, seed: int) -> list[str]:
    """Return the PSNR within occluded patches, which are known here, beside inpainting and the mean face."""
    mean_face = faces.windows.astype(np.float64).mean(axis=0)
    lines = ["PSNR in occluded patches, dB: rebuilt, cv2.inpaint, mean face"]
    for name in CONDITIONS:
        drawn = draw_condition(faces.windows, name, seed)
        touched = drawn.shares > TOUCHED_FROM
        rebuilt = rebuilt_windows(drawn.windows, touched, weights)
        rows = [k for k in range(len(touched)) if touched[k].any()]
        values = []
        for k in rows:
            window, true, hidden = drawn.windows[k], faces.windows[k], touched[k]
            others = (rebuilt_by_inpainting(window, hidden), rebuilt_by_mean_face(window, hidden, mean_face))
            values.append([psnr_in(each, true, hidden) for each in (rebuilt[k], *others)])
        lines.append(f"  {name:<14} " + ", ".join(f"{value:.1f}" for value in np.mean(values, axis=0)))
    return lines
