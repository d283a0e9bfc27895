"""Make one file of weights of three trained branches, with the errors of its expression measured.

    python smirk3d/train/recipes/assemble_encoder.py out/branches --out encoder.safetensors

The branches are those of `smirk3d/train/recipes/branch_regression.py`. Least squares answers between the truth and the usual: a calm
face gets a little of everything, a strong action is said to be weaker, and a one-sided one to have too little of its
side. So the mean of the sides is enlarged until it varies as much as the true one, at most by `RANGE`, their
difference until it is the true one in the mean, at most by `DIFFERENCE` (gaze is left as it is), and the median answer
for calm faces is taken off, times `CALM`, all in the linear layer, for rendered faces that the branches have not seen.
The errors of the expression, by which `--method refine` trusts the encoder, are then measured on others;
`--photo-error` is added (as variances), because photos differ from renders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.train.recipes.branch_regression import HELD_OUT_SEED
from smirk3d.train.recipes.branch_tasks import CONFIG, SIZE_PX, LinearFaceFrame

TUNING_SEED = 2011
RANGE, DIFFERENCE, CALM = 1.2, 5.0, 3.0


@dataclass(frozen=True)
class Options:
    """Where the branches are, and where the result goes."""

    branches: tyro.conf.Positional[Path]
    out: Path
    count: int = 768
    """Rendered faces that the errors are measured on."""
    photo_error: float = 0.05
    unlike: float = 0.5
    """How far those heads and skins stray from the open head's (`smirk3d.datasets.synthetic.domain_randomization`)."""
    cache: Path | None = None
    """Folder of the rendered faces between runs."""


def assemble_encoder(folder: Path, head: HeadModel) -> Encoder:
    """Return the encoder of three branches."""
    encoder = Encoder(head.spec, CONFIG, SIZE_PX)
    for name in ("pose", "shape", "expression"):
        state = torch.load(folder / f"{name}.pt", weights_only=True)
        getattr(encoder, f"{name}_encoder").load_state_dict(state)
    _tie_face_to_shape(encoder, LinearFaceFrame.measured(head))
    return encoder.eval()


@torch.no_grad()
def _tie_face_to_shape(encoder: Encoder, face: LinearFaceFrame) -> None:
    """Let what a look says of the face on the head follow from the shape that is told, in the linear layer."""
    linear, n_shape = encoder.shape_encoder.linear, len(face.slopes)
    linear.weight[-7:] = face.slopes.T @ linear.weight[:n_shape]
    linear.bias[-7:] = face.slopes.T @ linear.bias[:n_shape] + face.mean


@torch.no_grad()
def calibrate_output_layer(encoder: Encoder, faces: RenderedFaces) -> None:
    """Let calm faces be calm, strong ones strong, one-sided ones one-sided, by a change of the expression's layer."""
    partner = torch.tensor(ARKIT_MIRROR)
    linear = encoder.expression_encoder.linear
    said, truth = answers(encoder, faces)
    enlarged = (truth + truth[:, partner]).std(0) / (said + said[:, partner]).std(0).clamp_min(1e-6)
    difference, true_difference = said - said[:, partner], truth - truth[:, partner]
    square = true_difference.square().sum(0)
    slope = (difference * true_difference).sum(0) / square.clamp_min(1e-6)
    needed = torch.where(square > 0, 1 / slope.clamp_min(1e-6), 1.0)  # both eyes look up alike
    is_gaze = torch.tensor([name in GAZE_NAMES for name in ARKIT_NAMES])  # turned heads alone need it
    factors = [torch.where(is_gaze, 1.0, each) for each in (enlarged.clamp(1, RANGE), needed.clamp(1, DIFFERENCE))]
    for values in (linear.weight, linear.bias):
        of_mean, of_difference = (factor.view(-1, *[1] * (values.ndim - 1)) / 2 for factor in factors)
        values.copy_(of_mean * (values + values[partner]) + of_difference * (values - values[partner]))
    calm = torch.tensor([kind == "neutral" for kind in faces.kinds])
    said = answers(encoder, faces)[0][calm]
    linear.bias.sub_(CALM * (said + said[:, partner]).median(0).values / 2)


@torch.no_grad()
def answers(encoder: Encoder, faces: RenderedFaces) -> tuple[Tensor, Tensor]:
    """Return what the encoder says of the expressions of rendered faces, (N, 52), and what they are."""
    said, truth = [], []
    for index in torch.arange(len(faces)).split(64):
        batch = faces.batch(index)
        assert batch.target is not None and batch.target.expression is not None
        said.append(encoder.expression(batch.image)["expression"])
        truth.append(batch.target.expression)
    return torch.cat(said), torch.cat(truth)


def expression_errors(encoder: Encoder, faces: RenderedFaces) -> Tensor:
    """Return the root mean square errors (52,) of the weights of rendered faces."""
    said, truth = answers(encoder, faces)
    return (said - truth).square().mean(0).sqrt()


def main(options: Options) -> None:
    """Join, measure, save."""
    head = load_head()
    encoder = assemble_encoder(options.branches, head)
    kind = RenderAugmentation(strength=0.0, weak=0.0, domain_randomization=options.unlike)
    faces = RenderedFaces(head, options.count, HELD_OUT_SEED, SIZE_PX, folder=options.cache, variation=kind)
    calibrate_output_layer(
        encoder, RenderedFaces(head, 768, TUNING_SEED, SIZE_PX, folder=options.cache, variation=kind)
    )
    errors = (expression_errors(encoder, faces).square() + options.photo_error**2).sqrt()
    meta = {"trained by": "smirk3d/train/recipes/branch_regression.py", "card": "encoder.md"}
    save_networks(options.out, encoder=encoder, expression_std=errors.tolist(), half=True, meta=meta)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, mean error {errors.mean():.3f}")


if __name__ == "__main__":
    main(tyro.cli(Options))
