"""Seconds of a training step of the stage core, and of its parts: 4 faces of 224 × 224 pixels on the CPU.

The default networks: three backbones, a neural renderer of width 32, the perceptual loss of lite0. Run with
OMP_NUM_THREADS set to the number of threads to measure, and with OMP_WAIT_POLICY=PASSIVE. Weights and pictures are
random, which costs the same time. On a machine that does other work too, half of the CPU seconds of two threads is
what the wall clock would show without it.

Usage: python benchmarks/training_step.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

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
Parts = dict[str, Callable[[], object]]


def random_batch(head: HeadModel) -> TrainingBatch:
    """Return noise as photos, with the landmarks of faces that fill them."""
    params = FaceParams(shape=torch.randn(FACES, head.n_shape), camera=torch.tensor([[7.0, 0.0, 0.0]] * FACES))
    points = project_orthographic(head(params).landmarks("mediapipe"), torch.tensor([[7.0, 0.0, 0.0]] * FACES))
    return TrainingBatch(
        image=torch.rand(FACES, 3, SIZE_PX, SIZE_PX),
        landmarks_ndc=points[..., :2],
        landmark_weight=torch.ones(FACES, points.shape[1]),
        person=torch.arange(FACES),
        target=None,
        target_weight=torch.zeros(FACES),
        contour_ndc=torch.zeros(FACES, 17, 2),
        contour_weight=torch.zeros(FACES),
    )


def parts(networks: Networks, context: LossContext, batch: TrainingBatch) -> Parts:
    """Return the steps and their parts; those of the neural renderer and the perceptual loss include the gradient."""
    random, generator = torch.Generator().manual_seed(0), networks.neural_renderer
    assert generator is not None and context.perceptual is not None
    features = context.perceptual
    first = reconstruction_step(networks, context, batch, random)
    params = FaceParams(**{name: value.detach() for name, value in first.params.items()})
    assert params.camera is not None
    drawn = render_heads(context.head(params), params.camera, SIZE_PX)
    masked = mask_photos(batch, context.head, drawn, context.masking, random).image
    painted = first.images["neural_rendering"].clone().requires_grad_()
    return {
        "first path": lambda: reconstruction_step(networks, context, batch, random).loss.backward(),
        "cycle path, encoder": lambda: cycle_step(networks, context, batch, first, "encoder", random).loss.backward(),
        "cycle path, generator": lambda: cycle_step(
            networks, context, batch, first, "neural_renderer", random
        ).loss.backward(),
        "  encoder, forward": lambda: networks.encoder(batch.image),
        "  render": lambda: render_heads(context.head(params), params.camera, SIZE_PX),  # type: ignore[arg-type]
        "  mask": lambda: mask_photos(batch, context.head, drawn, context.masking, random),
        "  generator": lambda: generator(drawn.image, masked).mean().backward(),
        "  perceptual": lambda: perceptual_loss(features, painted, batch.image).mean().backward(),
    }


def main(rounds: int = 3) -> None:
    """Print medians; the parts alternate, so that a change of the machine's load affects all of them."""
    torch.manual_seed(0)
    head = load_head("open")
    stage = StageConfig("core", ("expression", "neural_renderer"), LOSSES, steps=1, cycle=CycleConfig())
    config = TrainConfig(data=DataConfig(root=Path("faces"), batch_size=FACES), stage=stage)
    networks = build_networks(config, head.spec)
    for network in (networks.encoder, networks.neural_renderer):
        assert network is not None
        network.train()
    work = parts(networks, LossContext.from_config(config, head, "cpu"), random_batch(head))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, part in work.items():
            start = time.perf_counter(), time.process_time()
            part()
            seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    medians = {name: [statistics.median(kind) for kind in zip(*values)] for name, values in seconds.items()}
    cycles = medians["cycle path, encoder"], medians["cycle path, generator"]
    medians["step, both paths"] = [path + (one + other) / 2 for path, one, other in zip(medians["first path"], *cycles)]
    print(f"{'part':24} {'wall s':>8} {'CPU s':>8}   {torch.get_num_threads()} threads, {FACES} faces")
    for name, (wall, cpu) in medians.items():
        print(f"{name:24} {wall:8.3f} {cpu:8.3f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
