"""How well a photo can be painted anew from what the encoder says of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smirk3d.evaluation.encoder_predictions import EVALUATION_MASKING, FrozenEncoder, neural_render
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.report import Result
from smirk3d.masking import removal_mask
from smirk3d.progress import Progress
from smirk3d.train.losses.losses import photo_loss
from smirk3d.train.losses.perceptual import PerceptualFeatures, perceptual_loss


def painting_errors(painted: Tensor, photo: Tensor, removed: Tensor, features: PerceptualFeatures) -> Tensor:
    """Return the errors of paintings.

    Args:
        painted: (B, 3, S, S) in [0, 1]. photo: The same. removed: (B, 1, S, S) bool, what was taken out of the photo.
        features: Of the perceptual error.

    Returns:
        (B, 3): mean absolute difference of colours over the crop, the same over the removed area, and the perceptual
        error.
    """
    whole, inside = photo_loss(painted, photo), photo_loss(painted, photo, removed.to(photo))
    return torch.stack([whole, inside, perceptual_loss(features, painted, photo)], dim=1)


@torch.no_grad()
def measure_reconstruction(
    eye: FrozenEncoder,
    renderer: nn.Module,
    photos: PhotoSet,
    features: PerceptualFeatures,
    display: Progress,
    generator: torch.Generator,
    batch_size: int = 8,
) -> Result:
    """Paint photos anew with a renderer in eval mode, and compare."""
    errors = []
    for seen in eye.see_all(photos, batch_size):
        masked = eye.masked(seen, generator)
        removed = removal_mask(seen.batch.landmarks_ndc, seen.drawn.mask, EVALUATION_MASKING.dilation_px)
        painted = neural_render(renderer, seen.drawn, masked)
        errors.append(painting_errors(painted, seen.batch.image, removed, features))
        for _ in range(len(seen.batch)):
            display.advance()
    crop, face, perceptual = torch.cat(errors).mean(dim=0).tolist()
    figures = {"l1_crop": crop, "l1_face": face, "perceptual": perceptual}
    return Result("reconstruction", "encoder", len(photos), figures)
