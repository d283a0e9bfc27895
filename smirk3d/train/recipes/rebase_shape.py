"""Convert the shape branch of an encoder to another identity space of the same mesh, by a change of its linear layer.

    python -m smirk3d.train.recipes.rebase_shape --weights encoder.safetensors --old old.pack --new new.pack --out FILE

A new identity space gives the coefficients another meaning; the branch still sees the same faces. The new coefficients
are the most likely ones whose faces are those of the old ones, an affine function of these.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.errors import UsageError
from smirk3d.head.model import HeadModel
from smirk3d.networks.checkpoint import read_layout, read_remarks, save_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.train.recipes.command import run_recipe

ERROR_M = 0.001
"""Standard deviation of a vertex of a predicted face: what keeps the new coefficients small, metres."""
_log = logging.getLogger("smirk3d.train.recipes.rebase_shape")


@dataclass(frozen=True)
class Options:
    """The encoder and the two heads."""

    weights: Path
    """Encoder of the old head."""
    old: Path
    """Pack of the head that it was trained for."""
    new: Path
    """Pack of the head that it is to be for."""
    out: Path
    """File to write."""


def rebasing(old: HeadModel, new: HeadModel) -> tuple[Tensor, Tensor]:
    """Return matrix A (S', S) and offset b (S',) of the new coefficients A c + b of old ones c.

    Least squares over the vertices of the face, with the prior of unit variance on the new coefficients.

    Raises:
        UsageError: The heads are of different meshes.
    """
    if not old.faces.equal(new.faces):
        raise UsageError("the heads are of different meshes; an identity space can only be exchanged on the same one")
    face = new.region_mask("face")
    before, after = (head.shapedirs[face].flatten(0, 1).double() for head in (old, new))
    difference = (old.v_template - new.v_template)[face].double()
    difference = (difference - difference.mean(0)).flatten()  # the origin of a head is its own
    gram = after.T @ after + ERROR_M**2 * torch.eye(after.shape[1], dtype=torch.float64)
    solved = torch.linalg.solve(gram, after.T @ torch.cat([before, difference[:, None]], dim=1))
    return solved[:, :-1].float(), solved[:, -1].float()


@torch.no_grad()
def rebase_shape(encoder: Encoder, matrix: Tensor, offset: Tensor) -> None:
    """Let an encoder predict matrix @ c + offset instead of the coefficients c, in place."""
    linear, count = encoder.shape_encoder.linear, matrix.shape[1]
    linear.weight[:count] = matrix @ linear.weight[:count]
    linear.bias[:count] = matrix @ linear.bias[:count] + offset


def main(options: Options) -> None:
    """Read, convert, write."""
    old, new = load_head(options.old), load_head(options.new)
    encoder = Encoder.from_checkpoint(options.weights)
    size = encoder.spec["shape"].size
    matrix, offset = rebasing(old, new)
    if matrix.shape != (size, size):
        raise UsageError(
            f"the encoder predicts {size} identity coefficients, the heads have {tuple(matrix.shape)[::-1]}"
        )
    rebase_shape(encoder, matrix, offset)
    _log.info("the old mean head has new coefficients of root mean square %.2f", float(offset.square().mean().sqrt()))
    layout = read_layout(options.weights)
    std = None if layout is None else layout.expression_std
    meta = read_remarks(options.weights)
    save_networks(options.out, encoder=encoder, expression_std=std, half=True, meta=meta)


if __name__ == "__main__":
    run_recipe(Options, main)
