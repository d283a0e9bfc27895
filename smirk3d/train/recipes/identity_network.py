"""Train the network that estimates identities from the pixels and the detected landmarks of photos.

    python -m smirk3d.train.recipes.identity_network --folder FOLDER --photos FOLDER

Renders people whose looks go with their shapes, and heads in procedural and textured looks at random; detects them
as photos are detected, so that the network learns the detector's errors; regresses the true identity; pulls photos of
one person together, and faces with a female look to female shapes; and measures the covariance of the errors on
rendered people that were not used.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from smirk3d.authoring.load import load_head
from smirk3d.authoring.macro_regression import TRAITS, macro_regression
from smirk3d.estimation.identity_network import IdentityNetwork, save_identity_network
from smirk3d.estimation.shape_window import mirrored, n_features, normalised, window_layout
from smirk3d.head.model import HeadModel
from smirk3d.networks.shape_network import ShapeNetwork
from smirk3d.train.provenance import commit
from smirk3d.train.recipes.command import run_recipe
from smirk3d.train.recipes.identity_examples import (
    DetectedRenders,
    Examples,
    People,
    people_in_photos,
    rendered_examples,
)
from smirk3d.zoo.registry import locate

TRAIT_SPREAD = 0.3
"""How far the trait "female" of men and women is from its mean, by their shapes."""
_log = logging.getLogger("smirk3d.train.recipes.identity_network")


@dataclass(frozen=True)
class Options:
    """Data and training."""

    folder: Path
    """Where the detected faces are kept between runs."""
    photos: Path
    """Folder of photos of several people, with shards, `landmarks.npz` and `labels.csv`."""
    people: int = 8192
    """Rendered people whose looks go with their shapes."""
    random_heads: int = 8192
    """Rendered heads with looks at random."""
    random_seed: int = 23
    """Of these heads."""
    real_people: int = 800
    """People in photos."""
    real_seed: int = 7
    """Of the choice of these."""
    same_person: float = 0.5
    """Weight of the squared distance, in millimetres, of the faces of two photos of a person."""
    look: float = 10.0
    """Weight of the squared error of the trait "female" in photos."""
    held_out: int = 1024
    """Of all of them, people on whom the errors are measured."""
    epochs: int = 20
    """Passes over all."""
    batch: int = 128
    """Faces of a step."""
    rate: float = 1.5e-3
    """Largest learning rate."""
    decay: float = 0.05
    """Weight decay (AdamW)."""
    ridge: float = 1000.0
    """Penalty of the linear regression on the landmarks with which the training begins."""
    seed: int = 2000
    """Of everything random; that of `smirk3d evaluate` must be another one."""
    out: Path = field(default_factory=lambda: locate("identity"))
    """File to write; by default the packaged one."""


@torch.no_grad()
def mesh_metric(head: HeadModel) -> Tensor:
    """Return a matrix (S, S) that maps errors of coefficients to errors of faces, millimetres.

    The square of a mapped error is the mean squared distance of the vertices of the region "face" after a similarity
    has aligned them, to first order.
    """
    face = head.region_mask("face")
    directions = 1000 * head.shapedirs[face].permute(2, 0, 1)
    mean = 1000 * (head.v_template[face] - head.v_template[face].mean(0))
    directions = directions - directions.mean(1, keepdim=True)
    turns = [torch.linalg.cross(axis.expand_as(mean), mean) for axis in torch.eye(3)]
    basis = torch.linalg.qr(torch.stack([each.flatten() for each in (mean, *turns)], dim=1))[0]
    rows = directions.flatten(1)
    rows = rows - (rows @ basis) @ basis.T
    value, vector = torch.linalg.eigh(rows @ rows.T / len(mean))
    return vector * value.clamp_min(0).sqrt()


def augmented(textures: Tensor, generator: torch.Generator) -> Tensor:
    """Vary contrast, light, sharpness and noise of normalised textures (B, 48, 40), and hide parts of some."""
    count, height, width = textures.shape

    def number(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    def chance(probability: float) -> Tensor:
        return torch.rand(count, 1, 1, generator=generator) < probability

    x, y = torch.linspace(-1, 1, width)[None, None], torch.linspace(-1, 1, height)[None, :, None]
    values = textures + 0.35 * (number(1, 1) * x + number(1, 1) * y)
    values = values + 0.25 * number(1, 1) * (values.square() - 1).clamp(-2, 2)
    soft = torch.nn.functional.avg_pool2d(values[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    values = torch.where(chance(0.3), soft, values)
    outside = (x / 0.82) ** 2 + ((y - 0.08) / 0.92) ** 2 > 1
    values = torch.where(outside & chance(0.3), number(1, 1), values)
    middle = 2 * torch.rand(count, 2, 1, 1, generator=generator) - 1
    side = 0.15 + 0.3 * torch.rand(count, 2, 1, 1, generator=generator)
    box = ((x - middle[:, 0]).abs() < side[:, 0]) & ((y - middle[:, 1]).abs() < side[:, 1])
    values = torch.where(box & chance(0.25), number(1, 1), values)
    return normalised(values + 0.3 * torch.rand(count, 1, 1, generator=generator) * number(height, width))


def train(head: HeadModel, data: Examples, people: People, female: Tensor, options: Options) -> ShapeNetwork:
    """Train a network on detected faces and their mirror images.

    Args:
        head: The head.
        data: Rendered people.
        people: Photos of people.
        female: (S,) change of the trait "female" per unit of a coefficient.
        options: Of the training.
    """
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    network = ShapeNetwork(n_features(), head.n_shape)
    network.start(data.features, data.shape, options.ridge)
    network.train()
    convert_conv2d_weight_memory_format(network, torch.channels_last)  # which is faster on a CPU
    metric, sign = mesh_metric(head), head.data.shape_mirror_sign
    assert sign is not None
    optimizer = torch.optim.AdamW(
        [each for each in network.parameters() if each.requires_grad], options.rate, weight_decay=options.decay
    )
    steps = len(data) // options.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, total_steps=steps * options.epochs, pct_start=0.15
    )
    for epoch in range(options.epochs):
        order, total = torch.randperm(len(data), generator=generator), torch.zeros(3)
        for k in range(steps):
            rows = data[order[k * options.batch : (k + 1) * options.batch]]
            pair = people.pairs(options.batch // 8, generator)
            textures = torch.cat([rows.textures, people.textures[pair.flatten()]]).float()
            features = torch.cat([rows.features, people.features[pair.flatten()]])
            textures, shape = normalised(textures), rows.shape
            if k % 2:
                textures, features = mirrored(head, textures, features)
                shape = shape * sign
            features = features + 0.05 * torch.randn(features.shape, generator=generator)
            found = network(augmented(textures, generator), features)
            error, (one, other) = found[: len(shape)] - shape, found[len(shape) :].chunk(2)
            trait = torch.stack([one, other]) @ female
            losses = torch.stack(
                [
                    (error @ metric).square().sum(1).mean() + 0.02 * error.square().sum(1).mean(),
                    options.same_person * ((one - other) @ metric).square().sum(1).mean(),
                    options.look * (trait - TRAIT_SPREAD * people.look[pair]).square().mean(),
                ]
            )
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            schedule.step()
            total += losses.detach()
        _log.info(
            "epoch %d of %d: losses %s", epoch + 1, options.epochs, [round(x, 3) for x in (total / steps).tolist()]
        )
    return network.eval()


def rms_mm(head: HeadModel, error: Tensor) -> float:
    """Return the root mean square distance of faces in millimetres of errors of coefficients (N, S)."""
    return float((error @ mesh_metric(head)).square().sum(1).mean().sqrt())


def main(options: Options) -> None:
    """Render, detect, train, measure and save."""
    head = load_head()
    looks, renders = macro_regression(head), DetectedRenders(head, options.folder)
    data = rendered_examples(renders, looks, options.people, options.seed, options.random_heads, options.random_seed)
    people = people_in_photos(renders, options.photos, options.real_people, options.real_seed)
    test, rest = data[: options.held_out], data[options.held_out :]
    network = train(head, rest, people, looks.weights[:, TRAITS.index("female")], options)
    facts = (
        "seed",
        "epochs",
        "rate",
        "decay",
        "ridge",
        "same_person",
        "look",
        "random_seed",
        "real_people",
        "real_seed",
    )
    meta = {name: str(getattr(options, name)) for name in facts}
    meta |= {"pictures": str(len(rest)), "photos": str(len(people.person)), "commit": commit()}
    made = IdentityNetwork(network, torch.eye(head.n_shape), window_layout(head), head.data.content_id, meta)
    parts = (test[k : k + 64] for k in range(0, len(test), 64))
    error = torch.cat([made.predict(head, each.textures.float(), each.features) for each in parts]) - test.shape
    save_identity_network(replace(made, covariance=error.T @ error / len(error)), options.out)
    _log.info(
        "%s: %.2f mm on held-out people, the mean head %.2f mm",
        options.out,
        rms_mm(head, error),
        rms_mm(head, test.shape),
    )


if __name__ == "__main__":
    run_recipe(Options, main)
