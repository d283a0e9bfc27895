"""Expressions of any head as the 52 ARKit weights, and back.

A head's deformation (expression, jaw, eyelids and gaze, with the neutral face of the same person taken off) is
compared with what the open head's 52 actions do at the same places of the face
(`smirk3d.head.retargeting.correspondence`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

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
"""Places whose partner is farther away than this say nothing."""
RIDGE_MM2 = 1e-6
"""Keeps weights of actions at zero that show nowhere."""
L1_PENALTY = 4.0
"""Price of a weight of 1: exponential prior with a mean of one over this."""
SOLVER_VERTICES = 800
"""About how many vertices a head's own coefficients are found from."""
FRAMES_PER_CHUNK = 512
"""Frames that are worked on at a time, which bounds the memory."""


@dataclass(frozen=True)
class ArkitResult:
    """ARKit weights of B frames and what they leave unexplained.

    Attributes:
        weights: (B, 52) in [0, 1], Apple's order.
        residual_mm: (B,) root mean square over the face of the deformation that the weights do not reproduce.
        size_mm: (B,) root mean square of the deformation itself.
    """

    weights: Tensor
    residual_mm: Tensor
    size_mm: Tensor


@cache_per_head
def find_retargeter(head: HeadModel) -> Retargeter | None:
    """Return what carries ARKit weights over to a head, made once; None where its expressions are the ARKit actions."""
    return None if head.expression_names == ARKIT_NAMES else Retargeter(head)


class Retargeter:
    """Carries expressions between one head and the 52 ARKit actions of the open head; computes on the CPU.

    Args:
        head: any head with face landmarks. reference: the open head, which is loaded where none is given.

    Raises:
        Smirk3dError: a head has no landmarks.
        ValueError: the reference's expressions are not the ARKit actions.
    """

    def __init__(self, head: HeadModel, reference: HeadModel | None = None) -> None:
        reference = load_open_head() if reference is None else reference
        if reference.expression_names != ARKIT_NAMES:
            raise ValueError(f"head {reference.data.name!r} is no reference: its expressions are not the ARKit actions")
        link = register_surfaces(reference.data, head.data)
        index = torch.nonzero(_compared_vertices(head.data) & (link.distance_m < MAX_DISTANCE_M))[:, 0]
        self._gaze = _transferred_gaze(reference.data, link)
        self._deformation = DeformationFeatures(head, index)
        self._solver = None
        if head.expression_names != ARKIT_NAMES:
            thinned = index[:: max(1, len(index) // SOLVER_VERTICES)]
            deformation = DeformationFeatures(head, thinned)
            offsets = link.transfer(reference.data.expressiondirs.permute(2, 0, 1), reference.data.faces)[:, thinned]
            self._solver = CoefficientSolver(deformation, deformation.rows(offsets, self._gaze))
        # What a head cannot show of an action must not count against the action: compared is what it can.
        basis = self._deformation(self.from_arkit(torch.eye(len(ARKIT_NAMES)))).double()
        self._basis = basis
        self._gram = basis @ basis.T + RIDGE_MM2 * torch.eye(len(basis), dtype=basis.dtype)

    @torch.no_grad()
    def to_arkit(self, params: FaceParams) -> ArkitResult:
        """Return the ARKit weights of B frames.

        Bounded least squares on the deformation. The price on weights grows with what cannot be explained: where
        the actions reproduce a deformation exactly they are returned exactly, where they do not the few that matter.

        Args:
            params: fields (B, ...) or (...) for all frames; pose, neck and camera have no say, the shape only
                through the jaw joint.
        """
        device = next((value.device for _, value in params.items()), torch.device("cpu"))
        parts = [self._explain(part) for part in _chunks(params.to("cpu"))]
        joined = (torch.cat([getattr(part, f.name) for part in parts]).to(device) for f in fields(ArkitResult))
        return ArkitResult(*joined)

    def _explain(self, params: FaceParams) -> ArkitResult:
        rows = self._deformation(params).double()
        right = rows @ self._basis.T
        rough = bounded_lstsq(self._gram, right, polish=False)
        noise_mm2 = (rows - rough @ self._basis).square().sum(1, keepdim=True)
        weights = resolve_antagonists(bounded_lstsq(self._gram, right - L1_PENALTY * noise_mm2 / INDEPENDENT_PATCHES))
        residual_mm = (rows - weights @ self._basis).norm(dim=1)
        return ArkitResult(weights.float(), residual_mm.float(), rows.norm(dim=1).float())

    @torch.no_grad()
    def from_arkit(self, weights: Tensor, shape: Tensor | None = None) -> FaceParams:
        """Return the head's own expression, jaw, eyelids and eyes for ARKit weights.

        Args:
            weights: (B, 52) in [0, 1]. shape: (S,) or (B, S) is passed on.
        """
        if self._solver is None:
            return FaceParams(shape=shape, expression=weights)
        at_home = weights.to("cpu", torch.float32)
        solved = [self._solver(part) for part in at_home.split(FRAMES_PER_CHUNK)]
        found = {name: torch.cat([each[name] for each in solved]) for name in solved[0]}
        found["eyes"] = torch.einsum("be,ejk->bjk", at_home, self._gaze).flatten(1)
        return FaceParams(**found).to(weights.device).replace(shape=shape)


def _compared_vertices(data: HeadData) -> Tensor:
    """Return the (V,) bool mask of the vertices whose motion is compared: the face and the tongue."""
    everything = torch.ones(len(data.v_template), dtype=torch.bool)
    balls = data.regions.get("eyeballs", ~everything)
    face = data.regions.get("face", everything)
    return (face & ~balls) | data.regions.get("tongue", ~everything)


def _transferred_gaze(reference: HeadData, link: Correspondence) -> Tensor:
    """Return (52, 2, 3) how the actions turn the left and the right eye, in the other head's frame."""
    turn = link.linear / torch.det(link.linear) ** (1 / 3)
    return reference.expression_rotvec[:, 3:] @ turn.T


def _chunks(params: FaceParams) -> Iterator[FaceParams]:
    """Yield the frames of parameters (B, ...) some at a time."""
    (count,) = params.batch_shape
    whole = {name: value.expand(count, -1) for name, value in params.items()}
    for start in range(0, count, FRAMES_PER_CHUNK):
        yield FaceParams(**{name: value[start : start + FRAMES_PER_CHUNK] for name, value in whole.items()})
