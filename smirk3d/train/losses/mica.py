"""MICA: the shape of a person's head, in FLAME's coefficients, from what ArcFace sees of the face.

The file is `mica.tar` of its authors: ArcFace's network as they trained it on, and a small one from its embedding to
FLAME 2020's 300 shape coefficients.

Source: Zielonka et al., "Towards Metrical Reconstruction of Human Faces" (2022).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from smirk3d.assets import printable
from smirk3d.datasets.augment import require_kornia
from smirk3d.errors import Smirk3dError
from smirk3d.networks.torch_file import fill, read_parts
from smirk3d.train.losses.iresnet import EMBEDDING, SIDE_PX, IResNet
from smirk3d.train.losses.perceptual import PerceptualFeatures

N_SHAPE = 300
FIVE_POINTS = ((33, 133), (362, 263), (4,), (61,), (291,))
"""The subject's right and left eye, the tip of the nose, and the right and left corner of the mouth: each the mean of
points of MediaPipe."""
FIVE_PLACES_PX = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Where ArcFace wants them in its 112 × 112 pixels, counted from the centre of the first. Source: InsightFace."""
_HIDDEN_LAYERS = 4
_SLOPE = 0.2
_REMEDY = "give MICA's published weights (mica.tar)"

Identity = Callable[[Tensor, Tensor], Tensor]
"""Crops (B, 3, S, S), RGB in [0, 1], and their landmarks (B, 478, 2) in [-1, 1] to FLAME's shape (B, 300)."""


def mica_identity(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Identity:
    """Make MICA out of its published file; it is never trained, and no gradient passes it.

    Args:
        path: `mica.tar`. What it holds besides the two networks is neither needed nor executed.
        device: Where to compute.

    Raises:
        Smirk3dError: The file cannot be read, or is not of these networks; the message says what does not fit.
    """
    parts = read_parts(path, ("arcface", "flameModel"), _REMEDY)
    state = {f"arcface.{name}": tensor for name, tensor in parts.get("arcface", {}).items()}
    mapping = parts.get("flameModel", {})  # holds a FLAME head as well
    state |= {name: tensor for name, tensor in mapping.items() if name.startswith("regressor.")}
    with torch.device("meta"):
        network = MicaNetwork()
    if fault := fill(network, state):
        raise Smirk3dError(f"{printable(path)}: is no MICA ({fault}); {_REMEDY}")
    mica = PerceptualFeatures(network, (0.5,) * 3, (0.5,) * 3).to(device)

    def identity(image: Tensor, landmarks_ndc: Tensor) -> Tensor:
        with torch.no_grad():
            return mica(arcface_crop(image, landmarks_ndc))[0]

    return identity


class MicaNetwork(nn.Module):
    """ArcFace's crops (B, 3, 112, 112) in [-1, 1] to FLAME's shape (B, 300), in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.arcface = IResNet()
        self.regressor = _Mapping()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return [shape]."""
        return [self.regressor(functional.normalize(self.arcface(images)))]


class _Mapping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = (EMBEDDING, *[N_SHAPE] * _HIDDEN_LAYERS)
        self.network = nn.ModuleList([nn.Linear(*pair) for pair in itertools.pairwise(sizes)])
        self.output = nn.Linear(N_SHAPE, N_SHAPE)

    def forward(self, embedding: Tensor) -> Tensor:
        for layer in self.network:
            embedding = functional.leaky_relu(layer(embedding), _SLOPE)
        return self.output(embedding)


def arcface_crop(image: Tensor, landmarks_ndc: Tensor) -> Tensor:
    """Turn, scale and shift faces so that their eyes, nose and mouth lie where ArcFace wants them.

    Args:
        image: (B, 3, S, S) crops. landmarks_ndc: (B, 478, 2) MediaPipe's points in them, [-1, 1] from edge to edge.

    Returns:
        (B, 3, 112, 112), resampled bilinearly, black outside of the crops.

    Raises:
        Smirk3dError: kornia is not installed.

    Source: InsightFace: the similarity that brings the five points nearest to their places.
    """
    require_kornia()
    from kornia.geometry.transform import warp_affine

    five = torch.stack([landmarks_ndc[:, list(which)].mean(dim=1) for which in FIVE_POINTS], dim=1)
    pixels = (five + 1) * image.shape[-1] / 2 - 0.5  # from the centre of the first pixel
    to_crop = nearest_similarity(pixels, pixels.new_tensor(FIVE_PLACES_PX).expand_as(pixels))
    return warp_affine(image, to_crop, (SIDE_PX, SIDE_PX), mode="bilinear", padding_mode="zeros", align_corners=True)


def nearest_similarity(points: Tensor, places: Tensor) -> Tensor:
    """Return the rotations, scales and shifts (B, 2, 3) that bring points (B, N, 2) nearest to places (B, N, 2).

    Source: least squares in the plane of complex numbers, p' = a p + b, where a = Σ p̄ q / Σ |p|² about the means.
    """
    start, goal = points.mean(dim=1, keepdim=True), places.mean(dim=1, keepdim=True)
    (x, y), (u, v) = ((each - middle).unbind(dim=2) for each, middle in ((points, start), (places, goal)))
    spread = (x * x + y * y).sum(dim=1)
    real, imaginary = (x * u + y * v).sum(dim=1) / spread, (x * v - y * u).sum(dim=1) / spread
    linear = torch.stack([real, -imaginary, imaginary, real], dim=1).unflatten(1, (2, 2))
    return torch.cat([linear, goal.mT - linear @ start.mT], dim=2)
