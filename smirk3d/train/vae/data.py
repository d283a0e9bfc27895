"""The faces from which the autoencoder learns, as windows in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.datasets.shards import DataError, Record, read_folder
from smirk3d.errors import Smirk3dError
from smirk3d.fer.vae.windows import colour_window, window_frame
from smirk3d.head.model import HeadModel
from smirk3d.media.images import read_image
from smirk3d.train.provenance import tensor_fingerprint
from smirk3d.train.small_network.rendered_crops import RenderedConfig, rendered_crops
from smirk3d.train.vae.config import VaeDataConfig


@dataclass(frozen=True, eq=False)
class ColourWindows:
    """Windows with blendshape weights.

    Attributes:
        pixels: (N, 3, 64, 64) uint8 RGB.
        weights: (N, 52) ARKit weights: true ones of renders, the landmarker's scores of photos.
    """

    pixels: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of pixels and weights."""
        return tensor_fingerprint(self.pixels, self.weights)


def photo_windows(data: VaeDataConfig, split: str) -> ColourWindows:
    """Return windows of the photos of a split.

    Raises:
        Smirk3dError: The folder has no such shards, or none of its faces can be used.
    """
    faults: list[DataError] = []
    chosen = _at_most_per_person(read_folder(data.faces, split, faults.append), data.max_per_person)[: data.max_faces]
    if not chosen:
        raise Smirk3dError(f"{data.faces}: no usable faces in its split {split}: {faults[0] if faults else 'none'}")
    windows = [colour_window(read_image(each.jpeg).pixels, window_frame(each.landmarks_px)) for each in chosen]
    return ColourWindows(_channels_first(windows), torch.from_numpy(np.stack([each.scores for each in chosen])))


def _at_most_per_person(records: Iterable[Record], count: int) -> list[Record]:
    """Return the first faces of each person; faces of unknown people are all kept."""
    seen: dict[str, int] = {}
    chosen = []
    for record in records:
        seen[record.person] = seen.get(record.person, 0) + 1
        if not record.person or seen[record.person] <= count:
            chosen.append(record)
    return chosen


def rendered_windows(settings: RenderedConfig, head: HeadModel) -> ColourWindows:
    """Return windows of rendered heads with their ARKit weights, rendered where they are not in the cache.

    Args:
        settings: Which images; `count` is positive.
        head: The open head.
    """
    windows, weights = [], []
    for crops in rendered_crops(settings, head):
        windows += [colour_window(image, window_frame(points)) for image, points in zip(crops.images, crops.points_px)]
        weights.append(crops.weights)
    return ColourWindows(_channels_first(windows), torch.cat(weights))


def _channels_first(windows: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2).contiguous()
