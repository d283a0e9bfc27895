"""Carry an encoder over to a rebuilt open head, whose blendshapes or shape components have another size or meaning.

    python -m smirk3d.train.recipes.rebased_encoder --encoder old.safetensors --old-head old.pack --out new.safetensors

Only linear layers change: weights of blendshapes that became smaller grow, and shapes are mapped to the new identity
space. The errors of the expression are measured anew on rendered faces, as
`smirk3d.train.recipes.assemble_encoder` does.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation, RenderedFaces
from smirk3d.errors import UsageError
from smirk3d.head.data import HeadData
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import load_pack
from smirk3d.networks.checkpoint import ENCODER, read_networks, save_networks
from smirk3d.networks.encoder import Encoder
from smirk3d.train.recipes.assemble_encoder import expression_errors, tie_face_frame_to_shape
from smirk3d.train.recipes.branch_data import CONFIG, SIZE_PX, LinearFaceFrame
from smirk3d.train.recipes.command import run_recipe
from smirk3d.train.tasks.output_calibration import VALIDATION_SEED

MAX_GAIN = 1.5
"""Largest factor on a weight."""
ERROR_M = 0.001
"""Standard deviation of a vertex of a predicted face: what keeps the new shape coefficients small, metres."""
_log = logging.getLogger("smirk3d.train.recipes.rebased_encoder")


@dataclass(frozen=True)
class Options:
    """Carry an encoder over to the packaged head."""

    encoder: Path
    """Encoder of the old head, .safetensors."""
    old_head: Path
    """Pack of the old head."""
    out: Path
    """File to write, .safetensors."""
    count: int = 512
    """Rendered faces on which the errors are measured."""
    photo_error: float = 0.05
    """Standard deviation of the weights' additional error on photos, in [0, 1]."""
    domain_randomization: float = 0.5
    """Strength, in [0, 1], of the domain randomisation of the rendered faces."""


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
def carry_over(encoder: Encoder, old: HeadModel, new: HeadModel) -> None:
    """Change the linear layers of an encoder in place so that its outputs are those of the new head.

    Args:
        encoder: An encoder of the old head.
        old: The head that it was trained for.
        new: A head of the same mesh.
    """
    gains = expression_gains(old.data, new.data)
    for values in (encoder.expression_encoder.linear.weight, encoder.expression_encoder.linear.bias):
        values.mul_(gains.view(-1, *[1] * (values.ndim - 1)))
    matrix, offset = rebasing(old, new)
    linear, n_shape = encoder.shape_encoder.linear, len(matrix)
    linear.weight[:n_shape] = matrix @ linear.weight[:n_shape]
    linear.bias[:n_shape] = matrix @ linear.bias[:n_shape] + offset
    tie_face_frame_to_shape(encoder, LinearFaceFrame.measured(new))


def main(options: Options) -> None:
    """Carry over, measure and save."""
    old, head = HeadModel(load_pack(options.old_head)), load_head()
    encoder = Encoder(old.spec, CONFIG, SIZE_PX)
    file = read_networks(options.encoder)
    file.load_into(encoder, ENCODER)
    carry_over(encoder.eval(), old, head)
    variation = RenderAugmentation(strength=0.0, weak=0.0, domain_randomization=options.domain_randomization)
    faces = RenderedFaces(head, options.count, VALIDATION_SEED, SIZE_PX, variation=variation)
    measured = expression_errors(encoder, faces)
    errors = (measured.square() + options.photo_error**2).sqrt()
    meta = dict(file.meta) | {"carried over by": "smirk3d.train.recipes.rebased_encoder", "head": head.data.content_id}
    save_networks(options.out, encoder=encoder, expression_std=errors.tolist(), half=True, meta=meta)
    _log.info("%s: mean error %.3f", options.out, errors.mean())


if __name__ == "__main__":
    run_recipe(Options, main)
