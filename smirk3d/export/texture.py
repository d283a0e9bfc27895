"""The skin's colours, read from the photo: as a texture image or at the vertices.

Texture images of the skin alone use their own coordinates (`Texture.uv`): the head's layout leaves much room
for the rest of a body, so its largest island is stretched over most of the image, with the small ones in a
column beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from smirk3d.export import materials
from smirk3d.export.npz import vertices_image
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import vertex_normals

_DEPTH_MAP_PX = 768
_DEPTH_BIAS_M = 0.004
_GRAZING = (0.15, 0.55)
"""Cosines between normal and ray: below the first a point is not seen, above the second it counts fully."""
_MIRROR_TRUST = 0.999
_COLUMN = 0.2


@dataclass(frozen=True)
class Texture:
    """The skin as an image.

    Attributes:
        image: (size, size, 3) uint8 sRGB.
        visible: (size, size) bool, texels whose colour was seen directly in the photo.
        uv: (T, 2) float32 in [0, 1], v upwards: a position in `image` for each row of the head's `uv`.
    """

    image: np.ndarray
    visible: np.ndarray
    uv: np.ndarray


def sample_texture(face: Face, pixels: np.ndarray, size: int = 1024) -> Texture:
    """Read the skin's texture from a photo.

    A texel is seen where its surface point is the front-most in the photo and faces the camera. Others take
    the colour of the mirrored point if that is seen, the rest fades from its surroundings to the median
    colour of the seen skin.

    Args:
        face: The face in the photo.
        pixels: (H, W, 3) uint8 RGB.
        size: Side of the texture in pixels.

    Raises:
        ValueError: `pixels` is no RGB image of the face's `image_size`.
    """
    photo = _Photo(face, pixels)
    skin = materials.material_parts(face.head)[0].face_index
    uv = _skin_uv(face.head, skin)
    corners = torch.from_numpy(np.concatenate([uv * (2, -2) + (-1, 1), np.zeros((len(uv), 1))], axis=1))
    fragments = rasterize(corners[None].float(), face.head.faces_uv.cpu()[torch.tensor(skin)], size)
    covered = fragments.mask[0].numpy()
    triangles = face.triangles[skin][fragments.face_index[0].numpy()[covered]]
    colors, weights = photo.read_surface(triangles, fragments.barycentric[0].numpy()[covered])
    visible = np.zeros((size, size), dtype=bool)
    visible[covered] = weights[:, 0] > 0
    image = np.zeros((4, size, size), dtype=np.float32)
    image[:3, covered], image[3, covered] = _combine(colors, weights)
    base = torch.from_numpy(_median(colors, weights, face.head))
    filled = _fill(torch.from_numpy(image[None, :3]), torch.from_numpy(image[None, 3:]), base)
    return Texture(filled[0].permute(1, 2, 0).round().byte().numpy(), visible, uv.astype(np.float32))


def vertex_colors(face: Face, pixels: np.ndarray) -> np.ndarray:
    """Return photo colours at the vertices, (V, 3) uint8 sRGB.

    Skin is read as by `sample_texture`, unseen skin has the median colour; eyeballs, mouth and teeth keep
    the colours of `export.materials`.

    Raises:
        ValueError: `pixels` is no RGB image of the face's `image_size`.
    """
    photo = _Photo(face, pixels)
    result = materials.vertex_colors(face.head) * np.float32(255)
    index = np.unique(face.triangles[materials.material_parts(face.head)[0].face_index])
    corners = np.repeat(index[:, None], 3, axis=1)
    colors, weights = photo.read_surface(corners, np.full(corners.shape, 1 / 3))
    color, weight = _combine(colors, weights)
    base = _median(colors, weights, face.head)
    result[index] = color.T * weight[:, None] + base * (1 - weight[:, None])
    return result.round().clip(0, 255).astype(np.uint8)


class _Photo:
    """A photo that can say which colour a point of the face's surface has in it, and how well it is seen."""

    def __init__(self, face: Face, pixels: np.ndarray) -> None:
        width, height = face.image_size
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"pixels must be ({height}, {width}, 3) uint8, got {pixels.shape} {pixels.dtype}"
            )
        self.face = face
        self.pixels = torch.tensor(pixels).permute(2, 0, 1)[None].float()
        self.vertices_px = vertices_image(face).astype(np.float32)
        self.normals = vertex_normals(
            torch.from_numpy(face.vertices), torch.from_numpy(face.triangles)
        ).numpy()
        low, high = self.vertices_px[:, :2].min(0), self.vertices_px[:, :2].max(0)
        self.low, self.extent = low, (high - low).max()
        self.depth_px = self._depth_map()

    def _depth_map(self) -> torch.Tensor:
        ndc = self.vertices_px.copy()
        ndc[:, :2] = (ndc[:, :2] - self.low) / self.extent * 2 - 1
        w = None
        if self.face.camera.focal_px is not None:
            w = torch.from_numpy(self.face.camera.depth(self.face.vertices)).float()[None]
        faces = torch.from_numpy(self.face.triangles)
        return rasterize(torch.from_numpy(ndc)[None], faces, _DEPTH_MAP_PX, w=w).depth[0]

    def read_surface(self, triangles: np.ndarray, barycentric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read surface points (N, 3) x (N, 3) and their mirror images.

        Returns:
            Colours (N, 2, 3) in [0, 255] and weights (N, 2) in [0, 1], 0 for what is not seen.
        """
        mirror = self.face.head.data.mirror_vertices
        sides = [triangles] if mirror is None else [triangles, mirror.cpu().numpy()[triangles]]
        seen = [self._read(side, barycentric) for side in sides]
        if mirror is None:
            seen.append((seen[0][0], np.zeros_like(seen[0][1])))
        colors, weights = zip(*seen, strict=True)
        return np.stack(colors, axis=1), np.stack(weights, axis=1)

    def _read(self, triangles: np.ndarray, barycentric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points, normals = (
            np.einsum("nkc,nk->nc", values[triangles], barycentric)
            for values in (self.face.vertices, self.normals)
        )
        position = self.face.project(points)
        weight = self._facing(points, normals) * self._in_front(points, position)
        height, width = self.pixels.shape[-2:]
        inside = ((position >= 0.5) & (position <= np.array([width, height]) - 0.5)).all(axis=1)
        grid = torch.from_numpy(position * 2 / (width, height) - 1).float()[None, None]
        colors = functional.grid_sample(self.pixels, grid, padding_mode="border", align_corners=False)
        return colors[0, :, 0].T.numpy(), (weight * inside).astype(np.float32)

    def _facing(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Return how much surfaces face the camera, (N,) in [0, 1]."""
        camera = self.face.camera
        towards = np.array([0.0, 0.0, 1.0])
        if camera.focal_px is not None:
            towards = -(points @ camera.rotation_rotmat.T + camera.translation_m)
        towards = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
        cosine = ((normals @ camera.rotation_rotmat.T) * towards).sum(axis=-1)
        low, high = _GRAZING
        amount = ((cosine - low) / (high - low)).clip(0, 1)
        return amount * amount * (3 - 2 * amount)

    def _in_front(self, points: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Return (N,) bool: nothing of the head lies before the point."""
        scale = self.face.camera.scale_px_per_m
        depth = self.face.camera.depth(points) - self.face.camera.depth(np.zeros((1, 3)))
        cell = ((position - self.low) / self.extent * _DEPTH_MAP_PX).astype(np.int64)
        cell = cell.clip(0, _DEPTH_MAP_PX - 1)
        return depth * scale <= self.depth_px.numpy()[cell[:, 1], cell[:, 0]] + _DEPTH_BIAS_M * scale


def _combine(colors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blend the direct and the mirrored colour, the direct one first: (3, N) colours, (N,) weights."""
    direct, mirrored = weights[:, 0], (1 - weights[:, 0]) * weights[:, 1] * _MIRROR_TRUST
    total = direct + mirrored
    color = (colors[:, 0] * direct[:, None] + colors[:, 1] * mirrored[:, None]) / total.clip(1e-6)[:, None]
    return color.T, total


def _median(colors: np.ndarray, weights: np.ndarray, head: HeadModel) -> np.ndarray:
    """Return the median colour (3,) of the well seen points; the plain skin colour where nothing is seen."""
    seen = colors[:, 0][weights[:, 0] > 0.5]
    base = np.median(seen, axis=0) if len(seen) else np.array(materials.SKIN) * 255
    return np.asarray(base, dtype=np.float32)


def _fill(image: torch.Tensor, weight: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Fill (1, 3, H, W) where `weight` (1, 1, H, W) is low from ever coarser levels of itself, in the end
    with `base`.

    Source: the pull-push algorithm, Gortler et al., "The Lumigraph", 1996, section 3.4.
    """
    side = image.shape[-1]
    if side % 2 or side <= 4:
        return image * weight + base[None, :, None, None] * (1 - weight)
    pulled = functional.avg_pool2d(weight, 2)
    coarse = functional.avg_pool2d(image * weight, 2) / pulled.clamp_min(1e-6)
    below = _fill(coarse, (pulled * 2).clamp_max(1), base)
    pushed = functional.interpolate(below, scale_factor=2.0, mode="bilinear", align_corners=False)
    return image * weight + pushed * (1 - weight)


def _skin_uv(head: HeadModel, skin: np.ndarray) -> np.ndarray:
    """Return texture coordinates (T, 2) in [0, 1] that spread the skin's islands over one image."""
    faces_uv, uv = head.faces_uv.cpu().numpy()[skin], head.uv.cpu().numpy().astype(np.float64)
    island = _islands(faces_uv, len(uv))
    labels, counts = np.unique(island[faces_uv[:, 0]], return_counts=True)
    labels = labels[np.argsort(-counts)]
    result = np.zeros_like(uv)
    column = _COLUMN if len(labels) > 1 else 0.0
    cell = 1 / max(len(labels) - 1, 1)
    boxes = [(column, 0.0, 1.0, 1.0)]
    boxes += [(0.0, k * cell, column, (k + 1) * cell) for k in range(len(labels) - 1)]
    for label, box in zip(labels, boxes, strict=True):
        low, high = np.array(box[:2]), np.array(box[2:])
        points = uv[island == label]
        inner = (points - points.min(0)) / np.ptp(points, axis=0)
        result[island == label] = low + (0.01 + 0.98 * inner) * (high - low)
    return result


def _islands(faces_uv: np.ndarray, count: int) -> np.ndarray:
    """Return the smallest connected row for each of `count` rows; -1 for rows that no triangle uses."""
    label = np.arange(count)
    while True:
        lowest = label.copy()
        np.minimum.at(lowest, faces_uv, label[faces_uv].min(axis=1, keepdims=True))
        lowest = lowest[lowest]
        if np.array_equal(lowest, label):
            break
        label = lowest
    unused = np.ones(count, dtype=bool)
    unused[faces_uv] = False
    return np.where(unused, -1, label)
