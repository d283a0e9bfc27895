"""The faces from which the expression network learns, as windows in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.errors import Smirk3dError
from smirk3d.fer.datasets import LabelledFace, read_labelled
from smirk3d.fer.face_windows import face_window
from smirk3d.head.model import HeadModel
from smirk3d.train.expression_vector.config import FerDataConfig
from smirk3d.train.provenance import tensor_fingerprint
from smirk3d.train.small_network.rendered_crops import RenderedConfig, rendered_crops


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows with targets.

    Attributes:
        pixels: (N, 48, 48) uint8.
        targets: (N, 8) shares of the emotions, or (N, 52) ARKit weights.
    """

    pixels: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of pixels and targets."""
        return tensor_fingerprint(self.pixels, self.targets)


def labelled_windows(data: FerDataConfig, split: str) -> Windows:
    """Read the faces of a split.

    Raises:
        Smirk3dError: They cannot be read.
    """
    return windows_of(read_labelled(data.ferplus, split)[: data.max_faces])


def windows_of(faces: list[LabelledFace]) -> Windows:
    """Decode cropped faces.

    Raises:
        Smirk3dError: A picture cannot be read; the message names it.
    """
    pixels = np.stack([_decoded(face) for face in faces])
    return Windows(torch.from_numpy(pixels), torch.from_numpy(np.stack([face.votes for face in faces])))


def _decoded(face: LabelledFace) -> np.ndarray:
    try:
        return face.window()
    except Smirk3dError as error:
        raise Smirk3dError(f"{face.key}: {error}") from error


def rendered_windows(settings: RenderedConfig, head: HeadModel) -> Windows:
    """Return windows of rendered heads with their ARKit weights, rendered where they are not in the cache.

    Args:
        settings: Which images; `count` is positive.
        head: The open head.
    """
    pixels, weights = [], []
    for crops in rendered_crops(settings, head):
        pixels += [face_window(image, points) for image, points in zip(crops.images, crops.points_px)]
        weights.append(crops.weights)
    return Windows(torch.from_numpy(np.stack(pixels)), torch.cat(weights))
