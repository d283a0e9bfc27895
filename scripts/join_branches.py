"""Make one file of weights of three trained branches, with the errors of its expression measured.

    python scripts/join_branches.py out/branches --out encoder.safetensors

The branches are those of `scripts/train_branches.py`. The errors are those on rendered faces of other people, which
`--method refine` trusts the encoder by; `--photo-error` is added to them (as variances), because photos differ from
renders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor
from train_branches import CONFIG, SIZE_PX

from smirk3d.head.load import load_head
from smirk3d.head.model import HeadModel
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.train.rendered import RenderedFaces, Variation

HELD_OUT_SEED = 1011


@dataclass(frozen=True)
class Options:
    """Where the branches are, and where the result goes."""

    branches: tyro.conf.Positional[Path]
    out: Path
    count: int = 768
    """Rendered faces that the errors are measured on."""
    photo_error: float = 0.05
    cache: Path | None = None
    """Folder of the rendered faces between runs."""


def joined(folder: Path, head: HeadModel) -> Encoder:
    """Return the encoder of three branches."""
    encoder = Encoder(head.spec, CONFIG, SIZE_PX)
    for name in ("pose", "shape", "expression"):
        state = torch.load(folder / f"{name}.pt", weights_only=True)
        getattr(encoder, f"{name}_encoder").load_state_dict(state)
    return encoder.eval()


@torch.no_grad()
def expression_errors(encoder: Encoder, faces: RenderedFaces) -> Tensor:
    """Return the root mean square errors (52,) of the weights of rendered faces."""
    squares = []
    for index in torch.arange(len(faces)).split(64):
        batch = faces.batch(index)
        assert batch.target is not None and batch.target.expression is not None
        squares.append((encoder.expression(batch.image)["expression"] - batch.target.expression).square())
    return torch.cat(squares).mean(0).sqrt()


def main(options: Options) -> None:
    """Join, measure, save."""
    head = load_head()
    encoder = joined(options.branches, head)
    plain = Variation(strength=0.0, weak=0.0)
    faces = RenderedFaces(head, options.count, HELD_OUT_SEED, SIZE_PX, folder=options.cache, variation=plain)
    errors = (expression_errors(encoder, faces).square() + options.photo_error**2).sqrt()
    meta = {"trained by": "scripts/train_branches.py", "card": "encoder.md"}
    save_networks(options.out, encoder=encoder, expression_std=errors.tolist(), meta=meta)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, mean error {errors.mean():.3f}")


if __name__ == "__main__":
    main(tyro.cli(Options))
