"""The loss of emotion labels in a regression stage: a linear probe must find the emotion in the expression."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from smirk3d.assets import printable
from smirk3d.datasets.sources import PhotoSource
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.train.recipes.branch_data import STEP_SEED_STRIDE, BranchSampler
from smirk3d.train.recipes.labelled_photos import EmotionProbe, LabelledPhotos

PROBE_STEPS = 160
"""Batches of labelled photos from which the probe is initialised."""


class EmotionAux:
    """Labelled photos, and the probe.

    Args:
        sampler: One of its sources is the photos, with targets.
        folder: Shards with emotion labels, see `LabelledPhotos`.
        device: Device of the probe.

    Raises:
        Smirk3dError: No source is photos with targets, or the labels cannot be used.
    """

    def __init__(self, sampler: BranchSampler, folder: Path, device: torch.device) -> None:
        photos = [each for each in sampler.sampler.sources if isinstance(each, PhotoSource) and each.target_names]
        if not photos:
            raise Smirk3dError(
                f"{printable(folder)}: emotion labels need a source of photos with targets; add one, or set labels=null"
            )
        self.photos, self.sampler, self.device = LabelledPhotos(folder, photos[-1], sampler.head), sampler, device
        self.probe = EmotionProbe(len(ARKIT_NAMES), self.photos.share).to(device)

    @torch.no_grad()
    def fit(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Initialise the probe on a branch as it is.

        Args:
            predict: Maps windows (K, 3, P, P) to raw expressions (K, 52), both on the CPU.
        """
        windows, labels = zip(*(self.draw(step) for step in range(PROBE_STEPS)))
        self.probe.cpu().fit(torch.cat([predict(each) for each in windows]), torch.cat(labels))
        self.probe.to(self.device)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Return windows (K, 3, P, P) of a step's labelled photos, and their emotions (K,) int64."""
        options = self.sampler.options
        photos, label = self.photos.draw(options.labelled, options.seed * STEP_SEED_STRIDE + step)
        return self.sampler.windows(photos, torch.Generator().manual_seed(step)), label

    def loss(self, prediction: Tensor, label: Tensor | None) -> Tensor:
        """Return the cross entropy, (), of emotions given raw expressions (K, 52)."""
        assert label is not None
        return self.probe(prediction.to(self.device), label.to(self.device)).cpu()
