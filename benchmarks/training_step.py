"""Seconds of a training step of the stage core (2), and of its parts, on the CPU: 4 faces of 224 × 224 pixels.

The default networks: three backbones, a neural renderer of width 32, the perceptual loss of lite0. Run with
OMP_NUM_THREADS set to the number of threads to measure, and with OMP_WAIT_POLICY=PASSIVE. Weights and pictures are
random, which costs the same time. On a machine that does other work too, half of the CPU seconds of two threads is
what the wall clock would show without it.

Usage: python benchmarks/training_step.py [ROUNDS]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from timing import Cost, Row, alternate, median, rows

from smirk3d.authoring.load import load_head
from smirk3d.datasets.config import DataConfig
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.train.config import StageConfig, TrainConfig
from smirk3d.train.initialization import build_networks
from smirk3d.train.loss_config import CycleConfig, LossWeights
from smirk3d.train.loss_context import LossContext
from smirk3d.train.losses.perceptual import perceptual_loss
from smirk3d.train.networks import Networks
from smirk3d.train.recipes.analysis_by_synthesis import cycle_step, reconstruction_step
from smirk3d.train.recipes.neural_synthesis_inputs import mask_photos, render_heads

FACES, SIZE_PX = 4, 224
LOSSES = LossWeights(landmark=100, photo=10, perceptual=10, expression=1e-3)
FIRST, CYCLES = "first path", ("cycle path, encoder", "cycle path, generator")
Parts = dict[str, Callable[[], object]]


def random_batch(head: HeadModel, faces: int, size_px: int) -> TrainingBatch:
    """Return noise as photos, with the landmarks of faces that fill them."""
    camera = torch.tensor([[7.0, 0.0, 0.0]] * faces)
    params = FaceParams(shape=torch.randn(faces, head.n_shape), camera=camera)
    points = project_orthographic(head(params).landmarks("mediapipe"), camera)
    return TrainingBatch(
        image=torch.rand(faces, 3, size_px, size_px),
        landmarks_ndc=points[..., :2],
        landmark_weight=torch.ones(faces, points.shape[1]),
        person=torch.arange(faces),
        target=None,
        target_weight=torch.zeros(faces),
        contour_ndc=torch.zeros(faces, 17, 2),
        contour_weight=torch.zeros(faces),
    )


def parts(networks: Networks, context: LossContext, batch: TrainingBatch) -> Parts:
    """Return the steps and their parts; those of the neural renderer and the perceptual loss include the gradient."""
    random, generator = torch.Generator().manual_seed(0), networks.neural_renderer
    assert generator is not None and context.perceptual is not None
    features, size_px = context.perceptual, batch.image.shape[-1]
    first = reconstruction_step(networks, context, batch, random)
    params = FaceParams(**{name: value.detach() for name, value in first.params.items()})
    assert params.camera is not None
    drawn = render_heads(context.head(params), params.camera, size_px)
    masked = mask_photos(batch, context.head, drawn, context.masking, random).image
    painted = first.images["neural_rendering"].clone().requires_grad_()
    return {
        "first path": lambda: reconstruction_step(networks, context, batch, random).loss.backward(),
        "cycle path, encoder": lambda: cycle_step(networks, context, batch, first, "encoder", random).loss.backward(),
        "cycle path, generator": lambda: cycle_step(
            networks, context, batch, first, "neural_renderer", random
        ).loss.backward(),
        "  encoder, forward": lambda: networks.encoder(batch.image),
        "  render": lambda: render_heads(context.head(params), params.camera, size_px),  # type: ignore[arg-type]
        "  mask": lambda: mask_photos(batch, context.head, drawn, context.masking, random),
        "  generator": lambda: generator(drawn.image, masked).mean().backward(),
        "  perceptual": lambda: perceptual_loss(features, painted, batch.image).mean().backward(),
    }


def stage_parts(faces: int = FACES, size_px: int = SIZE_PX) -> Parts:
    """Return the steps and their parts with the default networks and random faces."""
    torch.manual_seed(0)
    head = load_head("open")
    stage = StageConfig("core", ("expression", "neural_renderer"), LOSSES, steps=1, cycle=CycleConfig())
    config = TrainConfig(data=DataConfig(root=Path("faces"), batch_size=faces), stage=stage)
    networks = build_networks(config, head.spec)
    for network in (networks.encoder, networks.neural_renderer):
        assert network is not None
        network.train()
    return parts(networks, LossContext.from_config(config, head, "cpu"), random_batch(head, faces, size_px))


def compare(faces: int = 8, size_px: int = 128) -> list[Row]:
    """Return a row for one step, which has no peer; both kinds of the cycle path alternate in training."""
    work = stage_parts(faces, size_px)
    costs = alternate({name: work[name] for name in (FIRST, *CYCLES)}, rounds=3)
    steps = [step_cost(*each) for each in zip(*costs.values(), strict=True)]
    return rows({f"training step of stage 2, {faces} × {size_px}²": steps})


def step_cost(first: Cost, one: Cost, other: Cost) -> Cost:
    """Return the cost of a step: the first path, and one of the two kinds of the cycle path in turn."""
    return Cost(first.wall_ms + (one.wall_ms + other.wall_ms) / 2, first.cpu_ms + (one.cpu_ms + other.cpu_ms) / 2)


def main(rounds: int = 3) -> None:
    """Print medians; the parts alternate, so that a change of the machine's load affects all of them."""
    medians = {name: median(each) for name, each in alternate(stage_parts(), rounds, warm_up=0).items()}
    medians["step, both paths"] = step_cost(*(medians[name] for name in (FIRST, *CYCLES)))
    print(f"{'part':24} {'wall s':>8} {'CPU s':>8}   {torch.get_num_threads()} threads, {FACES} faces")
    for name, cost in medians.items():
        print(f"{name:24} {cost.wall_ms / 1e3:8.3f} {cost.cpu_ms / 1e3:8.3f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
