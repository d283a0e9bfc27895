"""Assemble an encoder of three trained branches and calibrate its expressions; average branches.

    python -m smirk3d.train.recipes.assemble_encoder average a/expression.pt b/expression.pt --shares 0.4 0.6 \\
        --out out/branches/expression.pt
    python -m smirk3d.train.recipes.assemble_encoder assemble out/branches --out encoder.safetensors

The branches are those of `smirk3d.train.recipes.branch_regression`.

average: training runs that continue from the same weights make different errors; the mean of their weights makes
smaller ones (Wortsman et al., "Model soups", ICML 2022).

assemble: least squares predicts a compromise between the truth and the mean: neutral faces receive a little of
everything, strong blendshapes and asymmetries come out too weak. On rendered faces that no branch was trained on, the
output layer is therefore calibrated: the mean of left and right is scaled to the variance of the truth, at most by
`MAX_RANGE_GAIN`; their difference to the true one in the mean, at most by `MAX_ASYMMETRY_GAIN` (gaze stays); and
`NEUTRAL_SHIFT` times the median prediction for neutral faces is subtracted. The errors of the expression, by which
`--method refine` weights the encoder, are measured on further faces; `--photo-error` is added (as variances), because
photos differ from renders.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor
from tyro.conf import Positional, arg, subcommand

from smirk3d.assets import atomic_path
from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.networks.torch_file import read_own_state
from smirk3d.train.recipes.branch_data import CONFIG, SIZE_PX, LinearFaceFrame
from smirk3d.train.recipes.branch_regression import VALIDATION_SEED
from smirk3d.train.recipes.command import run_recipe

CALIBRATION_SEED = 2011
CALIBRATION_COUNT = 768
MAX_RANGE_GAIN, MAX_ASYMMETRY_GAIN, NEUTRAL_SHIFT = 1.2, 5.0, 3.0
_FACE_FRAME_SIZE = 7
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


@torch.no_grad()
def tie_face_frame_to_shape(encoder: Encoder, face: LinearFaceFrame) -> None:
    """Compute the pose code's face frame from the predicted shape, by a change of the linear layer.

    Args:
        encoder: Its shape branch is changed in place.
        face: Face frames of the head's shapes.
    """
    linear, n_shape = encoder.shape_encoder.linear, len(face.slopes)
    linear.weight[-_FACE_FRAME_SIZE:] = face.slopes.T @ linear.weight[:n_shape]
    linear.bias[-_FACE_FRAME_SIZE:] = face.slopes.T @ linear.bias[:n_shape] + face.mean


@torch.no_grad()
def calibrate_output_layer(encoder: Encoder, faces: RenderedFaces) -> None:
    """Match range, asymmetry and neutral faces of the predictions to the ground truth.

    With p and p' a weight and its mirror partner, the layer is changed so that the output is
    `a (p + p') / 2 + b (p - p') / 2 - c`, a and b gains and c a shift per weight.

    Args:
        encoder: Its expression branch's linear layer is changed in place.
        faces: Rendered faces that the encoder was not trained on.
    """
    partner = torch.tensor(ARKIT_MIRROR)
    linear = encoder.expression_encoder.linear
    prediction, truth = predict_expressions(encoder, faces)
    gain = (truth + truth[:, partner]).std(0) / (prediction + prediction[:, partner]).std(0).clamp_min(1e-6)
    difference, true_difference = prediction - prediction[:, partner], truth - truth[:, partner]
    square = true_difference.square().sum(0)
    slope = (difference * true_difference).sum(0) / square.clamp_min(1e-6)
    side_gain = torch.where(square > 0, 1 / slope.clamp_min(1e-6), 1.0)  # both eyes look up alike: no difference
    # Differences of gaze between the eyes follow from the head's rotation and are right as they are.
    is_gaze = torch.tensor([name in GAZE_NAMES for name in ARKIT_NAMES])
    gains = (gain.clamp(1, MAX_RANGE_GAIN), side_gain.clamp(1, MAX_ASYMMETRY_GAIN))
    factors = [torch.where(is_gaze, 1.0, each) for each in gains]
    for values in (linear.weight, linear.bias):
        of_mean, of_difference = (factor.view(-1, *[1] * (values.ndim - 1)) / 2 for factor in factors)
        values.copy_(of_mean * (values + values[partner]) + of_difference * (values - values[partner]))
    is_neutral = torch.tensor([kind == "neutral" for kind in faces.kinds])
    neutral = predict_expressions(encoder, faces)[0][is_neutral]
    linear.bias.sub_(NEUTRAL_SHIFT * (neutral + neutral[:, partner]).median(0).values / 2)


@torch.no_grad()
def predict_expressions(encoder: Encoder, faces: RenderedFaces) -> tuple[Tensor, Tensor]:
    """Return predicted and true expressions of rendered faces, (N, 52) each."""
    prediction, truth = [], []
    for index in torch.arange(len(faces)).split(64):
        batch = faces.batch(index)
        assert batch.target is not None and batch.target.expression is not None
        prediction.append(encoder.expression(batch.image)["expression"])
        truth.append(batch.target.expression)
    return torch.cat(prediction), torch.cat(truth)


def expression_errors(encoder: Encoder, faces: RenderedFaces) -> Tensor:
    """Return the root mean square errors (52,) of the predicted weights of rendered faces."""
    prediction, truth = predict_expressions(encoder, faces)
    return (prediction - truth).square().mean(0).sqrt()


def average_states(states: list[dict[str, Tensor]], shares: tuple[float, ...]) -> dict[str, Tensor]:
    """Return the weighted mean of state dicts; integers, such as batch counts, are those of the first.

    Args:
        states: State dicts with the same names and shapes.
        shares: Weight of each; they sum to 1.

    Raises:
        ValueError: The shares are not one for each that sum to 1, or the names or shapes differ.
    """
    if len(states) != len(shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError("give one share for each branch; they must sum to 1")
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if any(each != shapes[0] for each in shapes):
        raise ValueError("the branches differ in the names or shapes of their weights")
    return {
        name: sum(share * state[name].double() for state, share in zip(states, shares)).to(first)  # type: ignore[union-attr]
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }


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
