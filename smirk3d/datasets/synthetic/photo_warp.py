"""Moves the face in a photo to another expression: the photo's own pixels are the texture of the fitted mesh.

Every pixel of the changed picture shows a point of the changed mesh, whose colour is read where the fitted mesh has
this point in the photo. Beyond the mesh the displacement fades out. What the photo does not show well, behind lids and
lips above all, comes from the appearance model under the photo's light.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.datasets.synthetic.landmark_residuals import residual_weights
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.texel_grid import texel_index
from smirk3d.render.fragments import interpolate, to_image
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import vertex_normals

DEPTH_BIAS_M = 0.004
"""A point this much behind the visible surface of the photo still counts as visible."""
FACING = (0.10, 0.35)
"""Component of the normal towards the camera at which trust in a point rises from 0 to 1."""
STRETCH = (0.10, 0.30)
"""Area in the photo over area in the changed picture at which trust in a triangle rises from 0 to 1."""
_FADE_SIGMAS = (0.25, 0.12, 0.06, 0.03)
FADE_NDC = 0.30
"""Distance over which the displacement fades out beyond the mesh, half sides of the crop."""
RELIGHT_RANGE = (0.7, 1.35)
_AROUND, _FACE, _EYE, _MOUTH = range(4)
_LIPS = (13, 14)
_OPEN_GAP = 0.25
"""Gap of the lips, over the distance of the outer eye corners, from which the mouth is fully lit."""
_EYE_LIGHT = 0.75
"""Brows and lids keep light from the eyeballs."""
_RIDGE = 0.05
"""Ridge penalty of the light, per pixel."""


@dataclass(frozen=True)
class PlacedMesh:
    """A posed head in a crop.

    Attributes:
        ndc: (V, 3) image space, smaller third coordinate nearer; metres there.
        normals: (V, 3) unit normals in the camera frame.
        landmarks_ndc: (478, 2) MediaPipe's landmarks.
    """

    ndc: Tensor
    normals: Tensor
    landmarks_ndc: Tensor


def place(head: HeadModel, params: FaceParams, residual_ndc: Tensor) -> PlacedMesh:
    """Pose and project one head, and move it by the residuals of its landmarks.

    Args:
        head: The head.
        params: Its parameters, fields (1, ...), with an orthographic camera.
        residual_ndc: (478, 2) detected landmarks minus those of the fitted mesh.
    """
    assert params.camera is not None
    mesh = head(params)
    vertices, weights = mesh.vertices[0], residual_weights(head)
    projected = project_orthographic(mesh.vertices, params.camera)[0, :, :2] + weights @ residual_ndc
    landmarks = head.landmark_embedding("mediapipe").points(projected, head.faces)
    normals = functional.normalize(vertex_normals(vertices, head.faces), dim=1)
    return PlacedMesh(torch.cat([projected, -vertices[:, 2:]], dim=1), normals, landmarks)


def fit_residual(head: HeadModel, params: FaceParams, landmarks_ndc: Tensor) -> Tensor:
    """Return detected landmarks (478, 2) minus those of a fitted head; parameters as for `place`."""
    assert params.camera is not None
    return landmarks_ndc - project_orthographic(head(params).landmarks("mediapipe"), params.camera)[0, :, :2]


def warp_photo(
    photo: Tensor, head: HeadModel, fitted: PlacedMesh, changed: PlacedMesh, texels: Tensor, size: int
) -> Tensor:
    """Render the changed mesh with the photo's pixels over the photo.

    Args:
        photo: (3, P, P) in [0, 1], the crop.
        head: The head.
        fitted: The mesh as the photo shows it.
        changed: The mesh with another expression.
        texels: (F T², 3) in [0, 1], the appearance model's colours, see `AppearanceTexels`.
        size: S, side of the result in pixels.

    Returns:
        (3, S, S) in [0, 1].
    """
    faces = head.faces.to(torch.int32)
    fragments = rasterize(changed.ndc[None], faces, size)
    covered = fragments.mask[0]
    attributes = torch.cat([fitted.ndc, fitted.normals, changed.normals], dim=1)
    source, normal_before, normal = interpolate(fragments, attributes[None], faces)[0].split(3, dim=2)
    part = _part_of_triangles(head)[fragments.face_index[0].clamp_min(0).long()]
    stretch = _rise(_stretch(head, fitted, changed), STRETCH)[fragments.face_index[0].clamp_min(0).long()]
    visible = _is_visible(head, fitted, source, part, size)
    # Around the face, and where it turns away, the photo goes on.
    is_inner = (part != _AROUND) * _rise(normal[..., 2], FACING)
    trust = 1 - (1 - visible * stretch * _rise(normal_before[..., 2], FACING)) * is_inner * covered
    pixel = covered.flatten().nonzero()[:, 0]
    shown = texels[texel_index(fragments, pixel)] * _openness(changed, part.flatten()[pixel])[:, None]
    albedo = to_image(fragments, pixel, shown)[0]
    displacement = _extended(source[..., :2] - _grid(size), covered)
    warped = functional.grid_sample(
        photo[None], (_grid(size) + displacement)[None], padding_mode="border", align_corners=False
    )[0]
    light = _Light.fit(warped, normal_before, trust * is_inner * covered)
    relit = warped * _blur(light.ratio(normal_before, normal) * covered + ~covered, 0.02)[None]
    is_skin = part < _EYE
    filled = _filled(warped, albedo.permute(2, 0, 1), trust * is_inner * covered, light.shading(normal), is_skin)
    soft = torch.where(covered, _blur(trust, 0.006).minimum(trust + 0.3), 1.0)
    return (relit * soft + filled * (1 - soft)).clamp(0, 1)


def _is_visible(head: HeadModel, fitted: PlacedMesh, source: Tensor, part: Tensor, size: int) -> Tensor:
    """Return whether the photo shows each pixel's point, (S, S) bool."""
    seen = rasterize(fitted.ndc[None], head.faces.to(torch.int32), 2 * size)
    depth = torch.where(seen.mask, seen.depth, 1.0)[0]
    shown = torch.where(seen.mask[0], _part_of_triangles(head)[seen.face_index[0].clamp_min(0).long()], _AROUND)
    front, front_part = functional.grid_sample(
        torch.stack([depth, shown.float()])[None], source[None, ..., :2], mode="nearest", align_corners=False
    )[0]
    # Eyeballs are so close behind the lids, and lips to teeth, that the part tells more than the depth.
    return (front_part == part) & (source[..., 2] < front + DEPTH_BIAS_M)


@cache_per_head
def _part_of_triangles(head: HeadModel) -> Tensor:
    """Return the part of each triangle, (F,) int64: `_AROUND`, `_FACE`, `_EYE` or `_MOUTH`."""
    part = torch.full((len(head.faces),), _AROUND)
    regions = {_FACE: ("face", "lips", "eye_sockets", "eye_regions"), _MOUTH: ("mouth_interior",), _EYE: ("eyeballs",)}
    for number, names in regions.items():
        for name in names:
            part[head.region_mask(name)[head.faces].all(1)] = number
    return part


def _openness(mesh: PlacedMesh, part: Tensor) -> Tensor:
    """Return factors (N,) on the colours of parts (N,): little light falls between lips that are hardly open."""
    points = mesh.landmarks_ndc
    gap, eyes = (points[list(pair)].diff(dim=0).norm() for pair in (_LIPS, OUTER_EYE_CORNERS))
    mouth = 0.9 * (gap / eyes / _OPEN_GAP).clamp(0.1, 1).sqrt()
    return torch.where(part == _MOUTH, mouth, torch.where(part == _EYE, _EYE_LIGHT, 1.0))


def _stretch(head: HeadModel, fitted: PlacedMesh, changed: PlacedMesh) -> Tensor:
    """Return the area of each triangle in the photo over that in the changed picture, (F,)."""
    before, after = (_areas(mesh.ndc[:, :2], head.faces) for mesh in (fitted, changed))
    return before / after.clamp_min(1e-9)


@dataclass(frozen=True)
class _Light:
    """Brightness of skin as a linear function of the normal: an ambient and a directional light.

    Attributes:
        weights: (4,) of the normal and 1.
    """

    weights: Tensor

    @staticmethod
    def fit(image: Tensor, normal: Tensor, trust: Tensor) -> _Light:
        """Fit the brightness (3, S, S) of trusted points (S, S) with normals (S, S, 3)."""
        rows = trust > 0.5
        points = torch.cat([normal[rows], torch.ones(int(rows.sum()), 1)], dim=1)
        penalty = _RIDGE * max(len(points), 1) * torch.diag(torch.tensor([1.0, 1.0, 1.0, 1e-4]))
        return _Light(torch.linalg.solve(points.T @ points + penalty, points.T @ image.mean(0)[rows]))

    def shading(self, normal: Tensor) -> Tensor:
        """Return the brightness (S, S), positive, of normals (S, S, 3)."""
        return (normal @ self.weights[:3] + self.weights[3]).clamp_min(0.02)

    def ratio(self, before: Tensor, after: Tensor) -> Tensor:
        """Return by how much the light on points changes with their normals, (S, S)."""
        return (self.shading(after) / self.shading(before)).clamp(*RELIGHT_RANGE)


def _filled(image: Tensor, albedo: Tensor, trust: Tensor, shading: Tensor, is_skin: Tensor) -> Tensor:
    """Return the appearance model (3, S, S) in the colours and the light of the photo."""
    lit = albedo * shading
    if _is_grey(image):
        lit = lit.mean(0, keepdim=True).expand(3, -1, -1)
    weight = trust * (lit.mean(0) > 0.01)
    ratio = (image.clamp_min(0.02) / lit.clamp_min(0.02)).log()
    middle = (ratio * weight).sum((1, 2)) / weight.sum().clamp_min(1e-6)
    local, total = _blur(ratio * weight, 0.08), _blur(weight, 0.08)
    level = (local + 0.02 * middle[:, None, None]) / (total + 0.02)
    level = torch.where(is_skin, level, level.mean(0, keepdim=True))  # teeth do not have the skin's tint
    return (lit.clamp_min(0.02).log() + level).exp()


def _is_grey(image: Tensor) -> bool:
    return float((image.amax(0) - image.amin(0)).mean()) < 0.01


def _extended(displacement: Tensor, covered: Tensor) -> Tensor:
    """Return a displacement (S, S, 2) that goes on beyond the covered pixels and fades out."""
    values, total = (displacement * covered[..., None]).permute(2, 0, 1), covered.float()
    result, fade = torch.zeros_like(values), torch.zeros_like(total)
    for sigma in _FADE_SIGMAS:
        share = _blur(total, sigma)
        mean = _blur(values, sigma) / share.clamp_min(1e-4)
        near = (share / 0.2).clamp(0, 1)
        result, fade = result + (mean - result) * near, fade.maximum(near * _fade(sigma))
    return torch.where(covered, values, result * fade).permute(1, 2, 0)


def _fade(sigma: float) -> float:
    """Return the share of the displacement that remains at the distance of a blur."""
    return max(0.0, 1 - sigma / FADE_NDC)


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Blur an image (..., S, S) by a Gaussian of a standard deviation relative to its side, fast where it is wide."""
    import cv2

    pixels = image.reshape(-1, *image.shape[-2:])
    side = pixels.shape[-1]
    step = max(1, int(sigma * side / 3))
    blurred = []
    for channel in pixels.numpy():
        small = cv2.resize(channel, (side // step,) * 2, interpolation=cv2.INTER_AREA) if step > 1 else channel
        small = cv2.GaussianBlur(small, (0, 0), max(sigma * len(small), 0.3), borderType=cv2.BORDER_REPLICATE)
        blurred.append(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR) if step > 1 else small)
    return torch.stack([torch.from_numpy(each) for each in blurred]).reshape(image.shape)


def _areas(points: Tensor, faces: Tensor) -> Tensor:
    """Return the areas (F,) of triangles of points (V, 2)."""
    a, b, c = points[faces].unbind(1)
    (u, v), (s, t) = (b - a).unbind(1), (c - a).unbind(1)
    return (u * t - v * s).abs() / 2


def _rise(value: Tensor, limits: tuple[float, float]) -> Tensor:
    return ((value - limits[0]) / (limits[1] - limits[0])).clamp(0, 1)


def _grid(size: int) -> Tensor:
    """Return the centres of pixels, (S, S, 2) in [-1, 1], x first."""
    line = (2 * torch.arange(size) + 1) / size - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1)
