"""What the network of identity reads of a face: its grey texture, warped onto the mean head, and its landmarks.

Where the detector's landmarks are wrong, features of the warped texture lie beside their usual places; where they are
right, the landmarks tell the shape. The idea is that of active appearance models (Cootes, Edwards and Taylor, 2001).
"""

# NumPy's and SciPy's annotations leave some types unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.detection.detector import N_LANDMARKS
from smirk3d.estimation.appearance_points import PhotoPatch, interpolated
from smirk3d.geometry.align import Similarity
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.head.landmark_indices import SKIN_COUNT
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel

WINDOW_PX = (48, 40)
"""Height and width of the window."""
_SAMPLES = 2
"""Samples of the photo along a pixel of the window."""
_MARGIN = (0.10, 0.20, 0.10)
"""Room beside, above and below the landmarks, relative to their box."""
_RING = 12
"""Points around the landmarks that follow them by an affine map, so that the outline is in the window."""
_RING_RADIUS = 2.0
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
LANDMARK_UNIT_M = 0.004
"""Landmarks in the network's input are in this unit."""
_MIN_CONTRAST = 4.0
"""Least standard deviation, in grey levels, by which a window is divided."""


@dataclass(frozen=True, eq=False)
class WindowLayout:
    """Where the pixels of the window are, in terms of landmarks.

    Attributes:
        corners: (P, 3) int64, landmarks and ring points around each sample of the window.
        barycentric: (P, 3) float32 weights of these corners.
        ring: (R, 468) float32, weights of the landmarks in the ring points: an affine map fitted to them.
    """

    corners: np.ndarray
    barycentric: np.ndarray
    ring: np.ndarray

    def place(self, landmarks_px: np.ndarray) -> np.ndarray:
        """Return the places (P, 2) of the window's samples in a photo with landmarks (478, 2)."""
        points = landmarks_px[:SKIN_COUNT].astype(np.float64)
        moved = np.concatenate([points, self.ring @ points])
        return np.einsum("pk,pkc->pc", self.barycentric, moved[self.corners])


@cache_per_head
def window_layout(head: HeadModel) -> WindowLayout:
    """Return the layout of windows on the mean head, seen from the front; needs MediaPipe's landmarks."""
    from scipy.spatial import Delaunay

    points = mean_landmarks(head).double().cpu().numpy()[:SKIN_COUNT, :2] * [1, -1]
    size, (side, above, below) = np.ptp(points, axis=0), _MARGIN
    low, high = points.min(0) - size * [side, above], points.max(0) + size * [side, below]
    angle = 2 * np.pi * (np.arange(_RING) + 0.5) / _RING
    ring = (low + high) / 2 + _RING_RADIUS / 2 * np.stack([np.cos(angle), np.sin(angle)], 1) * (high - low)
    steps = [(np.arange(count) + 0.5) / count for count in grid_size()]
    x, y = np.meshgrid(low[0] + steps[1] * (high - low)[0], low[1] + steps[0] * (high - low)[1])
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    mesh = Delaunay(np.concatenate([points, ring]))
    triangle = mesh.find_simplex(pixels)
    transform = mesh.transform[triangle]
    partial = np.einsum("pij,pj->pi", transform[:, :2], pixels - transform[:, 2])
    barycentric = np.concatenate([partial, 1 - partial.sum(1, keepdims=True)], axis=1)
    to_ring = _homogeneous(ring) @ np.linalg.pinv(_homogeneous(points))
    return WindowLayout(
        mesh.simplices[triangle].astype(np.int64), barycentric.astype(np.float32), to_ring.astype(np.float32)
    )


def _homogeneous(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def grid_size() -> tuple[int, int]:
    """Return how many rows and columns of samples a window has."""
    height, width = WINDOW_PX
    return _SAMPLES * height, _SAMPLES * width


def mean_landmarks(head: HeadModel) -> Tensor:
    """Return MediaPipe's landmarks (478, 3) of the neutral mean head, metres."""
    return head.landmark_embedding("mediapipe").points(head.v_template, head.faces)


def face_texture(layout: WindowLayout, pixels: np.ndarray, landmarks_px: np.ndarray) -> np.ndarray:
    """Return the grey texture (48, 40) float32, 0 to 255, of a face on the mean head; the photo's border is repeated.

    Args:
        layout: Of the window.
        pixels: (H, W, 3) uint8 RGB.
        landmarks_px: (478, 2) detected landmarks, pixels of the photo.
    """
    position = layout.place(landmarks_px)
    # As many pixels as the window has samples, so that samples are means and not single pixels.
    patch = PhotoPatch.whole(pixels).around(position, round(1.2 * grid_size()[0]))
    height, width = WINDOW_PX
    grey = interpolated(patch.pixels @ _LUMA, patch.place(position)).astype(np.float32)
    return grey.reshape(height, _SAMPLES, width, _SAMPLES).mean(axis=(1, 3))


def normalised(textures: Tensor) -> Tensor:
    """Return textures (B, 48, 40) with mean 0 and contrast 1."""
    centered = textures - textures.mean(dim=(1, 2), keepdim=True)
    return centered / (centered.std(dim=(1, 2), keepdim=True, correction=0) + _MIN_CONTRAST)


def landmark_features(
    head: HeadModel, points_px: Tensor, depth_px: Tensor, scores: Tensor, alignment: Similarity
) -> Tensor:
    """Return what the network reads of the detector's output, (B, 1489).

    Args:
        head: A head with MediaPipe's landmarks.
        points_px: (B, 478, 2) landmarks, pixels, y down.
        depth_px: (B, 478) their depth.
        scores: (B, 52) blendshape scores.
        alignment: B maps from metres of the head frame to pixels, y up, as of `align_mean_head`.
    """
    up = points_px * points_px.new_tensor([1.0, -1.0])
    observed = torch.cat([up, -depth_px.unsqueeze(-1)], dim=-1) - alignment.offset[:, None]
    turned = observed @ alignment.rotmat / alignment.scale[:, None, None]
    offsets = (turned - mean_landmarks(head)) / LANDMARK_UNIT_M
    return torch.cat([offsets.flatten(1), alignment.rotmat[:, 2], 2 * scores], dim=1)


def n_features() -> int:
    """Return how many numbers `landmark_features` has: of the landmarks, the direction of view and the scores."""
    return 3 * N_LANDMARKS + 3 + len(ARKIT_NAMES)


def mirrored(head: HeadModel, textures: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the textures and features of the mirror images of faces.

    Args:
        head: The head.
        textures: (B, 48, 40).
        features: (B, F), see `landmark_features`.
    """
    partner = head.landmark_embedding("mediapipe").mirror.cpu()
    points, view, scores = features.split([3 * N_LANDMARKS, 3, len(ARKIT_NAMES)], dim=1)
    flip = features.new_tensor([-1.0, 1.0, 1.0])
    points = (points.unflatten(1, (N_LANDMARKS, 3))[:, partner] * flip).flatten(1)
    return textures.flip(2), torch.cat([points, view * flip, scores[:, list(ARKIT_MIRROR)]], dim=1)
