"""A head as a clay figure: skin tone, lips, teeth and painted eyes under soft studio light.

The eyes are painted at every pixel from where it lies on the eyeball, so that the pupil is round on a coarse
mesh.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from smirk3d.export.materials import eye_color_at, eye_uv, material_parts, region, vertex_colors
from smirk3d.export.npz import vertices_image
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.render.draw import Drawing
from smirk3d.render.fragments import Fragments, interpolate
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import Lights, Specular, highlight, shade, vertex_normals

_SUPERSAMPLE = 2
_MOUTH_LIGHT = 0.75
"""Share of the light that gets into the mouth."""
_EYE_GLOSS = 4.0
"""Highlights of the eyes relative to those of the skin."""
_SPECULAR = Specular(strength=0.12, shininess=24.0)


def studio_lights() -> Lights:
    """Return a key light from the upper left, a fill light from the right and a low one from the front."""
    directions = torch.tensor([[-0.55, 0.65, 0.75], [0.8, 0.1, 0.6], [0.0, -0.25, 1.0]])
    return Lights(functional.normalize(directions, dim=-1), torch.tensor([1.35, 0.45, 0.45]), ambient=0.36)


def draw_in_photo(face: Face, box_px: tuple[float, float, float, float], size: tuple[int, int]) -> Drawing:
    """Draw a face where it is in its photo.

    Args:
        face: The face.
        box_px: x0, y0, x1, y1 of the part of the photo that the picture shows.
        size: Height and width of the picture in pixels.

    Returns:
        A batch of one drawing.
    """
    x0, y0, x1, y1 = box_px
    points = torch.from_numpy(vertices_image(face)).float()
    ndc = (points - points.new_tensor([x0, y0, 0])) / points.new_tensor([(x1 - x0) / 2, (y1 - y0) / 2, 1])
    ndc = ndc - ndc.new_tensor([1, 1, 0])
    w = None
    if face.camera.focal_px is not None:
        w = torch.from_numpy(face.camera.depth(face.vertices)).float()
    return draw_clay(face.head, ndc, torch.from_numpy(face.vertices @ face.rotation.T).float(), size, w)


def draw_portrait(
    head: HeadModel, vertices: np.ndarray, rotation_rotmat: np.ndarray, size: tuple[int, int]
) -> Drawing:
    """Draw a head that fills the picture, orthographic.

    Args:
        head: The model. vertices: (V, 3) metres, head frame.
        rotation_rotmat: (3, 3) head frame to camera frame.
        size: Height and width of the picture in pixels.

    Returns:
        A batch of one drawing.
    """
    turned = torch.from_numpy(vertices @ rotation_rotmat.T).float()
    low, high = turned.min(dim=0).values, turned.max(dim=0).values
    height, width = size
    scale = 0.94 * min(height / float(high[1] - low[1]), width / float(high[0] - low[0]))
    center = (low + high) / 2
    ndc = (turned - center) * turned.new_tensor([2 * scale / width, -2 * scale / height, -1.0])
    return draw_clay(head, ndc, turned, size)


def draw_clay(
    head: HeadModel,
    ndc: torch.Tensor,
    turned: torch.Tensor,
    size: tuple[int, int],
    w: torch.Tensor | None = None,
) -> Drawing:
    """Draw a head in image space.

    Args:
        head: The model.
        ndc: (V, 3) image space as in `rasterize`. turned: (V, 3) in the camera frame, for the light.
        size: Height and width in pixels.
        w: (V,) depth of a perspective camera, or None.

    Returns:
        A batch of one drawing.
    """
    fine = (size[0] * _SUPERSAMPLE, size[1] * _SUPERSAMPLE)
    faces = head.faces.cpu()
    fragments = rasterize(ndc[None], faces, fine, w=None if w is None else w[None])
    attributes = torch.cat(
        [
            vertex_normals(turned, faces),
            torch.from_numpy(vertex_colors(head)),
            torch.from_numpy(eye_uv(head)),
            torch.from_numpy(region(head, "mouth_interior")).float()[:, None],
        ],
        dim=1,
    )
    covered = fragments.mask[0]
    normal, color, uv, mouth = interpolate(fragments, attributes, faces)[0][covered].split(
        [3, 3, 2, 1], dim=1
    )
    eye = _eye_pixels(head, fragments)[covered][:, None]
    painted = eye[:, 0].nonzero()[:, 0]
    color[painted] = torch.from_numpy(eye_color_at(uv[painted].numpy()))
    pixels = torch.zeros(*fine, 4)
    pixels[covered] = torch.cat([_lit(color, normal, mouth, eye), torch.ones_like(mouth)], dim=1)
    soft = functional.avg_pool2d(pixels.permute(2, 0, 1)[None], _SUPERSAMPLE)
    return Drawing(soft[:, :3], soft[:, 3:])


def _eye_pixels(head: HeadModel, fragments: Fragments) -> torch.Tensor:
    is_eye = torch.zeros(len(head.faces) + 1, dtype=torch.bool)  # the last entry is the background's -1
    for part in material_parts(head):
        if part.name == "eyes":
            is_eye[torch.from_numpy(part.face_index)] = True
    return is_eye[fragments.face_index[0]]


def _lit(color: torch.Tensor, normal: torch.Tensor, mouth: torch.Tensor, eye: torch.Tensor) -> torch.Tensor:
    """Return the colours (N, 3) under the studio lights; normals turned away are the back of a patch."""
    normal = functional.normalize(normal, dim=1)
    normal = torch.where(normal[:, 2:] < 0, -normal, normal)
    lights = studio_lights()
    light = shade(normal, lights)[:, None] * (1 - (1 - _MOUTH_LIGHT) * mouth)
    gloss = highlight(normal, lights, _SPECULAR)[:, None] * (1 + (_EYE_GLOSS - 1) * eye)
    return (color * light + gloss * (1 - 0.7 * mouth)).clamp(0, 1)
