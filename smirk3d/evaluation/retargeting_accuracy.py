"""Accuracy and speed of retargeting between ARKit weights and a head model such as FLAME.

Where the correspondence of the head's surface with the open head is known (`MODEL.correspondence.npz`, which
tests/fixtures/flame_layout.py writes for its test model), coefficients are also fitted to the true deformed surfaces,
as a tracker would have estimated them, and retargeted without knowledge of how they came about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import printable
from smirk3d.authoring.load import load_head
from smirk3d.bounded_io import read_npz
from smirk3d.errors import Smirk3dError
from smirk3d.evaluation.data import EvaluationData
from smirk3d.evaluation.method_under_test import MethodUnderTest
from smirk3d.evaluation.result import Figure, Result, values_of
from smirk3d.head.arkit import ARKIT_NAMES, resolve_antagonists
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.coefficient_solver import CoefficientSolver
from smirk3d.head.retargeting.deformation import DeformationFeatures
from smirk3d.head.retargeting.retargeter import ArkitResult, Retargeter
from smirk3d.params import FaceParams

MAX_EXPRESSIONS, TIMED_FRAMES = 500, 10_000
ACTIVITY = 0.12
"""Share of the blendshapes that are active in a random expression."""
FIGURES = (
    Figure("mean_error", better="lower"),
    Figure("active_error", better="lower"),
    Figure("inactive_error", better="lower"),
    Figure("residual_mm", "mm", "lower"),
    Figure("deformation_mm", "mm"),
    Figure("max_error", better="lower"),
    Figure("to_arkit_s", "s", "lower"),
    Figure("from_arkit_s", "s", "lower"),
)


@dataclass(frozen=True, eq=False)
class SurfaceCorrespondence:
    """Which point of the open head each of V vertices of another head lies on.

    Attributes:
        face_index: (V,) int, triangle of the open head.
        barycentric: (V, 3) weights of its corners, sum 1.
        shape: (S,) identity coefficients of the open head that make it this person.
    """

    face_index: np.ndarray
    barycentric: np.ndarray
    shape: np.ndarray

    @staticmethod
    def path_of(head: Path) -> Path:
        """Return where the correspondence of a head file is expected."""
        return head.with_suffix(".correspondence.npz")

    @staticmethod
    def read(path: Path) -> SurfaceCorrespondence:
        """Read a correspondence.

        Raises:
            Smirk3dError: The file cannot be read, or lacks an array.
        """
        try:
            data = read_npz(path)
            return SurfaceCorrespondence(data["face_index"], data["barycentric"], data["shape"])
        except (OSError, ValueError, KeyError) as error:
            raise Smirk3dError(f"{printable(path)}: unreadable ({type(error).__name__}); make it again") from error


class RetargetingMeasure:
    """Round trip ARKit -> head -> ARKit, retargeting of tracked coefficients, the open head by itself, and speed."""

    name = "retargeting"
    summary = "error of ARKit weights retargeted to another head model and back"
    needs = frozenset({"head"})
    figures = FIGURES
    is_default = False

    def run(self, method: MethodUnderTest, data: EvaluationData) -> Iterator[Result]:
        """Yield the round trip, tracked coefficients where the correspondence is known, the open head, and speed."""
        open_head = load_head()
        # Without its metadata a head has no cached retargeter, and is treated as a user's bare file.
        head = HeadModel(replace(data.head.data, meta={}))
        retargeter = Retargeter(head, open_head)
        count, seed = min(data.options.count, MAX_EXPRESSIONS), data.options.seed
        weights = random_weights(count, seed)
        yield error_result("round_trip", weights, retargeter.to_arkit(retargeter.from_arkit(weights)))
        path = SurfaceCorrespondence.path_of(Path(str(data.options.head)))
        if path.is_file():
            tracked = tracked_coefficients(SurfaceCorrespondence.read(path), head, open_head, weights)
            yield error_result("tracked", weights, retargeter.to_arkit(tracked))
        own = Retargeter(open_head, open_head).to_arkit(FaceParams(expression=weights))
        yield error_result("open_head", weights, own)
        yield speed_result(retargeter, TIMED_FRAMES, seed)


def random_weights(count: int, seed: int) -> torch.Tensor:
    """Return sparse random weights, without antagonists and without the tongue.

    Args:
        count: Number of expressions.
        seed: Of the random numbers.

    Returns:
        (count, 52) float32 in [0, 1].
    """
    generator = torch.Generator().manual_seed(seed)
    is_active = torch.rand(count, len(ARKIT_NAMES), generator=generator) < ACTIVITY
    weights = resolve_antagonists(torch.rand(is_active.shape, generator=generator) * is_active)
    weights[:, ARKIT_NAMES.index("tongueOut")] = 0.0  # FLAME has no tongue
    return weights


def tracked_coefficients(
    correspondence: SurfaceCorrespondence, head: HeadModel, open_head: HeadModel, weights: torch.Tensor
) -> FaceParams:
    """Return coefficients of a head fitted to the surfaces that the open head's blendshapes truly make of it.

    Args:
        correspondence: Of the head's surface with the open head.
        head: The head with V vertices.
        open_head: The open head.
        weights: (N, 52) ARKit weights.

    Returns:
        Expression coefficients, and rotations of jaw and eyes, fields (N, ...).
    """
    corners = open_head.data.faces[torch.from_numpy(correspondence.face_index)]
    barycentric = torch.from_numpy(correspondence.barycentric).float()
    # Both heads show the same person, so that the ratio of their extents is the scale between them.
    extent = np.linalg.norm(np.ptp(head.v_template.double().numpy(), axis=0))
    scale = extent / np.linalg.norm(np.ptp(_open_surface(correspondence, open_head), axis=0))
    offsets = torch.einsum("vcke,vc->evk", open_head.data.expressiondirs[corners], barycentric) * float(scale)
    skin = torch.nonzero(head.region_mask("face") & ~head.region_mask("eyeballs"))[:, 0]
    deformation, gaze = DeformationFeatures(head, skin), open_head.data.expression_rotvec[:, 3:]
    solver = CoefficientSolver(deformation, deformation.features(offsets[:, skin], gaze))
    eyes = torch.einsum("be,ejk->bjk", weights, gaze).flatten(1)
    return FaceParams(**solver(weights), eyes=eyes)


def _open_surface(correspondence: SurfaceCorrespondence, open_head: HeadModel) -> np.ndarray:
    """Return the points (V, 3) of the open head, as the same person, on which the vertices lie."""
    vertices = open_head.shaped(torch.from_numpy(correspondence.shape).float()).vertices.numpy()
    corners = vertices[open_head.data.faces.numpy()[correspondence.face_index]]
    return (corners * correspondence.barycentric[..., None]).sum(1)


def error_result(method: str, weights: torch.Tensor, found: ArkitResult) -> Result:
    """Compare retargeted weights with the true ones.

    Args:
        method: Name of the way, for the result.
        weights: (N, 52) true ARKit weights.
        found: Retargeted weights and residuals of the N expressions.
    """
    error = (found.weights - weights).abs()
    is_active = weights > 0
    numbers = {
        "mean_error": float(error.mean()),
        "active_error": float(error[is_active].mean()),
        "inactive_error": float(error[~is_active].mean()),
        "residual_mm": float(found.residual_mm.mean()),
        "deformation_mm": float(found.size_mm.mean()),
        "max_error": float(error.max()),
    }
    columns = {"error": error.mean(0).numpy()}
    return Result("retargeting", method, len(weights), values_of(FIGURES, numbers), columns)


def speed_result(retargeter: Retargeter, n_frames: int, seed: int) -> Result:
    """Time a long sequence of frames in both directions.

    Args:
        retargeter: Between the open head and another one.
        n_frames: Length of the sequence.
        seed: Of the expressions.
    """
    weights = random_weights(n_frames, seed + 1)
    sequence = retargeter.from_arkit(weights)
    numbers = {
        "to_arkit_s": _seconds(lambda: retargeter.to_arkit(sequence)),
        "from_arkit_s": _seconds(lambda: retargeter.from_arkit(weights)),
    }
    return Result("retargeting", "speed", n_frames, values_of(FIGURES, numbers))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
