"""Expression retargeting: coefficients of any head to the 52 ARKit weights and back.

The deformation of a head (expression, jaw, eyelids and gaze, relative to the neutral face of the same person) is
explained by the deformations of the open head's 52 blendshapes at corresponding points of the face
(`smirk3d.head.retargeting.correspondence`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from smirk3d.geometry.bounded_least_squares import bounded_lstsq
from smirk3d.head.arkit import ARKIT_NAMES, resolve_antagonists
from smirk3d.head.data import HeadData
from smirk3d.head.load import load_open_head
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.coefficient_solver import INDEPENDENT_PATCHES, CoefficientSolver
from smirk3d.head.retargeting.correspondence import Correspondence, register_surfaces
from smirk3d.head.retargeting.deformation import DeformationFeatures
from smirk3d.params import FaceParams

MAX_DISTANCE_M = 0.012
"""Vertices farther than this from the registered open head are not compared, metres."""
RIDGE_MM2 = 1e-6
"""Ridge that keeps blendshapes without any effect on the head at zero, mm²."""
L1_PENALTY = 4.0
"""L1 penalty on the weights: exponential prior with a mean of 1 / L1_PENALTY."""
RARE = ("jawForward", "jawLeft", "jawRight")
RARE_PENALTY = 20.0
"""The jaw seldom slides, and a jaw that turns otherwise than the open head's must not be taken for one that does: the
factor on the penalty of these weights."""
SOLVER_VERTICES = 800
"""Approximate number of vertices from which a head's own coefficients are solved."""
FRAMES_PER_CHUNK = 512
"""Frames that are processed at a time, which bounds the memory."""


@dataclass(frozen=True)
class ArkitResult:
    """ARKit weights of B frames and their residuals.

    Attributes:
        weights: (B, 52) in [0, 1], Apple's order.
        residual_mm: (B,) root mean square over the face of the deformation that the weights do not explain.
        size_mm: (B,) root mean square of the deformation itself.
    """

    weights: Tensor
    residual_mm: Tensor
    size_mm: Tensor


@cache_per_head
def find_retargeter(head: HeadModel) -> Retargeter | None:
    """Return the retargeter of a head, built once; None where the head's expression coefficients are the ARKit
    weights."""
    return None if head.expression_names == ARKIT_NAMES else Retargeter(head)


class Retargeter:
    """Retargets expressions between a head and the 52 ARKit blendshapes of the open head; computes on the CPU.

    Args:
        head: Any head with "mediapipe" landmarks.
        reference: A head whose expression coefficients are the ARKit weights, the packaged open head by default.

    Raises:
        Smirk3dError: A head has no landmarks.
        ValueError: The reference's expression coefficients are not the ARKit weights.
    """

    def __init__(self, head: HeadModel, reference: HeadModel | None = None) -> None:
        reference = load_open_head() if reference is None else reference
        if reference.expression_names != ARKIT_NAMES:
            raise ValueError(
                f"head {reference.data.name!r} is no reference: its expressions are not the ARKit blendshapes"
            )
        correspondence = register_surfaces(reference.data, head.data)
        index = torch.nonzero(_compared_vertices(head.data) & (correspondence.distance_m < MAX_DISTANCE_M))[:, 0]
        self._gaze = _transferred_gaze(reference.data, correspondence)
        self._deformation = DeformationFeatures(_linear(head), index)
        self._solver = None
        if head.expression_names != ARKIT_NAMES:
            thinned = index[:: max(1, len(index) // SOLVER_VERTICES)]
            deformation = DeformationFeatures(head, thinned)
            offsets = correspondence.transfer(reference.data.expressiondirs.permute(2, 0, 1), reference.data.faces)
            self._solver = CoefficientSolver(deformation, deformation.features(offsets[:, thinned], self._gaze))
        # A head may reproduce a blendshape only in part. Its own reproduction is the basis, so that the missing part is
        # not held against the blendshape.
        basis = self._deformation(self.from_arkit(torch.eye(len(ARKIT_NAMES)))).double()
        self._basis = basis
        self._gram = basis @ basis.T + RIDGE_MM2 * torch.eye(len(basis), dtype=basis.dtype)

    @torch.no_grad()
    def to_arkit(self, params: FaceParams) -> ArkitResult:
        """Return the ARKit weights of B frames.

        Bounded least squares on the deformation with an L1 penalty that grows with the residual: weights are recovered
        exactly where they explain the deformation exactly, and are sparse where they do not.

        Args:
            params: Fields (B, ...), or (...) for all frames. Pose, neck and camera are ignored; the shape matters only
                through the jaw joint.

        Returns:
            Weights (B, 52) and residuals (B,), on the device of the parameters.
        """
        device = next((value.device for _, value in params.items()), torch.device("cpu"))
        parts = [self._solve_weights(part) for part in _chunks(params.to("cpu"))]
        concatenated = (torch.cat([getattr(part, f.name) for part in parts]).to(device) for f in fields(ArkitResult))
        return ArkitResult(*concatenated)

    def _solve_weights(self, params: FaceParams) -> ArkitResult:
        features = self._deformation(params).double()
        rhs = features @ self._basis.T
        # A first solution without the penalty estimates the variance of what the blendshapes cannot explain. Scaled by
        # it, the L1 term is the negative logarithm of an exponential prior beside a Gaussian likelihood.
        initial = bounded_lstsq(self._gram, rhs, polish=False)
        noise_mm2 = (features - initial @ self._basis).square().sum(1, keepdim=True)
        penalty = noise_mm2 / INDEPENDENT_PATCHES * _penalties()
        weights = resolve_antagonists(bounded_lstsq(self._gram, rhs - penalty))
        residual_mm = (features - weights @ self._basis).norm(dim=1)
        return ArkitResult(weights.float(), residual_mm.float(), features.norm(dim=1).float())

    @torch.no_grad()
    def from_arkit(self, weights: Tensor, shape: Tensor | None = None) -> FaceParams:
        """Return the head's own coefficients for ARKit weights.

        Args:
            weights: (B, 52) in [0, 1].
            shape: (S,) or (B, S) identity coefficients, passed on unchanged.

        Returns:
            `expression`, and `jaw`, `eyelids` and `eyes` where the head has them, fields (B, ...) on the device of the
            weights.
        """
        if self._solver is None:
            return FaceParams(shape=shape, expression=weights)
        on_cpu = weights.to("cpu", torch.float32)
        solved = [self._solver(part) for part in on_cpu.split(FRAMES_PER_CHUNK)]
        coefficients = {name: torch.cat([part[name] for part in solved]) for name in solved[0]}
        coefficients["eyes"] = torch.einsum("be,ejk->bjk", on_cpu, self._gaze).flatten(1)
        return FaceParams(**coefficients).to(weights.device).replace(shape=shape)


def _penalties() -> Tensor:
    """Return the L1 penalties (52,) of the weights."""
    factors = [RARE_PENALTY if name in RARE else 1.0 for name in ARKIT_NAMES]
    return L1_PENALTY * torch.tensor(factors, dtype=torch.float64)


def _linear(head: HeadModel) -> HeadModel:
    """Return a head without contact of lids and lips: the least squares add blendshapes up."""
    data = replace(head.data, lid_closure=None, contacts=None)
    return HeadModel(data, head.n_shape, head.n_expression)


def _compared_vertices(data: HeadData) -> Tensor:
    """Return the (V,) bool mask of the vertices whose deformation is compared: the face and the tongue."""
    everything = torch.ones(len(data.v_template), dtype=torch.bool)
    eyeballs = data.regions.get("eyeballs", ~everything)
    face = data.regions.get("face", everything)
    return (face & ~eyeballs) | data.regions.get("tongue", ~everything)


def _transferred_gaze(reference: HeadData, correspondence: Correspondence) -> Tensor:
    """Return (52, 2, 3), the rotation vectors by which the blendshapes rotate each eye, in the frame of the other
    head."""
    # The rotation of the alignment, without its scale: rotation vectors rotate with the frame.
    rotmat = correspondence.linear / torch.det(correspondence.linear) ** (1 / 3)
    return reference.expression_rotvec[:, 3:] @ rotmat.T


def _chunks(params: FaceParams) -> Iterator[FaceParams]:
    """Yield parameters (B, ...) in chunks of frames."""
    (count,) = params.batch_shape
    expanded = {name: value.expand(count, -1) for name, value in params.items()}
    for start in range(0, count, FRAMES_PER_CHUNK):
        yield FaceParams(**{name: value[start : start + FRAMES_PER_CHUNK] for name, value in expanded.items()})
