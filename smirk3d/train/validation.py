"""Validation during training: rendered people with ground truth whom no source of training has."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.datasets.cached_renderings import renderings_folder
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.datasets.synthetic.rendered_pairs import Pairs, RenderedPairs
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.metrics.correlation import correlations, mean_of_known
from smirk3d.metrics.expression import expression_metrics
from smirk3d.networks.encoder import Encoder
from smirk3d.train.config import TrainConfig
from smirk3d.train.freeze import freeze
from smirk3d.train.recipes.repainted_photos import EditedPhotos, ExpressionEditor, sample_known_expressions

BATCH = 64
PAIRS = 48
"""Rendered pairs on which a neural renderer is validated; each has another known expression."""
STRENGTHS = {"": 0.0, "randomized_": 1.0}
"""Prefix of the measures -> strength of the domain randomisation: the open head, and randomised heads."""

Predict = Callable[[TrainingBatch], Tensor]
"""Maps a batch to predicted ARKit weights (B, 52) in [0, 1], on the CPU."""


class RenderedValidation:
    """Measures networks on rendered people; the images are rendered, or read from the cache, at the first use.

    Args:
        config: The run, as a stage has it.
        head: Head with ARKit weights, on the CPU.
        device: Device of the networks.
    """

    def __init__(self, config: TrainConfig, head: HeadModel, device: torch.device) -> None:
        self.settings, self.size, self.head, self.device = config.validation, config.data.size, head, device
        self._faces: dict[float, RenderedFaces] = {}

    @cached_property
    def _pairs(self) -> tuple[Pairs, EditedPhotos]:
        """Rendered people, and the inputs of a neural renderer for their second expressions."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        pairs = RenderedPairs(self.head, self.size).batch(sample_known_expressions(PAIRS, generator), generator)
        return pairs, ExpressionEditor(self.head).edit(pairs.before, pairs.params, generator)

    def faces(self, strength: float) -> RenderedFaces:
        """Return the faces whose heads are randomised with a strength in [0, 1]."""
        if strength not in self._faces:
            variation = RenderAugmentation(strength=0.0, weak=0.0, domain_randomization=strength)
            count, seed, folder = self.settings.faces, self.settings.seed, renderings_folder(None)
            self._faces[strength] = RenderedFaces(self.head, count, seed, self.size, folder=folder, variation=variation)
        return self._faces[strength]

    def batches(self, strength: float) -> list[TrainingBatch]:
        """Return the faces of a strength in batches."""
        return [self.faces(strength).batch(index) for index in torch.arange(self.settings.faces).split(BATCH)]

    def encoder(self, encoder: Encoder) -> dict[str, float]:
        """Measure the expressions that a whole encoder reads from crops."""
        with freeze(encoder):
            return self.expressions(lambda batch: encoder.expression(batch.image.to(self.device))["expression"].cpu())

    @torch.no_grad()
    def expressions(self, predict: Predict) -> dict[str, float]:
        """Compare predicted expressions with the truth.

        Returns:
            correlation: Mean over the weights. asymmetry_slope: 1 is right. neutral: Mean weight of neutral faces. The
            same of randomised heads with the prefix randomized_.
        """
        measures = {}
        for prefix, strength in STRENGTHS.items():
            pairs = [(predict(batch), _expression(batch)) for batch in self.batches(strength)]
            prediction, truth = (torch.cat(each).float().numpy() for each in zip(*pairs))
            is_neutral = np.array(self.faces(strength).kinds) == "neutral"
            found = expression_metrics(prediction, truth, is_neutral, ARKIT_NAMES)
            measures[f"{prefix}correlation"] = mean_of_known(found.correlation)
            measures[f"{prefix}asymmetry_slope"] = found.asymmetry_slope
            measures[f"{prefix}neutral"] = found.neutral_mean
        return measures

    @torch.no_grad()
    def renderer(self, encoder: Encoder, renderer: nn.Module) -> dict[str, float]:
        """Measure a neural renderer on rendered people with other expressions.

        Returns:
            renderer_l1: Mean absolute difference from the true image. cycle: Mean correlation of the weights that the
            encoder reads from the renderings with those that were rendered.
        """
        pairs, edited = self._pairs
        with freeze(encoder, renderer):
            mesh, masked = edited.mesh.to(self.device), edited.masked.to(self.device)
            images = torch.cat([renderer(*each) for each in zip(mesh.split(16), masked.split(16))])
            read = encoder.expression(images)["expression"].cpu()
        assert pairs.params.expression is not None
        correlation = correlations(read.numpy(), pairs.params.expression.numpy())
        difference = (images.cpu() - pairs.after).abs().mean()
        return {"renderer_l1": float(difference), "cycle": mean_of_known(correlation)}


def _expression(batch: TrainingBatch) -> Tensor:
    assert batch.target is not None and batch.target.expression is not None
    return batch.target.expression
