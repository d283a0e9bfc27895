"""Scores of a made picture against the true one, and features that tell one person from another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.detection.crop import Crop
from smirk3d.metrics.pictures import squared_error, structural_similarity
from smirk3d.train.losses.perceptual import PerceptualFeatures, perceptual_loss

FACE_PX = 128
"""Side of the squares around faces in which features are compared."""


@dataclass(frozen=True)
class PictureScores:
    """How near a picture comes to the truth.

    Attributes:
        error: Mean squared error of colours in [0, 1], whole picture.
        face_error: The same of the square around the face.
        similarity: Structural similarity of this square.
        distance: Mean absolute difference of features of this square; NaN without a network.
    """

    error: float
    face_error: float
    similarity: float
    distance: float


@dataclass(frozen=True, eq=False)
class FaceSquare:
    """The square around the face of a photo, whole pixels.

    Attributes:
        rows: Its rows in the photo.
        columns: Its columns.
    """

    rows: slice
    columns: slice

    @staticmethod
    def of(crop: Crop) -> FaceSquare:
        """Return the part of a crop's square that the photo has."""
        x0, y0 = max(round(crop.x0), 0), max(round(crop.y0), 0)
        return FaceSquare(slice(y0, round(crop.y0 + crop.side_px)), slice(x0, round(crop.x0 + crop.side_px)))

    def of_picture(self, pixels: np.ndarray) -> np.ndarray:
        """Return this part of a picture (H, W, 3)."""
        return pixels[self.rows, self.columns]


class PictureMetrics:
    """Compares pictures.

    Args:
        features: Network of the feature distance and of identities; None where there is none.
    """

    def __init__(self, features: PerceptualFeatures | None) -> None:
        self._features = features

    def scores(self, made: np.ndarray, truth: np.ndarray, square: FaceSquare) -> PictureScores:
        """Return the scores of a picture (H, W, 3) uint8."""
        parts = [square.of_picture(each) for each in (made, truth)]
        distance = float("nan")
        if self._features is not None:
            with torch.no_grad():
                distance = float(perceptual_loss(self._features, *(_resized(each) for each in parts)))
        return PictureScores(squared_error(made, truth), squared_error(*parts), structural_similarity(*parts), distance)

    def identity(self, pixels: np.ndarray, square: FaceSquare) -> np.ndarray:
        """Return the features of a face, (D,), that its person has in common; NaN without a network."""
        if self._features is None:
            return np.full(1, np.nan)
        with torch.no_grad():
            coarse = self._features(_resized(square.of_picture(pixels)))[-1]
        return functional.adaptive_avg_pool2d(coarse, 4).flatten().numpy().astype(np.float64)


def identity_ratio(sources: np.ndarray, made: np.ndarray, others: np.ndarray) -> float:
    """Return how alike made pictures are to their sources, over how alike other photos of these people are.

    Similarity is the cosine of features less their mean over all people, so that what all faces share does not count;
    for one person alone the ratio is NaN.

    Args:
        sources: (N, D) features of the sources.
        made: (N, D) of what was made of them.
        others: (N, D) of other photos of the same people.
    """
    mean = sources.mean(axis=0)

    def similarity(features: np.ndarray) -> float:
        a, b = sources - mean, features - mean
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return float(((a * b).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())

    wanted = similarity(others)
    return similarity(made) / wanted if wanted else float("nan")


def _resized(pixels: np.ndarray) -> Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    return functional.interpolate(image, size=(FACE_PX, FACE_PX), mode="bilinear", antialias=True)
