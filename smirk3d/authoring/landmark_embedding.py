"""Automatic landmark embedding: where a detector's 478 points lie on any mesh with a face.

The mesh is drawn in many views, with several identities and with an open mouth, MediaPipe marks the pictures,
and each mark is carried back onto the triangle that is seen there. The robust middle of all the marks of one point,
made symmetric and put back on the surface, is its place; their spread tells how far to trust it. A second pass
paints brows and lips where the first one found them. Points of the contour move to where photos have them.
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
from smirk3d.render.appearance.procedural_face import (
    Light,
    ProceduralFaceRenderer,
    orthographic_view,
    random_appearance,
    random_background,
)
from smirk3d.render.rasterize import rasterize

FACE_HEIGHT_FRACTION = 0.62
"""Share of the picture's height that the face takes."""
HALF_WEIGHT_SPREAD_M = 0.0015
"""Spread of the marks at which the trust in a point has fallen to one half."""
MIN_WEIGHT = 0.15
"""Trust in the contour, which slides along the surface as the head turns, and in other points that spread widely."""
MIDLINE_STRETCH = 20.0
"""Sideways distances count this many times for points of the middle line, which keeps them there."""
MAX_SURFACE_OFFSET_PX = 4.0
"""Marks farther than this from the surface that they belong to do not count."""
MIN_VIEW_COSINE = 0.25
"""Marks on surface that is seen at a flatter angle than this do not count."""


@dataclass(frozen=True)
class EmbedConfig:
    """How a mesh is shown to the detector."""

    size: int = 256
    """Side of a picture in pixels."""
    views_deg: tuple[tuple[float, float], ...] = ((-28, 0), (-14, 8), (0, -8), (0, 8), (14, -8), (28, 0))
    """Yaw and pitch of each view."""
    identities: tuple[int, int] = (0, 4)
    """Random people in each pass, beside the mean one; the first pass shows closed mouths only. Every other one is
    the opposite of the one before, so that what one of them does to the marks cancels out."""
    seed: int = 0
    landmark_bias: bool = True
    """Move the points that are seen badly in pictures of the mesh by what photos say."""


@dataclass(frozen=True)
class _Rendering:
    """One picture of the mesh: its corners in the image and in the camera frame, and the person with lips parted."""

    vertices_px: Tensor
    camera_frame: Tensor
    depth: Tensor
    parted: Tensor
    is_open: bool


def embed_landmarks(
    data: HeadData,
    detector: Detector,
    config: EmbedConfig | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> HeadData:
    """Return the head with "mediapipe" and "ibug68" embeddings.

    Args:
        data: a head; its own embeddings, if any, are ignored. detector: finds the points.
        config: the views. report: receives a line of text before each pass.

    Raises:
        Smirk3dError: the detector finds no face in most of the pictures.
    """
    config = EmbedConfig() if config is None else config
    head = HeadModel(replace(data, landmarks={}))
    for step, name in enumerate(("plain skin", "painted brows and lips")):
        report(f"embedding landmarks, pass {step + 1} of 2 ({name})")
        generator = torch.Generator().manual_seed(config.seed + step)
        embedding = _embedding_pass(head, detector, config, config.identities[step], generator)
        landmarks = {"mediapipe": embedding, "ibug68": embedding.take(torch.tensor(IBUG68))}
        head = HeadModel(replace(data, landmarks=landmarks))
    return head.data


def _embedding_pass(
    head: HeadModel, detector: Detector, config: EmbedConfig, identities: int, generator: torch.Generator
) -> LandmarkEmbedding:
    painter = ProceduralFaceRenderer(head)
    skin, eyeballs = _target_faces(head)
    marks, trusted, shown_count = [], [], 0
    for params, is_open in _subjects(head, identities, generator):
        if is_open and not identities:
            continue
        for view_deg in config.views_deg:
            shown_count += 1
            shown, picture = _render(painter, params, is_open, view_deg, config.size, generator)
            faces = detector.detect(picture)
            if faces:
                points, good = _back_project(shown, head.faces, faces[0].landmarks_px, config.size, (skin, eyeballs))
                marks.append(points)
                trusted.append(good)
    if len(marks) < shown_count / 3:
        raise Smirk3dError(
            f"head {head.data.name!r}: a face was found in only {len(marks)} of {shown_count} pictures of the mesh; "
            "is its face turned to +Z, with +Y up?"
        )
    places = torch.stack(marks)
    middle, spread = _geometric_median(places, torch.stack(trusted))
    if config.landmark_bias:
        right, left = (middle[index] for index in OUTER_EYE_CORNERS)
        middle = middle + load_landmark_bias() * (left - right).norm()
    return _attach_to_surface(head, middle, spread, skin, eyeballs)


def _target_faces(head: HeadModel) -> tuple[Tensor, Tensor]:
    """Return which triangles (F,) may carry skin points and which may carry iris points."""
    regions = head.data.regions
    inside = torch.zeros(len(head.v_template), dtype=torch.bool)
    for name in ("eyeballs", "mouth_interior", "eye_sockets"):
        if name in regions:
            inside |= head.region_mask(name)
    # Vertices on a rim belong to both sides, so a triangle is inside only with all of its corners.
    skin = ~inside[head.faces].all(dim=1)
    if "eyeballs" not in regions:
        return skin, skin
    return skin, head.region_mask("eyeballs")[head.faces].all(dim=1)


def _subjects(head: HeadModel, identities: int, generator: torch.Generator) -> Iterator[tuple[FaceParams, bool]]:
    """Yield (parameters, mouth is open): the mean person and random ones, with closed and with open mouth."""
    shape = torch.zeros(head.n_shape)
    for person in range(identities + 1):
        if person > 0:
            shape = -shape if person % 2 == 0 else 0.7 * torch.randn(head.n_shape, generator=generator)
        yield FaceParams(shape=shape), False
        yield open_mouth(head, shape), True


def _open_mouth_vertices(head: HeadModel, shape: Tensor | None) -> Tensor:
    """Return the vertices (V, 3) with open mouth: closed lips touch, and a place between them could be on either."""
    return head(open_mouth(head, shape)).vertices


def _render(
    painter: ProceduralFaceRenderer,
    params: FaceParams,
    is_open: bool,
    angles_deg: tuple[float, float],
    size: int,
    generator: torch.Generator,
) -> tuple[_Rendering, np.ndarray]:
    """Draw one picture: geometry in pixels, and RGB (size, size, 3) uint8."""
    head = painter.head
    vertices = head(params).vertices
    face = vertices[head.region_mask("face")] if "face" in head.data.regions else vertices
    low, high = face.min(0).values, face.max(0).values
    scale = 2 * FACE_HEIGHT_FRACTION / float(high[1] - low[1])
    rotmat = torch.from_numpy(rotation_from_angles(*angles_deg, 0.0)).float()
    middle = rotmat @ ((low + high) / 2)
    view = orthographic_view(vertices, rotmat, scale, (-scale * float(middle[0]), scale * float(middle[1])))
    look = random_appearance(generator)
    picture = painter.paint(view, size, look, Light(), random_background(size, generator) * 0.3 + 0.4)
    pixels = (picture.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    vertices_px = (view.ndc[:, :2] + 1) * size / 2
    parted = _open_mouth_vertices(head, params.shape)
    return _Rendering(vertices_px, view.camera_frame, view.ndc[:, 2], parted, is_open), pixels


def _back_project(
    shown: _Rendering, faces: Tensor, landmarks_px: np.ndarray, size: int, targets: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the marks as points (478, 3) on the mesh with lips parted, and which of them count (478,) bool.

    `targets` are the triangles for skin points and for iris points; whatever hides them in the picture does.
    """
    points_px = torch.from_numpy(np.ascontiguousarray(landmarks_px)).float()
    ndc = torch.cat([shown.vertices_px / size * 2 - 1, shown.depth[:, None]], dim=1)
    face_index = rasterize(ndc[None], faces, size).face_index[0]
    places = torch.empty(POINT_COUNT, 4, dtype=torch.float32)
    index = torch.arange(POINT_COUNT)
    for target, chosen in zip(targets, (index < SKIN_COUNT, index >= SKIN_COUNT)):
        places[chosen] = _surface_points(shown, points_px[chosen], face_index, faces, target)
    good = places[:, 3] > MIN_VIEW_COSINE
    if not shown.is_open:
        # With closed lips the two rims coincide, and which of them is seen is chance.
        good[list(LIPS_INNER)] = False
    return places[:, :3], good


def _surface_points(shown: _Rendering, points_px: Tensor, face_index: Tensor, faces: Tensor, target: Tensor) -> Tensor:
    """Return (N, 4): where the target surface seen at each pixel lies on the parted mesh, and its cosine to the view.

    A point beside the surface takes the nearest pixel (of a window around all points) that shows it.
    """
    low, high = points_px.min(0).values - 16, points_px.max(0).values + 16
    window = face_index.new_zeros(face_index.shape, dtype=torch.bool)
    x0, y0, x1, y1 = (int(v) for v in torch.cat([low, high]).clamp(0, len(face_index)))
    window[y0:y1, x0:x1] = True
    rows, columns = torch.nonzero((face_index >= 0) & target[face_index.clamp_min(0)] & window, as_tuple=True)
    if not len(rows):
        return points_px.new_zeros(len(points_px), 4)
    centers = torch.stack([columns, rows], dim=1) + 0.5
    nearest = torch.cdist(points_px, centers).argmin(dim=1)
    seen = faces[face_index[rows[nearest], columns[nearest]]]
    # Inside the triangle the mark itself is exact; a mark beside the surface is moved to its rim.
    barycentric = _barycentric(points_px, shown.vertices_px[seen]).clamp(0, 1)
    barycentric = barycentric / barycentric.sum(1, keepdim=True)
    place = (barycentric[..., None] * shown.parted[seen]).sum(1)
    a, b, c = shown.camera_frame[seen].unbind(1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    beside = (points_px - centers[nearest]).norm(dim=1) > MAX_SURFACE_OFFSET_PX
    cosine = torch.where(beside, normal.new_zeros(()), normal[:, 2].abs())
    return torch.cat([place, cosine[:, None]], dim=1)


def _barycentric(points: Tensor, corners: Tensor) -> Tensor:
    """Return the barycentric coordinates (N, 3) of points (N, 2) in triangles (N, 3, 2)."""
    a, b, c = corners.unbind(1)
    u, v, p = b - a, c - a, points - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = torch.where(area.abs() < 1e-9, area.new_ones(()), area)
    beta = (p[:, 0] * v[:, 1] - p[:, 1] * v[:, 0]) / area
    gamma = (u[:, 0] * p[:, 1] - u[:, 1] * p[:, 0]) / area
    return torch.stack([1 - beta - gamma, beta, gamma], dim=1)


def _geometric_median(places: Tensor, trusted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the geometric median (L, 3) of the trusted marks (N, L, 3) and their median distance from it (L,)."""
    # A point that is never trusted (deep in the contour) falls back on all of its marks, with little weight.
    weight = torch.where(trusted.any(0), trusted.float(), torch.full_like(trusted, 0.01, dtype=torch.float32))
    middle = (weight[..., None] * places).sum(0) / weight.sum(0)[:, None]
    for _ in range(30):
        distance = (places - middle).norm(dim=-1)
        pull = weight / distance.clamp_min(1e-5)
        middle = (pull[..., None] * places).sum(0) / pull.sum(0)[:, None]
    distance = torch.where(weight > 0, (places - middle).norm(dim=-1), torch.nan)
    return middle, distance.nanmedian(dim=0).values


def _attach_to_surface(
    head: HeadModel, middle: Tensor, spread: Tensor, skin: Tensor, eyeballs: Tensor
) -> LandmarkEmbedding:
    """Make the points symmetric and return them as barycentric points of the nearest triangles."""
    flip = middle.new_tensor([-1.0, 1.0, 1.0])
    mirror = torch.tensor(MIRROR)
    middle = (middle + middle[mirror] * flip) / 2
    parted = _open_mouth_vertices(head, None)
    spread = torch.maximum(spread, spread[mirror])
    face_index = torch.empty(POINT_COUNT, dtype=torch.int64)
    barycentric = torch.empty(POINT_COUNT, 3)
    index = torch.arange(POINT_COUNT)
    is_skin, is_middle = index < SKIN_COUNT, mirror == index
    groups = (
        (skin, is_skin & ~is_middle, 1.0),
        (skin, is_middle, MIDLINE_STRETCH),
        (eyeballs, ~is_skin, 1.0),
    )
    for target, chosen, stretch in groups:
        row, weights = closest_on_mesh(middle[chosen], parted, head.faces[target], stretch)
        face_index[chosen] = torch.nonzero(target)[row, 0]
        barycentric[chosen] = weights
    weight = (1 / (1 + (spread / HALF_WEIGHT_SPREAD_M) ** 2)).clamp_min(MIN_WEIGHT)
    weight[list(FACE_OVAL)] = MIN_WEIGHT
    return LandmarkEmbedding(face_index, barycentric, weight, mirror)
