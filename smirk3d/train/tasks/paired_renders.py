"""Rendered people with two expressions in the reconstruction path: the true image is known for the second one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from smirk3d.datasets.synthetic.rendered_pairs import RenderedPairs
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.train.config import StageConfig, TrainConfig
from smirk3d.train.losses.losses import photo_loss
from smirk3d.train.losses.perceptual import perceptual_loss
from smirk3d.train.recipes.repainted_photos import ExpressionEditor, sample_known_expressions
from smirk3d.train.schedule import step_generator

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_STREAM = 7
"""Keeps these random numbers apart from those of the step."""


class PairedRenders:
    """Losses of the neural renderer on rendered pairs.

    Args:
        head: Head with ARKit weights, on the CPU.
        stage: Number of pairs, and the losses.
        config: The run.

    Raises:
        Smirk3dError: The head has other expressions.
    """

    def __init__(self, head: HeadModel, stage: StageConfig, config: TrainConfig) -> None:
        if tuple(head.expression_names) != ARKIT_NAMES:
            raise Smirk3dError("stage.pairs must be 0 for heads without ARKit's 52 actions; set stage.pairs=0")
        self.stage, self.seed = stage, config.seed
        self.editor, self.renders = ExpressionEditor(head), RenderedPairs(head, config.data.size)

    def losses(
        self, renderer: nn.Module, perceptual: Callable[[Tensor], list[Tensor]] | None, step: int, fabric: Fabric
    ) -> dict[str, Tensor]:
        """Return the losses photo and perceptual of a step, (B,) each, those that the stage has.

        Args:
            renderer: The neural renderer.
            perceptual: Features of the perceptual loss; None where the stage has none.
            step: Number of the step.
            fabric: Device and rank.
        """
        generator = step_generator(self.seed + _STREAM, step, fabric.global_rank)
        pairs = self.renders.batch(sample_known_expressions(self.stage.pairs, generator), generator)
        edited = self.editor.edit(pairs.before, pairs.params, generator)
        mesh, masked, truth = (each.to(fabric.device) for each in (edited.mesh, edited.masked, pairs.after))
        rendering = renderer(mesh, masked)
        losses = {}
        if self.stage.losses.photo > 0:
            losses["photo"] = photo_loss(rendering, truth)
        if self.stage.losses.perceptual > 0 and perceptual is not None:
            is_sum = self.stage.published_losses
            losses["perceptual"] = perceptual_loss(perceptual, rendering, truth, sum_maps=is_sum)
        return losses
