"""Automatic landmark embedding: the positions of a detector's 478 landmarks on any mesh with a face.

The mesh is rendered in many views, with several identities, with closed and with open mouth. MediaPipe detects
landmarks on the renders, and each is back-projected onto the visible triangle. The geometric median of all
back-projections of a landmark, made symmetric and attached to the surface, is its position; their spread determines its
weight. The second pass renders brows and lips where the first pass found them. Contour landmarks are corrected by the
bias measured on photos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from smirk3d.detection.detector import Detector
from smirk3d.detection.landmark_bias import load_landmark_bias
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.closest import closest_on_mesh
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.data import HeadData
from smirk3d.head.landmark_indices import (
    FACE_OVAL,
    IBUG68,
    LIPS_INNER,
    MIRROR,
    OUTER_EYE_CORNERS,
    POINT_COUNT,
    SKIN_COUNT,
)
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.open_mouth import open_mouth
from smirk3d.params import FaceParams, LandmarkEmbedding
from smirk3d.render.appearance.procedural_face import Light, ProceduralFaceRenderer, project_head_orthographic
from smirk3d.render.appearance.randomization import random_appearance, random_background
from smirk3d.render.rasterize import rasterize

FACE_HEIGHT_FRACTION = 0.62
"""Height of the face relative to the height of the render."""
HALF_WEIGHT_SPREAD_M = 0.0015
"""Spread of the back-projections at which the weight of a landmark is one half, metres."""
MIN_WEIGHT = 0.15
"""Weight of contour landmarks, which slide over the surface as the head turns, and of others with a large spread."""
MIDLINE_STRETCH = 20.0
"""Factor on lateral distances when midline landmarks are attached to the surface, which keeps them on the midline."""
MAX_SURFACE_OFFSET_PX = 4.0
"""Detections farther than this from the visible surface are rejected, pixels."""
MIN_VIEW_COSINE = 0.25
"""Detections are rejected where the cosine between surface normal and view direction is smaller than this."""


@dataclass(frozen=True)
class EmbedConfig:
    """How a mesh is rendered for the detector.

    Attributes:
        size: Side of a render in pixels; 256 suffices.
        views_deg: Yaw and pitch of each view in degrees; the detector is reliable within ±30.
        identities: Number of random identities in each of the two passes, besides the mean; a pass without any uses
            closed mouths only. Every second identity is the negative of the one before, so that first-order effects of
            identity cancel.
        seed: Seed of identities, appearances and backgrounds.
        landmark_bias: Whether contour landmarks are corrected by the packaged bias between photos and renders.
    """

    size: int = 256
    views_deg: tuple[tuple[float, float], ...] = ((-28, 0), (-14, 8), (0, -8), (0, 8), (14, -8), (28, 0))
    identities: tuple[int, int] = (0, 4)
    seed: int = 0
    landmark_bias: bool = True


@dataclass(frozen=True)
class _Rendering:
    """Geometry of one render of the mesh.

    Attributes:
        vertices_px: (V, 2) projected vertices, pixels.
        camera_frame: (V, 3) vertices in the camera frame.
        depth: (V,) depth in normalised device coordinates.
        open_mouth_vertices: (V, 3) the same identity with an open mouth, metres, head frame.
        is_open: Whether the mouth is open in the render.
    """

    vertices_px: Tensor
    camera_frame: Tensor
    depth: Tensor
    open_mouth_vertices: Tensor
    is_open: bool


def embed_landmarks(
    data: HeadData,
    detector: Detector,
    config: EmbedConfig | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> HeadData:
    """Return the head with landmark embeddings "mediapipe" (478) and "ibug68" (68).

    Args:
        data: A head; existing embeddings are ignored.
        detector: Detects the landmarks.
        config: Views, identities and seed.
        report: Receives one line of text before each pass.

    Raises:
        Smirk3dError: The detector finds no face in most of the renders.
    """
    config = EmbedConfig() if config is None else config
    head = HeadModel(replace(data, landmarks={}))
    for step, name in enumerate(("plain skin", "coloured brows and lips")):
        report(f"embedding landmarks, pass {step + 1} of 2 ({name})")
        generator = torch.Generator().manual_seed(config.seed + step)
        embedding = _embedding_pass(head, detector, config, config.identities[step], generator)
        landmarks = {"mediapipe": embedding, "ibug68": embedding.take(torch.tensor(IBUG68))}
        head = HeadModel(replace(data, landmarks=landmarks))
    return head.data


def _embedding_pass(
    head: HeadModel, detector: Detector, config: EmbedConfig, identities: int, generator: torch.Generator
) -> LandmarkEmbedding:
    renderer = ProceduralFaceRenderer(head)
    skin, eyeballs = _target_faces(head)
    positions, valid, n_renders = [], [], 0
    for params, is_open in _subjects(head, identities, generator):
        if is_open and not identities:
            continue
        for view_deg in config.views_deg:
            n_renders += 1
            rendering, image = _render(renderer, params, is_open, view_deg, config.size, generator)
            faces = detector.detect(image)
            if faces:
                points, is_valid = _back_project(
                    rendering, head.faces, faces[0].landmarks_px, config.size, (skin, eyeballs)
                )
                positions.append(points)
                valid.append(is_valid)
    if len(positions) < n_renders / 3:
        raise Smirk3dError(
            f"head {head.data.name!r}: a face was found in only {len(positions)} of {n_renders} renders of the mesh; "
            "is its face turned to +Z, with +Y up?"
        )
    median, spread = _geometric_median(torch.stack(positions), torch.stack(valid))
    if config.landmark_bias:
        right, left = (median[index] for index in OUTER_EYE_CORNERS)
        median = median + load_landmark_bias() * (left - right).norm()
    return _attach_to_surface(head, median, spread, skin, eyeballs)


def _target_faces(head: HeadModel) -> tuple[Tensor, Tensor]:
    """Return the masks (F,) bool of the triangles that may carry skin landmarks and of those that may carry iris
    landmarks."""
    regions = head.data.regions
    inside = torch.zeros(len(head.v_template), dtype=torch.bool)
    for name in ("eyeballs", "mouth_interior", "eye_sockets"):
        if name in regions:
            inside |= head.region_mask(name)
    # Vertices on a border belong to both sides; a triangle is inside only if all of its corners are.
    skin = ~inside[head.faces].all(dim=1)
    if "eyeballs" not in regions:
        return skin, skin
    return skin, head.region_mask("eyeballs")[head.faces].all(dim=1)


def _subjects(head: HeadModel, identities: int, generator: torch.Generator) -> Iterator[tuple[FaceParams, bool]]:
    """Yield parameters and whether the mouth is open: the mean and random identities, each with closed and open
    mouth."""
    shape = torch.zeros(head.n_shape)
    for number in range(identities + 1):
        if number > 0:
            shape = -shape if number % 2 == 0 else 0.7 * torch.randn(head.n_shape, generator=generator)
        yield FaceParams(shape=shape), False
        yield open_mouth(head, shape), True


def _open_mouth_vertices(head: HeadModel, shape: Tensor | None) -> Tensor:
    """Return the vertices (V, 3) with an open mouth: with closed lips the nearest surface could be that of the other
    lip."""
    return head(open_mouth(head, shape)).vertices


def _render(
    renderer: ProceduralFaceRenderer,
    params: FaceParams,
    is_open: bool,
    angles_deg: tuple[float, float],
    size: int,
    generator: torch.Generator,
) -> tuple[_Rendering, np.ndarray]:
    """Return the geometry of one render and its image (size, size, 3), RGB uint8."""
    head = renderer.head
    vertices = head(params).vertices
    face = vertices[head.region_mask("face")] if "face" in head.data.regions else vertices
    low, high = face.min(0).values, face.max(0).values
    scale = 2 * FACE_HEIGHT_FRACTION / float(high[1] - low[1])
    rotmat = torch.from_numpy(rotation_from_angles(*angles_deg, 0.0)).float()
    center = rotmat @ ((low + high) / 2)
    view = project_head_orthographic(vertices, rotmat, scale, (-scale * float(center[0]), scale * float(center[1])))
    appearance = random_appearance(generator)
    # A background of low contrast around mid grey: it must not distract the detector.
    image = renderer.render(view, size, appearance, Light(), random_background(size, generator) * 0.3 + 0.4)
    pixels = (image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    vertices_px = (view.ndc[:, :2] + 1) * size / 2
    opened = _open_mouth_vertices(head, params.shape)
    return _Rendering(vertices_px, view.vertices_camera, view.ndc[:, 2], opened, is_open), pixels


def _back_project(
    rendering: _Rendering, faces: Tensor, landmarks_px: np.ndarray, size: int, targets: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the landmarks as points (478, 3) on the mesh with an open mouth, and which of them are valid (478,) bool.

    `targets` are masks of the triangles for skin and for iris landmarks; occlusion by other triangles is respected.
    """
    points_px = torch.from_numpy(np.ascontiguousarray(landmarks_px)).float()
    ndc = torch.cat([rendering.vertices_px / size * 2 - 1, rendering.depth[:, None]], dim=1)
    face_index = rasterize(ndc[None], faces, size).face_index[0]
    surface = torch.empty(POINT_COUNT, 4, dtype=torch.float32)
    index = torch.arange(POINT_COUNT)
    for target, chosen in zip(targets, (index < SKIN_COUNT, index >= SKIN_COUNT)):
        surface[chosen] = _surface_points(rendering, points_px[chosen], face_index, faces, target)
    is_valid = surface[:, 3] > MIN_VIEW_COSINE
    if not rendering.is_open:
        # With closed lips the two inner borders coincide, and which one is visible is arbitrary.
        is_valid[list(LIPS_INNER)] = False
    return surface[:, :3], is_valid


def _surface_points(
    rendering: _Rendering, points_px: Tensor, face_index: Tensor, faces: Tensor, target: Tensor
) -> Tensor:
    """Return (N, 4): the visible point of the target surface at each pixel, on the mesh with an open mouth, and its
    view cosine.

    A point beside the surface takes the nearest pixel that shows the surface, within a window around all points.
    """
    # The window bounds the size of the distance matrix.
    low, high = points_px.min(0).values - 16, points_px.max(0).values + 16
    window = face_index.new_zeros(face_index.shape, dtype=torch.bool)
    x0, y0, x1, y1 = (int(v) for v in torch.cat([low, high]).clamp(0, len(face_index)))
    window[y0:y1, x0:x1] = True
    rows, columns = torch.nonzero((face_index >= 0) & target[face_index.clamp_min(0)] & window, as_tuple=True)
    if not len(rows):
        return points_px.new_zeros(len(points_px), 4)
    centers = torch.stack([columns, rows], dim=1) + 0.5
    nearest = torch.cdist(points_px, centers).argmin(dim=1)
    corners = faces[face_index[rows[nearest], columns[nearest]]]
    # Inside the triangle the detection itself is exact; one beside the surface is moved to its border.
    barycentric = _barycentric(points_px, rendering.vertices_px[corners]).clamp(0, 1)
    barycentric = barycentric / barycentric.sum(1, keepdim=True)
    points = (barycentric[..., None] * rendering.open_mouth_vertices[corners]).sum(1)
    a, b, c = rendering.camera_frame[corners].unbind(1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    is_beside = (points_px - centers[nearest]).norm(dim=1) > MAX_SURFACE_OFFSET_PX
    cosine = torch.where(is_beside, normal.new_zeros(()), normal[:, 2].abs())
    return torch.cat([points, cosine[:, None]], dim=1)


def _barycentric(points: Tensor, corners: Tensor) -> Tensor:
    """Return the barycentric coordinates (N, 3) of points (N, 2) in triangles (N, 3, 2)."""
    a, b, c = corners.unbind(1)
    u, v, p = b - a, c - a, points - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = torch.where(area.abs() < 1e-9, area.new_ones(()), area)
    beta = (p[:, 0] * v[:, 1] - p[:, 1] * v[:, 0]) / area
    gamma = (u[:, 0] * p[:, 1] - u[:, 1] * p[:, 0]) / area
    return torch.stack([1 - beta - gamma, beta, gamma], dim=1)


def _geometric_median(points: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the geometric median (L, 3) of the valid points (N, L, 3) and their median distance from it (L,).

    Source: Weiszfeld, "Sur le point pour lequel la somme des distances de n points donnés est minimum", 1937.
    """
    # A landmark that is never valid (far behind the contour) falls back on all of its points, with little weight.
    weight = torch.where(valid.any(0), valid.float(), torch.full_like(valid, 0.01, dtype=torch.float32))
    median = (weight[..., None] * points).sum(0) / weight.sum(0)[:, None]
    for _ in range(30):
        distance = (points - median).norm(dim=-1)
        inverse = weight / distance.clamp_min(1e-5)
        median = (inverse[..., None] * points).sum(0) / inverse.sum(0)[:, None]
    distance = torch.where(weight > 0, (points - median).norm(dim=-1), torch.nan)
    return median, distance.nanmedian(dim=0).values


def _attach_to_surface(
    head: HeadModel, median: Tensor, spread: Tensor, skin: Tensor, eyeballs: Tensor
) -> LandmarkEmbedding:
    """Make the landmarks symmetric and attach them to the nearest triangles."""
    flip = median.new_tensor([-1.0, 1.0, 1.0])
    mirror = torch.tensor(MIRROR)
    points = (median + median[mirror] * flip) / 2
    vertices = _open_mouth_vertices(head, None)
    spread = torch.maximum(spread, spread[mirror])
    face_index = torch.empty(POINT_COUNT, dtype=torch.int64)
    barycentric = torch.empty(POINT_COUNT, 3)
    index = torch.arange(POINT_COUNT)
    is_skin, is_midline = index < SKIN_COUNT, mirror == index
    groups = (
        (skin, is_skin & ~is_midline, 1.0),
        (skin, is_midline, MIDLINE_STRETCH),
        (eyeballs, ~is_skin, 1.0),
    )
    for target, chosen, stretch in groups:
        row, weights = closest_on_mesh(points[chosen], vertices, head.faces[target], stretch)
        face_index[chosen] = torch.nonzero(target)[row, 0]
        barycentric[chosen] = weights
    weight = (1 / (1 + (spread / HALF_WEIGHT_SPREAD_M) ** 2)).clamp_min(MIN_WEIGHT)
    weight[list(FACE_OVAL)] = MIN_WEIGHT
    return LandmarkEmbedding(face_index, barycentric, weight, mirror)
