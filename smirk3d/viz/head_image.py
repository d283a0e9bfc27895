"""Images of a head under soft studio light, with skin, lips, teeth and eyes in natural colours.

The colour of an eye is evaluated at every pixel, so that the pupil is round on a coarse mesh.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smirk3d.export.tables.npz import vertices_image
from smirk3d.face import Face
from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_model import HeadTextures, head_textures
from smirk3d.render.appearance.materials import (
    MOUTH_COLOR,
    eye_color_at,
    material_parts,
    region_vertices,
    vertex_colors,
)
from smirk3d.render.appearance.part_textures import TEXTURED_PARTS, part_uv
from smirk3d.render.appearance.skin_layout import skin_uv
from smirk3d.render.appearance.teeth import teeth_color_at
from smirk3d.render.draw import Drawing
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import Lights, Specular, highlight, shade, vertex_normals
from smirk3d.viz.supersampling import (
    BACKGROUND,
    DETAILED,
    SUPERSAMPLE,
    Samples,
    average,
    choose_samples,
    window_around,
)

_MAX_DEPTH_STEP = 0.01
"""Larger steps in depth, relative to the depth of the head, are edges."""
_MOUTH_LIGHT = 0.75
"""Fraction of the light that reaches the inside of the mouth."""
_TEETH_LIGHT = 0.97
_TEETH_FLATNESS = 0.75
"""Weight of the constant `_TEETH_LIGHT` in their shading: teeth are translucent and show little shading."""
_EYE_GLOSS = 4.0
"""Highlights of the eyes relative to those of the skin."""
_SKIN = DETAILED + 1
"""Label of the skin, the first of the materials."""
_TEXTURE_HALVINGS = 1
"""A texel is then about as large as a pixel of an overlay."""
_SPECULAR = Specular(strength=0.12, shininess=24.0)


def studio_lights() -> Lights:
    """Return three-point lighting: a key light from the upper left, a fill light from the right, one from below."""
    directions = torch.tensor([[-0.55, 0.65, 0.75], [0.8, 0.1, 0.6], [0.0, -0.25, 1.0]])
    return Lights(functional.normalize(directions, dim=-1), torch.tensor([1.35, 0.45, 0.45]), ambient=0.36)


def soft_lights() -> Lights:
    """Return the studio lights softened, so that plain skin that faces the viewer shows its own tone."""
    lights = studio_lights()
    return Lights(lights.directions, 0.85 * lights.intensity, ambient=0.58)


def draw_in_photo(
    face: Face,
    box_px: tuple[float, float, float, float],
    size: tuple[int, int],
    textures: HeadTextures | None = None,
) -> Drawing:
    """Draw a face at its position in the photo.

    Args:
        face: The face.
        box_px: x0, y0, x1, y1 of the part of the photo that the image shows, in pixels of the photo.
        size: Height and width of the image in pixels.
        textures: Textures of the head; plain colours by default.

    Returns:
        Drawing of one image.
    """
    x0, y0, x1, y1 = box_px
    points = torch.from_numpy(vertices_image(face)).float()
    ndc = (points - points.new_tensor([x0, y0, 0])) / points.new_tensor([(x1 - x0) / 2, (y1 - y0) / 2, 1])
    ndc = ndc - ndc.new_tensor([1, 1, 0])
    w = None
    if face.camera.focal_px is not None:
        w = torch.from_numpy(face.camera.depth(face.vertices)).float()
    rotated = torch.from_numpy(face.vertices @ face.rotation.T).float()
    return render_head(face.head, ndc, rotated, size, w, textures)


def draw_portrait(
    head: HeadModel,
    vertices: np.ndarray,
    rotation_rotmat: np.ndarray,
    size: tuple[int, int],
    textures: HeadTextures | None = None,
) -> Drawing:
    """Draw a head that fills the image, under an orthographic camera.

    Args:
        head: The model.
        vertices: (V, 3) float, metres, head frame.
        rotation_rotmat: (3, 3) float, head frame to camera frame.
        size: Height and width of the image in pixels.
        textures: Textures of the head; plain colours by default.

    Returns:
        Drawing of one image.
    """
    rotated = torch.from_numpy(vertices @ rotation_rotmat.T).float()
    low, high = rotated.min(dim=0).values, rotated.max(dim=0).values
    height, width = size
    scale = 0.94 * min(height / float(high[1] - low[1]), width / float(high[0] - low[0]))
    center = (low + high) / 2
    ndc = (rotated - center) * rotated.new_tensor([2 * scale / width, -2 * scale / height, -1.0])
    return render_head(head, ndc, rotated, size, textures=textures)


def face_textures(face: Face) -> HeadTextures | None:
    """Return the textures of a face's appearance at the resolution of overlays; None where it has none."""
    return None if face.appearance is None else head_textures(face.appearance, _TEXTURE_HALVINGS)


def render_head(
    head: HeadModel,
    ndc: Tensor,
    rotated: Tensor,
    size: tuple[int, int],
    w: Tensor | None = None,
    textures: HeadTextures | None = None,
) -> Drawing:
    """Draw a head in image space.

    Args:
        head: The model.
        ndc: (V, 3) float, image space as in `rasterize`.
        rotated: (V, 3) float, camera frame, for shading.
        size: Height and width in pixels.
        w: (V,) float, depth of a perspective camera; None for an orthographic one.
        textures: Textures of the head; plain colours by default.

    Returns:
        Drawing of one image.
    """
    image, alpha = ndc.new_zeros(1, 3, *size), ndc.new_zeros(1, 1, *size)
    window = window_around(ndc, size)
    if window is None:
        return Drawing(image, alpha)
    faces, surface = head.faces.cpu(), _surface(head)
    depth = float(ndc[:, 2].max() - ndc[:, 2].min())
    # Only the part of the image that the head covers is rasterised.
    fine = (window.height * SUPERSAMPLE, window.width * SUPERSAMPLE)
    fragments = rasterize(window.ndc(ndc)[None], faces, fine, w=None if w is None else w[None])
    samples = choose_samples(fragments, surface.part, _MAX_DEPTH_STEP * depth)
    normals = vertex_normals(rotated, faces)
    back_faces = _is_back_face(ndc, faces) if surface.is_hollow else torch.zeros(len(faces), dtype=torch.bool)
    if textures is None:
        corners = torch.cat([normals, surface.attributes], dim=1)[faces].flatten(1)
        shaded = _shade(samples, corners, surface, back_faces)
    else:
        corners = torch.cat([normals[faces], surface.inside[faces], surface.texture_place], dim=2).flatten(1)
        shaded = _shade_textured(samples, corners, surface, textures, faces)
    pixels = average(samples, shaded).movedim(-1, 0)
    part = (0, slice(None), window.rows, window.columns)
    image[part], alpha[part] = pixels[:3], pixels[3:]
    return Drawing(image, alpha)


@dataclass(frozen=True)
class _Surface:
    """Attributes of a head for shading.

    Attributes:
        attributes: (V, 7) float: colour (3), `part_uv` (2), 1 in the mouth, 1 at the teeth.
        inside: (V, 2) float, the last two of these.
        texture_place: (F, 3, 2) float: of corners of `TEXTURED_PARTS` their `part_uv`; of others the place on
            the skin's texture from -1 to 1. Empty on heads without texture coordinates.
        part: (F + 1,) uint8, labels for `choose_samples`.
        is_teeth: (F,) bool.
        is_hollow: The head has no mouth interior, so that the back of the skull is visible between its lips.
    """

    attributes: Tensor
    inside: Tensor
    texture_place: Tensor
    part: Tensor
    is_teeth: Tensor
    is_hollow: bool


@cache_per_head
def _surface(head: HeadModel) -> _Surface:
    inside = np.stack(
        [
            region_vertices(head, "mouth_interior"),
            region_vertices(head, "lower_teeth") | region_vertices(head, "upper_teeth"),
        ]
    )
    attributes = np.concatenate([vertex_colors(head), part_uv(head), inside.T], axis=1)
    part = torch.full((len(head.faces) + 1,), BACKGROUND, dtype=torch.uint8)
    is_teeth = torch.zeros(len(head.faces), dtype=torch.bool)
    for number, material in enumerate(material_parts(head), start=DETAILED + 1):
        label = DETAILED if material.name == "eyes" else number
        part[torch.tensor(material.face_index)] = label
        is_teeth[torch.tensor(material.face_index)] = material.name == "teeth"
    values = torch.from_numpy(attributes.astype(np.float32))
    is_hollow = not bool(inside[0].any())
    return _Surface(values, values[:, 5:].contiguous(), _texture_place(head), part, is_teeth, is_hollow)


def _texture_place(head: HeadModel) -> Tensor:
    if not len(head.uv):
        return torch.zeros(0, 3, 2)
    uv = torch.tensor(skin_uv(head))[head.faces_uv.cpu()]
    place = uv * uv.new_tensor([2, -2]) + uv.new_tensor([-1, 1])
    for part in material_parts(head):
        if part.name in TEXTURED_PARTS:
            rows = torch.tensor(part.face_index)
            place[rows] = torch.tensor(part_uv(head))[head.faces.cpu()[rows]]
    return place


def _is_back_face(ndc: Tensor, faces: Tensor) -> Tensor:
    """Return which triangles show their back, (F,) bool; `ndc` has y downwards."""
    a, b, c = ndc[faces][..., :2].unbind(1)
    u, v = b - a, c - a
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] > 0


def _shade(samples: Samples, corners: Tensor, surface: _Surface, back_faces: Tensor) -> Tensor:
    """Return the colours (N, 3) of surface points.

    `corners` (F, 3 C) are the attributes of the triangles' corners; `back_faces` (F,) bool show their inside.
    """
    face = samples.face
    values = _interpolated(samples, corners)
    normal, color, uv, inside = values.split([3, 3, 2, 2], dim=1)
    # Between nearly closed lips teeth appear at edges only; no light passes through such a slit.
    inside[len(samples.single) :, 1] = 0
    is_eye = surface.part.index_select(0, face) == DETAILED
    on_eye = is_eye.nonzero()[:, 0]
    color[on_eye] = torch.from_numpy(eye_color_at(uv[on_eye].numpy()))
    on_teeth = surface.is_teeth.index_select(0, face).nonzero()[:, 0]
    color[on_teeth] = teeth_color_at(uv[on_teeth])
    dark = back_faces.index_select(0, face)
    color[dark] = color.new_tensor(MOUTH_COLOR)
    inside[dark, 0] = 1.0
    return _lit(color, normal, inside, is_eye[:, None])


def _shade_textured(
    samples: Samples, corners: Tensor, surface: _Surface, textures: HeadTextures, faces: Tensor
) -> Tensor:
    """Return the colours (N, 3) of surface points of a head with textures.

    `corners` (F, 3 7) are normal, `_Surface.inside` and `_Surface.texture_place` of the corners of `faces` (F, 3).
    """
    normal, inside, place = _interpolated(samples, corners).split([3, 2, 2], dim=1)
    inside[len(samples.single) :, 1] = 0  # as in `_shade`
    part = surface.part.index_select(0, samples.face)
    sampled = functional.grid_sample(
        _texture_tensor(textures), place[None, None], padding_mode="border", align_corners=False
    )
    color = sampled[0, :, 0].T.contiguous()
    is_eye = part == DETAILED
    on_eye, other = is_eye.nonzero()[:, 0], (part > _SKIN).nonzero()[:, 0]
    color[on_eye] = torch.from_numpy(eye_color_at(place[on_eye].numpy(), colors=textures.eye))
    plain = surface.attributes[:, :3][faces[samples.face[other]]]
    color[other] = (plain * samples.barycentric[other][..., None]).sum(dim=1)
    on_teeth = surface.is_teeth.index_select(0, samples.face).nonzero()[:, 0]
    color[on_teeth] = teeth_color_at(place[on_teeth])
    return _softly_lit(color, normal, inside, is_eye[:, None])


def _interpolated(samples: Samples, corners: Tensor) -> Tensor:
    """Interpolate attributes of the corners (F, 3 C) at the samples, (N, C)."""
    first, second, third = corners.index_select(0, samples.face).chunk(3, dim=1)
    values = (first * samples.barycentric[:, :1]).addcmul_(second, samples.barycentric[:, 1:2])
    return values.addcmul_(third, samples.barycentric[:, 2:])


@functools.lru_cache(maxsize=4)
def _texture_tensor(textures: HeadTextures) -> Tensor:
    """Return the texture of the skin, (1, 3, H, W) float in [0, 1]."""
    return torch.tensor(textures.skin).permute(2, 0, 1)[None].contiguous().float().div_(255)


def _softly_lit(color: Tensor, normal: Tensor, inside: Tensor, is_eye: Tensor) -> Tensor:
    """Return the colours (N, 3) under `soft_lights`, with highlights of the first light alone."""
    lights = soft_lights()
    normal = functional.normalize(normal, dim=1)
    normal = torch.where(normal[:, 2:] < 0, -normal, normal)
    mouth, teeth = inside.split(1, dim=1)
    light = shade(normal, lights)[:, None]
    halfway = functional.normalize(lights.directions[:1] + torch.tensor([[0.0, 0.0, 1.0]]), dim=1)
    lobe = functional.relu(halfway @ normal.T)[0].square().square().square()
    gloss = (lobe * lobe * lobe)[:, None] * (_SPECULAR.strength * float(lights.intensity[0]) / len(lights.intensity))
    gloss = gloss * (1 + (_EYE_GLOSS - 1) * is_eye)
    on_inside = (mouth[:, 0] + teeth[:, 0]).nonzero()[:, 0]
    shown = color * light + gloss
    if len(on_inside):
        mouth, teeth, dim = mouth[on_inside], teeth[on_inside], light[on_inside]
        dim = dim * (1 - (1 - _MOUTH_LIGHT) * mouth)
        dim = torch.lerp(dim, torch.full_like(dim, _TEETH_LIGHT), _TEETH_FLATNESS * teeth)
        shown[on_inside] = color[on_inside] * dim + gloss[on_inside] * (1 - 0.7 * mouth)
    return shown.clamp_(0, 1)


def _lit(color: Tensor, normal: Tensor, inside: Tensor, is_eye: Tensor) -> Tensor:
    """Return the colours (N, 3) under the studio lights; normals that point away belong to back faces."""
    lights = studio_lights()
    normal = functional.normalize(normal, dim=1)
    normal = torch.where(normal[:, 2:] < 0, -normal, normal)
    mouth, teeth = inside.split(1, dim=1)
    light = shade(normal, lights)[:, None] * (1 - (1 - _MOUTH_LIGHT) * mouth)
    light = torch.lerp(light, torch.full_like(light, _TEETH_LIGHT), _TEETH_FLATNESS * teeth)
    gloss = highlight(normal, lights, _SPECULAR)[:, None] * (1 + (_EYE_GLOSS - 1) * is_eye)
    return (color * light + gloss * (1 - 0.7 * mouth)).clamp(0, 1)
