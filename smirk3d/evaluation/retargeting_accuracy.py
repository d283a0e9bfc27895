"""Measure how well expressions survive the way between the ARKit weights and a head of FLAME's layout.

    python smirk3d/evaluation/retargeting_accuracy.py

The head is the test model of `flame_layout.py`, completed with automatic landmarks as a user's bare file is. Prints,
for each action and over all, the mean absolute error of ARKit -> head -> ARKit, and of reading coefficients that were
fitted to the true deformed surface, as a tracker would have found them, without knowing how the head is read. Then
the largest error of the open head read by itself, and the time for a long sequence.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from flame_layout import FlameLayout, write_flame_layout

from smirk3d import FaceParams, load_head
from smirk3d.authoring.flame_completion import transfer_annotations
from smirk3d.detection.detector import Detector
from smirk3d.head.arkit import ARKIT_NAMES, resolve_antagonists
from smirk3d.head.flame.loader import read_flame
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.coefficient_solver import CoefficientSolver
from smirk3d.head.retargeting.deformation import DeformationFeatures
from smirk3d.head.retargeting.retargeter import ArkitResult, Retargeter


@dataclass(frozen=True)
class Options:
    """What is measured."""

    count: int = 500
    """Random expressions."""
    activity: float = 0.12
    """Share of the actions that take part in each."""
    frames: int = 10_000
    """Length of the sequence that is timed."""
    jaw: bool = True
    """A head with a jaw joint; without, the jaw is part of the expression."""
    seed: int = 0


def random_weights(count: int, activity: float, seed: int) -> torch.Tensor:
    """Return weights (count, 52), sparse, without opposites and without the tongue, which FLAME lacks."""
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(count, len(ARKIT_NAMES), generator=generator) < activity
    weights = resolve_antagonists(torch.rand(active.shape, generator=generator) * active)
    weights[:, ARKIT_NAMES.index("tongueOut")] = 0.0
    return weights


def tracked(layout: FlameLayout, head: HeadModel, reference: HeadModel, weights: torch.Tensor) -> FaceParams:
    """Return coefficients fitted to the surfaces that the open head's actions truly make of this head."""
    corners = reference.data.faces[torch.from_numpy(layout.open_face_index)]
    share = torch.from_numpy(layout.open_barycentric).float()
    scale = np.linalg.norm(np.ptp(layout.v_template, axis=0)) / np.linalg.norm(
        np.ptp(_carried(layout, reference), axis=0)
    )
    offsets = torch.einsum("vcke,vc->evk", reference.data.expressiondirs[corners], share) * float(scale)
    skin = torch.nonzero(head.region_mask("face") & ~head.region_mask("eyeballs"))[:, 0]
    deformation, gaze = DeformationFeatures(head, skin), reference.data.expression_rotvec[:, 3:]
    solver = CoefficientSolver(deformation, deformation.features(offsets[:, skin], gaze))
    eyes = torch.einsum("be,ejk->bjk", weights, gaze).flatten(1)
    return FaceParams(**solver(weights), eyes=eyes)


def _carried(layout: FlameLayout, reference: HeadModel) -> np.ndarray:
    shape = torch.from_numpy(layout.open_shape).float()
    person = reference.shaped(shape).vertices.numpy()
    corners = person[reference.data.faces.numpy()[layout.open_face_index]]
    return (corners * layout.open_barycentric[..., None]).sum(1)


def report(title: str, weights: torch.Tensor, found: ArkitResult) -> np.ndarray:
    """Print the errors over all actions; return those of each action (52,)."""
    error = (found.weights - weights).abs()
    active = weights > 0
    print(
        f"{title}: mean absolute error {error.mean():.4f} (active {error[active].mean():.4f}, inactive "
        f"{error[~active].mean():.4f}); unexplained {found.residual_mm.mean():.3f} of {found.size_mm.mean():.2f} mm"
    )
    return error.mean(0).numpy()


def main(options: Options) -> None:
    """Print the figures."""
    reference = load_head()
    with tempfile.TemporaryDirectory() as folder, Detector(max_faces=1) as detector:
        path = Path(folder) / "model.pkl"
        layout = write_flame_layout(path, chumpy=False, jaw=options.jaw)
        data = transfer_annotations(read_flame(path), detector)
    head = HeadModel(replace(data, meta={}))
    retargeter = Retargeter(head, reference)
    weights = random_weights(options.count, options.activity, options.seed)
    there_and_back = report("ARKit -> head -> ARKit", weights, retargeter.to_arkit(retargeter.from_arkit(weights)))
    read = retargeter.to_arkit(tracked(layout, head, reference, weights))
    independent = report("true surface -> tracked coefficients -> ARKit", weights, read)
    for name, back, tracker in zip(ARKIT_NAMES, there_and_back, independent):
        print(f"  {name:<20} {back:.4f}  {tracker:.4f}")
    own = Retargeter(reference, reference).to_arkit(FaceParams(expression=weights)).weights
    print(f"open head read by itself: largest error {(own - weights).abs().max():.5f}")
    sequence = retargeter.from_arkit(random_weights(options.frames, options.activity, options.seed + 1))
    for title, work in (
        ("to ARKit", lambda: retargeter.to_arkit(sequence)),
        ("from ARKit", lambda: retargeter.from_arkit(weights[torch.arange(options.frames) % len(weights)])),
    ):
        start = time.perf_counter()
        work()
        print(f"{options.frames} frames {title}: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main(tyro.cli(Options))
