"""A photo of a person, prepared once for all expressions that it is to show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.face import Face
from smirk3d.geometry.camera import Camera
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.reenactment.brow_lift import with_stiff_brows
from smirk3d.reenactment.lip_margin import MovedLandmarks, lip_triangles, with_closed_lips
from smirk3d.reenactment.region import Region
from smirk3d.render.appearance.texel_grid import texel_index
from smirk3d.render.fragments import Fragments, interpolate, to_image
from smirk3d.render.photo_warp.image_fields import rise
from smirk3d.render.photo_warp.landmark_residuals import residual_weights
from smirk3d.render.photo_warp.mesh_parts import AROUND, EYE, EYE_LIGHT, MOUTH, part_of_triangles
from smirk3d.render.photo_warp.mouth_interior import mouth_colors, mouth_trust
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh
from smirk3d.render.photo_warp.sharpness import blur_px
from smirk3d.render.photo_warp.skin_light import SkinLight, fill_level, is_grey
from smirk3d.render.photo_warp.warped_photo import FACING
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import vertex_normals

PIVOT_M = (0.0, -0.05, 0.03)
"""The head turns about this point of the head frame, between the ears and below them."""
NECK_M = (-0.11, -0.06)
"""Heights in the head frame between which the neck begins to follow the head."""
BRIGHT_LIPS = (0.35, 0.6)
"""Logarithm of the brightness of a photo's lips over that of the model at which they begin to be, and are, teeth."""
LARGEST_MOUTH_LIGHT = 1.2
"""Largest absolute logarithm of the light inside the mouth of a photo over that of the model."""


@dataclass(frozen=True, eq=False)
class SourcePhoto:
    """A photo and its fitted head.

    Attributes:
        pixels: (H, W, 3) uint8 sRGB.
        face: The face; its vertices are those of `face.arkit`.
        region: The part of the photo that may change.
        cut: (3, S, S) in [0, 1], this part.
        residual_ndc: (478, 2) detected landmarks minus those of the mesh, half sides of the region.
        plain_ndc: (478, 2) these landmarks of the mesh.
        fitted: The mesh where the photo shows it.
        texels: (F T², 3) in [0, 1], colours of the fitted appearance.
        front: (3, S, S) what each pixel of the region shows: its depth in metres, its part, and in [0, 1] whether its
            colour is one of this part: what is bright on lips are teeth.
        light: The light on the skin.
        level: (3, S, S) logarithm of the photo's colours over those of the lit appearance, smooth.
        is_grey: Whether the photo has no colours.
        mouth_light: Logarithm of the light inside the mouth over that of the model; 0 where the mouth is closed.
        blur_px: Blur of the photo's edges, standard deviation in samples of the region.
    """

    pixels: np.ndarray
    face: Face
    region: Region
    cut: Tensor
    residual_ndc: Tensor
    plain_ndc: Tensor
    fitted: PlacedMesh
    texels: Tensor
    front: Tensor
    light: SkinLight
    level: Tensor
    is_grey: bool
    mouth_light: float
    blur_px: float

    def placed(self, face: Face, rotation: np.ndarray) -> PlacedMesh:
        """Place the mesh of another expression, turned to another rotation (3, 3), head frame to camera frame."""
        head, placed = face.head, place_face(face, rotation, self.region, self.residual_ndc)
        plain = placed.ndc[:, :2] - residual_weights(head) @ self.residual_ndc
        plain_ndc = head.landmark_embedding("mediapipe").points(plain, head.faces)
        return with_closed_lips(head, placed, plain_ndc, MovedLandmarks(self.plain_ndc, self.fitted.landmarks_ndc))

    def at(self, points_ndc: Tensor) -> Tensor:
        """Return `front` at points (S, S, 2 or more) of the region, (3, S, S)."""
        grid = points_ndc[None, ..., :2]
        return functional.grid_sample(self.front[None], grid, mode="nearest", align_corners=False)[0]


def prepare_source(pixels: np.ndarray, face: Face, landmarks_px: np.ndarray, texels: Tensor) -> SourcePhoto:
    """Prepare a photo.

    Args:
        pixels: (H, W, 3) uint8 sRGB.
        face: The face in it.
        landmarks_px: (478, 2) detected landmarks of MediaPipe, pixels.
        texels: (F T², 3) in [0, 1], colours of the person's appearance.
    """
    face = face.with_arkit(face.arkit)
    region = Region.of_landmarks(landmarks_px)
    none = torch.zeros(len(landmarks_px), 2)
    plain_ndc = place_face(face, face.rotation, region, none).landmarks_ndc
    residual = torch.from_numpy(region.to_ndc(landmarks_px)).float() - plain_ndc
    fitted = place_face(face, face.rotation, region, residual)
    head, size = face.head, region.size
    faces = head.faces.to(torch.int32)
    fragments = rasterize(fitted.ndc[None], faces, size)
    covered = fragments.mask[0]
    depth = torch.where(covered, fragments.depth[0], 1.0)
    part = torch.where(covered, part_of_triangles(head)[fragments.face_index[0].clamp_min(0).long()], AROUND)
    normal = interpolate(fragments, fitted.normals[None], faces)[0]
    photo = region.cut(pixels)
    trust = covered * (part != AROUND) * rise(normal[..., 2], FACING)
    skin = trust * (part < EYE)
    light = SkinLight.fit(photo, normal, skin)
    albedo = shown_texels(fragments, texels, part)
    lit, grey = albedo * light.shading(normal), is_grey(photo)
    if grey:
        lit = lit.mean(0, keepdim=True).expand(3, -1, -1)
    level = fill_level(photo, lit, skin)
    is_lip = covered & lip_triangles(head)[fragments.face_index[0].clamp_min(0).long()]
    brighter = (photo.mean(0).clamp_min(0.02) / lit.mean(0).clamp_min(0.02)).log() - level.mean(0)
    plausible = torch.where(is_lip, 1 - rise(brighter, BRIGHT_LIPS), 1.0)
    front = torch.stack([depth, part.float(), plausible])
    inside = (
        mouth_colors(head, fitted, fragments, part, albedo)[:, part == MOUTH] * light.shading(normal)[part == MOUTH]
    )
    mouth = (photo[:, part == MOUTH], inside * level.mean(0)[part == MOUTH].exp())
    mouth_light = mouth_trust(fitted) * _light_over(*mouth)
    softness = blur_px(photo, covered)
    return SourcePhoto(
        pixels,
        face,
        region,
        photo,
        residual,
        plain_ndc,
        fitted,
        texels,
        front,
        light,
        level,
        grey,
        mouth_light,
        softness,
    )


def _light_over(photo: Tensor, model: Tensor) -> float:
    """Return the median logarithm of the brightness of pixels (3, N) over that of the model; 0 without pixels."""
    if not photo.shape[1]:
        return 0.0
    ratio = photo.mean(0).clamp_min(0.02).log() - model.mean(0).clamp_min(0.02).log()
    return float(ratio.median().clamp(-LARGEST_MOUTH_LIGHT, LARGEST_MOUTH_LIGHT))


def shown_texels(fragments: Fragments, texels: Tensor, part: Tensor) -> Tensor:
    """Return the colours of the appearance that pixels with their parts (S, S) show, (3, S, S)."""
    pixel = fragments.mask.flatten().nonzero()[:, 0]
    light = torch.where(part.flatten()[pixel] == EYE, EYE_LIGHT, 1.0)[:, None]
    return to_image(fragments, pixel, texels[texel_index(fragments, pixel)] * light)[0].permute(2, 0, 1)


def place_face(face: Face, rotation: np.ndarray, region: Region, residual_ndc: Tensor) -> PlacedMesh:
    """Pose and project a face, and move it by the residuals of its landmarks.

    Args:
        face: The face, with the camera of the photo.
        rotation: (3, 3) head frame to camera frame; the neck's lower end stays as in the photo.
        region: The part of the photo.
        residual_ndc: (478, 2) detected landmarks minus those of the mesh.
    """
    head, camera = face.head, face.camera
    points = with_stiff_brows(face) @ camera.rotation_rotmat.T + camera.translation_m
    pivot = camera.rotation_rotmat @ np.array(PIVOT_M) + camera.translation_m
    turn = rotation @ camera.rotation_rotmat.T
    turned = (points - pivot) @ turn.T + pivot
    points = points + follow_weights(head).numpy()[:, None] * (turned - points)
    own = Camera(np.eye(3), np.zeros(3), camera.center_px, camera.scale_px_per_m, camera.focal_px)
    ndc = torch.from_numpy(region.to_ndc(own.project(points))).float() + residual_weights(head) @ residual_ndc
    landmarks = head.landmark_embedding("mediapipe").points(ndc, head.faces)
    cam = torch.from_numpy(points).float()
    normals = functional.normalize(vertex_normals(cam, head.faces), dim=1)
    depth = pivot[2] - cam[:, 2:]
    return PlacedMesh(torch.cat([ndc, depth], dim=1), normals, landmarks)


@cache_per_head
def follow_weights(head: HeadModel) -> Tensor:
    """Return by how much each vertex turns with the head, (V,) in [0, 1]: the lower end of the neck stays."""
    height = rise(head.v_template[:, 1], NECK_M)
    smooth = height * height * (3 - 2 * height)
    return torch.where(head.region_mask("neck"), smooth, 1.0)
