"""The faces from which the occlusion network learns, as windows in memory, and its batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from smirk3d.datasets.face_dataset import FaceSet
from smirk3d.datasets.synthetic.occluded_windows import LEARNED_KINDS, decoy_window, occluded_window
from smirk3d.fer.face_windows import face_window
from smirk3d.fer.occlusion.linear_face import MODEL_PX
from smirk3d.fer.occlusion.network import MIN_CONTRAST
from smirk3d.fer.occlusion.patches import SIDE_PX, patch_shares
from smirk3d.media.images import read_image
from smirk3d.train.expression_vector.augmentation import augmented
from smirk3d.train.expression_vector.config import FerAugmentConfig, FerDataConfig
from smirk3d.train.expression_vector.data import labelled_windows
from smirk3d.train.occlusion_repair.config import OcclusionDataConfig
from smirk3d.train.provenance import tensor_fingerprint

CLEAN_SHARE, DECOY_SHARE = 0.12, 0.13
"""Shares of the faces of a batch before which nothing is drawn, and something that hides nothing."""
_MODEL_FACES = 10_000
"""Faces of each data set from which the linear model is made."""
_COARSE_SHARE = 0.5
"""Share of the photos that are shown as coarse as those of FER2013."""


@dataclass(frozen=True, eq=False)
class FaceWindows:
    """Windows of two resolutions.

    Attributes:
        coarse: (N, 48, 48) uint8, of FERPlus.
        fine: (M, 96, 96) uint8, of photos.
    """

    coarse: Tensor
    fine: Tensor

    def __len__(self) -> int:
        return len(self.coarse) + len(self.fine)

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of the pixels."""
        return tensor_fingerprint(self.coarse, self.fine)


def read_windows(data: OcclusionDataConfig, split: str) -> FaceWindows:
    """Read the faces of a split.

    Raises:
        Smirk3dError: They cannot be read.
    """
    coarse = labelled_windows(FerDataConfig(ferplus=data.ferplus, max_faces=data.max_faces), split).pixels
    return FaceWindows(coarse, photo_windows(data.photos, split, data.max_faces))


def photo_windows(folder: Path, split: str, max_faces: int | None = None) -> Tensor:
    """Return the windows (M, 96, 96) uint8 of the faces in a folder of shards.

    Raises:
        Smirk3dError: The folder cannot be read.
    """
    faces = FaceSet.from_folder(folder, split)
    pairs = list(zip(faces.jpegs, faces.landmarks_px))[:max_faces]
    windows = [face_window(read_image(jpeg).pixels, points, SIDE_PX) for jpeg, points in pairs]
    return torch.from_numpy(np.stack(windows))


def model_windows(faces: FaceWindows) -> Tensor:
    """Return the first faces of each data set, (N, 1, 48, 48), each with mean 0 and deviation 1."""
    reduced = avg_pool2d(faces.fine[:_MODEL_FACES, None].float(), SIDE_PX // MODEL_PX)
    windows = torch.cat([faces.coarse[:_MODEL_FACES, None].float(), reduced])
    deviation, mean = torch.std_mean(windows, (1, 2, 3), keepdim=True)
    return (windows - mean) / (deviation + 255 * MIN_CONTRAST)


def batch_of(
    faces: FaceWindows, count: int, photo_share: float, settings: FerAugmentConfig, generator: torch.Generator
) -> Tensor:
    """Return random faces (count, 1, 96, 96) float32 in [0, 1], changed at random, in random order."""
    n_photos = round(count * photo_share)
    rows = torch.randint(len(faces.coarse), (count - n_photos,), generator=generator)
    photos = faces.fine[torch.randint(len(faces.fine), (n_photos,), generator=generator)]
    n_coarse = round(n_photos * _COARSE_SHARE)
    reduced = avg_pool2d(photos[:n_coarse, None].float(), 2)[:, 0].round().to(torch.uint8)
    parts = [torch.cat([faces.coarse[rows], reduced]), photos[n_coarse:]]
    images = torch.cat([augmented(each, SIDE_PX, settings, generator)[0] for each in parts if len(each)])
    return images[torch.randperm(count, generator=generator)]


@dataclass(frozen=True, eq=False)
class OccludedBatch:
    """Faces with something before them.

    Attributes:
        images: (B, 1, 96, 96) float32 in [0, 1].
        shares: (B, 144) float32, covered share of each patch.
    """

    images: Tensor
    shares: Tensor


def occluded_batch(images: Tensor, generator: torch.Generator) -> OccludedBatch:
    """Draw an occluder of `LEARNED_KINDS` before most faces, and before some only what hides nothing.

    Args:
        images: (B, 1, 96, 96) float32 in [0, 1].
        generator: Of all random numbers.
    """
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    windows = (images[:, 0] * 255).round().to(torch.uint8).numpy()
    kinds = list(LEARNED_KINDS.values())
    pixels, covered = [], []
    for number, window in enumerate(windows):
        coverage, chance = np.zeros_like(window, dtype=np.float32), rng.random()
        if chance >= CLEAN_SHARE + DECOY_SHARE:
            kind = kinds[int(rng.integers(len(kinds)))]
            window, coverage = occluded_window(window, kind, windows[number - 1], rng)
        elif chance >= CLEAN_SHARE:
            window = decoy_window(window, rng)
        pixels.append(window)
        covered.append(coverage)
    shares = patch_shares(torch.from_numpy(np.stack(covered))[:, None])
    return OccludedBatch(torch.from_numpy(np.stack(pixels))[:, None].float() / 255, shares)
