"""Smooth normals and directional lights, in a right-handed frame, y up, z towards the viewer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Lights:
    """Directional white lights; a surface receives `ambient` plus the mean over the lights.

    Attributes:
        directions: (N,3) float, unit vectors from the surface to the light.
        intensity: (N,) float >= 0, radiance of each light; about 1.
        ambient: Radiance from all directions, >= 0; 0 to 0.5.
    """

    directions: Tensor
    intensity: Tensor
    ambient: float = 0.0


@dataclass(frozen=True)
class Specular:
    """Blinn-Phong highlight.

    Attributes:
        strength: Radiance of the highlight under a light of intensity 1, >= 0; 0.1 for skin.
        shininess: Exponent, > 0; larger values give smaller highlights, 20 for skin.
    """

    strength: float
    shininess: float


def _smirk_lights() -> Lights:
    corners = [[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 1.0]]
    return Lights(functional.normalize(torch.tensor(corners), dim=-1), torch.full((5,), 1.7))


SMIRK_LIGHTS = _smirk_lights()
"""Lights of SMIRK: four from the corners (±1,±1,1) and one from the viewer, intensity 1.7 each, no ambient light."""


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Return smooth normals: the area-weighted sum of the normals of the adjacent faces, normalised.

    Args:
        vertices: (...,V,3) float, right-handed frame.
        faces: (F,3) int, counter-clockwise seen from outside.

    Returns:
        (...,V,3) float, unit vectors; zeros for vertices that no face uses.
    """
    flat = vertices.reshape(-1, *vertices.shape[-2:])
    batch, vertex_count, _ = flat.shape
    # One flat index_add for the whole batch: offset the corners of each mesh.
    offset = torch.arange(batch, device=flat.device)[:, None, None] * vertex_count
    corner = (faces.long() + offset).reshape(-1, 3)
    a, b, c = flat.reshape(-1, 3).index_select(0, corner.reshape(-1)).reshape(-1, 3, 3).unbind(dim=1)
    # The cross product is as long as twice the area: the weights come for free.
    face_normal = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(flat).reshape(-1, 3)
    for column in corner.unbind(dim=1):
        total = total.index_add(0, column, face_normal)
    return functional.normalize(total, dim=-1, eps=torch.finfo(flat.dtype).tiny).reshape(vertices.shape)


def shade(normals: Tensor, lights: Lights = SMIRK_LIGHTS) -> Tensor:
    """Return the diffuse light that reaches a surface: ambient + mean over lights of intensity · max(0, n·l).

    Args:
        normals: (...,3) float, used as they are; interpolated normals, slightly short, are not normalised.
        lights: Lights in the frame of the normals.

    Returns:
        (...) float radiance, >= 0. A zero normal receives the ambient light only.

    Source: Lambert's law; the default lights are those of SMIRK's released code.
    """
    directions, intensity = lights.directions.to(normals), lights.intensity.to(normals)
    # Lights as rows: a matrix product with few columns is six times slower on a CPU.
    cosine = functional.relu(directions @ normals.reshape(-1, 3).T)
    return (intensity / len(intensity) @ cosine).reshape(normals.shape[:-1]) + lights.ambient


def highlight(normals: Tensor, lights: Lights, specular: Specular) -> Tensor:
    """Return Blinn-Phong highlights for a distant viewer on the +z axis.

    Args:
        normals: (...,3) float, unit vectors.
        lights: Lights in the frame of the normals.
        specular: Strength and exponent.

    Returns:
        (...) float radiance, >= 0: strength · mean of intensity · max(0, n·h)^shininess over the lights that the
        surface faces, with h half-way between light and viewer.

    Source: Blinn, "Models of Light Reflection for Computer Synthesized Pictures" (1977).
    """
    directions, intensity = lights.directions.to(normals), lights.intensity.to(normals)
    halfway = functional.normalize(directions + directions.new_tensor([0.0, 0.0, 1.0]), dim=-1)
    # No highlight on surfaces that face away from the light, even where n·h is positive.
    lit = (normals @ directions.T > 0).to(normals.dtype)
    lobes = functional.relu(normals @ halfway.T).pow(specular.shininess) * lit
    return specular.strength * (lobes @ (intensity / len(intensity)))
