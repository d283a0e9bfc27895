"""Repair of occluded faces in scikit-learn's conventions."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from smirk3d.errors import Smirk3dError
from smirk3d.fer.occlusion.repair import occlusion_network, patch_distances, repair_windows

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError as error:
    raise Smirk3dError("OcclusionRepair needs scikit-learn; pip install 'smirk3d[fer]'") from error


class OcclusionRepair(TransformerMixin, BaseEstimator):
    """Finds the occluded patches of face windows and rebuilds them; ready without `fit`.

    Args:
        weights: File of `smirk3d fer train configs/recipes/fer_occlusion.yaml`; None: the packaged network.
        clean_share: Share of the patches of the windows passed to `fit` that are to count as visible.

    Attributes:
        radius_: Distance beyond which a patch is occluded; the network's own before `fit`.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None, clean_share: float = 0.99) -> None:
        self.weights = weights
        self.clean_share = clean_share

    @property
    def radius_(self) -> float:
        """Distance beyond which a patch is occluded."""
        own = getattr(self, "own_radius_", None)
        return float(occlusion_network(self.weights).radius) if own is None else own

    def fit(self, X: np.ndarray, y: Any = None) -> OcclusionRepair:
        """Set the radius by windows of your own in which nothing hides the face, some fifty at least.

        Args:
            X: (N, 48, 48) or (N, 96, 96) uint8, see `smirk3d.fer.face_windows.face_window`.
            y: Not read.
        """
        if not 0 < self.clean_share < 1:
            raise ValueError(f"clean_share must be between 0 and 1, not {self.clean_share}")
        self.own_radius_ = float(np.quantile(patch_distances(np.asarray(X), self.weights), self.clean_share))
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the windows with their occluded patches rebuilt, of the same shape; clean ones as they are.

        Args:
            X: As for `fit`.
        """
        return repair_windows(np.asarray(X), self.weights, self.radius_).windows

    def detect(self, X: np.ndarray) -> np.ndarray:
        """Return which patches of the windows are occluded, (N, 12, 12) bool; X as for `fit`."""
        return repair_windows(np.asarray(X), self.weights, self.radius_).hidden
