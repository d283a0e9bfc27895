"""Crops of known faces, the encoder's predictions for them, and photos neurally rendered from these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.datasets.face_dataset import FaceSet, collate
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.estimation.regression import CROP_SCALE
from smirk3d.evaluation.method_under_test import Checkpoint
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.head.model import HeadModel
from smirk3d.masking import MaskingConfig
from smirk3d.networks.encoder import Encoder
from smirk3d.params import FaceParams
from smirk3d.train.recipes.neural_synthesis_inputs import RenderedHeads, mask_photos, render_heads

EVALUATION_MASKING = MaskingConfig(drop_probability=0.0, cycle_drop_probability=0.0)
"""Patches are dropped as augmentation only."""


@dataclass(frozen=True, eq=False)
class EncoderPredictions:
    """B faces and the encoder's predictions for them.

    Attributes:
        batch: Crops and landmarks.
        params: Predicted parameters, fields (B, ...).
        drawn: The predicted heads, rendered in their crops.
    """

    batch: TrainingBatch
    params: FaceParams
    drawn: RenderedHeads


@dataclass(frozen=True, eq=False)
class FrozenEncoder:
    """An encoder with fixed weights.

    Attributes:
        encoder: For inference only.
        head: The head that it was trained for.
        size_px: Side of its crops, pixels.
        device: Where it computes.
    """

    encoder: Encoder
    head: HeadModel
    size_px: int
    device: torch.device

    @staticmethod
    def of(checkpoint: Checkpoint, device: torch.device) -> FrozenEncoder:
        """Return the encoder of a checkpoint."""
        encoder = checkpoint.encoder.for_inference().to(device)
        return FrozenEncoder(encoder, checkpoint.head.to(device), checkpoint.encoder.size_px, device)

    @torch.no_grad()
    def predict(self, faces: FaceSet, index: np.ndarray) -> EncoderPredictions:
        """Crop, encode and render faces.

        Args:
            faces: A set.
            index: (B,) int, which of its faces.
        """
        batch = collate(faces, index, CROP_SCALE, self.size_px).to(self.device)
        params = self.encoder(batch.image)
        return EncoderPredictions(batch, params, self.draw(params))

    @torch.no_grad()
    def draw(self, params: FaceParams) -> RenderedHeads:
        """Render the heads of parameters, fields (B, ...)."""
        assert params.camera is not None
        return render_heads(self.head(params), params.camera, self.size_px)

    def predict_all(self, photos: PhotoSet, batch_size: int) -> Iterator[EncoderPredictions]:
        """Yield the predictions of all faces in order.

        Args:
            photos: Faces with known landmarks.
            batch_size: Faces at a time.
        """
        faces = FaceSet.from_records(photos.records)
        for start in range(0, len(faces), batch_size):
            yield self.predict(faces, np.arange(start, min(start + batch_size, len(faces))))

    def masked(
        self,
        found: EncoderPredictions,
        generator: torch.Generator,
        config: MaskingConfig = EVALUATION_MASKING,
        changed: RenderedHeads | None = None,
    ) -> Tensor:
        """Mask the faces out of photos, but for sparse pixels; see `mask_photos`.

        Args:
            found: B faces and their predictions.
            generator: Source of the masks, on the CPU.
            config: How pixels are chosen.
            changed: Heads with another expression, to which the pixels move.

        Returns:
            (B, 3, S, S) in [0, 1].
        """
        return mask_photos(found.batch, self.head, found.drawn, config, generator, changed).image


@torch.no_grad()
def neural_render(renderer: nn.Module, drawn: RenderedHeads, masked: Tensor) -> Tensor:
    """Render photos from meshes and masked photos.

    Args:
        renderer: Neural renderer in eval mode.
        drawn: B rendered heads.
        masked: (B, 3, S, S) in [0, 1].

    Returns:
        (B, 3, S, S) in [0, 1].
    """
    return renderer(drawn.image, masked)
