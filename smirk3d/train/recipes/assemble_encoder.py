"""Assemble an encoder of three trained branches and calibrate its expressions; average branches.

    python -m smirk3d.train.recipes.assemble_encoder average a/expression.pt b/expression.pt --shares 0.4 0.6 \\
        --out out/branches/expression.pt
    python -m smirk3d.train.recipes.assemble_encoder assemble out/branches --out encoder.safetensors

The branches are those of `smirk3d.train.recipes.branch_regression`.

average: the mean of runs that continue from the same weights.

assemble: the output is calibrated on rendered faces, see `smirk3d.train.tasks.output_calibration`. The errors of the
expression, by which `--method refine` weights the encoder, are measured on further faces; `--photo-error` is added (as
variances), because photos differ from renders.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg, subcommand

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.head.model import HeadModel
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.torch_file import read_own_state
from smirk3d.train.recipes.branch_data import CONFIG, SIZE_PX, LinearFaceFrame
from smirk3d.train.recipes.command import run_recipe
from smirk3d.train.tasks.output_calibration import (
    CALIBRATION_SEED,
    VALIDATION_SEED,
    average_states,
    calibrate_output_layer,
    expression_errors,
    tie_face_frame_to_shape,
)

CALIBRATION_COUNT = 768
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AssembleOptions:
    """Assemble and calibrate an encoder."""

    branches: Positional[Path]
    """Folder with pose.pt, shape.pt and expression.pt."""
    out: Path
    """File to write, .safetensors."""
    count: int = 768
    """Rendered faces on which the errors are measured."""
    photo_error: float = 0.05
    """Standard deviation of the weights' additional error on photos, in [0, 1]."""
    domain_randomization: Annotated[float, arg(aliases=("--unlike",))] = 0.5
    """Strength, in [0, 1], of the domain randomisation of the rendered faces."""
    cache: Path | None = None
    """Folder in which the rendered faces are kept between runs; without: in memory."""


@dataclass(frozen=True)
class AverageOptions:
    """Average the weights of branches."""

    branches: Positional[tuple[Path, ...]]
    """State dicts of one branch, each continued from the same weights."""
    shares: tuple[float, ...]
    """Share of each in the mean; they sum to 1."""
    out: Path
    """State dict to write."""


def assemble_encoder(folder: Path, head: HeadModel) -> Encoder:
    """Return the encoder of three branches, in eval mode.

    Args:
        folder: With pose.pt, shape.pt and expression.pt.
        head: The open head.
    """
    encoder = Encoder(head.spec, CONFIG, SIZE_PX)
    for name in ("pose", "shape", "expression"):
        state = read_own_state(folder / f"{name}.pt")
        getattr(encoder, f"{name}_encoder").load_state_dict(state)
    tie_face_frame_to_shape(encoder, LinearFaceFrame.measured(head))
    return encoder.eval()


def assemble(options: AssembleOptions) -> None:
    """Assemble, calibrate, measure and save an encoder."""
    head = load_head()
    encoder = assemble_encoder(options.branches, head)
    variation = RenderAugmentation(strength=0.0, weak=0.0, domain_randomization=options.domain_randomization)

    def faces(count: int, seed: int) -> RenderedFaces:
        return RenderedFaces(head, count, seed, SIZE_PX, folder=options.cache, variation=variation)

    calibrate_output_layer(encoder, faces(CALIBRATION_COUNT, CALIBRATION_SEED))
    measured = expression_errors(encoder, faces(options.count, VALIDATION_SEED))
    errors = (measured.square() + options.photo_error**2).sqrt()
    meta = {"trained by": "smirk3d.train.recipes.branch_regression", "card": "encoder.md"}
    save_networks(options.out, encoder=encoder, expression_std=errors.tolist(), half=True, meta=meta)
    _log.info("%s: %.1f MB, mean error %.3f", options.out, options.out.stat().st_size / 1e6, errors.mean())


def average(options: AverageOptions) -> None:
    """Write the mean of branches."""
    states = [read_own_state(path) for path in options.branches]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out) as temporary:
        torch.save(average_states(states, options.shares), temporary)


Options = Annotated[AssembleOptions, subcommand("assemble")] | Annotated[AverageOptions, subcommand("average")]


def main(options: AssembleOptions | AverageOptions) -> None:
    """Run one of the two commands."""
    if isinstance(options, AverageOptions):
        average(options)
    else:
        assemble(options)


if __name__ == "__main__":
    run_recipe(Options, main)  # type: ignore[arg-type]
