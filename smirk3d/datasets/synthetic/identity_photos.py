"""Rendered photos of random people whose looks go with their shapes, for learning identity from pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from torch import Tensor

from smirk3d.authoring.macro_regression import MacroRegression
from smirk3d.datasets.synthetic.degradation import degraded
from smirk3d.datasets.synthetic.rendered_faces import RenderAugmentation
from smirk3d.datasets.synthetic.scene_sampling import SampleRanges, chance, random_expression, uniform
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.landmark_indices import FACE_OVAL
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.baked_face import BakedFaceRenderer
from smirk3d.render.appearance.face_appearance import FaceAppearance, skin_tone
from smirk3d.render.appearance.procedural_face import Light, project_head_perspective
from smirk3d.render.appearance.random_face_appearance import random_face_appearance
from smirk3d.render.appearance.randomization import random_appearance, random_background, random_light

SIZE_PX = 192
SHAPE_STD, MAX_SHAPE = 0.9, 3.0
LOOK_NOISE = 0.15
"""Standard deviation by which looks depart from what the shape tells of sex, age and ancestry, each in [0, 1]."""
TEXTURED_SHARE = 0.6
"""Share of people who wear the packaged appearance model; the others have procedural colours at random."""
DISTANCE_M = (0.4, 2.0)
FACE_SHARE = (0.45, 0.75)
"""Side of the face's outline over that of the picture."""
DEGRADATION = RenderAugmentation(occluded=0.12, coarse=0.45, cut=0.1)


@dataclass(frozen=True, eq=False)
class IdentityPhoto:
    """One photo of a random person.

    Attributes:
        shape: (S,) identity coefficients.
        expression: (52,) ARKit weights.
        pose: (3,) rotation vector, head frame to camera frame.
        points_px: (478, 2) MediaPipe's landmarks of the head, pixels.
        pixels: (H, W, 3) uint8 RGB.
    """

    shape: Tensor
    expression: Tensor
    pose: Tensor
    points_px: Tensor
    pixels: np.ndarray


def identity_photos(head: HeadModel, looks: MacroRegression, count: int, seed: int) -> Iterator[IdentityPhoto]:
    """Yield one photo each of random people.

    Args:
        head: The open head.
        looks: What shapes tell of sex, age and ancestry.
        count: Number of people.
        seed: Of everything random.
    """
    generator = torch.Generator().manual_seed(seed)
    renderer, texels = BakedFaceRenderer(head), AppearanceTexels(head)
    for _ in range(count):
        with torch.no_grad():
            yield _photo(head, looks, renderer, texels, generator)


def _photo(
    head: HeadModel,
    looks: MacroRegression,
    renderer: BakedFaceRenderer,
    texels: AppearanceTexels,
    generator: torch.Generator,
) -> IdentityPhoto:
    shape = (SHAPE_STD * torch.randn(head.n_shape, generator=generator)).clamp(-MAX_SHAPE, MAX_SHAPE)
    kinds = ("neutral", "single", "combination", "combination")
    expression = random_expression(kinds[int(torch.randint(4, (), generator=generator))], generator)
    if chance(0.4, generator):
        expression = expression * uniform(0.2, 1.0, generator)
    ranges = SampleRanges()
    limits = (ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg)
    rotmat = torch.from_numpy(rotation_from_angles(*(uniform(-limit, limit, generator) for limit in limits))).float()
    vertices = head(FaceParams(shape=shape, expression=expression)).vertices
    place = -(rotmat @ vertices[head.region_mask("face")].mean(0)) * torch.tensor([1.0, 1.0, 0.0])
    place = place - torch.tensor([0.0, 0.0, uniform(*DISTANCE_M, generator)])
    view = project_head_perspective(vertices, rotmat, place, 1.0)
    ndc, points_ndc = _framed(head, view.ndc, generator)
    light = _random_light(generator)
    albedo = None
    if chance(TEXTURED_SHARE, generator):
        albedo = texels.colors(matching_appearance(looks.sample(shape / SHAPE_STD, generator), generator))
    color, alpha = renderer.render(
        ndc, view.vertices_camera, SIZE_PX, random_appearance(generator), light, albedo=albedo
    )
    picture = color + (1 - alpha) * random_background(SIZE_PX, generator)
    points_px = (points_ndc + 1) * SIZE_PX / 2
    pixels = np.ascontiguousarray(degraded(picture, points_px.numpy(), DEGRADATION, generator).transpose(1, 2, 0))
    return IdentityPhoto(shape, expression, roma.rotmat_to_rotvec(rotmat), points_px, pixels)


def _framed(head: HeadModel, ndc: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Scale and shift a projected head (V, 3) so that its face has about the usual size; also its landmarks."""
    embedding = head.landmark_embedding("mediapipe")
    points = embedding.points(ndc[:, :2].contiguous(), head.faces)
    low, high = points[list(FACE_OVAL)].amin(0), points[list(FACE_OVAL)].amax(0)
    side = float((high - low).max())
    center = (low + high) / 2 + 0.06 * side * torch.randn(2, generator=generator)
    scale = 2 * uniform(*FACE_SHARE, generator) / side
    return torch.cat([(ndc[:, :2] - center) * scale, ndc[:, 2:]], dim=1), (points - center) * scale


def matching_appearance(traits: dict[str, float], generator: torch.Generator) -> FaceAppearance:
    """Draw an appearance that goes with traits of `smirk3d.authoring.macro_regression.TRAITS`, each in [0, 1].

    Nothing but brows, lips, beard, hair, creases and tone depends on them, and all of these vary.
    """

    def noisy(value: float) -> float:
        return min(max(value + LOOK_NOISE * float(torch.randn((), generator=generator)), 0.0), 1.0)

    female, old = noisy(traits["female"]), noisy(traits["old"])
    dark, asian = noisy(traits["african"]), noisy(traits["asian"])
    drawn = random_face_appearance(generator)
    lightness = min(max(68 - 38 * dark - 6 * asian + uniform(-8, 8, generator), 26), 76)
    skin = tuple(min(max(each + uniform(-0.03, 0.03, generator), 0.05), 1.0) for each in skin_tone(lightness))
    is_woman = female > 0.5
    has_beard = female < 0.45 and chance(0.5, generator)
    hair = drawn.hair
    if chance(0.8 * old, generator):
        grey = uniform(0.35, 0.8, generator)
        hair = (grey, grey * 0.98, grey * 0.95)
    elif dark > 0.5 or asian > 0.6:
        hair = tuple(min(each, 0.15) for each in hair)
    return replace(
        drawn,
        skin=skin,  # type: ignore[arg-type]
        female=2 * female - 1,
        aged=old,
        hair=hair,  # type: ignore[arg-type]
        lips=drawn.lips if is_woman else (0.0, 0.0, 0.0),
        hair_long=uniform(0.5, 1, generator) if chance(0.6 if is_woman else 0.05, generator) else 0.0,
        hair_short=uniform(0, 1, generator) if chance(0.9 - 0.5 * old * (not is_woman), generator) else 0.0,
        brow_width=min(max(uniform(0, 0.6, generator) + 0.4 * (1 - female), 0), 1),
        moustache=uniform(0, 1, generator) if has_beard else 0.0,
        beard=uniform(0, 1, generator) if has_beard and chance(0.7, generator) else 0.0,
    )


def _random_light(generator: torch.Generator) -> Light:
    """Draw a soft light, or in one of three pictures a hard one with little ambient light."""
    light = random_light(generator)
    if not chance(0.35, generator):
        return light
    direct, ambient = uniform(0.8, 1.3, generator), uniform(0.02, 0.2, generator)
    return replace(light, direction=light.direction * torch.tensor([1.6, 1.3, 1.0]), direct=direct, ambient=ambient)
