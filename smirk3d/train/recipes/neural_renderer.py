"""Train a neural renderer on photos with fitted heads, with cycle consistency through a frozen encoder.

    python -m smirk3d.train.recipes.neural_renderer --photos shards/ --targets targets.npz --out renderer.safetensors

The meshes are those of `smirk3d data targets`, so that they are aligned with the photos from the first step. A step
renders photos as they are; some of them with other expressions, which the frozen encoder must recover; and rendered
people with other expressions, whose true image is known. A stopped run continues from its last state.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from tyro.conf import arg

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.datasets.config import AugmentConfig, DataConfig, SourceConfig
from smirk3d.datasets.sampler import BatchSampler
from smirk3d.datasets.synthetic.rendered_pairs import RenderedPairs
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.head.model import HeadModel
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.networks.packaged import packaged_encoder
from smirk3d.networks.torch_file import load_own
from smirk3d.params import FaceParams
from smirk3d.train.losses.losses import photo_loss
from smirk3d.train.losses.perceptual import lite0_features, perceptual_loss
from smirk3d.train.recipes.branch_data import STEP_SEED_STRIDE
from smirk3d.train.recipes.command import run_recipe
from smirk3d.train.recipes.neural_synthesis_inputs import mask_photos, render_heads
from smirk3d.train.recipes.repainted_photos import ExpressionEditor, sample_known_expressions

SAVE_EVERY, LOG_EVERY = 100, 25
PHOTO_WEIGHT, PERCEPTUAL_WEIGHT, CYCLE_WEIGHT = 10.0, 0.5, 60.0
"""Weights that make the losses about equally large at the start."""
WARM_UP_STEPS = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Data, network and length of a training run of the neural renderer."""

    photos: Path
    """Folder of shards."""
    targets: Path
    """Fitted heads of the photos, from `smirk3d data targets`."""
    out: Path = Path("out/renderer.safetensors")
    """File to write; the state of the run lies beside it."""
    encoder: Path | None = None
    """Checkpoint of the frozen encoder; the packaged one by default."""
    width: int = 12
    """Channels of the first level; 12 on a CPU, 32 as in the paper."""
    size: int = 128
    """Side of the images in pixels, a multiple of 16."""
    steps: int = 3000
    """Number of batches."""
    batch_size: int = 6
    """Photos per step."""
    edited: Annotated[int, arg(aliases=("--changed",))] = 4
    """Photos of a step that are rendered with another expression too, at most `batch_size`."""
    pairs: int = 4
    """Rendered people per step."""
    init: Path | None = None
    """Checkpoint of a neural renderer of this width to start from."""
    batch_norm_share: Annotated[float, arg(aliases=("--settled",))] = 0.8
    """Share of the steps, in [0, 1], in which batch norms use batch statistics; afterwards they are frozen, as in
    inference."""
    lr: float = 1e-3
    """Peak learning rate."""
    seed: int = 5
    """Seed of everything random."""
    threads: int = 1
    """CPU threads of torch."""


class RendererObjective:
    """The losses of a step.

    Args:
        options: Training run.
        head: The open head.
    """

    def __init__(self, options: Options, head: HeadModel) -> None:
        source = SourceConfig(options.photos, "shards", targets=options.targets)
        data = DataConfig((source,), size=options.size, crop_scale=(1.3, 1.5), batch_size=options.batch_size)
        augment = AugmentConfig(tint=0.8, blur=0.0, noise=0.0)  # most photos of the packaged weights are grey
        self.sampler = BatchSampler(data, augment, options.seed, head)
        self.options, self.head, self.editor = options, head, ExpressionEditor(head)
        weights = options.encoder or packaged_encoder()
        assert weights is not None
        self.encoder = Encoder.from_checkpoint(weights).requires_grad_(False)
        self.features = lite0_features()
        self.pairs = RenderedPairs(head, options.size)

    def losses(self, renderer: NeuralRenderer, step: int) -> dict[str, Tensor]:
        """Return the weighted losses of a step by name, () each."""
        generator = torch.Generator().manual_seed(self.options.seed * STEP_SEED_STRIDE + step)
        photos = self.sampler.batch(step)
        edited = self.editor(photos.take(torch.arange(self.options.edited)), generator)
        pairs = self.pairs.batch(sample_known_expressions(self.options.pairs, generator), generator)
        paired = self.editor.edit(pairs.before, pairs.params, generator)
        inputs = (self._unedited(photos, generator), *((each.mesh, each.masked) for each in (edited, paired)))
        # In one pass, so that batch norms see the same mixture as their running means.
        joint = [torch.cat(parts) for parts in zip(*inputs)]
        renderings = renderer(*joint).split([len(mesh) for mesh, _ in inputs])
        losses = {"cycle": CYCLE_WEIGHT * self._cycle_loss(renderings[1], edited.params)}
        for name, image, truth in (("", renderings[0], photos.image), ("paired ", renderings[2], pairs.after)):
            losses[f"{name}photo"] = PHOTO_WEIGHT * photo_loss(image, truth).mean()
            losses[f"{name}perceptual"] = PERCEPTUAL_WEIGHT * perceptual_loss(self.features, image, truth).mean()
        return losses

    @torch.no_grad()
    def _unedited(self, photos: TrainingBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return mesh images and masked photos (B, 3, S, S) of photos with their own expressions."""
        assert photos.target is not None and photos.target.camera is not None
        heads = render_heads(self.head(photos.target), photos.target.camera, self.options.size)
        return heads.image, mask_photos(photos, self.head, heads, self.editor.masking, generator).image

    def _cycle_loss(self, rendering: Tensor, params: FaceParams) -> Tensor:
        """Return the mean squared error, (), of the expressions that the encoder predicts from renderings."""
        window = self.encoder.config.window
        assert window is not None and params.expression is not None
        assert params.pose is not None and params.camera is not None
        windows = window.extract(rendering, window.affine_from_pose(params.pose, params.camera))
        branch = self.encoder.expression_encoder
        return (branch.linear(branch.features(windows)) - params.expression).square().mean()


def learning_rate(options: Options, step: int) -> float:
    """Return the learning rate of a step: a linear warm-up, times half a cosine down to 2 %."""
    rise = min(1.0, (step + 1) / WARM_UP_STEPS)
    return options.lr * rise * (0.5 * (1 + math.cos(math.pi * step / options.steps)) * 0.98 + 0.02)


def train(renderer: NeuralRenderer, objective: RendererObjective, options: Options) -> None:
    """Train to the last step, from the last saved state where there is one."""
    optimizer = torch.optim.Adam(renderer.parameters(), options.lr, betas=(0.5, 0.999))
    state_path, first = options.out.with_suffix(".state.pt"), 0
    if state_path.exists():
        state = load_own(state_path)
        renderer.load_state_dict(state["renderer"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    means: dict[str, float] = {}
    for step in range(first, options.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(options, step)
        renderer.train(step < options.batch_norm_share * options.steps)
        losses = objective.losses(renderer, step)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(renderer.parameters(), 20.0)
        optimizer.step()
        means = {name: 0.95 * means.get(name, loss.item()) + 0.05 * loss.item() for name, loss in losses.items()}
        if (step + 1) % LOG_EVERY == 0:
            _log.info("step %d: %s", step + 1, ", ".join(f"{name} {mean:.4f}" for name, mean in means.items()))
        if (step + 1) % SAVE_EVERY == 0:
            with atomic_path(state_path) as temporary:
                parts = {"renderer": renderer.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                torch.save(parts, temporary)


def main(options: Options) -> None:
    """Train the neural renderer and write it."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    os.makedirs(options.out.parent, exist_ok=True)
    renderer = NeuralRenderer(options.width, options.size)
    if options.init is not None:
        renderer.load_state_dict(NeuralRenderer.from_checkpoint(options.init).state_dict())
    renderer = renderer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train(renderer, RendererObjective(options, load_head()), options)
    meta = {"trained by": "smirk3d.train.recipes.neural_renderer", "card": "renderer.md"}
    save_networks(options.out, neural_renderer=renderer.eval(), half=True, meta=meta)


if __name__ == "__main__":
    run_recipe(Options, main)
