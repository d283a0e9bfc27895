"""The faces from which the expression network learns, as windows in memory."""

from __future__ import annotations

import hashlib
import logging
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.datasets.sources import cached_renderings
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.errors import Smirk3dError
from smirk3d.fer.datasets import LabelledFace, read_labelled
from smirk3d.fer.face_windows import face_window
from smirk3d.head.model import HeadModel
from smirk3d.output_lock import locked_folder
from smirk3d.train.expression_vector.config import FerDataConfig, RenderedConfig

_BLOCK = 256
_log = logging.getLogger(__name__)


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
        digest = hashlib.sha256(self.pixels.numpy().tobytes())
        digest.update(self.targets.numpy().tobytes())
        return digest.hexdigest()[:16]


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
    folder = cached_renderings() if settings.path is None else settings.path
    variation = RenderAugmentation(crop_scale=settings.crop_scale, domain_randomization=settings.domain_randomization)
    faces = RenderedFaces(head, settings.count, settings.seed, settings.size, folder=folder, variation=variation)
    with nullcontext() if folder is None else locked_folder(folder):
        for count in faces.prepare():
            _log.info("rendered faces: %d of %d", count, len(faces))
    pixels, weights = [], []
    for index in torch.arange(len(faces)).split(_BLOCK):
        batch = faces.batch(index)
        assert batch.target is not None and batch.target.expression is not None
        images = (batch.image * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        points_px = ((batch.landmarks_ndc + 1) / 2 * settings.size).numpy()
        pixels += [face_window(image, points) for image, points in zip(images, points_px)]
        weights.append(batch.target.expression)
    return Windows(torch.from_numpy(np.stack(pixels)), torch.cat(weights))
