"""The figures of reenactment: what was measured of single pictures becomes means and correlations."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from smirk3d.evaluation.picture_metrics import PictureScores, identity_ratio
from smirk3d.evaluation.result import Figure, Result, values_of
from smirk3d.metrics.correlation import correlations, mean_of_known

MIN_ACTIVE = 0.3
"""Smallest range over the pictures of the weights of actions that count."""
FIGURES = (
    Figure("psnr_db", "dB", "higher"),
    Figure("copied_psnr_db", "dB"),
    Figure("face_psnr_db", "dB", "higher"),
    Figure("copied_face_psnr_db", "dB"),
    Figure("correlation", better="higher"),
    Figure("truth_correlation"),
    Figure("ssim", better="higher"),
    Figure("copied_ssim"),
    Figure("feature_distance", better="lower"),
    Figure("copied_feature_distance"),
    Figure("identity_ratio", better="higher"),
    Figure("cross_correlation", better="higher"),
    Figure("flicker", "/255", "lower"),
    Figure("pose_off_deg", "deg", "lower"),
    Figure("turned_psnr_db", "dB", "higher"),
    Figure("turned_copied_psnr_db", "dB"),
    Figure("several_psnr_db", "dB", "higher"),
    Figure("turned_ssim", better="higher"),
    Figure("several_ssim", better="higher"),
    Figure("turned_feature_distance", better="lower"),
    Figure("several_feature_distance", better="lower"),
    Figure("truth_pose_off_deg", "deg"),
)


@dataclass(frozen=True, eq=False)
class ReenactedPicture:
    """What was made of one expression.

    Attributes:
        name: Number of the person and name of the expression.
        made: Scores of the result.
        copied: Scores of the photo itself.
        driven: (52,) weights that the picture was to show.
        read: (52,) weights that are read in it.
        read_in_truth: (52,) weights that are read in the true picture.
        identities: (3, D) features of the photo, the result and the true picture.
    """

    name: str
    made: PictureScores
    copied: PictureScores
    driven: np.ndarray
    read: np.ndarray
    read_in_truth: np.ndarray
    identities: np.ndarray


@dataclass(frozen=True, eq=False)
class TurnedPicture:
    """What was made of a turned head.

    Attributes:
        one: Scores of the result from one photo.
        several: Scores of that from several photos.
        copied: Scores of the photo itself.
        pose_off_deg: Angle between the rotation that is read in the result and the wanted one; NaN where none is read.
        truth_pose_off_deg: The same of the true picture.
    """

    one: PictureScores
    several: PictureScores
    copied: PictureScores
    pose_off_deg: float
    truth_pose_off_deg: float


@dataclass(eq=False)
class EngineTally:
    """All that was measured of one engine.

    Attributes:
        pictures: Moved photos.
        turned: Turned ones.
        crossed: (52,) weights that were read in pictures of somebody else and were to be shown, and those then read.
        flickers: Mean change between frames of still faces, of 255.
        missed: Pictures without a detected face.
    """

    pictures: list[ReenactedPicture] = field(default_factory=list)
    turned: list[TurnedPicture] = field(default_factory=list)
    crossed: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    flickers: list[float] = field(default_factory=list)
    missed: int = 0


def reenactment_result(method: str, tally: EngineTally) -> Result:
    """Return means over pictures of the peak signal-to-noise ratio and so on, and correlations of expressions.

    Correlations are over the pictures, between weights that were to be shown and those that are read, as a mean over
    the actions that were to be shown; those that are read in the true pictures tell what can be reached.

    Args:
        method: Name of the method.
        tally: At least two moved photos.
    """
    pictures = tally.pictures
    driven, read, read_in_truth = (
        np.stack([getattr(each, name) for each in pictures]) for name in ("driven", "read", "read_in_truth")
    )
    by_action = _active_correlations(read, driven)
    numbers = {
        "psnr_db": _decibels([each.made.error for each in pictures]),
        "copied_psnr_db": _decibels([each.copied.error for each in pictures]),
        "face_psnr_db": _decibels([each.made.face_error for each in pictures]),
        "copied_face_psnr_db": _decibels([each.copied.face_error for each in pictures]),
        "correlation": mean_of_known(by_action),
        "truth_correlation": mean_of_known(_active_correlations(read_in_truth, driven)),
        "ssim": _mean([each.made.similarity for each in pictures]),
        "copied_ssim": _mean([each.copied.similarity for each in pictures]),
        "feature_distance": _mean([each.made.distance for each in pictures]),
        "copied_feature_distance": _mean([each.copied.distance for each in pictures]),
        "identity_ratio": identity_ratio(*np.stack([each.identities for each in pictures], axis=1)),
    }
    numbers |= _cross_figures(tally) | _turned_figures(tally.turned)
    by_sample = {each.name: 255 * float(np.sqrt(each.made.error)) for each in pictures}
    values, columns = values_of(FIGURES, numbers), {"correlation": by_action}
    return Result("reenactment", method, len(pictures), values, columns, by_sample, tally.missed, worst="low")


def _cross_figures(tally: EngineTally) -> dict[str, float]:
    numbers: dict[str, float] = {}
    if len(tally.crossed) > 1:
        driven, read = (np.stack(each) for each in zip(*tally.crossed, strict=True))
        numbers["cross_correlation"] = mean_of_known(_active_correlations(read, driven))
    if tally.flickers:
        numbers["flicker"] = _mean(tally.flickers)
    return numbers


def _turned_figures(turned: list[TurnedPicture]) -> dict[str, float]:
    if not turned:
        return {}
    return {
        "pose_off_deg": float(np.nanmean([each.pose_off_deg for each in turned])),
        "truth_pose_off_deg": float(np.nanmean([each.truth_pose_off_deg for each in turned])),
        "turned_psnr_db": _decibels([each.one.face_error for each in turned]),
        "turned_copied_psnr_db": _decibels([each.copied.face_error for each in turned]),
        "several_psnr_db": _decibels([each.several.face_error for each in turned]),
        "turned_ssim": _mean([each.one.similarity for each in turned]),
        "several_ssim": _mean([each.several.similarity for each in turned]),
        "turned_feature_distance": _mean([each.one.distance for each in turned]),
        "several_feature_distance": _mean([each.several.distance for each in turned]),
    }


def _active_correlations(read: np.ndarray, driven: np.ndarray) -> np.ndarray:
    """Return correlations (52,) over pictures (N, 52) of what is read and what was to be shown, NaN where inactive."""
    return np.where(np.ptp(driven, axis=0) > MIN_ACTIVE, correlations(read, driven), np.nan)


def _decibels(errors: list[float]) -> float:
    return float((-10 * np.log10(np.maximum(errors, 1e-10))).mean())


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
