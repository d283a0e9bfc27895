"""Material points of the face that are found by rays from the front: margins of lids and lips, corners, chin, brows.

They are found on the neutral head, and for the mouth on a slightly open one; amplitudes of expressions are their
motion. Lengths are in units of the distance between the middles of the two eye openings, so that heads of any size can
be compared.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

RAY_STEP_M = 0.0001
"""Distance of neighbouring rays, metres."""
LIP_SIDE = 0.17
"""Distance of the side points of the lips from the middle, in eye distances."""
BROW_HEIGHTS = {"brow_center": 0.34, "brow_in": 0.34, "brow_mid": 0.40, "brow_out": 0.34}
"""Height of the brow points above the eye line, in eye distances."""
FOREHEAD_HEIGHT = 0.62
"""Height of the points of the forehead above the brow points, in eye distances above the eye line."""
CHIN_WINDOW_M = (0.002, 0.03)
"""Where the profile of the chin begins above the lower end of the lips, and its length, metres."""
JAW_FOR_LIPS, JAW_FOR_CORNERS = 0.3, 0.5
"""Weights of jawOpen at which margins and corners of the lips are found."""


@dataclass(frozen=True)
class SurfacePoints:
    """P points fixed in triangles.

    Attributes:
        names: P names.
        corners: (P, 3) int64 vertex indices of their triangles.
        barycentric: (P, 3) coordinates with sum 1.
        unit_m: Distance between the middles of the eye openings, metres.
    """

    names: tuple[str, ...]
    corners: Tensor
    barycentric: Tensor
    unit_m: float

    def of(self, vertices: Tensor) -> dict[str, Tensor]:
        """Return the points (..., 3) in metres of vertices (..., V, 3)."""
        points = (vertices[..., self.corners, :] * self.barycentric[..., None]).sum(-2)
        return dict(zip(self.names, points.unbind(-2), strict=True))

    def matrix(self, names: tuple[str, ...], n_vertices: int) -> Tensor:
        """Return the (len(names), V) matrix that maps vertices to points."""
        rows = [self.names.index(name) for name in names]
        matrix = self.barycentric.new_zeros(len(names), n_vertices)
        return matrix.scatter_add(1, self.corners[rows], self.barycentric[rows])


@dataclass(frozen=True)
class _Hits:
    """First hits of R parallel rays from the front.

    Attributes:
        face: (R,) int64 row of the triangle, -1 where there is none.
        barycentric: (R, 3).
    """

    face: Tensor
    barycentric: Tensor


def first_hits(vertices: Tensor, faces: Tensor, origin_xy: Tensor) -> _Hits:
    """Intersect rays along -z with a mesh.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3) int64.
        origin_xy: (R, 2) places of the rays, metres.
    """
    corners = vertices[faces]
    low, high = origin_xy.min(0).values, origin_xy.max(0).values
    is_near = ((corners[..., :2].amax(1) >= low) & (corners[..., :2].amin(1) <= high)).all(1)
    near = torch.nonzero(is_near)[:, 0]
    a, b, c = corners[near].double().unbind(1)
    u, v = (b - a)[:, :2], (c - a)[:, :2]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    p = origin_xy.double()[:, None] - a[None, :, :2]
    beta = (p[..., 0] * v[:, 1] - p[..., 1] * v[:, 0]) / area
    gamma = (u[:, 0] * p[..., 1] - u[:, 1] * p[..., 0]) / area
    alpha = 1 - beta - gamma
    depth = alpha * a[:, 2] + beta * b[:, 2] + gamma * c[:, 2]
    inside = (torch.stack([alpha, beta, gamma]) >= -1e-9).all(0) & (area.abs() > 1e-14)
    depth = torch.where(inside, depth, -torch.inf)
    nearest = depth.max(1)
    row = torch.arange(len(p))
    index = nearest.indices
    barycentric = torch.stack([alpha[row, index], beta[row, index], gamma[row, index]], dim=1)
    return _Hits(torch.where(nearest.values > -torch.inf, near[index], -1), barycentric.float().clamp(0, 1))


class FacePointFinder:
    """Finds the points on one person.

    Args:
        head: A head whose expressions are the ARKit weights, with the regions of the open head.
        shape: (S,) identity coefficients, None for the mean head.
    """

    def __init__(self, head: HeadModel, shape: Tensor | None = None) -> None:
        self._head, self._shape = head, shape
        inside = torch.zeros(len(head.v_template), dtype=torch.bool)
        for name in ("eyeballs", "eye_sockets", "mouth_interior"):
            inside |= head.region_mask(name)
        self._is_skin = ~inside[head.faces].all(1)
        self._is_eyeball = head.region_mask("eyeballs")[head.faces].all(1)
        self._found: dict[str, tuple[Tensor, Tensor]] = {}
        self._neutral = self._vertices(0.0)
        lips = self._neutral[head.region_mask("lips")]
        self._lips_low, self._lips_high = lips.min(0).values, lips.max(0).values

    def find(self) -> SurfacePoints:
        """Return all points of this person."""
        for side in ("left", "right"):
            self._find_lids(side)
        middle = {side: self._eye_middle(side) for side in ("left", "right")}
        unit = float((middle["left"] - middle["right"]).norm())
        eye_line = float((middle["left"] + middle["right"])[1] / 2)
        for side in ("left", "right"):
            self._find_brows(side, eye_line, middle[side][0], unit)
        self._find_lips(unit)
        self._find_chin()
        names = tuple(self._found)
        corners = torch.stack([self._found[name][0] for name in names])
        barycentric = torch.stack([self._found[name][1] for name in names])
        return SurfacePoints(names, corners, barycentric, unit)

    def _vertices(self, jaw_open: float) -> Tensor:
        expression = torch.zeros(self._head.n_expression)
        expression[self._head.expression_names.index("jawOpen")] = jaw_open
        return self._head(FaceParams(shape=self._shape, expression=expression)).vertices

    def _line(self, vertices: Tensor, start: tuple[float, float], end: tuple[float, float]) -> _Hits:
        length = ((start[0] - end[0]) ** 2 + (start[1] - end[1]) ** 2) ** 0.5
        t = torch.linspace(0, 1, int(length / RAY_STEP_M) + 2)[:, None]
        return first_hits(vertices, self._head.faces, torch.tensor(start) * (1 - t) + torch.tensor(end) * t)

    def _store(self, name: str, hits: _Hits, row: int) -> None:
        self._found[name] = (self._head.faces[hits.face[row]], hits.barycentric[row])

    def _opening_ends(self, hits: _Hits, is_open: Tensor, middle: int) -> tuple[int, int]:
        """Return the last skin rays before and after the opening that contains, or is nearest to, ray `middle`."""
        rows = torch.nonzero(is_open)[:, 0]
        if not len(rows):
            raise ValueError("the opening of an eye or of the mouth was not found")
        seed = int(rows[(rows - middle).abs().argmin()])
        start = end = seed
        while start > 0 and is_open[start]:
            start -= 1
        while end < len(is_open) - 1 and is_open[end]:
            end += 1
        return start, end

    def _find_lids(self, side: str) -> None:
        eyeball = self._neutral[self._head.region_mask(f"{side}_eyeball")]
        x, y = eyeball[:, 0], float(eyeball[:, 1].mean())
        inner, outer = (float(x.min()), float(x.max())) if side == "left" else (float(x.max()), float(x.min()))
        # The horizontal extent is that of the visible eyeball in its widest row.
        best: tuple[int, _Hits, int, int] | None = None
        for offset in torch.arange(-0.004, 0.004, 0.0005).tolist():
            hits = self._line(self._neutral, (inner, y + offset), (outer, y + offset))
            is_open = self._is_eyeball[hits.face.clamp_min(0)] & (hits.face >= 0)
            if is_open.any():
                start, end = self._opening_ends(hits, is_open, len(is_open) // 2)
                if best is None or end - start > best[0]:
                    best = (end - start, hits, start, end)
        assert best is not None
        self._store(f"{side}_eye_inner", best[1], best[2])
        self._store(f"{side}_eye_outer", best[1], best[3])
        middle = self._eye_middle(side)
        hits = self._line(
            self._neutral, (float(middle[0]), float(middle[1]) + 0.015), (float(middle[0]), float(middle[1]) - 0.015)
        )
        is_open = self._is_eyeball[hits.face.clamp_min(0)]
        start, end = self._opening_ends(hits, is_open, len(is_open) // 2)
        self._store(f"{side}_lid_upper", hits, start)
        self._store(f"{side}_lid_lower", hits, end)

    def _eye_middle(self, side: str) -> Tensor:
        ends = [self._point(f"{side}_eye_{end}", self._neutral) for end in ("inner", "outer")]
        return (ends[0] + ends[1]) / 2

    def _point(self, name: str, vertices: Tensor) -> Tensor:
        corners, barycentric = self._found[name]
        return (vertices[corners] * barycentric[:, None]).sum(0)

    def _find_brows(self, side: str, eye_line: float, middle_x: Tensor, unit: float) -> None:
        x = {
            "brow_in": float(self._point(f"{side}_eye_inner", self._neutral)[0]),
            "brow_mid": float(middle_x),
            "brow_out": float(self._point(f"{side}_eye_outer", self._neutral)[0]),
        }
        x["brow_center"] = 0.0
        for name, height in BROW_HEIGHTS.items():
            place = torch.tensor([[x[name], eye_line + height * unit]])
            self._store(f"{side}_{name}", first_hits(self._neutral, self._head.faces, place), 0)
            place = torch.tensor([[x[name], eye_line + FOREHEAD_HEIGHT * unit]])
            above = name.replace("brow", "forehead")
            self._store(f"{side}_{above}", first_hits(self._neutral, self._head.faces, place), 0)

    def _find_lips(self, unit: float) -> None:
        top, bottom = float(self._lips_high[1]), float(self._lips_low[1]) - 0.03
        vertices = self._vertices(JAW_FOR_LIPS)
        columns = {"lip": 0.0, "left_lip_side": LIP_SIDE * unit, "right_lip_side": -LIP_SIDE * unit}
        for name, x in columns.items():
            hits = self._line(vertices, (x, top), (x, bottom))
            is_open = ~self._is_skin[hits.face.clamp_min(0)]
            start, end = self._opening_ends(hits, is_open, len(is_open) // 2)
            self._store(f"{name}_upper", hits, start)
            self._store(f"{name}_lower", hits, end)
        vertices = self._vertices(JAW_FOR_CORNERS)
        self._find_mouth_corners(vertices)

    def _find_mouth_corners(self, vertices: Tensor) -> None:
        width = float(self._lips_high[0]) + 0.01
        center_y = float(self._point("lip_upper", vertices)[1])
        best: tuple[int, _Hits, int, int] | None = None
        for y in torch.arange(center_y + 0.006, center_y - 0.02, -0.0005).tolist():
            hits = self._line(vertices, (-width, y), (width, y))
            is_open = ~self._is_skin[hits.face.clamp_min(0)]
            if is_open.any():
                rows = torch.nonzero(is_open)[:, 0]
                start, end = int(rows.min()) - 1, int(rows.max()) + 1
                if best is None or end - start > best[0]:
                    best = (end - start, hits, start, end)
        assert best is not None
        self._store("right_mouth_corner", best[1], best[2])
        self._store("left_mouth_corner", best[1], best[3])

    def _find_chin(self) -> None:
        """The foremost point of the profile below the fold under the lower lip."""
        top = float(self._lips_low[1]) + CHIN_WINDOW_M[0]
        hits = self._line(self._neutral, (0.0, top), (0.0, top - CHIN_WINDOW_M[1]))
        z = (self._neutral[self._head.faces[hits.face]][..., 2] * hits.barycentric).sum(1)
        fold = int((z.diff() > 0).float().argmax())
        self._store("chin", hits, fold + int(z[fold:].argmax()))
