"""Photometric and perceptual error of photos that are neurally rendered from the encoder's predictions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.encoder_predictions import EVALUATION_MASKING, FrozenEncoder, neural_render
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.photos import PhotoSet
from smirk3d.evaluation.result import Figure, Result, values_of
from smirk3d.masking import removal_mask
from smirk3d.progress import Progress
from smirk3d.train.losses.losses import photo_loss
from smirk3d.train.losses.perceptual import PerceptualFeatures, perceptual_loss

MAX_FACES = 300
FIGURES = tuple(Figure(name, better="lower") for name in ("l1_crop", "l1_face", "perceptual"))


class ReconstructionMeasure:
    """See `measure_reconstruction`; the neural renderer is trained from scratch."""

    name = "reconstruction"
    summary = "error of photos neurally rendered from the predicted heads, by a renderer trained from scratch"
    needs = frozenset({"encoder", "data"})
    figures = FIGURES
    is_default = True

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield one result, on at most `MAX_FACES` photos."""
        renderer, photos = data.fresh_renderer, data.photos.first(MAX_FACES)
        with data.progress(self.name, len(photos)) as display:
            yield measure_reconstruction(
                data.encoder, renderer, photos, data.perceptual_features, display, data.generator()
            )


def reconstruction_errors(image: Tensor, photo: Tensor, removed: Tensor, features: PerceptualFeatures) -> Tensor:
    """Return the errors of rendered photos.

    Args:
        image: (B, 3, S, S) rendered photos in [0, 1].
        photo: (B, 3, S, S) the photos.
        removed: (B, 1, S, S) bool, what was masked out of the photos.
        features: Network of the perceptual error.

    Returns:
        (B, 3): mean absolute difference of colours over the crop, the same over the masked area, and the perceptual
        error.
    """
    crop, face = photo_loss(image, photo), photo_loss(image, photo, removed.to(photo))
    return torch.stack([crop, face, perceptual_loss(features, image, photo)], dim=1)


@torch.no_grad()
def measure_reconstruction(
    encoder: FrozenEncoder,
    renderer: nn.Module,
    photos: PhotoSet,
    features: PerceptualFeatures,
    display: Progress,
    generator: torch.Generator,
    batch_size: int = 8,
) -> Result:
    """Render photos from the encoder's predictions and compare with the photos.

    Args:
        encoder: The encoder.
        renderer: Neural renderer in eval mode.
        photos: Faces with known landmarks.
        features: Network of the perceptual error.
        display: Counts the faces.
        generator: Source of the masks, on the CPU.
        batch_size: Faces at a time.
    """
    errors = []
    for found in encoder.predict_all(photos, batch_size):
        masked = encoder.masked(found, generator)
        removed = removal_mask(found.batch.landmarks_ndc, found.drawn.mask, EVALUATION_MASKING.dilation_px)
        image = neural_render(renderer, found.drawn, masked)
        errors.append(reconstruction_errors(image, found.batch.image, removed, features))
        for _ in range(len(found.batch)):
            display.advance()
    crop, face, perceptual = torch.cat(errors).mean(dim=0).tolist()
    numbers = {"l1_crop": crop, "l1_face": face, "perceptual": perceptual}
    return Result("reconstruction", "encoder", len(photos), values_of(FIGURES, numbers))
