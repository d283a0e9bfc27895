"""Skin colours sampled from the photo, as a texture image or at the vertices.

Texture images of the skin have texture coordinates of their own (`Texture.uv`), those of `skin_layout`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from smirk3d.export.photo_texture import merge_detail, resized, vertex_trust
from smirk3d.export.tables.npz import vertices_image
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance import materials
from smirk3d.render.appearance.appearance_model import head_textures
from smirk3d.render.appearance.skin_layout import skin_uv
from smirk3d.render.fragments import Fragments
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import vertex_normals

_DEPTH_MAP_PX = 768
"""Side of the depth map for occlusion tests."""
_DEPTH_BIAS_M = 0.004
"""Points this much behind the depth map still count as visible, against self-occlusion by the resolution of the map."""
_FACING_COSINES = (0.15, 0.55)
"""Cosines between normal and viewing ray at which the weight of a point rises from 0 to 1."""
_MIRROR_WEIGHT = 0.999
"""Weight of a visible mirrored point, relative to a visible point itself."""


@dataclass(frozen=True)
class Texture:
    """The skin as an image.

    Attributes:
        image: (size, size, 3) uint8 sRGB.
        visible: (size, size) bool, texels whose own surface point is visible in the photo.
        uv: (T, 2) float32 in [0, 1], v upwards: the position in `image` for each row of the head's `uv`.
    """

    image: np.ndarray
    visible: np.ndarray
    uv: np.ndarray


def appearance_texture(face: Face) -> Texture | None:
    """Return the texture of a face's appearance; None where it has none."""
    if face.appearance is None:
        return None
    image = head_textures(face.appearance).skin
    return Texture(image, np.zeros(image.shape[:2], dtype=bool), skin_uv(face.head))


def sample_texture(
    face: Face, pixels: np.ndarray, size: int = 1024, others: Sequence[tuple[Face, np.ndarray]] = ()
) -> Texture:
    """Sample the texture of the skin from a photo.

    A texel is visible where its surface point faces the camera and nothing is in front of it. On a face with an
    appearance, its texture gets the photo's own detail there, see `photo_texture`. Otherwise other texels have the
    colour of the mirrored point where that is visible, and the rest is filled with a transition from its surroundings
    to the median colour of the visible skin.

    Args:
        face: The face in the photo.
        pixels: (H, W, 3) uint8 sRGB, the photo.
        size: Side of the texture in pixels; 512 to 2048 are sensible.
        others: Further photos of the same person, each with the face in it; only with an appearance.

    Raises:
        ValueError: `pixels` is not an RGB image of the face's `image_size`.
    """
    texels = _rasterize_skin(face.head, size)
    covered = texels.mask[0].numpy()
    colors, weights = _unwrap(face, pixels, texels)
    if face.appearance is None:
        filled = _filled_from_mirror(colors, weights, covered, face.head)
        return Texture(filled, _as_image(weights[:, :1], covered)[..., 0] > 0, skin_uv(face.head))
    trust = _as_image(_at_texels(vertex_trust(face.head), face, texels), covered)[..., 0]
    shown = [
        (_as_image(colors[:, 0] / 255, covered), _as_image(weights[:, :1], covered)[..., 0] * trust)
        for colors, weights in [(colors, weights), *(_unwrap(*other, texels) for other in others)]
    ]
    base = resized(head_textures(face.appearance).skin.astype(np.float32) / 255, size)
    image = merge_detail(base, shown)
    visible = np.max([weight for _, weight in shown], axis=0) > 0
    return Texture((image * 255).round().astype(np.uint8), visible, skin_uv(face.head))


def _unwrap(face: Face, pixels: np.ndarray, texels: Fragments) -> tuple[np.ndarray, np.ndarray]:
    """Return what a photo shows of the N texels with skin, see `_PhotoSampler.sample_surface`."""
    skin = materials.material_parts(face.head)[0].face_index
    covered = texels.mask[0]
    return _PhotoSampler(face, pixels).sample_surface(
        torch.from_numpy(face.triangles[skin].astype(np.int64)),
        texels.face_index[0][covered],
        texels.barycentric[0][covered],
    )


def _rasterize_skin(head: HeadModel, size: int) -> Fragments:
    uv, skin = skin_uv(head), materials.material_parts(head)[0].face_index
    corners = torch.from_numpy(np.concatenate([uv * (2, -2) + (-1, 1), np.zeros((len(uv), 1))], axis=1))
    return rasterize(corners[None].float(), head.faces_uv.cpu()[torch.tensor(skin)], size)


def _at_texels(values: np.ndarray, face: Face, texels: Fragments) -> np.ndarray:
    """Interpolate values (V,) of the vertices at the texels, (N, 1)."""
    corners = face.triangles[materials.material_parts(face.head)[0].face_index]
    covered = texels.mask[0]
    row, barycentric = texels.face_index[0][covered].numpy(), texels.barycentric[0][covered].numpy()
    return (values[corners[row]] * barycentric).sum(axis=1, keepdims=True)


def _as_image(values: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Return values (N, C) of the covered texels as an image (size, size, C) float32, 0 elsewhere."""
    image = np.zeros((*covered.shape, values.shape[1]), dtype=np.float32)
    image[covered] = values
    return image


def _filled_from_mirror(colors: np.ndarray, weights: np.ndarray, covered: np.ndarray, head: HeadModel) -> np.ndarray:
    """Return the texture (size, size, 3) uint8 of a head without an appearance."""
    image = np.zeros((4, *covered.shape), dtype=np.float32)
    image[:3, covered], image[3, covered] = _blend_sides(colors, weights)
    base = torch.from_numpy(_median_skin_color(colors, weights, head))
    filled = _fill_pull_push(torch.from_numpy(image[None, :3]), torch.from_numpy(image[None, 3:]), base)
    return filled[0].permute(1, 2, 0).round().byte().numpy()


def vertex_colors(face: Face, pixels: np.ndarray) -> np.ndarray:
    """Sample the colours of the vertices from a photo.

    Skin is sampled as in `sample_texture`, and has its median colour where it is not visible. Eyeballs, mouth and teeth
    keep the colours of their materials.

    Args:
        face: The face in the photo.
        pixels: (H, W, 3) uint8 sRGB, the photo.

    Returns:
        (V, 3) uint8 sRGB.

    Raises:
        ValueError: `pixels` is not an RGB image of the face's `image_size`.
    """
    photo = _PhotoSampler(face, pixels)
    result = materials.vertex_colors(face.head) * np.float32(255)
    index = np.unique(face.triangles[materials.material_parts(face.head)[0].face_index])
    corners = torch.from_numpy(index)[:, None].expand(-1, 3)
    at_vertex = torch.tensor([[1.0, 0.0, 0.0]]).expand(len(index), -1)
    colors, weights = photo.sample_surface(corners, torch.arange(len(index)), at_vertex)
    color, weight = _blend_sides(colors, weights)
    base = _median_skin_color(colors, weights, face.head)
    result[index] = color.T * weight[:, None] + base * (1 - weight[:, None])
    return result.round().clip(0, 255).astype(np.uint8)


class _PhotoSampler:
    """Samples the colours of surface points of a face in a photo, with weights for their visibility."""

    def __init__(self, face: Face, pixels: np.ndarray) -> None:
        width, height = face.image_size
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be ({height}, {width}, 3) uint8, got {pixels.shape} {pixels.dtype}")
        self.face = face
        self.pixels = torch.tensor(pixels).permute(2, 0, 1)[None].float()
        self.vertices_px = vertices_image(face).astype(np.float32)
        vertices, rotation = face.vertices.astype(np.float64), face.rotation
        normals = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(face.triangles.astype(np.int64))).numpy()
        points = vertices @ rotation.T + face.camera.translation_m
        # Position and normal of the vertices in the camera frame, to be interpolated at surface points.
        self.surface = torch.from_numpy(np.concatenate([points, normals @ rotation.T], axis=1)).float()
        low, high = self.vertices_px[:, :2].min(0), self.vertices_px[:, :2].max(0)
        self.low, self.extent = low, (high - low).max()
        self.depth_px = self._depth_map()

    def _depth_map(self) -> torch.Tensor:
        ndc = self.vertices_px.copy()
        ndc[:, :2] = (ndc[:, :2] - self.low) / self.extent * 2 - 1
        w = None
        if self.face.camera.focal_px is not None:
            w = torch.from_numpy(self.face.camera.depth(self.face.vertices)).float()[None]
        faces = torch.from_numpy(self.face.triangles.astype(np.int64))
        return rasterize(torch.from_numpy(ndc)[None], faces, _DEPTH_MAP_PX, w=w).depth[0]

    def sample_surface(
        self, triangles: torch.Tensor, row: torch.Tensor, barycentric: torch.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample surface points and their mirror images.

        Args:
            triangles: (K, 3) int64 vertices of each triangle.
            row: (N,) int64 triangle of each point.
            barycentric: (N, 3) barycentric coordinates of each point.

        Returns:
            Colours (N, 2, 3) in [0, 255] and weights (N, 2) in [0, 1] of the point and of its mirror image; the weight
            of invisible points is 0.
        """
        mirror = self.face.head.data.mirror_vertices
        colors, weights = np.zeros((len(row), 2, 3), np.float32), np.zeros((len(row), 2), np.float32)
        for side in range(1 if mirror is None else 2):
            corners = triangles if side == 0 or mirror is None else mirror.cpu()[triangles]
            facing = self._faces_camera(corners)[row].nonzero()[:, 0]
            sampled = self._sample(corners, row[facing], barycentric[facing])
            colors[facing.numpy(), side], weights[facing.numpy(), side] = sampled
        return colors, weights

    def _faces_camera(self, triangles: torch.Tensor) -> torch.Tensor:
        """Return (K,) bool, false for triangles that face away from the camera at all corners."""
        return (self._cosine(self.surface) > 0)[triangles].any(dim=1)

    def _sample(
        self, triangles: torch.Tensor, row: torch.Tensor, barycentric: torch.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        first, second, third = self.surface[triangles].flatten(1).index_select(0, row).chunk(3, dim=1)
        surface = (first * barycentric[:, :1]).addcmul_(second, barycentric[:, 1:2])
        surface.addcmul_(third, barycentric[:, 2:])
        position = self._project(surface)
        low, high = _FACING_COSINES
        t = ((self._cosine(surface) - low) / (high - low)).clamp(0, 1)
        weight = t * t * (3 - 2 * t) * self._is_unoccluded(surface, position)  # smoothstep
        extent = position.new_tensor(self.face.image_size)
        inside = ((position >= 0.5) & (position <= extent - 0.5)).all(dim=1)
        grid = (position * 2 / extent - 1)[None, None]
        colors = functional.grid_sample(self.pixels, grid, padding_mode="border", align_corners=False)
        return colors[0, :, 0].T.numpy(), (weight * inside).numpy()

    def _project(self, surface: torch.Tensor) -> torch.Tensor:
        """Return the pixels (N, 2) of points in the camera frame, see `Camera`."""
        camera = self.face.camera
        scale = camera.scale_px_per_m if camera.focal_px is None else camera.focal_px / -surface[:, 2:3]
        flip = surface.new_tensor([1.0, -1.0])
        return surface[:, :2] * flip * scale + surface.new_tensor(camera.center_px)

    def _cosine(self, surface: torch.Tensor) -> torch.Tensor:
        """Return the cosines (N,) between normals and viewing rays."""
        if self.face.camera.focal_px is None:
            return surface[:, 5]
        to_camera = functional.normalize(-surface[:, :3], dim=1)
        return (surface[:, 3:] * to_camera).sum(dim=1)

    def _is_unoccluded(self, surface: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Return (N,) bool, true for points that no other part of the head occludes."""
        scale = self.face.camera.scale_px_per_m
        depth = -surface[:, 2] - float(self.face.camera.depth(np.zeros((1, 3)))[0])
        low = torch.from_numpy(self.low)
        cell = ((position - low) / float(self.extent) * _DEPTH_MAP_PX).long().clamp(0, _DEPTH_MAP_PX - 1)
        nearest = self.depth_px[cell[:, 1], cell[:, 0]]
        return depth * scale <= nearest + _DEPTH_BIAS_M * scale


def _blend_sides(colors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blend the colours of the points and of their mirror images; return colours (3, N) and weights (N,)."""
    direct, mirrored = weights[:, 0], (1 - weights[:, 0]) * weights[:, 1] * _MIRROR_WEIGHT
    total = direct + mirrored
    color = (colors[:, 0] * direct[:, None] + colors[:, 1] * mirrored[:, None]) / total.clip(1e-6)[:, None]
    return color.T, total


def _median_skin_color(colors: np.ndarray, weights: np.ndarray, head: HeadModel) -> np.ndarray:
    """Return the median colour (3,) of the visible points; the default skin colour if there are none."""
    visible = colors[:, 0][weights[:, 0] > 0.5]
    base = np.median(visible, axis=0) if len(visible) else np.array(materials.SKIN_COLOR) * 255
    return np.asarray(base, dtype=np.float32)


def _fill_pull_push(image: torch.Tensor, weight: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Fill an image (1, 3, H, W) where `weight` (1, 1, H, W) is low, from coarser levels of a pyramid and then `base`.

    Source: the pull-push algorithm of Gortler et al., "The Lumigraph", 1996, section 3.4.
    """
    side = image.shape[-1]
    if side % 2 or side <= 4:
        return image * weight + base[None, :, None, None] * (1 - weight)
    pulled = functional.avg_pool2d(weight, 2)
    coarse = functional.avg_pool2d(image * weight, 2) / pulled.clamp_min(1e-6)
    below = _fill_pull_push(coarse, (pulled * 2).clamp_max(1), base)
    pushed = functional.interpolate(below, scale_factor=2.0, mode="bilinear", align_corners=False)
    return image * weight + pushed * (1 - weight)
