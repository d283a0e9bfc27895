"""Train a neural renderer on photos whose heads are known from a fit, under the eye of a trained encoder.

    python smirk3d/train/recipes/neural_renderer.py --photos shards/ --targets targets.npz --out renderer.safetensors

The meshes are those of `smirk3d data targets`, so that they lie where the faces are from the first step. Every step
paints photos anew as they are, some of them with other expressions, which the encoder, that stays as it is, must find
again, and rendered people with other expressions, of which the true picture is known. A stopped run goes on from its
last state.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor, nn

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
from smirk3d.params import FaceParams
from smirk3d.train.losses.losses import photo_loss
from smirk3d.train.losses.perceptual import lite0_features, perceptual_loss
from smirk3d.train.recipes.neural_synthesis_inputs import draw_heads, mask_photos
from smirk3d.train.recipes.repainted_photos import ExpressionEditor, some_expressions

SAVE_EVERY, TELL_EVERY = 100, 25
PHOTO, PERCEPTUAL, CYCLE = 10.0, 0.5, 60.0
"""Weights that make the losses about equally large at the start."""


@dataclass(frozen=True)
class Options:
    """What is trained, on what, and for how long."""

    photos: Path
    """Folder of shards."""
    targets: Path
    """Heads of the photos."""
    out: Path = Path("out/renderer.safetensors")
    encoder: Path | None = None
    """Checkpoint of the encoder; the one that comes with the package by default."""
    width: int = 12
    size: int = 128
    """Side of the pictures in pixels."""
    steps: int = 3000
    batch_size: int = 6
    changed: int = 4
    """How many of the photos of a step are painted with another expression too."""
    pairs: int = 4
    """Rendered people in a step."""
    init: Path | None = None
    """Checkpoint of a neural renderer of this width that learns on."""
    settled: float = 0.8
    """Share of the steps after which batch norms stay as they are, as when photos are painted later."""
    lr: float = 1e-3
    seed: int = 5
    threads: int = 1


class RendererObjective:
    """Makes the losses of a step."""

    def __init__(self, options: Options, head: HeadModel) -> None:
        source = SourceConfig(options.photos, "shards", targets=options.targets)
        data = DataConfig((source,), size=options.size, crop_scale=(1.3, 1.5), batch_size=options.batch_size)
        augment = AugmentConfig(tint=0.8, blur=0.0, noise=0.0)  # most photos at hand are grey
        self.stream = BatchSampler(data, augment, options.seed, head)
        self.options, self.head, self.changer = options, head, ExpressionEditor(head)
        weights = options.encoder or packaged_encoder()
        assert weights is not None
        self.encoder = Encoder.from_checkpoint(weights).requires_grad_(False)
        self.features = lite0_features()
        self.pairs = RenderedPairs(head, options.size)

    def losses(self, renderer: NeuralRenderer, step: int) -> dict[str, Tensor]:
        """Return the losses of a step by name, each with its weight in it."""
        random = torch.Generator().manual_seed(self.options.seed * 1_000_003 + step)
        photos = self.stream.batch(step)
        changed = self.changer(photos.take(torch.arange(self.options.changed)), random)
        pairs = self.pairs.batch(some_expressions(self.options.pairs, random), random)
        paired = self.changer.asked(pairs.before, pairs.params, random)
        tasks = (self._unchanged(photos, random), *((each.mesh, each.masked) for each in (changed, paired)))
        # Together, so that batch norms see the same mixture as their running means.
        inputs = [torch.cat(parts) for parts in zip(*tasks)]
        painted = renderer(*inputs).split([len(task[0]) for task in tasks])
        found = {"cycle": CYCLE * self._unlike(painted[1], changed.params)}
        for name, picture, truth in (("", painted[0], photos.image), ("paired ", painted[2], pairs.after)):
            found[f"{name}photo"] = PHOTO * photo_loss(picture, truth).mean()
            found[f"{name}perceptual"] = PERCEPTUAL * perceptual_loss(self.features, picture, truth).mean()
        return found

    @torch.no_grad()
    def _unchanged(self, photos: TrainingBatch, random: torch.Generator) -> tuple[Tensor, Tensor]:
        assert photos.target is not None and photos.target.camera is not None
        drawn = draw_heads(self.head(photos.target), photos.target.camera, self.options.size)
        return drawn.image, mask_photos(photos, self.head, drawn, self.changer.masking, random).image

    def _unlike(self, painted: Tensor, wanted: FaceParams) -> Tensor:
        """Return the error of the expressions that the encoder finds in photos painted with others."""
        window = self.encoder.config.window
        assert window is not None and wanted.expression is not None
        assert wanted.pose is not None and wanted.camera is not None
        views = window.extract(painted, window.affine_from_pose(wanted.pose, wanted.camera))
        branch = self.encoder.expression_encoder
        return (branch.linear(branch.features(views)) - wanted.expression).square().mean()


def rate(options: Options, step: int) -> float:
    """Return the learning rate: a short rise, then half a cosine."""
    return (
        options.lr * min(1.0, (step + 1) / 100) * (0.5 * (1 + math.cos(math.pi * step / options.steps)) * 0.98 + 0.02)
    )


def train(renderer: NeuralRenderer, lesson: RendererObjective, options: Options) -> None:
    """Train to the last step, from the last saved state if there is one."""
    optimizer = torch.optim.Adam(renderer.parameters(), options.lr, betas=(0.5, 0.999))
    state_path, first = options.out.with_suffix(".state.pt"), 0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        renderer.load_state_dict(state["renderer"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    means: dict[str, float] = {}
    for step in range(first, options.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(options, step)
        renderer.train(step < options.settled * options.steps)
        losses = lesson.losses(renderer, step)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(renderer.parameters(), 20.0)
        optimizer.step()
        means = {name: 0.95 * means.get(name, loss.item()) + 0.05 * loss.item() for name, loss in losses.items()}
        if (step + 1) % TELL_EVERY == 0:
            print(f"step {step + 1}: " + ", ".join(f"{k} {v:.4f}" for k, v in means.items()), flush=True)
        if (step + 1) % SAVE_EVERY == 0:
            with atomic_path(state_path) as temporary:
                parts = {"renderer": renderer.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                torch.save(parts, temporary)


def main(options: Options) -> None:
    """Train the renderer and write it."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    os.makedirs(options.out.parent, exist_ok=True)
    renderer = NeuralRenderer(options.width, options.size)
    if options.init is not None:
        renderer.load_state_dict(NeuralRenderer.from_checkpoint(options.init).state_dict())
    renderer = renderer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train(renderer, RendererObjective(options, load_head()), options)
    meta = {"trained by": "smirk3d/train/recipes/neural_renderer.py", "card": "renderer.md"}
    save_networks(options.out, neural_renderer=renderer.eval(), half=True, meta=meta)


if __name__ == "__main__":
    main(tyro.cli(Options))
