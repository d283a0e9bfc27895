"""Plausible pictures of a head: skin, lips, brows, irises, teeth, hair, light and background.

Used to compute landmark embeddings and to make training and test pictures with exactly known parameters.
Colours are decided at each pixel from where it lies on the neutral head, so edges stay crisp on coarse meshes.
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
BROW_REACH_M = 0.05
"""No part of a brow is farther than this from its middle."""
REGION_CHANNELS = ("lips", "mouth_interior", "tongue", "teeth", "eyeballs", "eye_sockets", "scalp")


@dataclass(frozen=True)
class Appearance:
    """Colours in [0, 1] sRGB and how they are put on.

    `brow_strength`, `lip_strength`: opacity. `brow_width`: multiple of the usual one. `mottle`: (3, 4) random
    frequencies and phases of a soft variation of the skin, `mottle_strength` its size. `hair_strength`: opacity
    of the hair on the scalp. `brow_lift_m`, `brow_tilt`: how much higher brows are, and by how much per metre away
    from the middle of the face. `iris_scale`: multiple of the usual size. `lip_edge`: where the lips' mark ends.
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
    """One distant light, light from the sky and from all around, and a highlight.

    `direction` (3,) points towards the light in the camera frame; the intensities multiply the colour.
    """

    direction: Tensor = field(default_factory=lambda: torch.tensor([0.3, 0.5, 1.0]))
    direct: float = 0.65
    sky: float = 0.10
    ambient: float = 0.38
    highlight: float = 0.10


@dataclass(frozen=True)
class View:
    """Vertices as a camera sees them.

    Attributes:
        ndc: (V, 3) image space, x', y' in [-1, 1] with y' downwards, smaller z nearer.
        camera_frame: (V, 3) the same vertices turned into the camera frame (+Y up, +Z to the viewer), for light.
        w: (V,) depth of a perspective camera, or None.
    """

    ndc: Tensor
    camera_frame: Tensor
    w: Tensor | None = None


class ProceduralFaceRenderer:
    """Paints one head model.

    Args:
        head: the model. Brows and lips follow its MediaPipe landmarks, once it has them.
        supersample: pixels a side that are averaged into one; 1 is fastest and leaves jagged edges.
    """

    def __init__(self, head: HeadModel, supersample: int = 2) -> None:
        self.head = head
        self.supersample = supersample
        self.rest = head.v_template
        self.marks = torch.stack([self._mark(name) for name in REGION_CHANNELS], dim=1)
        self.brows = [_brow_line(head, ring) for ring in (BROW_RIGHT, BROW_LEFT)] if self._has_landmarks else []
        if self._has_landmarks and not self.marks[:, REGION_CHANNELS.index("lips")].any():
            self.marks[:, REGION_CHANNELS.index("lips")] = _lip_mark(head)
        self.eyes = self._eye_frames()

    @property
    def _has_landmarks(self) -> bool:
        return "mediapipe" in self.head.data.landmarks

    def _mark(self, name: str) -> Tensor:
        names = ("lower_teeth", "upper_teeth") if name == "teeth" else (name,)
        present = [self.head.region_mask(n) for n in names if n in self.head.data.regions]
        mask = torch.stack(present).any(0) if present else torch.zeros(len(self.rest), dtype=torch.bool)
        return mask.float()

    def _eye_frames(self) -> list[Tensor]:
        """Return the point on the axis of each eyeball at its front, (3,) on the neutral head."""
        joints = self.head.J_regressor @ self.rest
        poles = []
        for side, joint in (("left_eyeball", 3), ("right_eyeball", 4)):
            if side in self.head.data.regions:
                reach = self.rest[self.head.region_mask(side)][:, 2].max()
                poles.append(torch.stack([joints[joint, 0], joints[joint, 1], reach]))
        return poles

    def paint(
        self, view: View, size: int, appearance: Appearance, light: Light, background: Tensor | None = None
    ) -> Tensor:
        """Return the picture (3, size, size) in [0, 1]; `background` has that shape too, mid grey by default."""
        fine = size * self.supersample
        faces = self.head.faces
        w = None if view.w is None else view.w[None]
        fragments = rasterize(view.ndc[None], faces, fine, w=w)
        normals = vertex_normals(view.camera_frame, faces)
        values = interpolate(fragments, torch.cat([self.rest, normals, self.marks], dim=1)[None], faces)[0]
        covered = fragments.mask[0]
        rest, normal, marks = values[covered].split([3, 3, len(REGION_CHANNELS)], dim=1)
        color = self.albedo(rest, dict(zip(REGION_CHANNELS, marks.unbind(1))), appearance)
        image = values.new_zeros(fine, fine, 4)
        image[covered] = torch.cat([lit(color, normal, light, marks), color.new_ones(len(color), 1)], dim=1)
        image = F.avg_pool2d(image.permute(2, 0, 1)[None], self.supersample)[0]
        behind = image.new_full((3, size, size), 0.5) if background is None else background
        return (image[:3] + (1 - image[3:]) * behind).clamp(0, 1)

    def albedo(self, rest: Tensor, mark: dict[str, Tensor], look: Appearance) -> Tensor:
        """Return the colours (N, 3) of surface points that lie at `rest` (N, 3) on the neutral head."""

        def blend(base: Tensor, over: Color, opacity: Tensor) -> Tensor:
            return base + (base.new_tensor(over) - base) * opacity[:, None]

        wave = (rest @ look.mottle[:, :3].T * 60 + look.mottle[:, 3]).sin().sum(1, keepdim=True)
        color = rest.new_tensor(look.skin) * (1 + look.mottle_strength * wave)
        color = blend(color, look.hair, look.hair_strength * _step(mark["scalp"], 0.5, 0.25))
        color = blend(color, look.lips, look.lip_strength * _step(mark["lips"], look.lip_edge, 0.25))
        for brow in self.brows:
            line = _moved_brow(brow, look)
            near = torch.nonzero((rest - line[2, :3]).norm(dim=1) < BROW_REACH_M)[:, 0]
            inside = _brow_mask(rest[near], line, look.brow_width)
            color[near] = blend(color[near], look.brows, look.brow_strength * inside)
        color = blend(color, (0.25, 0.10, 0.09), (mark["mouth_interior"] > 0.99).float())
        color = blend(color, (0.70, 0.36, 0.36), (mark["tongue"] > 0.5).float())
        color = blend(color, look.teeth, (mark["teeth"] > 0.5).float())
        color = blend(color, (0.45, 0.25, 0.22), (mark["eye_sockets"] > 0.99).float())
        color = blend(color, look.sclera, (mark["eyeballs"] > 0.5).float())
        on_eye = torch.nonzero(mark["eyeballs"] > 0.5)[:, 0]
        for pole in self.eyes:
            distance = (rest[on_eye] - pole).norm(dim=1)
            ring = blend(color[on_eye], look.iris, _step(-distance, -IRIS_RADIUS_M * look.iris_scale, 0.0004))
            color[on_eye] = blend(ring, (0.03, 0.03, 0.03), _step(-distance, -PUPIL_RADIUS_M, 0.0003))
        return color


def orthographic_view(vertices: Tensor, rotmat: Tensor, scale: float, center: tuple[float, float] = (0, 0)) -> View:
    """Return the scaled orthographic view of a head.

    Args:
        vertices: (V, 3) metres, head frame. rotmat: (3, 3) head to camera.
        scale: image units (half the picture's side) per metre. center: image position of the head's origin.
    """
    turned = vertices @ rotmat.T
    ndc = turned * turned.new_tensor([scale, -scale, -scale]) + turned.new_tensor([*center, 0.0])
    return View(ndc, turned)


def perspective_view(vertices: Tensor, rotmat: Tensor, translation_m: Tensor, focal: float) -> View:
    """Return the perspective view of a head at `translation_m` (3,), z negative in front of the camera.

    `focal` is in image units (half the picture's side).
    """
    placed = vertices @ rotmat.T + translation_m
    w = -placed[:, 2]
    ndc = torch.stack([focal * placed[:, 0] / w, -focal * placed[:, 1] / w, w], dim=1)
    return View(ndc, placed - translation_m, w)


def random_appearance(generator: torch.Generator) -> Appearance:
    """Return random skin, lips, brows, eyes and hair."""

    def number(low: float, high: float) -> float:
        return float(torch.rand((), generator=generator)) * (high - low) + low

    tone = number(0, 1)
    light, dark = (0.93, 0.76, 0.67), (0.32, 0.20, 0.14)
    skin = tuple(a * (1 - tone) + b * tone + number(-0.04, 0.04) for a, b in zip(light, dark))
    rosy, lip = number(0.1, 0.5), number(0.6, 0.95)
    lips = (skin[0] * lip + 0.05 * rosy, skin[1] * lip * (1 - rosy), skin[2] * lip * (1 - 0.8 * rosy))
    darkness = number(0.05, 0.45) * (1 - 0.6 * tone)
    hair = (darkness, darkness * number(0.6, 0.95), darkness * number(0.35, 0.9))
    brows = (hair[0] * number(0.6, 1.2), hair[1] * number(0.6, 1.2), hair[2] * number(0.6, 1.2))
    irises = [(0.30, 0.18, 0.08), (0.15, 0.09, 0.05), (0.35, 0.50, 0.60), (0.35, 0.42, 0.28)]
    iris = irises[int(number(0, 3.999))]
    white = number(0.78, 0.95)
    return Appearance(
        skin=skin,  # type: ignore[arg-type]
        lips=lips,
        brows=brows,
        iris=iris,
        sclera=(white, white, white),
        hair=hair,
        brow_strength=number(0.45, 0.95),
        brow_width=number(0.6, 1.4),
        lip_strength=number(0.35, 1.0),
        hair_strength=float(number(0, 1) > 0.25),
        mottle_strength=number(0, 0.04),
        mottle=torch.randn(3, 4, generator=generator),
    )


def random_light(generator: torch.Generator) -> Light:
    """Return a random light from the front half of the sphere."""
    draw = torch.rand(5, generator=generator).tolist()
    direction = torch.randn(3, generator=generator) * torch.tensor([1.0, 0.7, 0.3]) + torch.tensor([0, 0.3, 1.0])
    direct = 0.3 + 0.5 * draw[0]
    return Light(direction, direct, 0.25 * draw[1], 0.95 - direct + 0.2 * (draw[2] - 0.5), 0.25 * draw[3])


def random_background(size: int, generator: torch.Generator) -> Tensor:
    """Return a soft random background (3, size, size) in [0, 1]."""
    cells = 2 + int(torch.randint(0, 6, (), generator=generator))
    coarse = torch.rand(1, 3, cells, cells, generator=generator)
    grey = coarse.mean(1, keepdim=True)
    saturation = float(torch.rand((), generator=generator)) * 0.7
    coarse = grey + saturation * (coarse - grey)
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)[0].clamp(0, 1)


def with_sensor(image: Tensor, generator: torch.Generator) -> Tensor:
    """Return the picture (3, H, W) as a random camera records it: soft, noisy, at times grey."""
    draw = torch.rand(3, generator=generator).tolist()
    sigma = 0.2 + 1.0 * draw[0]
    radius = torch.arange(-3, 4, dtype=image.dtype)
    kernel = torch.exp(-(radius**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 7)
    padded = F.pad(image[None], (3, 3, 3, 3), mode="replicate")
    image = F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.mT, groups=3)[0]
    image = image + torch.randn(image.shape, generator=generator) * 0.02 * draw[1]
    if draw[2] > 0.8:
        image = image.mean(0, keepdim=True).expand(3, -1, -1)
    return image.clamp(0, 1)


def lit(color: Tensor, normal: Tensor, light: Light, marks: Tensor) -> Tensor:
    """Return the colours (N, 3) under a light; half-Lambert, so that shadows stay soft."""
    normal = F.normalize(normal, dim=1)
    # Single-sided patches (lids, mouth) may show their back.
    normal = torch.where(normal[:, 2:] < 0, -normal, normal)
    direction = F.normalize(light.direction, dim=0)
    lambert = (normal @ direction * 0.5 + 0.5).clamp_min(0) ** 2
    half = F.normalize(direction + direction.new_tensor([0.0, 0.0, 1.0]), dim=0)
    shiny = (normal @ half).clamp_min(0) ** 24 * (1 + 2 * marks[:, REGION_CHANNELS.index("eyeballs")])
    inside = 1 - 0.6 * marks[:, REGION_CHANNELS.index("mouth_interior")]
    diffuse = light.direct * lambert * 1.3 + light.sky * (normal[:, 1] * 0.5 + 0.5) + light.ambient
    return color * (diffuse * inside)[:, None] + light.highlight * shiny[:, None]


def _step(value: Tensor, edge: float, softness: float) -> Tensor:
    return ((value - edge) / softness * 0.5 + 0.5).clamp(0, 1)


def _brow_line(head: HeadModel, ring: tuple[int, ...]) -> Tensor:
    """Return the middle line of a brow with its half width: (5, 4) x, y, z, half width on the neutral head."""
    points = head.landmark_embedding("mediapipe").points(head.v_template, head.faces)[list(ring)]
    lower, upper = points[:5], points[5:].flip(0)
    width = (upper - lower).norm(dim=1, keepdim=True) / 2
    return torch.cat([(lower + upper) / 2, width], dim=1)


def _moved_brow(line: Tensor, look: Appearance) -> Tensor:
    """Return the line (5, 4) of a brow where this look has it."""
    lift = look.brow_lift_m + look.brow_tilt * (line[:, 0].abs() - line[:, 0].abs().mean())
    return torch.cat([line[:, :1], line[:, 1:2] + lift[:, None], line[:, 2:]], dim=1)


def _brow_mask(rest: Tensor, line: Tensor, width: float) -> Tensor:
    """Return how far points (N, 3) lie inside a brow, in [0, 1]: a tapered band around its middle line."""
    start, end = line[:-1, :3], line[1:, :3]
    along = end - start
    t = ((rest[:, None] - start) * along).sum(-1) / (along * along).sum(-1)
    t = t.clamp(0, 1)
    distance = (rest[:, None] - (start + t[..., None] * along)).norm(dim=-1)
    half = line[:-1, 3] * (1 - t) + line[1:, 3] * t
    return _step((half * width - distance).max(dim=1).values, 0.0, 0.0012)


def _lip_mark(head: HeadModel) -> Tensor:
    """Return (V,) lips of a head without a lip region: points between the two lip rings of the landmarks."""
    points = head.landmark_embedding("mediapipe").points(head.v_template, head.faces)
    outer, inner = points[list(LIPS_OUTER)], points[list(LIPS_INNER)]
    middle, reach = (outer + inner) / 2, (outer - inner).norm(dim=1) / 2
    distance = torch.cdist(head.v_template, middle) - reach
    return (distance.min(dim=1).values < 0).float()
