"""Points of the skin at which an appearance is fitted, and their colours in a photo."""

# NumPy's annotations lose the types of products and of clipped arrays.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from smirk3d.face import Face
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_model import OPACITIES, appearance_model
from smirk3d.render.appearance.materials import material_parts, region_vertices
from smirk3d.render.appearance.skin_layout import skin_uv
from smirk3d.render.rasterize import rasterize

_HALVINGS = 2
"""Points are texels of the model's texture at this fraction of its resolution."""
_PATCH_HEIGHT_PX = 448
"""Largest height of the part of a photo that is kept of a face."""
_MARGIN = 0.55
"""Room around the landmarks in this part, relative to their box, for forehead and hair."""
_SAMPLING_PX = 112
"""Height to which the face is reduced before it is sampled, so that a sample is the mean over some skin."""
_COUNTS = {
    "skin": 320,
    "lips": 40,
    "brows": 50,
    "brow_edges": 40,
    "moustache": 40,
    "beard": 70,
    "hair": 60,
    "crown": 60,
}
"""Number of points of each group."""


@dataclass(frozen=True, eq=False)
class SkinPoints:
    """Points on the surface of a head.

    Attributes:
        corners: (N, 3) int64 vertices of the triangle of each point.
        barycentric: (N, 3) float32.
        relief: (4, N, 3) float32, reliefs of the model at the points.
        rows: Group -> rows of its points.
    """

    corners: np.ndarray
    barycentric: np.ndarray
    relief: np.ndarray
    rows: dict[str, slice]


@dataclass(frozen=True, eq=False)
class PhotoSamples:
    """What a photo shows at the points.

    Attributes:
        colors: (N, 3) float32 sRGB in [0, 1].
        normals: (N, 3) float32, camera frame.
        visible: (N,) bool: within the photo and turned to the camera.
    """

    colors: np.ndarray
    normals: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True, eq=False)
class PhotoPatch:
    """A photo, or a reduced part of one that was kept.

    Attributes:
        pixels: (H, W, 3) uint8 sRGB.
        scale: (2,) its pixels per pixel of the photo.
        corner_px: (2,) its upper left corner in the photo.
    """

    pixels: np.ndarray
    scale: np.ndarray
    corner_px: np.ndarray

    @staticmethod
    def whole(pixels: np.ndarray) -> PhotoPatch:
        """Return a whole photo (H, W, 3) uint8."""
        return PhotoPatch(pixels, np.ones(2), np.zeros(2))

    @staticmethod
    def of_face(pixels: np.ndarray, landmarks_px: np.ndarray) -> PhotoPatch:
        """Return a reduced copy of the part of a photo around a face, so that the photo can be forgotten.

        Args:
            pixels: (H, W, 3) uint8 sRGB.
            landmarks_px: (478, 2) landmarks of MediaPipe, pixels.
        """
        low, high = landmarks_px.min(axis=0), landmarks_px.max(axis=0)
        margin = _MARGIN * (high - low)
        patch = PhotoPatch.whole(pixels).around(np.stack([low - margin, high + margin]), _PATCH_HEIGHT_PX)
        return replace(patch, pixels=patch.pixels.copy())

    def place(self, position_px: np.ndarray) -> np.ndarray:
        """Return where points (N, 2) of the photo are in the patch, pixels."""
        return (position_px - self.corner_px) * self.scale

    def around(self, position_px: np.ndarray, height_px: int) -> PhotoPatch:
        """Return the part around points (N, 2) of the photo, reduced to a height; the points are cut to the patch."""
        limit = np.array(self.pixels.shape[1::-1])
        place = self.place(position_px).clip(0, limit)
        low = np.minimum(np.floor(place.min(axis=0)), limit - 1).astype(np.int64)
        high = np.maximum(np.ceil(place.max(axis=0)), low + 1).astype(np.int64)
        part = self.pixels[low[1] : high[1], low[0] : high[0]]
        factor = max(len(part) / height_px, 1.0)
        size = np.maximum(np.round((high - low) / factor), 1).astype(np.int64)
        if factor > 1:
            image = Image.fromarray(np.ascontiguousarray(part))
            reduced = image.resize((int(size[0]), int(size[1])), Image.Resampling.BOX, reducing_gap=1.5)
            part = np.asarray(reduced)
        return PhotoPatch(part, self.scale * size / (high - low), self.corner_px + low / self.scale)


@cache_per_head
def skin_points(head: HeadModel) -> SkinPoints:
    """Return the points of a head; they are chosen with a fixed seed.

    Args:
        head: The open head.
    """
    model = appearance_model(_HALVINGS)
    skin = material_parts(head)[0].face_index
    uv = torch.tensor(skin_uv(head)) * torch.tensor([2.0, -2.0]) + torch.tensor([-1.0, 1.0])
    ndc = torch.cat([uv, torch.zeros(len(uv), 1)], dim=1)
    fragments = rasterize(ndc[None], head.faces_uv.cpu()[torch.tensor(skin)], model.size)
    covered = fragments.mask[0].numpy()
    corners = head.faces.cpu().numpy()[skin][fragments.face_index[0].numpy()[covered]]
    barycentric = fragments.barycentric[0].numpy()[covered]
    relief = model.relief.reshape(4, 3, *model.size)[:, :, covered].transpose(0, 2, 1)
    opacity: dict[str, np.ndarray] = dict(
        zip(OPACITIES, model.opacity.reshape(-1, *model.size)[:, covered], strict=True)
    )
    vertices = head.v_template.detach().cpu().numpy()
    points = (vertices[corners] * barycentric[..., None]).sum(1)
    is_group = _groups(head, points, corners, opacity)
    chosen, rows, random = [], {}, np.random.default_rng(0)
    for name, count in _COUNTS.items():
        # Texels of the face are smaller than others; those of equal share of the surface are wanted.
        area = _area(vertices[corners])
        candidates = np.flatnonzero(is_group[name])
        share = area[candidates] / area[candidates].sum()
        rows[name] = slice(sum(map(len, chosen)), sum(map(len, chosen)) + count)
        chosen.append(np.sort(random.choice(candidates, count, replace=len(candidates) < count, p=share)))
    index = np.concatenate(chosen)
    return SkinPoints(corners[index], barycentric[index], np.ascontiguousarray(relief[:, index]), rows)


def _area(corners: np.ndarray) -> np.ndarray:
    """Return the area of triangles (N, 3, 3) over their share of texels, about constant within a group."""
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    _, inverse, counts = np.unique(area, return_inverse=True, return_counts=True)
    return area / counts[inverse.reshape(-1)]


def _groups(
    head: HeadModel, points: np.ndarray, corners: np.ndarray, opacity: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return which points (N,) belong to each group."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    in_face = region_vertices(head, "face")[corners].all(axis=1)
    brows = np.max([opacity[f"brows_{name}"] for name in ("thin", "medium", "thick")], axis=0)
    free = (brows < 0.05) & (opacity["lips"] < 0.05) & (opacity["lashes"] < 0.05) & (opacity["hair_long"] < 0.02)
    plain = in_face & free & (y > -0.086) & (y < 0.076) & (z > 0.075)
    no_beard = np.maximum(opacity["moustache"], opacity["beard"]) < 0.08
    eyes = (np.abs(y - 0.022) < 0.011) & (np.abs(x - 0.03) < 0.019)
    return {
        "skin": plain & ~eyes & (no_beard | (y > -0.03)),
        "lips": opacity["lips"] > 0.7,
        "brows": opacity["brows_medium"] > 0.45,
        "brow_edges": (opacity["brows_thick"] > 0.3) & (opacity["brows_medium"] < 0.08),
        "moustache": opacity["moustache"] > 0.45,
        "beard": (opacity["beard"] > 0.45) & (z > 0.07) & (y > -0.086),
        "hair": (opacity["hair_long"] > 0.9) & (z > 0.07) & (y < 0.125) & (y > 0.085),
        "crown": (opacity["hair_long"] > 0.9) & (z > 0.05) & (y > 0.108),
    }


def sample_photo(points: SkinPoints, face: Face, photo: PhotoPatch) -> PhotoSamples:
    """Sample a photo at the points.

    Args:
        points: Points of the face's head.
        face: The face in the photo.
        photo: The photo, or the part of it with the face.
    """
    corners = face.vertices[points.corners]
    position = face.project((corners * points.barycentric[..., None]).sum(1))
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) @ face.rotation.T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    place, limit = photo.place(position), np.array(photo.pixels.shape[1::-1])
    inside = ((place >= 0.5) & (place <= limit - 0.5)).all(axis=1)
    visible = inside & (normals[:, 2] > 0.2)
    if not inside.any():
        return PhotoSamples(np.zeros((len(position), 3), np.float32), normals.astype(np.float32), visible)
    patch = photo.around(position[inside], _SAMPLING_PX)
    return PhotoSamples(bilinear(patch.pixels, patch.place(position)), normals.astype(np.float32), visible)


def bilinear(image: np.ndarray, position_px: np.ndarray) -> np.ndarray:
    """Sample an image (H, W, 3) uint8 at points (N, 2); returns (N, 3) float32 in [0, 1], the border is repeated."""
    return (interpolated(image, position_px) / 255).astype(np.float32)


def interpolated(image: np.ndarray, position_px: np.ndarray) -> np.ndarray:
    """Interpolate an image bilinearly; its border is repeated.

    Args:
        image: (H, W) or (H, W, C), of any type.
        position_px: (N, 2) float, pixels; the middle of the first pixel is at (0.5, 0.5).

    Returns:
        (N,) or (N, C) float64, in the units of the image.
    """
    height, width = image.shape[:2]
    x = (position_px[:, 0] - 0.5).clip(0, width - 1)
    y = (position_px[:, 1] - 0.5).clip(0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    s, t = (each.reshape(-1, *[1] * (image.ndim - 2)) for each in (x - left, y - top))
    upper = image[top, left] * (1 - s) + image[top, right] * s
    lower = image[bottom, left] * (1 - s) + image[bottom, right] * s
    return upper * (1 - t) + lower * t
