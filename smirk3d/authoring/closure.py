"""How well lids and lips of one person close."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.authoring.face_points import FacePointFinder, first_hits
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

GRID_M = 0.0005
"""Distance of the rays that see the eyeball, metres."""
RAYS_PER_CHUNK = 400


@dataclass(frozen=True)
class Closure:
    """Gaps of one person.

    Attributes:
        lid_gap: Gap of the left lids at eyeBlink 1 in the middle of the eye, as a fraction of the open gap; negative
            where they overlap.
        visible_at_1: Area of the left eyeball that is seen from the front at eyeBlink 1, as a fraction of that of the
            open eye.
        visible_at_half: The same at eyeBlink 0.5.
        lip_gap: Gap of the neutral lips in the middle, in eye distances.
        closed_mouth_gap: The same at jawOpen 0.7 and mouthClose 0.7.
        squint_overlap: Largest overlap of the lids at eyeBlink 1 with eyeSquint or eyeLookDown 1, as a fraction of the
            open gap.
    """

    lid_gap: float
    visible_at_1: float
    visible_at_half: float
    lip_gap: float
    closed_mouth_gap: float
    squint_overlap: float


def measure_closure(head: HeadModel, shape: Tensor | None = None) -> Closure:
    """Measure one person.

    Args:
        head: A head with the ARKit blendshapes and the regions of the open head.
        shape: (S,) identity coefficients, None for the mean head.
    """
    points = FacePointFinder(head, shape).find()

    def vertices(**weights: float) -> Tensor:
        expression = torch.zeros(len(ARKIT_NAMES))
        for name, weight in weights.items():
            expression[ARKIT_NAMES.index(name)] = weight
        return head(FaceParams(shape=shape, expression=expression)).vertices

    def gap(part: str, mesh: Tensor) -> float:
        where = points.of(mesh)
        return float((where[f"{part}_upper"] - where[f"{part}_lower"])[1])

    neutral = vertices()
    open_gap, open_area = gap("left_lid", neutral), _visible_rays(head, neutral)
    with_others = (
        vertices(eyeBlinkLeft=1.0, eyeSquintLeft=1.0),
        vertices(eyeBlinkLeft=1.0, eyeLookDownLeft=1.0),
    )
    return Closure(
        lid_gap=gap("left_lid", vertices(eyeBlinkLeft=1.0)) / open_gap,
        visible_at_1=_visible_rays(head, vertices(eyeBlinkLeft=1.0)) / open_area,
        visible_at_half=_visible_rays(head, vertices(eyeBlinkLeft=0.5)) / open_area,
        lip_gap=gap("lip", neutral) / points.unit_m,
        closed_mouth_gap=gap("lip", vertices(jawOpen=0.7, mouthClose=0.7)) / points.unit_m,
        squint_overlap=max(-gap("left_lid", each) / open_gap for each in with_others),
    )


def _visible_rays(head: HeadModel, vertices: Tensor) -> int:
    """Return how many rays of a grid from the front meet the left eyeball first."""
    inside = (head.region_mask("left_eyeball") | head.region_mask("eye_sockets"))[head.faces].all(1)
    eyeball = vertices[head.region_mask("left_eyeball"), :2]
    low, high = eyeball.min(0).values, eyeball.max(0).values
    axes = [torch.arange(float(start), float(stop), GRID_M) for start, stop in zip(low, high, strict=True)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)
    count = 0
    for rays in grid.split(RAYS_PER_CHUNK):
        hit = first_hits(vertices, head.faces, rays).face
        count += int((inside[hit.clamp_min(0)] & (hit >= 0)).sum())
    return count
