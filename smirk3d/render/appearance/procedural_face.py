"""Procedural renderings of a head: skin, lips, brows, irises, teeth, hair, light and background.

They serve to compute landmark embeddings, and as training and test images with exact ground truth. The colour of a
pixel follows from the position of its surface point on the neutral head, so that edges stay crisp on coarse meshes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from smirk3d.head.landmark_indices import BROW_LEFT, BROW_RIGHT, LIPS_INNER, LIPS_OUTER
from smirk3d.head.model import HeadModel
from smirk3d.render.fragments import interpolate
from smirk3d.render.rasterize import rasterize
from smirk3d.render.shading import vertex_normals

Color = tuple[float, float, float]
IRIS_RADIUS_M = 0.0060
PUPIL_RADIUS_M = 0.0025
MAX_BROW_RADIUS_M = 0.05
"""No point of a brow is farther than this from the brow's centre."""
REGION_CHANNELS = ("lips", "mouth_interior", "tongue", "teeth", "eyeballs", "eye_sockets", "scalp")
"""Order of the channels of region weights."""


@dataclass(frozen=True)
class Appearance:
    """Colours, sRGB in [0, 1], and shapes of the layers of a face.

    Attributes:
        skin: Colour of the skin.
        lips: Colour of the lips.
        brows: Colour of the brows.
        iris: Colour of the irises.
        sclera: Colour of the white of the eyes.
        hair: Colour of the scalp.
        teeth: Colour of the teeth.
        brow_strength: Opacity of the brows, in [0, 1].
        brow_width: Factor on the width of the brows, > 0; 0.6 to 1.4 is natural.
        brow_lift_m: Shift of the brows upwards, metres.
        brow_tilt: Additional shift per metre of distance from the centre of the brow, outwards.
        iris_scale: Factor on the radius of the irises, > 0.
        lip_edge: Region weight, in (0, 1), at which the lips end; smaller widens them.
        lip_strength: Opacity of the lips, in [0, 1].
        hair_strength: Opacity of the hair on the scalp, in [0, 1].
        mottle_strength: Amplitude of the smooth variation of the skin colour; 0 to 0.04 is natural.
        mottle: (3, 4) float, spatial frequencies (3) and phase (1) of three waves of that variation.
    """

    skin: Color = (0.80, 0.62, 0.52)
    lips: Color = (0.70, 0.36, 0.34)
    brows: Color = (0.22, 0.15, 0.11)
    iris: Color = (0.30, 0.22, 0.14)
    sclera: Color = (0.92, 0.90, 0.88)
    hair: Color = (0.20, 0.15, 0.12)
    teeth: Color = (0.90, 0.87, 0.80)
    brow_strength: float = 0.85
    brow_width: float = 1.0
    brow_lift_m: float = 0.0
    brow_tilt: float = 0.0
    iris_scale: float = 1.0
    lip_edge: float = 0.5
    lip_strength: float = 0.8
    hair_strength: float = 1.0
    mottle_strength: float = 0.0
    mottle: Tensor = field(default_factory=lambda: torch.zeros(3, 4))


@dataclass(frozen=True)
class Light:
    """One distant light, a sky, ambient light and a highlight; the intensities multiply the colour.

    Attributes:
        direction: (3,) float, towards the light, camera frame; any length but 0.
        direct: Intensity of the distant light, 0.3 to 0.8.
        sky: Intensity of light from above, 0 to 0.25.
        ambient: Intensity from all directions; direct + ambient of about 1 exposes well.
        highlight: Intensity of the specular highlight, 0 to 0.25.
    """

    direction: Tensor = field(default_factory=lambda: torch.tensor([0.3, 0.5, 1.0]))
    direct: float = 0.65
    sky: float = 0.10
    ambient: float = 0.38
    highlight: float = 0.10


@dataclass(frozen=True)
class ProjectedHead:
    """Vertices of a head in the image and in the camera frame.

    Attributes:
        ndc: (V, 3) float, image space: x', y' in [-1, 1] with y' downwards, smaller z nearer.
        vertices_camera: (V, 3) float, metres, rotated into the camera frame (+Y up, +Z to the viewer), for shading.
        w: (V,) float, depth of a perspective camera in metres; None for an orthographic one.
    """

    ndc: Tensor
    vertices_camera: Tensor
    w: Tensor | None = None


class ProceduralFaceRenderer:
    """Renders one head model with procedural colours.

    Args:
        head: The model. Brows and lips follow its MediaPipe landmarks, where it has them.
        supersample: Samples per pixel and direction; 1 is fastest and aliased, 2 or 3 smooth.

    Attributes:
        neutral: (V, 3) float, metres, the neutral head.
        region_weights: (V, 7) float in [0, 1], membership in `REGION_CHANNELS`.
        brows: Right and left brow, (5, 4) float each: centre line x, y, z and half width in metres.
        eye_poles: Front of each eyeball on its axis, (3,) float each, metres.
    """

    def __init__(self, head: HeadModel, supersample: int = 2) -> None:
        self.head = head
        self.supersample = supersample
        self.neutral = head.v_template
        self.region_weights = torch.stack([self._region_weight(name) for name in REGION_CHANNELS], dim=1)
        self.brows = [_brow_centerline(head, ring) for ring in (BROW_RIGHT, BROW_LEFT)] if self._has_landmarks else []
        lips = self.region_weights[:, REGION_CHANNELS.index("lips")]
        if self._has_landmarks and not lips.any():
            self.region_weights[:, REGION_CHANNELS.index("lips")] = _lip_weights(head)
        self.eye_poles = self._find_eye_poles()

    @property
    def _has_landmarks(self) -> bool:
        return "mediapipe" in self.head.data.landmarks

    def _region_weight(self, name: str) -> Tensor:
        names = ("lower_teeth", "upper_teeth") if name == "teeth" else (name,)
        present = [self.head.region_mask(n) for n in names if n in self.head.data.regions]
        mask = torch.stack(present).any(0) if present else torch.zeros(len(self.neutral), dtype=torch.bool)
        return mask.float()

    def _find_eye_poles(self) -> list[Tensor]:
        joints = self.head.J_regressor @ self.neutral
        poles = []
        for side, joint in (("left_eyeball", 3), ("right_eyeball", 4)):
            if side in self.head.data.regions:
                front = self.neutral[self.head.region_mask(side)][:, 2].max()
                poles.append(torch.stack([joints[joint, 0], joints[joint, 1], front]))
        return poles

    def render(
        self, head: ProjectedHead, size: int, appearance: Appearance, light: Light, background: Tensor | None = None
    ) -> Tensor:
        """Render the head over a background.

        Args:
            head: The projected vertices.
            size: S, side of the image in pixels.
            appearance: Colours and shapes.
            light: Illumination.
            background: (3, S, S) float in [0, 1]; None for mid grey.

        Returns:
            (3, S, S) float in [0, 1].
        """
        fine = size * self.supersample
        faces = self.head.faces
        w = None if head.w is None else head.w[None]
        fragments = rasterize(head.ndc[None], faces, fine, w=w)
        normals = vertex_normals(head.vertices_camera, faces)
        attributes = torch.cat([self.neutral, normals, self.region_weights], dim=1)
        values = interpolate(fragments, attributes[None], faces)[0]
        covered = fragments.mask[0]
        neutral, normal, weights = values[covered].split([3, 3, len(REGION_CHANNELS)], dim=1)
        color = self.albedo(neutral, dict(zip(REGION_CHANNELS, weights.unbind(1))), appearance)
        image = values.new_zeros(fine, fine, 4)
        shaded = shade_half_lambert(color, normal, light, weights)
        image[covered] = torch.cat([shaded, color.new_ones(len(color), 1)], dim=1)
        image = F.avg_pool2d(image.permute(2, 0, 1)[None], self.supersample)[0]
        behind = image.new_full((3, size, size), 0.5) if background is None else background
        return (image[:3] + (1 - image[3:]) * behind).clamp(0, 1)

    def albedo(self, neutral: Tensor, weights: dict[str, Tensor], appearance: Appearance) -> Tensor:
        """Return the unlit colours of surface points.

        Args:
            neutral: (N, 3) float, metres, where the points are on the neutral head.
            weights: (N,) float in [0, 1] for each of `REGION_CHANNELS`, interpolated region weights.
            appearance: Colours and shapes.

        Returns:
            (N, 3) float, linear in the colours of the appearance, and in [0, 1] without mottle.
        """

        def blend(base: Tensor, over: Color, opacity: Tensor) -> Tensor:
            return base + (base.new_tensor(over) - base) * opacity[:, None]

        # Later layers cover earlier ones.
        phase = neutral @ appearance.mottle[:, :3].T * 60 + appearance.mottle[:, 3]
        wave = phase.sin().sum(1, keepdim=True)
        color = neutral.new_tensor(appearance.skin) * (1 + appearance.mottle_strength * wave)
        color = blend(color, appearance.hair, appearance.hair_strength * _soft_step(weights["scalp"], 0.5, 0.25))
        lips = _soft_step(weights["lips"], appearance.lip_edge, 0.25)
        color = blend(color, appearance.lips, appearance.lip_strength * lips)
        color = self._blend_brows(color, neutral, appearance)
        # Interiors only where all three corners belong to them, so that they do not bleed onto the skin.
        color = blend(color, (0.25, 0.10, 0.09), (weights["mouth_interior"] > 0.99).float())
        color = blend(color, (0.70, 0.36, 0.36), (weights["tongue"] > 0.5).float())
        color = blend(color, appearance.teeth, (weights["teeth"] > 0.5).float())
        color = blend(color, (0.45, 0.25, 0.22), (weights["eye_sockets"] > 0.99).float())
        color = blend(color, appearance.sclera, (weights["eyeballs"] > 0.5).float())
        on_eye = torch.nonzero(weights["eyeballs"] > 0.5)[:, 0]
        for pole in self.eye_poles:
            distance = (neutral[on_eye] - pole).norm(dim=1)
            in_iris = _soft_step(-distance, -IRIS_RADIUS_M * appearance.iris_scale, 0.0004)
            iris = blend(color[on_eye], appearance.iris, in_iris)
            color[on_eye] = blend(iris, (0.03, 0.03, 0.03), _soft_step(-distance, -PUPIL_RADIUS_M, 0.0003))
        return color

    def _blend_brows(self, color: Tensor, neutral: Tensor, appearance: Appearance) -> Tensor:
        """Return colours (N, 3) with the brows over them."""
        for brow in self.brows:
            line = _adjusted_brow(brow, appearance)
            # The exact test is quadratic in points and segments; most points are far from any brow.
            near = torch.nonzero((neutral - line[2, :3]).norm(dim=1) < MAX_BROW_RADIUS_M)[:, 0]
            opacity = appearance.brow_strength * _brow_opacity(neutral[near], line, appearance.brow_width)
            over = color.new_tensor(appearance.brows)
            color[near] = color[near] + (over - color[near]) * opacity[:, None]
        return color


def project_head_orthographic(
    vertices: Tensor, rotmat: Tensor, scale: float, center: tuple[float, float] = (0, 0)
) -> ProjectedHead:
    """Project a head by a scaled orthographic camera.

    Args:
        vertices: (V, 3) float, metres, head frame.
        rotmat: (3, 3) float, head frame to camera frame.
        scale: NDC (half the image's side) per metre, > 0.
        center: Position of the head's origin in NDC, y down.
    """
    rotated = vertices @ rotmat.T
    ndc = rotated * rotated.new_tensor([scale, -scale, -scale]) + rotated.new_tensor([*center, 0.0])
    return ProjectedHead(ndc, rotated)


def project_head_perspective(vertices: Tensor, rotmat: Tensor, translation_m: Tensor, focal: float) -> ProjectedHead:
    """Project a head by a perspective camera at the origin.

    Args:
        vertices: (V, 3) float, metres, head frame.
        rotmat: (3, 3) float, head frame to camera frame.
        translation_m: (3,) float, metres, of the head's origin; z is negative in front of the camera.
        focal: Focal length in NDC (half the image's side), > 0.
    """
    placed = vertices @ rotmat.T + translation_m
    w = -placed[:, 2]
    ndc = torch.stack([focal * placed[:, 0] / w, -focal * placed[:, 1] / w, w], dim=1)
    return ProjectedHead(ndc, placed - translation_m, w)


def shade_half_lambert(color: Tensor, normal: Tensor, light: Light, weights: Tensor) -> Tensor:
    """Shade surface points; half-Lambert keeps shadows soft.

    Args:
        color: (N, 3) float in [0, 1], albedo.
        normal: (N, 3) float, camera frame, of any length.
        light: Illumination.
        weights: (N, 7) float in [0, 1], region weights in the order of `REGION_CHANNELS`.

    Returns:
        (N, 3) float >= 0, not clamped.

    Source: Mitchell, McTaggart and Green, "Shading in Valve's Source Engine" (2006), for half-Lambert; Blinn, "Models
    of Light Reflection for Computer Synthesized Pictures" (1977), for the highlight.
    """
    normal = F.normalize(normal, dim=1)
    # Single-sided surfaces (lids, mouth) may show their back.
    normal = torch.where(normal[:, 2:] < 0, -normal, normal)
    direction = F.normalize(light.direction, dim=0)
    lambert = (normal @ direction * 0.5 + 0.5).clamp_min(0) ** 2
    half = F.normalize(direction + direction.new_tensor([0.0, 0.0, 1.0]), dim=0)
    # Eyes are wet, and little light reaches the inside of the mouth.
    specular = (normal @ half).clamp_min(0) ** 24 * (1 + 2 * weights[:, REGION_CHANNELS.index("eyeballs")])
    occlusion = 1 - 0.6 * weights[:, REGION_CHANNELS.index("mouth_interior")]
    diffuse = light.direct * lambert * 1.3 + light.sky * (normal[:, 1] * 0.5 + 0.5) + light.ambient
    return color * (diffuse * occlusion)[:, None] + light.highlight * specular[:, None]


def _soft_step(value: Tensor, edge: float, softness: float) -> Tensor:
    """Return a linear ramp from 0 to 1 around `edge`, 2 `softness` wide."""
    return ((value - edge) / softness * 0.5 + 0.5).clamp(0, 1)


def _brow_centerline(head: HeadModel, ring: tuple[int, ...]) -> Tensor:
    """Return the centre line of a brow on the neutral head, (5, 4): x, y, z and half width in metres."""
    points = head.landmark_embedding("mediapipe").points(head.v_template, head.faces)[list(ring)]
    lower, upper = points[:5], points[5:].flip(0)
    width = (upper - lower).norm(dim=1, keepdim=True) / 2
    return torch.cat([(lower + upper) / 2, width], dim=1)


def _adjusted_brow(line: Tensor, appearance: Appearance) -> Tensor:
    """Return the centre line (5, 4) of a brow, lifted and tilted."""
    outward = line[:, 0].abs() - line[:, 0].abs().mean()
    lift = appearance.brow_lift_m + appearance.brow_tilt * outward
    return torch.cat([line[:, :1], line[:, 1:2] + lift[:, None], line[:, 2:]], dim=1)


def _brow_opacity(neutral: Tensor, line: Tensor, width: float) -> Tensor:
    """Return the opacity (N,) in [0, 1] of a brow at points (N, 3): a tapered band around its centre line."""
    start, end = line[:-1, :3], line[1:, :3]
    along = end - start
    # Closest point on each segment of the line, with the half width interpolated there.
    t = ((neutral[:, None] - start) * along).sum(-1) / (along * along).sum(-1)
    t = t.clamp(0, 1)
    distance = (neutral[:, None] - (start + t[..., None] * along)).norm(dim=-1)
    half_width = line[:-1, 3] * (1 - t) + line[1:, 3] * t
    return _soft_step((half_width * width - distance).max(dim=1).values, 0.0, 0.0012)


def _lip_weights(head: HeadModel) -> Tensor:
    """Return lip weights (V,) for a head without a lip region: vertices between the landmarks' two lip rings."""
    points = head.landmark_embedding("mediapipe").points(head.v_template, head.faces)
    outer, inner = points[list(LIPS_OUTER)], points[list(LIPS_INNER)]
    center, radius = (outer + inner) / 2, (outer - inner).norm(dim=1) / 2
    distance = torch.cdist(head.v_template, center) - radius
    return (distance.min(dim=1).values < 0).float()
