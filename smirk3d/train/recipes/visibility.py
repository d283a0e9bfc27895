"""Train the network that estimates which regions of a face are visible.

    python -m smirk3d.train.recipes.visibility --photos FOLDER

Draws occluders of the kinds `TRAINING_KINDS` before the faces of the training split, lets the landmarker find them
again, and trains on patches of these photos, of the photos as they are, and of photos with shadows, light and frames
of glasses. In a second stage rendered heads join them. Emotion labels are not used. Logs how well the regions are
told apart on the validation split, with occluders of kinds that were not drawn in training.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.datasets.synthetic.occluders import HELD_OUT_KINDS, TRAINING_KINDS
from smirk3d.detection.face_patch import landmark_map, network_input
from smirk3d.detection.face_regions import REGIONS
from smirk3d.metrics.classification import area_under_roc
from smirk3d.networks.half_file import save_half
from smirk3d.networks.visibility import MIRRORED_REGION, VisibilityNetwork
from smirk3d.train.recipes.command import run_recipe
from smirk3d.train.recipes.visibility_patches import (
    RENDER_FACE,
    Patches,
    PatchPlan,
    make_patches,
    make_render_patches,
)
from smirk3d.zoo.registry import locate

GRID_WEIGHT = 0.5
"""Weight of the loss of the grid, relative to that of the regions."""
DOUBTFUL_VISIBILITY = 0.35
"""Photos as they are that show less than this after half of the training really hide something: they are left out."""
RENDER_SHARE = 0.25
"""Share of rendered heads in a batch of the second stage."""
MAX_SHIFT = 3.0
"""Largest shift of the logits by the calibration."""
CALIBRATION_STEP = 7
"""Every so many patches take part in the calibration; not 8, the patches of a face, so that all kinds do."""
PARTIAL = (0.2, 0.8)
"""Visible shares of a region that is hidden in part."""
_CLEAN_KINDS = ("clean", "decoy")
_NOT_OF_RESULT = ("photos", "workers", "patches", "out")
"""Options on which the result does not depend, or that name places on one machine."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Photos, training and result."""

    photos: Path
    """Folder of shards with the splits train and val."""
    epochs: int = 10
    """Passes over the patches of photos; 8 to 20."""
    batch: int = 256
    """Patches in a step; 128 to 512."""
    learning_rate: float = 3e-3
    """Largest learning rate of the one-cycle schedule; 1e-3 to 5e-3."""
    renders: int = 384
    """Rendered heads of the second stage."""
    render_steps: int = 300
    """Batches of the second stage, in which rendered heads join the photos; 0 leaves it out."""
    render_learning_rate: float = 1e-3
    """Learning rate at the start of the second stage; it falls to 0."""
    weight_decay: float = 0.02
    """Of AdamW; 0.01 to 0.1."""
    seed: int = 0
    """Seed of all that is random."""
    workers: int = 2
    """Processes that draw; the result does not depend on them."""
    threads: int = 1
    """Threads that train; sums of other numbers of threads differ in the last bits."""
    max_faces: int = 4000
    """At most so many faces of each split."""
    patches: Path | None = None
    """Folder that keeps the patches, so that they are drawn only once."""
    out: Path = field(default_factory=lambda: locate("visibility"))
    """File to write; by default the packaged one."""


def patches_of(options: Options, split: str) -> Patches:
    """Return the patches of the split "train" or "val", or of "renders", drawn now or kept from before."""
    kept = None if options.patches is None else options.patches / f"{split}.npz"
    if kept is not None and kept.is_file():
        return Patches.read(kept)
    plan = PatchPlan(tuple(TRAINING_KINDS))
    if split == "val":
        plan = PatchPlan(tuple(HELD_OUT_KINDS), occluded=4, copies=1, keep_lost=False)
    if split == "renders":
        made = make_render_patches(plan, options.seed, options.workers, options.renders)
    else:
        made = make_patches(options.photos, split, plan, options.seed, options.workers, options.max_faces)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        made.save(kept)
    return made


def landmark_maps(patches: Patches) -> np.ndarray:
    """Return the maps of the landmarks (N, 64, 64) bool."""
    return np.stack([landmark_map(points) > 0 for points in patches.points])


def mirrored(inputs: Tensor, visible: Tensor, grid: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs (B, 3, 64, 64) and targets with the chosen (B,) of them mirrored."""
    pick = chosen[:, None]
    return (
        torch.where(pick[..., None, None], inputs.flip(3), inputs),
        torch.where(pick, visible[:, list(MIRRORED_REGION)], visible),
        torch.where(pick[..., None], grid.flip(2), grid),
    )


def degraded(luma: Tensor, generator: torch.Generator) -> Tensor:
    """Return patches (B, 64, 64) in [0, 255] with the gamma, light, sharpness and noise of other cameras."""
    count = len(luma)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=generator)

    lit = 255 * (luma / 255).clamp(0, 1) ** uniform(-0.6, 0.6).exp()
    ramp = torch.linspace(-1, 1, luma.shape[-1])
    light = 1 + uniform(-0.35, 0.35) * ramp[None, None, :] + uniform(-0.3, 0.3) * ramp[None, :, None]
    lit = lit * light
    low_px = [24, 32, 40, 48]
    coarse = functional.interpolate(
        lit[:, None],
        size=low_px[int(torch.randint(len(low_px), (), generator=generator))],
        mode="bilinear",
        antialias=True,
    )
    soft = functional.interpolate(coarse, size=luma.shape[-1], mode="bilinear")[:, 0]
    lit = torch.where(uniform(0, 1) < 0.3, soft, lit)
    noise = torch.randn(luma.shape, generator=generator) * (uniform(0, 1) ** 2 * 12)
    return (lit + noise).clamp(0, 255)


def train(patches: Patches, options: Options) -> VisibilityNetwork:
    """Train a network on patches of the training split."""
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    network, maps = VisibilityNetwork(), landmark_maps(patches)
    optimizer = torch.optim.AdamW(network.parameters(), options.learning_rate, weight_decay=options.weight_decay)
    steps = len(patches) // options.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=options.epochs * steps, pct_start=0.2
    )
    weight = torch.ones(len(patches))
    for epoch in range(options.epochs):
        if epoch == options.epochs // 2:
            weight = weight * ~torch.from_numpy(_doubtful(network, patches))
        total, order = 0.0, torch.randperm(len(patches), generator=generator)
        network.train()
        for step in range(steps):
            rows = order[step * options.batch : (step + 1) * options.batch]
            loss = _loss(network, patches[rows.numpy()], maps[rows.numpy()], weight[rows], generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        _log.info("epoch %d: loss %.4f, %d left out", epoch + 1, total / steps, int((weight == 0).sum()))
    return network.train(False)


def train_with_renders(network: VisibilityNetwork, photos: Patches, renders: Patches, options: Options) -> None:
    """Go on training with rendered heads among the photos; batch statistics stay those of the photos."""
    generator, network = torch.Generator().manual_seed(options.seed + 1), network.train(False)
    optimizer = torch.optim.AdamW(network.parameters(), options.render_learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, max(options.render_steps, 1))
    n_renders = round(RENDER_SHARE * options.batch)
    for step in range(options.render_steps):
        parts: list[Patches] = []
        for source, count in ((photos, options.batch - n_renders), (renders, n_renders)):
            parts.append(source[torch.randint(len(source), (count,), generator=generator).numpy()])
        batch = Patches.concatenate(parts)
        loss = _loss(network, batch, landmark_maps(batch), None, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            _log.info("step %d with rendered heads: loss %.4f", step + 1, float(loss.detach()))


def _loss(
    network: VisibilityNetwork, patches: Patches, maps: np.ndarray, weight: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Return the loss, () float.

    Args:
        network: The network.
        patches: B patches.
        maps: (B, 64, 64) their maps of landmarks.
        weight: (B,) weights; None leaves out photos as they are that seem to hide something.
        generator: Of the augmentation.
    """
    luma = degraded(torch.from_numpy(patches.luma).float(), generator).numpy()
    inside = patches.inside.astype(np.float32) / 255
    inputs = torch.from_numpy(network_input(luma * (inside > 0), inside, maps))
    flip = torch.rand(len(patches), generator=generator) < 0.5
    targets = torch.from_numpy(patches.visible), torch.from_numpy(patches.grid).float() / 255
    inputs, visible, grid = mirrored(inputs, *targets, flip)
    regions, cells = network(inputs)
    lowest = regions.detach().sigmoid().min(1).values
    doubtful = torch.from_numpy(_is_clean(patches)) & (lowest < DOUBTFUL_VISIBILITY)
    kept = (~doubtful).float() if weight is None else weight
    of_region = functional.binary_cross_entropy_with_logits(regions, visible, reduction="none").mean(1)
    of_cell = functional.binary_cross_entropy_with_logits(cells, grid, reduction="none").mean((1, 2))
    return ((of_region + GRID_WEIGHT * of_cell) * kept).mean()


@torch.no_grad()
def predict(network: VisibilityNetwork, patches: Patches, batch: int = 1024) -> np.ndarray:
    """Return the logits of the regions, (N, 4)."""
    network.train(False)
    parts = []
    for start in range(0, len(patches), batch):
        part = patches[np.arange(start, min(start + batch, len(patches)))]
        inputs = network_input(part.luma.astype(np.float32), part.inside.astype(np.float32) / 255, landmark_maps(part))
        parts.append(network.region_logits(torch.from_numpy(inputs)).numpy())
    return np.concatenate(parts)


def _doubtful(network: VisibilityNetwork, patches: Patches) -> np.ndarray:
    """Return which patches (N,) are of photos as they are that hide a region all the same."""
    return _is_clean(patches) & (
        predict(network, patches).min(1) < np.log(DOUBTFUL_VISIBILITY / (1 - DOUBTFUL_VISIBILITY))
    )


def _is_clean(patches: Patches) -> np.ndarray:
    """Return which patches (N,) show all of a photo before which nothing was drawn."""
    return np.isin(patches.kind, _CLEAN_KINDS) & (patches.visible.min(1) > 0.9) & (patches.face < RENDER_FACE)


@torch.no_grad()
def calibrate(network: VisibilityNetwork, patches: Patches) -> None:
    """Shift the logits of each region so that where it is hidden in part, its mean visibility is the true one."""
    logits, last = predict(network, patches).astype(np.float64), network.regions[-1]
    assert isinstance(last, torch.nn.Linear)
    for k, region in enumerate(REGIONS):
        true = patches.visible[:, k]
        is_partial = (true > PARTIAL[0]) & (true < PARTIAL[1])
        if not is_partial.any():
            continue
        shift = _mean_shift(logits[is_partial, k], float(true[is_partial].mean()))
        last.bias[k] += shift
        _log.info("%s: logits shifted by %.2f", region, shift)


def _mean_shift(logits: np.ndarray, mean: float) -> float:
    """Return the shift, at most `MAX_SHIFT`, after which logits (N,) have a mean sigmoid; by bisection."""
    low, high = -MAX_SHIFT, MAX_SHIFT
    for _ in range(40):
        shift = (low + high) / 2
        is_low = (1 / (1 + np.exp(-logits - shift))).mean() < mean
        low, high = (shift, high) if is_low else (low, shift)
    return (low + high) / 2


def report(network: VisibilityNetwork, patches: Patches) -> None:
    """Log the area under the ROC curve and the false alarms of each region."""
    visibility = 1 / (1 + np.exp(-predict(network, patches)))
    for k, region in enumerate(REGIONS):
        clean = visibility[patches.kind == "clean", k]
        false_alarms = 100 * float((clean < 0.5).mean())
        parts = []
        for kind in ("all", *np.unique(patches.kind)):
            of_kind = ~np.isin(patches.kind, _CLEAN_KINDS) if kind == "all" else patches.kind == kind
            hidden = visibility[of_kind & (patches.visible[:, k] < 0.5), k]
            if kind not in _CLEAN_KINDS and len(hidden) >= 10:
                parts.append(f"{kind} {area_under_roc(clean, hidden):.3f} ({len(hidden)})")
        _log.info("%s: false alarms %.2f %%; AUROC %s", region, false_alarms, ", ".join(parts))


def header_of(options: Options) -> dict[str, str]:
    """Return what made a file: the command, with what differs from the defaults, and every setting of the result."""
    settings = {f.name: f for f in fields(Options) if f.name not in _NOT_OF_RESULT}
    changed = [name for name, f in settings.items() if getattr(options, name) != f.default]
    command = ["python -m smirk3d.train.recipes.visibility --photos FOLDER"]
    command += [f"--{name.replace('_', '-')} {getattr(options, name)}" for name in changed]
    return {"command": " ".join(command), **{name: str(getattr(options, name)) for name in settings}}


def main(options: Options) -> None:
    """Draw, train in two stages, calibrate, write."""
    torch.set_num_threads(options.threads)
    patches, val = patches_of(options, "train"), patches_of(options, "val")
    _log.info("%d patches of %d faces", len(patches), len(np.unique(patches.face)))
    network = train(patches, options)
    if options.render_steps:
        train_with_renders(network, patches, patches_of(options, "renders"), options)
    calibrate(network, patches[np.arange(0, len(patches), CALIBRATION_STEP)])
    report(network, val)
    about = {**header_of(options), "faces": str(len(np.unique(patches.face)))}
    save_half(network, options.out, about)


if __name__ == "__main__":
    run_recipe(Options, main)
