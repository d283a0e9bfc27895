"""FAN itself, through the package `face-alignment`: the contours of faces that were detected already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from smirk3d.datasets.fan_contour import FanLandmarks
from smirk3d.errors import Smirk3dError

_NETWORK = "2DFAN-4"


class FaceAlignment(Protocol):
    """What is used of `face_alignment.FaceAlignment`."""

    def get_landmarks_from_image(
        self, image_or_path: np.ndarray, detected_faces: list[np.ndarray]
    ) -> list[np.ndarray] | None:
        """Return the landmarks (68, 2) of faces in boxes x0, y0, x1, y1."""
        ...


@dataclass(frozen=True, eq=False)
class FanInPhoto:
    """FAN on the faces of one photo; it runs when a contour is wanted.

    Attributes:
        network: FAN.
        pixels: (H, W, 3) uint8 RGB.
    """

    network: FaceAlignment
    pixels: np.ndarray

    def contour(self, landmarks_px: np.ndarray) -> tuple[np.ndarray | None, str]:
        """Return the contour (17, 2) of a face and its state, see `FanLandmarks.contour`.

        Args:
            landmarks_px: (478, 2) MediaPipe's landmarks of the face, pixels; FAN looks into their box.
        """
        box_px = np.concatenate([landmarks_px.min(axis=0), landmarks_px.max(axis=0)]).astype(np.float64)
        found = self.network.get_landmarks_from_image(self.pixels, detected_faces=[box_px]) or []
        points = np.array([face[:, :2] for face in found], dtype=np.float32).reshape(-1, 68, 2)
        return FanLandmarks(points).contour(landmarks_px)


def load_fan(device: str = "cpu") -> FaceAlignment:
    """Load FAN; nothing is downloaded.

    Args:
        device: Where it computes, for instance "cpu" or "cuda".

    Raises:
        Smirk3dError: The package `face-alignment` is not installed, or FAN's weights are not where it looks for them.
    """
    try:
        import face_alignment  # pyright: ignore[reportMissingImports]
        from face_alignment.api import models_urls  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Smirk3dError(
            f"--contour fan needs the package face-alignment ({error}); pip install smirk3d[fan]"
        ) from error
    url: str = models_urls[_NETWORK]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not (folder / Path(url).name).is_file():
        raise Smirk3dError(f"FAN's weights are missing: download {url} into {folder}")
    # Boxes come from MediaPipe; this detector has no weights of its own.
    return face_alignment.FaceAlignment(
        face_alignment.LandmarksType.TWO_D, device=device, face_detector="folder", compile=False
    )
