"""Photos re-synthesised with other, known expressions: the supervision of the cycle path for a branch."""

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
from smirk3d.train.recipes.neural_synthesis_inputs import mask_photos, render_heads

KNOWN_SHARE = 0.5
"""Share of the faces whose expressions are those of `smirk3d evaluate --only cycle`; the others' are perturbed."""


@dataclass(frozen=True, eq=False)
class EditedPhotos:
    """Inputs of a neural renderer for photos with other expressions.

    Attributes:
        mesh: (B, 3, S, S) in [0, 1], its first input.
        masked: (B, 3, S, S) in [0, 1], its second input.
        params: Parameters of the edited faces, fields (B, ...).
    """

    mesh: Tensor
    masked: Tensor
    params: FaceParams


class ExpressionEditor:
    """Gives photos with known head parameters other expressions.

    Args:
        head: Head of the photos' targets, with the 52 ARKit blendshapes.
    """

    def __init__(self, head: HeadModel) -> None:
        self.head, self.templates, self.masking = head, templates_for(head), MaskingConfig()

    @torch.no_grad()
    def __call__(self, photos: TrainingBatch, generator: torch.Generator) -> EditedPhotos:
        """Edit all photos of a batch at random.

        Args:
            photos: B photos with targets.
            generator: All randomness, on the CPU.
        """
        assert photos.target is not None
        params, _ = perturb(photos.target, self.head.spec, self.templates, generator)
        assert params.expression is not None
        other = sample_known_expressions(len(photos), generator)
        is_known = torch.rand(len(photos), 1, generator=generator) < KNOWN_SHARE
        params = params.replace(expression=torch.where(is_known, other, params.expression))
        return self.edit(photos, params, generator)

    @torch.no_grad()
    def edit(self, photos: TrainingBatch, params: FaceParams, generator: torch.Generator) -> EditedPhotos:
        """Prepare the rendering of photos with given parameters.

        Args:
            photos: B photos with targets.
            params: Wanted parameters, fields (B, ...), with cameras.
            generator: Randomness of the sampled pixels, on the CPU.
        """
        assert photos.target is not None and photos.target.camera is not None and params.camera is not None
        size = photos.image.shape[-1]
        original = render_heads(self.head(photos.target), photos.target.camera, size)
        changed = render_heads(self.head(params), params.camera, size)
        masked = mask_photos(photos, self.head, original, self.masking, generator, changed)
        return EditedPhotos(changed.image, masked.image, params)


class RepaintedPhotos:
    """Re-synthesises the photos of a batch with other expressions.

    Args:
        head: Head of their targets.
        renderer: Checkpoint of a neural renderer, or the network; of a network a copy on the CPU is used.
    """

    def __init__(self, head: HeadModel, renderer: Path | NeuralRenderer) -> None:
        if isinstance(renderer, Path):
            renderer = NeuralRenderer.from_checkpoint(renderer)
        self.renderer = renderer.for_inference().cpu()
        self.editor = ExpressionEditor(head)

    @torch.no_grad()
    def __call__(self, photos: TrainingBatch, generator: torch.Generator) -> tuple[Tensor, FaceParams]:
        """Return renderings (B, 3, S, S) in [0, 1], S the renderer's size, and their parameters."""
        side = (self.renderer.size_px, self.renderer.size_px)
        resized = functional.interpolate(photos.image, side, mode="bilinear", antialias=True)
        edited = self.editor(replace(photos, image=resized), generator)
        return self.renderer(edited.mesh, edited.masked), edited.params


def sample_known_expressions(count: int, generator: torch.Generator) -> Tensor:
    """Return ARKit weights (count, 52), count at most 52, drawn as `smirk3d evaluate --only cycle` does."""
    order = known_expressions(len(ARKIT_NAMES), generator)
    return order[torch.randperm(len(ARKIT_NAMES), generator=generator)[:count]]
