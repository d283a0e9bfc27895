"""Photos painted with other expressions, which are then exactly known: the cycle path's supervision for a branch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.datasets.synthetic.expression_templates import templates_for
from smirk3d.datasets.synthetic.known_expressions import known_expressions
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.masking import MaskingConfig
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.params import FaceParams
from smirk3d.train.expression_augmentation import perturb
from smirk3d.train.recipes.neural_synthesis_inputs import draw_heads, mask_photos

EXCHANGED = 0.5
"""Share of the faces whose expressions are those of the measure; the others' are changed as in stage 2."""


@dataclass(frozen=True, eq=False)
class ChangedPhotos:
    """Photos with other expressions, as a neural renderer is asked for them.

    Attributes:
        mesh: (B, 3, S, S), its first input. masked: (B, 3, S, S), its second. params: Of the changed faces.
    """

    mesh: Tensor
    masked: Tensor
    params: FaceParams


class ExpressionEditor:
    """Gives photos, whose heads are known, other expressions."""

    def __init__(self, head: HeadModel) -> None:
        self.head, self.templates, self.masking = head, templates_for(head), MaskingConfig()

    @torch.no_grad()
    def __call__(self, photos: TrainingBatch, random: torch.Generator) -> ChangedPhotos:
        """Change all photos of a batch."""
        assert photos.target is not None
        wanted, _ = perturb(photos.target, self.head.spec, self.templates, random)
        assert wanted.expression is not None
        other = some_expressions(len(photos), random)
        is_other = torch.rand(len(photos), 1, generator=random) < EXCHANGED
        wanted = wanted.replace(expression=torch.where(is_other, other, wanted.expression))
        return self.asked(photos, wanted, random)

    @torch.no_grad()
    def asked(self, photos: TrainingBatch, wanted: FaceParams, random: torch.Generator) -> ChangedPhotos:
        """Return what is painted where the faces of photos are to have the parameters `wanted`."""
        assert photos.target is not None and photos.target.camera is not None and wanted.camera is not None
        size = photos.image.shape[-1]
        original = draw_heads(self.head(photos.target), photos.target.camera, size)
        changed = draw_heads(self.head(wanted), wanted.camera, size)
        masked = mask_photos(photos, self.head, original, self.masking, random, changed)
        return ChangedPhotos(changed.image, masked.image, wanted)


class RepaintedPhotos:
    """Paints the photos of a batch with other expressions.

    Args:
        head: Of their targets. renderer: Checkpoint of a neural renderer.
    """

    def __init__(self, head: HeadModel, renderer: Path) -> None:
        self.renderer = NeuralRenderer.from_checkpoint(renderer).for_inference()
        self.changer = ExpressionEditor(head)

    @torch.no_grad()
    def __call__(self, photos: TrainingBatch, random: torch.Generator) -> tuple[Tensor, FaceParams]:
        """Return the pictures (B, 3, S, S), S as the renderer learned, and the parameters that they show."""
        side = (self.renderer.size_px, self.renderer.size_px)
        small = functional.interpolate(photos.image, side, mode="bilinear", antialias=True)
        changed = self.changer(replace(photos, image=small), random)
        return self.renderer(changed.mesh, changed.masked), changed.params


def some_expressions(count: int, random: torch.Generator) -> Tensor:
    """Return expressions (count, 52), at most 52, as `smirk3d evaluate --only cycle` draws them."""
    return known_expressions(len(ARKIT_NAMES), random)[torch.randperm(len(ARKIT_NAMES), generator=random)[:count]]
