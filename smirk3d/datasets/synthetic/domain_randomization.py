"""Domain randomisation of heads, skins and blendshapes, so that an encoder generalises to photos.

Other heads have other noses, larger eyes, lower brows at rest, blendshapes that move the skin elsewhere. The ground
truth stays the weights that were drawn; changes are therefore kept about as large as those between people.

Source: Tobin et al., "Domain Randomization for Transferring Deep Neural Networks from Simulation to the Real World",
IROS 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smirk3d.datasets.synthetic.blink_closure import BLINK_COLUMNS, closing_blinks
from smirk3d.datasets.synthetic.scene_sampling import chance, uniform
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.model import HeadMesh, HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.procedural_face import Appearance

BUMPS = 14
"""Number of smooth displacements of a face, each with its mirror image."""
EYE_CORE_M, EYE_RIM_M = 0.019, 0.032
"""Within the core, eyeball and lids move rigidly; beyond the rim vertices move like skin."""
_FIXED = (*GAZE_NAMES, "jawOpen", "mouthClose", "tongueOut")
"""Blendshapes that are zero at rest and not coupled to others."""
_LIDS = ("eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight", "eyeSquintLeft", "eyeSquintRight")
LID_REST_SCALE = 3.0
"""Resting weights of the lids vary by this factor more than others: eyes are open by very different amounts at rest."""


@dataclass(frozen=True)
class DomainRandomization:
    """Standard deviations at full strength; each face has a random share of them.

    Attributes:
        bump_m: Smooth displacements of the surface, metres.
        asymmetry: Share of these displacements that differs between left and right.
        size: Relative change of width, height and depth.
        eye_size: Relative change of the size of the eyes.
        rest_weight: ARKit weights of the neutral face.
        log_gain: Logarithm of the gain of a blendshape.
        coupling: Weight of every other blendshape that a blendshape adds.
        log_local_gain: Logarithm of the gain at a point of the face.
        local_turn_rad: Rotation of the displacement at a point of the face, radians.
        gaze_rad: Gaze at rest, radians.
        wide_share: Share of the heads whose blendshapes differ much more, as those of other artists do.
        wide_factor: Factor on `log_gain`, `coupling`, `log_local_gain` and `local_turn_rad` for these heads. With 2.5,
            at full strength, the cosine between a blendshape's displacements and the open head's is .8 in the mean,
            and the logarithm of its size varies by .6.
    """

    bump_m: float = 0.0035
    asymmetry: float = 0.25
    size: float = 0.07
    eye_size: float = 0.09
    rest_weight: float = 0.10
    log_gain: float = 0.15
    coupling: float = 0.02
    log_local_gain: float = 0.20
    local_turn_rad: float = 0.20
    gaze_rad: float = 0.09
    wide_share: float = 0.0
    wide_factor: float = 2.5


def randomize_geometry(
    head: HeadModel,
    params: FaceParams,
    share: Tensor,
    generator: torch.Generator,
    stds: DomainRandomization = DomainRandomization(),
) -> HeadMesh:
    """Return posed meshes of heads outside the space of the identity coefficients.

    Args:
        head: The open head.
        params: Shape, expression (B, 52) and pose of the faces.
        share: (B,) strength of each face in [0, 1], the factor on `stds`.
        generator: All randomness, on the CPU.
        stds: Standard deviations at full strength.
    """
    assert params.expression is not None
    drawn = _Random(len(share), share, generator)
    is_wide = torch.rand(len(share), generator=generator) < stds.wide_share
    of_actions = replace(drawn, share=torch.where(is_wide, stds.wide_factor * share, share))
    eyes = torch.cat([stds.gaze_rad * drawn.normal(1, 2), torch.zeros(len(share), 1)], dim=1).repeat(1, 2)
    rest = (
        stds.rest_weight
        * _symmetric(drawn.normal(1, len(ARKIT_NAMES)), drawn.normal(0.3, len(ARKIT_NAMES)))
        * _rest_scale()
    )
    scaled = params.expression * _gains(stds.log_gain, of_actions)
    coupled = _with_coupling(scaled, stds.coupling, of_actions)
    place = _smoothing_positions(head)
    local = _LocalChange.random(place, stds, of_actions)
    bumps, size = _bumps(place, stds, drawn), 1 + stds.size * drawn.normal(1, 1, 3)
    eye_size = stds.eye_size * drawn.normal(1, 1, 1)

    resting = replace(params, expression=rest, eyes=eyes)
    coupled[:, BLINK_COLUMNS] += closing_blinks(head, resting) * params.expression[:, BLINK_COLUMNS]
    neutral, mesh = head(resting), head(replace(resting, expression=rest + coupled))
    turn, middle = mesh.rotation_rotmat, neutral.joints[:, :1]
    motion = (mesh.vertices - neutral.vertices) @ turn
    skin = ~head.region_mask("eyeballs")[None, :, None]
    beyond = _beyond_eyes(head)
    is_free = beyond.prod(1)[:, None]  # lids keep their motion and close completely
    motion = torch.where(skin, torch.lerp(motion, local.applied(motion), is_free), motion)
    centers = (neutral.joints[:, 3:5] - middle) @ turn
    own = (neutral.vertices - middle) @ turn
    # Lids move by as much more as the eye is larger, and so meet where they would.
    larger = eye_size * (1 - beyond).sum(1)[:, None]
    enlarged = eye_size * _away_from_eyes(own, centers, beyond) + larger * motion
    lid_size = torch.lerp(size, torch.ones(3), is_free)
    vertices = own * size + bumps + lid_size * motion + enlarged
    return replace(mesh, vertices=vertices @ turn.mT + middle)


def randomize_appearance(appearance: Appearance, shapes: Appearance, generator: torch.Generator) -> Appearance:
    """Return an appearance with other shapes of brows, lips and irises and a random brightness of the sclera.

    Args:
        appearance: Colours.
        shapes: Shapes of brows, lips and irises, see `random_cuts`.
        generator: All randomness, on the CPU.
    """
    white = uniform(0.5, 0.97, generator)
    sclera = tuple(white * uniform(0.93, 1.0, generator) for _ in range(3))
    return replace(
        appearance,
        sclera=sclera,  # type: ignore[arg-type]
        brow_width=shapes.brow_width,
        brow_lift_m=shapes.brow_lift_m,
        brow_tilt=shapes.brow_tilt,
        iris_scale=shapes.iris_scale,
        lip_edge=shapes.lip_edge,
        brow_strength=uniform(0.1, 0.95, generator),
        teeth=tuple(channel * uniform(0.7, 1.05, generator) for channel in appearance.teeth),  # type: ignore[arg-type]
    )


def randomize_skin_texture(
    head: HeadModel, hair: tuple[float, float, float], share: float, generator: torch.Generator
) -> Tensor:
    """Return random factors (V, 3) on the skin colour of each vertex: shades, spots, dark circles, beards.

    Args:
        head: The open head.
        hair: Colour of hair and beard, RGB in [0, 1].
        share: Strength in [0, 1].
        generator: All randomness, on the CPU.
    """
    rest = head.v_template
    tint = torch.zeros(len(rest), 3)
    for wavelength_m, size in ((0.08, 0.10), (0.025, 0.07), (0.009, 0.06)):
        waves = torch.randn(8, 3, generator=generator) * (2 * math.pi / wavelength_m / math.sqrt(3))
        phases = 2 * math.pi * torch.rand(8, generator=generator)
        colour = 1 + 0.3 * torch.randn(8, 3, generator=generator)
        tint += share * size / 2 * (rest @ waves.T + phases).sin() @ colour
    distance = torch.cdist(rest, _eye_centers(head)).amin(dim=1)
    ring = torch.exp(-(((distance - 0.013) / 0.009) ** 2))
    tint -= share * uniform(-0.2, 0.8, generator) * ring[:, None]
    if chance(0.3 * share, generator):
        grain = 0.7 + 0.3 * torch.rand(len(rest), 1, generator=generator)
        cover = uniform(0.2, 0.9, generator) * grain * _beard(head, chance(0.5, generator))[:, None]
        tint += cover * (torch.tensor(hair).clamp_min(0.05).log() + 0.4)
    tint += share * _eye_make_up(head, generator)
    is_skin = torch.ones(len(rest), dtype=torch.bool)
    for name in ("eyeballs", "upper_teeth", "lower_teeth", "mouth_interior"):
        is_skin &= ~head.region_mask(name)
    return torch.where(is_skin[:, None], tint, 0.0).exp()


def random_cuts(count: int, seed: int = 5) -> list[Appearance]:
    """Return appearances with random positions and sizes of brows, lips and irises.

    Args:
        count: How many.
        seed: Seed of everything random.
    """
    generator = torch.Generator().manual_seed(seed)
    return [
        Appearance(
            brow_width=uniform(0.5, 1.6, generator),
            brow_lift_m=uniform(-0.004, 0.005, generator),
            brow_tilt=uniform(-0.12, 0.12, generator),
            iris_scale=uniform(0.7, 1.3, generator),
            lip_edge=uniform(0.25, 0.8, generator),
        )
        for _ in range(count)
    ]


@dataclass(frozen=True)
class _Random:
    """Random numbers (B, ...) of B faces, each times the strength of its face."""

    count: int
    share: Tensor
    generator: torch.Generator

    def normal(self, factor: float, *size: int) -> Tensor:
        values = torch.randn(self.count, *size, generator=self.generator)
        return factor * self.share.view(-1, *[1] * len(size)) * values


def _is_free() -> Tensor:
    """Return (52,), 1 for blendshapes with random resting weights and coupling, else 0."""
    return torch.tensor([float(name not in _FIXED) for name in ARKIT_NAMES])


def _rest_scale() -> Tensor:
    """Return (52,), relative standard deviations of the resting weights."""
    return _is_free() * torch.tensor([LID_REST_SCALE if name in _LIDS else 1.0 for name in ARKIT_NAMES])


def _symmetric(both: Tensor, each: Tensor) -> Tensor:
    """Return weights (B, 52): a part that is equal on both sides, plus `each`."""
    return (both + both[:, list(ARKIT_MIRROR)]) / math.sqrt(2) + each


def _gains(size: float, drawn: _Random) -> Tensor:
    """Return gains (B, 52) of the blendshapes, equal on both sides: lips meet, and blinks are 0."""
    both = drawn.normal(size, len(ARKIT_NAMES))
    factor = ((both + both[:, list(ARKIT_MIRROR)]) / math.sqrt(2)).exp()
    factor[:, ARKIT_NAMES.index("mouthClose")] = factor[:, ARKIT_NAMES.index("jawOpen")]
    factor[:, BLINK_COLUMNS] = 0  # see `closing_blinks`
    return factor


def _with_coupling(expression: Tensor, size: float, drawn: _Random) -> Tensor:
    """Return expressions (B, 52) in which every blendshape adds a little of the others on its side."""
    partner = list(ARKIT_MIRROR)
    mixing = drawn.normal(size, len(partner), len(partner))
    mixing = (mixing + mixing[:, partner][:, :, partner]) / math.sqrt(2)
    sides = torch.tensor([name.endswith("Right") - name.endswith("Left") for name in ARKIT_NAMES])
    adds = _is_free()
    adds[BLINK_COLUMNS] = 0  # a blink closes the eye and does nothing else
    allowed = (sides[:, None] * sides >= 0) * adds[:, None] * _is_free()
    return expression + (expression[:, None] @ (mixing * allowed))[:, 0]


def _eye_centers(head: HeadModel) -> Tensor:
    return (head.J_regressor @ head.v_template)[3:5]


def _beyond_eyes(head: HeadModel) -> Tensor:
    """Return (V, 2): 0 in the core of the left and of the right eye, 1 beyond its rim."""
    distance = torch.cdist(head.v_template, _eye_centers(head))
    return ((distance - EYE_CORE_M) / (EYE_RIM_M - EYE_CORE_M)).clamp(0, 1)


def _smoothing_positions(head: HeadModel) -> Tensor:
    """Return positions (V, 3) in metres at which random fields are evaluated; an eye is contracted to its centre."""
    places = head.v_template
    for center, beyond in zip(_eye_centers(head), _beyond_eyes(head).T):
        places = center + (places - center) * beyond[:, None]
    return places


def _random_field(place: Tensor, count: int, channels: int, drawn: _Random) -> tuple[Tensor, Tensor]:
    """Return Gaussian bells (B, V, count) at random points of the face, and random values (B, count, channels).

    The sum of their products has a standard deviation of at most one.
    """
    face = place[place[:, 2] > place[:, 2].quantile(0.5)]
    chosen = torch.randint(len(face), (drawn.count, count), generator=drawn.generator)
    width_m = 0.012 + 0.033 * torch.rand(drawn.count, 1, count, generator=drawn.generator)
    middles = face[chosen]
    bells = torch.exp(-torch.cdist(place.expand(drawn.count, -1, -1), middles).square() / (2 * width_m**2))
    bells = bells / bells.square().sum(2, keepdim=True).clamp_min(1).sqrt()
    return bells, drawn.normal(1, count, channels)


def _bumps(place: Tensor, stds: DomainRandomization, drawn: _Random) -> Tensor:
    """Return smooth displacements (B, V, 3) in metres, nearly symmetric."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    bells, value = _random_field(torch.cat([place, place * flip]), BUMPS, 3, drawn)
    here, there = (bells @ value / math.sqrt(2)).chunk(2, dim=1)
    lone_bells, lone_value = _random_field(place, BUMPS // 3, 3, drawn)
    return stds.bump_m * (here + there * flip + stds.asymmetry * lone_bells @ lone_value)


@dataclass(frozen=True, eq=False)
class _LocalChange:
    """Smooth, symmetric changes of displacements.

    Attributes:
        gain: (B, V, 1) factors on their length.
        turn_rad: (B, V, 3) rotation vectors.
    """

    gain: Tensor
    turn_rad: Tensor

    @staticmethod
    def random(place: Tensor, stds: DomainRandomization, drawn: _Random) -> _LocalChange:
        flip = torch.tensor([-1.0, 1.0, 1.0])
        bells, value = _random_field(torch.cat([place, place * flip]), BUMPS, 4, drawn)
        here, there = (bells @ value / math.sqrt(2)).chunk(2, dim=1)
        both = here + there * torch.tensor([1.0, 1.0, -1.0, -1.0])  # rotation vectors are axial
        gain = (stds.log_local_gain * both[..., :1]).clamp(-1, 1).exp()
        return _LocalChange(gain, stds.local_turn_rad * both[..., 1:])

    def applied(self, motion: Tensor) -> Tensor:
        """Return the changed displacements of displacements (B, V, 3)."""
        return self.gain * (motion + torch.linalg.cross(self.turn_rad, motion))


def _away_from_eyes(points: Tensor, centers: Tensor, beyond: Tensor) -> Tensor:
    """Return vectors (B, V, 3) from the centres (B, 2, 3) of the eyes, zero beyond their rims (V, 2)."""
    away = points[:, :, None] - centers[:, None]
    return (away * (1 - beyond)[..., None]).sum(2)


def _eye_make_up(head: HeadModel, generator: torch.Generator) -> Tensor:
    """Return changes (V, 3) of the logarithm of the colour: a line along the lids, eye shadow, a fold of the lid.

    How a closed lid is painted differs between people and artists more than anything else of the eyes.
    """
    rest, centers = head.v_template, _eye_centers(head)
    away = (rest[:, None] - centers)[torch.arange(len(rest)), torch.cdist(rest, centers).argmin(1)]
    distance, is_above = away.norm(dim=1), torch.sigmoid(away[:, 1] / 0.0015)
    tint = torch.zeros(len(rest), 3)
    if chance(0.5, generator) and head.data.lid_closure is not None:
        to_margin = torch.cdist(rest, rest[head.data.lid_closure.vertex]).amin(1)
        line = torch.exp(-((to_margin / uniform(0.0008, 0.0025, generator)) ** 2))
        tint -= uniform(0.2, 2.0, generator) * line[:, None]
    if chance(0.4, generator):
        color = torch.rand(3, generator=generator) - 0.8
        tint += uniform(0.2, 1.0, generator) * color * (is_above * _bell(distance, 0.016, 0.005))[:, None]
    if chance(0.6, generator):
        fold = _bell(distance, uniform(0.015, 0.021, generator), uniform(0.0008, 0.002, generator))
        tint -= uniform(0.1, 0.9, generator) * (is_above * fold)[:, None]
    return tint


def _bell(value: Tensor, middle: float, width: float) -> Tensor:
    return torch.exp(-(((value - middle) / width) ** 2))


def _beard(head: HeadModel, whole: bool) -> Tensor:
    """Return the mask (V,) in [0, 1] of a beard, or of a moustache alone."""
    points = head.landmark_embedding("mediapipe").points(head.v_template, head.faces)
    nose, upper, mouth, chin = points[2], points[0], points[13], points[152]
    rest = head.v_template
    below = ((nose[1] - 0.003 - rest[:, 1]) / 0.004).clamp(0, 1)
    above = ((rest[:, 1] - (chin[1] - 0.02 if whole else upper[1])) / 0.004).clamp(0, 1)
    reach = 1.0 if whole else ((0.032 - (rest[:, 0] - mouth[0]).abs()) / 0.008).clamp(0, 1)
    front = ((rest[:, 2] - (chin[2] - 0.07)) / 0.02).clamp(0, 1)
    lips = head.region_mask("lips").float() if "lips" in head.data.regions else torch.zeros(len(rest))
    return below * above * reach * front * (1 - lips)
