"""Random pictures of a character, an artist's head with ARKit's morph targets, with their ground truth."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from smirk3d.datasets.synthetic.scene_sampling import (
    FACE_HEIGHT_M,
    FACE_SHARE,
    Kind,
    SampleRanges,
    random_expression,
    uniform,
)
from smirk3d.evaluation.character_mesh import CharacterMesh
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES
from smirk3d.render.appearance.procedural_face import (
    REGION_CHANNELS,
    ProjectedHead,
    project_head_perspective,
    shade_half_lambert,
)
from smirk3d.render.appearance.randomization import random_background, random_light, simulate_sensor
from smirk3d.render.fragments import interpolate
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import vertex_normals

SIZE_PX, SUPERSAMPLE = 384, 2
GAZE_DEG = (30.0, 25.0)
"""Rotation of an eye at full weight: horizontally, vertically."""
FACE_CENTER_M = 0.025
"""The centre of a face is so far below its eyes."""
ZOOM_RANGE = (0.8, 1.15)
SHIFT_STD_M = 0.015
SKIN_LIGHT, SKIN_DARK, SKIN_NOISE_STD = (1.25, 1.08, 1.0), (0.55, 0.40, 0.33), 0.05
"""Factors on the texture: ends of the range of random skin colours, and the noise about it."""


class CharacterSample(NamedTuple):
    """A picture and its ground truth.

    Attributes:
        image: (3, S, S) in [0, 1].
        weights: (52,) ARKit weights in [0, 1].
        rotmat: (3, 3) head to camera.
    """

    image: Tensor
    weights: Tensor
    rotmat: Tensor


class CharacterRenderer:
    """Renders random pictures of one character.

    Expressions, poses, cameras, lights and backgrounds are drawn as for the synthetic test set; the texture is tinted
    at random.

    Args:
        mesh: The character.

    Attributes:
        mesh: As given.
        is_known: (52,) bool, blendshapes that move the character; gaze only where its eyeballs are known.
    """

    def __init__(self, mesh: CharacterMesh) -> None:
        self.mesh = mesh
        has_control = [name not in GAZE_NAMES or bool(mesh.eyes) for name in ARKIT_NAMES]
        self.is_known = mesh.moves & torch.tensor(has_control)

    def sample(self, kind: Kind, generator: torch.Generator) -> CharacterSample:
        """Render a random picture.

        Args:
            kind: What the expression is drawn from.
            generator: Source of the random numbers, on the CPU.
        """
        weights = random_expression(kind, generator) * self.is_known
        ranges = SampleRanges()
        angles = [uniform(-end, end, generator) for end in (ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg)]
        rotmat = torch.from_numpy(rotation_from_angles(*angles)).float()
        distance_m = uniform(*ranges.distance_m, generator)
        focal = 2 * FACE_SHARE * uniform(*ZOOM_RANGE, generator) * distance_m / FACE_HEIGHT_M
        shift = SHIFT_STD_M * torch.randn(3, generator=generator) * torch.tensor([1.0, 1.0, 0.0])
        center = rotmat @ torch.tensor([0.0, -FACE_CENTER_M, 0.0])
        vertices = self._posed(weights)
        view = project_head_perspective(vertices, rotmat, shift - center - torch.tensor([0.0, 0.0, distance_m]), focal)
        image = self._render(view, generator)
        background = random_background(SIZE_PX, generator)
        composed = (image[:3] + (1 - image[3:]) * background).clamp(0, 1)
        return CharacterSample(simulate_sensor(composed, generator), weights, rotmat)

    def _render(self, view: ProjectedHead, generator: torch.Generator) -> Tensor:
        """Return the character in front of nothing, (4, S, S) premultiplied colours and coverage."""
        side = SIZE_PX * SUPERSAMPLE
        assert view.w is not None
        fragments = rasterize(view.ndc[None], self.mesh.faces, side, w=view.w[None])
        normals = vertex_normals(view.vertices_camera, self.mesh.faces)
        attributes = torch.cat([self.mesh.uv, normals, self.mesh.part[:, None].float()], dim=1)
        visible = interpolate(fragments, attributes[None], self.mesh.faces)[0][fragments.mask[0]]
        uv, normal, part = visible.split([2, 3, 1], dim=1)
        color = self._texture(uv, part[:, 0].round().long()) * _skin_tint(generator)
        image = torch.zeros(side, side, 4)
        no_regions = torch.zeros(len(color), len(REGION_CHANNELS))
        shaded = shade_half_lambert(color, normal, random_light(generator), no_regions)
        image[fragments.mask[0]] = torch.cat([shaded, torch.ones_like(color[:, :1])], dim=1)
        return F.avg_pool2d(image.permute(2, 0, 1)[None], SUPERSAMPLE)[0]

    def _posed(self, weights: Tensor) -> Tensor:
        """Return the vertices (V, 3) of an expression (52,), eyeballs rotated by gaze."""
        vertices = self.mesh.vertices + torch.einsum("a,avc->vc", weights, self.mesh.directions)
        for (is_eyeball, center), side, inward in zip(self.mesh.eyes, ("Left", "Right"), (-1.0, 1.0)):
            gaze = {
                way: float(weights[ARKIT_NAMES.index(f"eyeLook{way}{side}")]) for way in ("In", "Out", "Up", "Down")
            }
            yaw = math.radians(GAZE_DEG[0]) * inward * (gaze["In"] - gaze["Out"])
            pitch = math.radians(GAZE_DEG[1]) * (gaze["Down"] - gaze["Up"])
            cos, sin = (torch.tensor([f(yaw), f(pitch)]) for f in (math.cos, math.sin))
            horizontal = torch.tensor([[cos[0], 0, sin[0]], [0, 1, 0], [-sin[0], 0, cos[0]]])
            vertical = torch.tensor([[1, 0, 0], [0, cos[1], -sin[1]], [0, sin[1], cos[1]]])
            vertices[is_eyeball] = (vertices[is_eyeball] - center) @ (horizontal @ vertical).T + center
        return vertices

    def _texture(self, uv: Tensor, part: Tensor) -> Tensor:
        """Return the colours (N, 3) of points at uv (N, 2) of parts (N,)."""
        color = uv.new_zeros(len(uv), 3)
        for number, texture in enumerate(self.mesh.textures):
            is_of_part = part == number
            grid = (2 * (uv[is_of_part] % 1.0) - 1)[None, None]
            sampled = F.grid_sample(texture[None], grid, padding_mode="border", align_corners=False)
            color[is_of_part] = sampled[0, :, 0].T
        return color


def _skin_tint(generator: torch.Generator) -> Tensor:
    """Return the factors (3,) of a random skin colour."""
    light, dark = torch.tensor(SKIN_LIGHT), torch.tensor(SKIN_DARK)
    tone = light + torch.rand((), generator=generator) * (dark - light)
    return tone + SKIN_NOISE_STD * torch.randn(3, generator=generator)
