"""The task of a renderer stage: the neural renderer learns under a frozen encoder.

The meshes are those of the photos' targets, so that they are aligned with the photos from the first step. A step
renders photos as they are; some of them with other expressions, which the encoder must recover; and rendered people
and photo-textured pairs with other expressions, whose true image is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smirk3d.datasets.shards import DataError
from smirk3d.datasets.synthetic.rendered_pairs import RenderedPairs
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.networks.encoder import Encoder
from smirk3d.params import FaceParams
from smirk3d.train.freeze import freeze
from smirk3d.train.initialization import RENDERER_TRAINED
from smirk3d.train.losses.losses import LossTerms, photo_loss
from smirk3d.train.losses.perceptual import lite0_features, perceptual_loss
from smirk3d.train.recipes.branch_data import STEP_SEED_STRIDE
from smirk3d.train.recipes.neural_synthesis_inputs import mask_photos, render_heads
from smirk3d.train.recipes.photo_pairs import open_photo_pairs
from smirk3d.train.recipes.repainted_photos import ExpressionEditor, sample_known_expressions
from smirk3d.train.schedule import warm_cosine
from smirk3d.train.stages import RendererStage
from smirk3d.train.tasks.run_sampler import open_sampler
from smirk3d.train.tasks.task import Clip, Criterion, ParameterGroup, Update, Workbench
from smirk3d.train.validation import RenderedValidation

FRESH_LR, TRAINED_LR = 1e-3, 5e-5
"""Peak learning rates of random and of trained weights."""
WARM_UP_STEPS = 100
LARGEST_GRADIENT = 20.0
BETAS = (0.5, 0.999)


class RendererTask:
    """Trains the neural renderer as `RendererStage` says.

    Args:
        bench: The run and its networks.

    Raises:
        Smirk3dError: The head has no ARKit weights, or the batch is smaller than `edited`.
    """

    criterion = Criterion("cycle")

    def __init__(self, bench: Workbench) -> None:
        config, stage = bench.config, bench.config.stage
        assert isinstance(stage, RendererStage) and bench.networks.neural_renderer is not None
        if tuple(bench.head.expression_names) != ARKIT_NAMES:
            raise Smirk3dError(
                f"stage {stage.name}: needs a head with ARKit's 52 actions; train the stage core instead"
            )
        if stage.edited > config.data.batch_size // bench.fabric.world_size:
            raise Smirk3dError(f"stage {stage.name}: edited must be at most the faces of a process; lower it")
        self.bench, self.stage, self.device = bench, stage, bench.fabric.device
        self.renderer = bench.networks.neural_renderer
        self.encoder: Encoder = bench.networks.encoder  # type: ignore[assignment]
        self.sampler = open_sampler(bench)
        self.editor = ExpressionEditor(bench.head)
        self.pairs = RenderedPairs(bench.head, config.data.size)
        self.photo_pairs = None
        if stage.photo_pairs:
            self.photo_pairs = open_photo_pairs(self.sampler, bench.head, stage.photo_pair_count, config.seed)
        self.features = lite0_features().to(self.device)
        self._validation = RenderedValidation(config, bench.head, self.device)

    @property
    def faults(self) -> tuple[DataError, ...]:
        """Faces that could not be read."""
        return self.sampler.faults

    def modules(self) -> Mapping[str, nn.Module]:
        """Return none."""
        return {}

    def initialise(self) -> None:
        """Keep the networks as they are."""

    def groups(self) -> list[ParameterGroup]:
        """Return the neural renderer."""
        lr = self.stage.lr
        if lr is None:
            lr = TRAINED_LR if self.bench.record.get(RENDERER_TRAINED) else FRESH_LR
        return [ParameterGroup("neural_renderer", list(self.renderer.parameters()), lr, BETAS)]

    def rate_factor(self, step: int) -> float:
        """Return a linear warm-up times half a cosine down to 2 %."""
        return warm_cosine(step, self.stage.steps, WARM_UP_STEPS)

    def batches(self, start: int, stop: int) -> Iterator[TrainingBatch]:
        """Yield photos with targets."""
        return self.sampler.batches(start, stop, self.bench.fabric.global_rank, self.bench.fabric.world_size)

    def updates(self, batch: Any, step: int) -> Iterator[Update]:
        """Yield the losses of a step, in one update."""
        self.renderer.train(step < self.stage.batch_norm_share * self.stage.steps)
        seed = self.bench.config.seed * STEP_SEED_STRIDE + step + (self.bench.fabric.global_rank << 48)
        generator = torch.Generator().manual_seed(seed)
        batch = _with_targets(batch)
        edited = self.editor(batch.take(torch.arange(min(self.stage.edited, len(batch)))), generator)
        paired, true_other = self._pairs(generator)
        inputs = (self._unedited(batch, generator), (edited.mesh, edited.masked), paired)
        # In one pass, so that batch norms see the same mixture as their running means.
        mesh, masked = (torch.cat(parts).to(self.device) for parts in zip(*inputs))
        with self.bench.fabric.autocast(), freeze(self.encoder):
            photo, changed, other = self.renderer(mesh, masked).float().split([len(each) for each, _ in inputs])
            values = {"cycle": self._cycle_loss(changed, edited.params)}
        for name, image, truth in (("", photo, batch.image), ("paired_", other, true_other)):
            truth = truth.to(self.device)
            values[f"{name}photo"] = photo_loss(image, truth)
            values[f"{name}perceptual"] = perceptual_loss(self.features, image, truth)
        images = {"photo": batch.image, "mesh": inputs[0][0], "neural_rendering": photo.detach().cpu()}
        yield Update(
            "renderer", LossTerms(values), self._weights(), images, Clip(("neural_renderer",), LARGEST_GRADIENT)
        )

    def validate(self) -> dict[str, float]:
        """Measure the neural renderer on rendered people with other expressions."""
        return self._validation.renderer(self.encoder, self.renderer)

    def complete(self) -> None:
        """Note that the neural renderer is trained."""
        self.bench.record[RENDERER_TRAINED] = True

    def _weights(self) -> dict[str, float]:
        photo, perceptual = self.stage.photo_weight, self.stage.perceptual_weight
        both = {"photo": photo, "perceptual": perceptual}
        return {"cycle": self.stage.cycle_weight, **both, **{f"paired_{name}": each for name, each in both.items()}}

    @torch.no_grad()
    def _unedited(self, photos: TrainingBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return mesh images and masked photos (B, 3, S, S) of photos with their own expressions."""
        assert photos.target is not None and photos.target.camera is not None
        head = self.bench.head
        heads = render_heads(head(photos.target), photos.target.camera, photos.image.shape[-1])
        return heads.image, mask_photos(photos, head, heads, self.editor.masking, generator).image

    @torch.no_grad()
    def _pairs(self, generator: torch.Generator) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Return mesh images and masked photos of pairs with their second expressions, and the true images."""
        rendered = self.pairs.batch(sample_known_expressions(self.stage.pairs, generator), generator)
        parts = [(self.editor.edit(rendered.before, rendered.params, generator), rendered.after)]
        if self.photo_pairs is not None:
            index = torch.randint(len(self.photo_pairs), (self.stage.photo_pairs,), generator=generator)
            before, after = self.photo_pairs.pairs(index)
            assert after.target is not None
            parts.append((self.editor.edit(before, after.target, generator), after.image))
        mesh, masked, truth = zip(*((each.mesh, each.masked, image) for each, image in parts))
        return (torch.cat(mesh), torch.cat(masked)), torch.cat(truth)

    def _cycle_loss(self, rendering: Tensor, params: FaceParams) -> Tensor:
        """Return the mean squared error, (), of the expressions that the encoder predicts from renderings."""
        assert params.expression is not None and params.pose is not None and params.camera is not None
        wanted, window = params.expression.to(self.device), self.encoder.config.window
        if window is None:
            return (self.encoder.expression(rendering)["expression"].float() - wanted).square().mean()
        affine = window.affine_from_pose(params.pose, params.camera).to(self.device)
        branch = self.encoder.expression_encoder
        return (branch.linear(branch.features(window.extract(rendering, affine))).float() - wanted).square().mean()


def _with_targets(batch: TrainingBatch) -> TrainingBatch:
    """Return the faces that have a target; a face without one has no mesh."""
    has_target = batch.target_weight > 0
    if not has_target.any():
        raise Smirk3dError("a batch has no face with a target; make targets with smirk3d data targets")
    return batch if has_target.all() else batch.take(has_target)
