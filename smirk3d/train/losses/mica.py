"""MICA: FLAME's shape coefficients of a person from an ArcFace embedding of the face.

The file is the authors' `mica.tar`: ArcFace's network, fine-tuned, and a small network from its embedding to the 300
shape coefficients of FLAME 2020.

Source: Zielonka et al., "Towards Metrical Reconstruction of Human Faces", ECCV 2022.
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
"""MediaPipe landmarks whose means are the subject's right and left eye, nose tip, right and left mouth corner."""
ARCFACE_POINTS_PX = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Their positions in ArcFace's aligned 112 × 112 crop, from the centre of the first pixel. Source: InsightFace."""
_HIDDEN_LAYERS = 4
_SLOPE = 0.2
_REMEDY = "give MICA's published weights (mica.tar)"

Identity = Callable[[Tensor, Tensor], Tensor]
"""Maps crops (B, 3, S, S), RGB in [0, 1], and landmarks (B, 478, 2) in [-1, 1] to FLAME's shape (B, 300)."""


def mica_identity(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Identity:
    """Build MICA from its published file; it is frozen, and no gradient passes it.

    Args:
        path: `mica.tar`. Its other content is ignored; nothing in it is executed.
        device: Device of the networks.

    Raises:
        Smirk3dError: The file cannot be read, or does not hold these networks; the message names what does not fit.
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
    """Maps ArcFace crops (B, 3, 112, 112) in [-1, 1] to a list with FLAME's shape (B, 300)."""

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
    """Align faces as ArcFace expects them, by the least-squares similarity of five points (InsightFace).

    Args:
        image: (B, 3, S, S) crops.
        landmarks_ndc: (B, 478, 2) MediaPipe's landmarks in them, [-1, 1] from edge to edge.

    Returns:
        (B, 3, 112, 112), resampled bilinearly, black outside the crops.

    Raises:
        Smirk3dError: kornia is not installed.
    """
    require_kornia()
    from kornia.geometry.transform import warp_affine

    five = torch.stack([landmarks_ndc[:, list(which)].mean(dim=1) for which in FIVE_POINTS], dim=1)
    pixels = (five + 1) * image.shape[-1] / 2 - 0.5  # relative to the centre of the first pixel
    to_crop = similarity_transform(pixels, pixels.new_tensor(ARCFACE_POINTS_PX).expand_as(pixels))
    return warp_affine(image, to_crop, (SIDE_PX, SIDE_PX), mode="bilinear", padding_mode="zeros", align_corners=True)


def similarity_transform(points: Tensor, target: Tensor) -> Tensor:
    """Return the least-squares similarity transforms (B, 2, 3) between point sets.

    As complex numbers, p' = a p + b with a = Σ p̄ q / Σ |p|² about the means (Umeyama, TPAMI 1991, in the plane).

    Args:
        points: (B, N, 2) source points.
        target: (B, N, 2) target points.
    """
    start, goal = points.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
    (x, y), (u, v) = ((each - mean).unbind(dim=2) for each, mean in ((points, start), (target, goal)))
    spread = (x * x + y * y).sum(dim=1)
    real, imaginary = (x * u + y * v).sum(dim=1) / spread, (x * v - y * u).sum(dim=1) / spread
    linear = torch.stack([real, -imaginary, imaginary, real], dim=1).unflatten(1, (2, 2))
    return torch.cat([linear, goal.mT - linear @ start.mT], dim=2)
