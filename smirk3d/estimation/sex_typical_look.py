"""Whether a face looks typically male or female in a photo, which decides how the appearance model fills in.

A small network sees a grey window of 48 x 40 pixels around the face. It says nothing about a person's gender; the
number sets the relief of the skin, lips, brows and hair of the model, and is written nowhere else.
"""

# NumPy's annotations lose the types of products and of clipped arrays.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from smirk3d.estimation.appearance_points import PhotoPatch, interpolated
from smirk3d.zoo import registry

WINDOW_PX = (48, 40)
"""Height and width of the window."""
_TEMPLATE = np.array([[-0.45, 0.0], [0.45, 0.0], [0.0, 0.95], [0.0, 1.45]])
"""Outer eye corners, centre of the mouth and chin, in units of about the distance between the outer eye corners."""
_REACH = (1.2, -1.05, 1.75)
"""Half the width of the window, its top and its bottom in the frame of the template."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class LookNetwork(nn.Module):
    """Three convolutions and two linear layers; one logit, positive for a female look."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 48, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Linear(48 * 6 * 5, 32),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(32, 1),
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Return the logits (N,) of windows (N, 48, 40), normalised by `normalised`."""
        return self.features(windows[:, None])[:, 0]


class LookEnsemble(nn.Module):
    """The mean of several networks.

    Args:
        members: The networks.
    """

    def __init__(self, members: Sequence[LookNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the mean logits (N,) of windows as for `LookNetwork`."""
        return torch.stack([member(windows) for member in self.members]).mean(dim=0)


def female_look(photo: PhotoPatch, landmarks_px: np.ndarray) -> float:
    """Return the look of a face, from -1 (typically male) to 1 (typically female).

    Args:
        photo: The photo, or the part of it with the face.
        landmarks_px: (478, 2) landmarks of MediaPipe, pixels of the photo.
    """
    window = torch.from_numpy(normalised(face_window(photo, landmarks_px)))
    with torch.no_grad():
        logit = _network()(torch.stack([window, window.flip(1)])).mean()
    return float(torch.tanh(0.75 * logit))


def face_window(photo: PhotoPatch, landmarks_px: np.ndarray) -> np.ndarray:
    """Return the grey window (48, 40) float32, 0 to 255, around a face; the photo's border is repeated.

    Args:
        photo: The photo, or the part of it with the face.
        landmarks_px: (478, 2) landmarks of MediaPipe, pixels of the photo.
    """
    ends = landmarks_px[[33, 263, 61, 291, 152]].astype(np.float64)
    target = np.stack([ends[0], ends[1], (ends[2] + ends[3]) / 2, ends[4]])
    source, center = _TEMPLATE - _TEMPLATE.mean(0), target.mean(0)
    moved, norm = target - center, (source**2).sum()
    cosine = (source * moved).sum() / norm
    sine = (source[:, 0] * moved[:, 1] - source[:, 1] * moved[:, 0]).sum() / norm
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    position = (_grid() - _TEMPLATE.mean(0)) @ rotation.T + center
    # As many pixels as the window has samples, so that samples are means and not single pixels.
    patch = photo.around(position, round(1.2 * WINDOW_PX[0]))
    grey = patch.pixels @ _LUMA
    return interpolated(grey.astype(np.float32), patch.place(position)).astype(np.float32).reshape(WINDOW_PX)


def normalised(window: np.ndarray) -> np.ndarray:
    """Return a window with mean 0 and contrast 1, float32."""
    centered = window - window.mean()
    return (centered / (centered.std() + 8)).astype(np.float32)


@functools.cache
def _grid() -> np.ndarray:
    """Return the samples of the window in the frame of the template, (48 * 40, 2)."""
    half_width, top, bottom = _REACH
    x, y = np.meshgrid(np.linspace(-half_width, half_width, WINDOW_PX[1]), np.linspace(top, bottom, WINDOW_PX[0]))
    return np.stack([x, y], axis=-1).reshape(-1, 2)


@functools.cache
def _network() -> LookEnsemble:
    return load_network(registry.find("sex_typical_look"))


def load_network(path: Path) -> LookEnsemble:
    """Read the networks from a file, for inference."""
    weights = load_file(path)
    count = len({name.split(".")[1] for name in weights})
    ensemble = LookEnsemble([LookNetwork() for _ in range(count)])
    ensemble.load_state_dict({name: value.float() for name, value in weights.items()})
    return ensemble.eval().requires_grad_(False)
