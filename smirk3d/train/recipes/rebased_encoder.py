"""Carry an encoder over to a rebuilt open head, whose blendshapes or shape components have another size or direction.

    python -m smirk3d.train.recipes.rebased_encoder branches --encoder old.safetensors --old-head old.pack \\
        --out out/branches
    python -m smirk3d.train.recipes.rebased_encoder targets --branches out/branches --photos shards/ \\
        --targets fitted.npz --out targets.npz

branches: the linear layers are changed. Weights of blendshapes that became smaller grow; shapes are mapped by least
squares of the old identity space on the new one. `smirk3d.train.recipes.branch_regression --init` continues from the
result.

targets: replaces the expressions of a table of pseudo-targets by what the carried-over encoder reads in the photos, so
that training on renders of the new head does not change what it has learned from photos (self-distillation).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from tyro.conf import subcommand

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.datasets.sources import PhotoSource
from smirk3d.head.data import HeadData
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import load_pack
from smirk3d.networks.checkpoint import ENCODER, read_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.train.recipes.assemble_encoder import assemble_encoder
from smirk3d.train.recipes.branch_data import CONFIG, SIZE_PX, BranchOptions, BranchSampler
from smirk3d.train.recipes.command import run_recipe
from smirk3d.train.recipes.rebase_shape import rebasing

MAX_GAIN = 1.5
"""Largest factor on a weight."""
BATCH = 64
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BranchesOptions:
    """Carry the branches of an encoder over to the packaged head."""

    encoder: Path
    """Encoder of the old head, .safetensors."""
    old_head: Path
    """Pack of the old head."""
    out: Path
    """Folder for pose.pt, shape.pt and expression.pt."""


@dataclass(frozen=True)
class TargetsOptions:
    """Replace the expressions of pseudo-targets by those that an encoder reads."""

    branches: Path
    """Folder with pose.pt, shape.pt and expression.pt."""
    photos: Path
    """Folder of shards."""
    targets: Path
    """Pseudo-targets of the photos, from `smirk3d data targets`."""
    out: Path
    """Table to write, .npz."""


def expression_gains(old: HeadData, new: HeadData) -> Tensor:
    """Return the factors (E,) on the weights of blendshapes that became smaller, so that the new ones go as far.

    They are least squares on the vertices of the face, or the ratio of the angles where an expression turns the eyes.
    Blendshapes that became larger keep a factor of 1: an encoder reads the motions of real faces, of which the old head
    made only the smaller ones, rather too low.

    Args:
        old: A head.
        new: A head with the same vertices and expressions.
    """
    face = new.regions["face"]
    before, after = (data.expressiondirs[face].flatten(0, 1) for data in (old, new))
    gains = (before * after).sum(0) / after.square().sum(0).clamp_min(1e-12)
    old_turn, new_turn = (data.expression_rotvec.norm(dim=2).amax(1) for data in (old, new))
    gains = torch.where(new_turn > 0, old_turn / new_turn.clamp_min(1e-6), gains)
    return gains.clamp(1.0, MAX_GAIN)


@torch.no_grad()
def carry_over(encoder: Encoder, old: HeadModel, new: HeadModel) -> None:
    """Change the linear layers of an encoder in place so that its outputs are those of the new head."""
    gains = expression_gains(old.data, new.data)
    for values in (encoder.expression_encoder.linear.weight, encoder.expression_encoder.linear.bias):
        values.mul_(gains.view(-1, *[1] * (values.ndim - 1)))
    matrix, offset = rebasing(old, new)
    linear = encoder.shape_encoder.linear
    n_shape = len(matrix)
    linear.weight[:n_shape] = matrix @ linear.weight[:n_shape]
    linear.bias[:n_shape] = matrix @ linear.bias[:n_shape] + offset


def write_branches(options: BranchesOptions) -> None:
    """Write the branches for the packaged head."""
    old, head = HeadModel(load_pack(options.old_head)), load_head()
    encoder = Encoder(old.spec, CONFIG, SIZE_PX)
    read_networks(options.encoder).load_into(encoder, ENCODER)
    carry_over(encoder, old, head)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ("pose", "shape", "expression"):
        with atomic_path(options.out / f"{name}.pt") as temporary:
            torch.save(getattr(encoder, f"{name}_encoder").state_dict(), temporary)


@torch.no_grad()
def write_targets(options: TargetsOptions) -> None:
    """Write the table with the expressions that the encoder reads in the photos."""
    head = load_head()
    encoder = assemble_encoder(options.branches, head)
    table = TargetTable.load(options.targets, head)
    row_of = {key: row for row, key in enumerate(table.keys)}
    settings = BranchOptions("expression", options.photos, options.targets, options.out, renders=0, photo_share=1.0)
    sampler = BranchSampler(replace(settings, randomized_renders=0), head)
    (photos,) = sampler.sampler.sources
    assert isinstance(photos, PhotoSource) and table.params.expression is not None
    expression = table.params.expression.clone()
    generator = np.random.default_rng(0)  # of the crops' scales, which the windows undo
    for index in np.array_split(np.arange(len(photos)), max(1, len(photos) // BATCH)):
        target = photos.batch(index, generator)
        assert target.target is not None and target.target.pose is not None and target.target.camera is not None
        affine = sampler.window.affine_from_pose(target.target.pose, target.target.camera)
        read = encoder.expression_encoder(sampler.window.extract(target.image, affine))["expression"]
        known = [(row_of[photos.keys[k]], weights) for k, weights in zip(index, read) if photos.keys[k] in row_of]
        for row, weights in known:
            expression[row] = weights
    result = replace(table, params=table.params.replace(expression=expression))
    result.save(options.out)
    _log.info("%s: %d faces", options.out, len(result))


Options = Annotated[BranchesOptions, subcommand("branches")] | Annotated[TargetsOptions, subcommand("targets")]


def main(options: BranchesOptions | TargetsOptions) -> None:
    """Run one of the two commands."""
    if isinstance(options, BranchesOptions):
        write_branches(options)
    else:
        write_targets(options)


if __name__ == "__main__":
    run_recipe(Options, main)  # type: ignore[arg-type]
