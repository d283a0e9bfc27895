"""Heads, skins and actions unlike the open head's, so that an encoder reads more than the open head's pictures.

Other heads have other noses, larger eyes, brows that rest lower, actions that pull elsewhere. Whatever is changed
here, the weights that were asked for stay the truth; so changes are kept about as large as those between people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smirk3d.datasets.synthetic.scene_sampling import chance, uniform
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.model import HeadMesh, HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.procedural_face import Appearance

BUMPS = 14
"""Smooth displacements in a face, each with its mirror image."""
EYE_CORE_M, EYE_RIM_M = 0.015, 0.030
"""Within the core an eye moves as one piece, lids and ball together; beyond the rim as the skin does."""
_FIXED = (*GAZE_NAMES, "jawOpen", "mouthClose", "tongueOut")
"""Actions that come to rest at zero, and neither drag others along nor are dragged."""
_LIDS = ("eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight", "eyeSquintLeft", "eyeSquintRight")
"""Eyes are open by very different amounts at rest, so lids rest anywhere within `LIDS` times as much as the others."""
LIDS = 3.0


@dataclass(frozen=True)
class DomainRandomization:
    """How far faces stray; each face by a random share of these standard deviations.

    Attributes:
        bump_m: Of the smooth displacements. uneven: Their share that differs between left and right.
        size: Of width, height and depth, over themselves. eye_size: The same of the eyes.
        rest: Of the weights at which a calm face rests. force: Of the logarithm of how far an action goes.
        dragged: Of how much of each other action an action brings.
        pull: Of the logarithm of how far a place of the face follows. turn_rad: Of the direction in which it does.
        gaze_rad: Of where the eyes look at rest.
    """

    bump_m: float = 0.0035
    uneven: float = 0.25
    size: float = 0.07
    eye_size: float = 0.09
    rest: float = 0.10
    force: float = 0.15
    dragged: float = 0.02
    pull: float = 0.20
    turn_rad: float = 0.20
    gaze_rad: float = 0.09


def randomize_geometry(
    head: HeadModel,
    params: FaceParams,
    share: Tensor,
    generator: torch.Generator,
    unlike: DomainRandomization = DomainRandomization(),
) -> HeadMesh:
    """Return the posed meshes of heads that no identity coefficients give.

    Args:
        head: The open head. params: shape, expression (B, 52) and pose of faces.
        share: (B,) how much of `unlike` each takes, 0 for none. generator: Of everything random.
    """
    assert params.expression is not None
    drawn = _Drawn(len(share), share, generator)
    eyes = torch.cat([unlike.gaze_rad * drawn.normal(1, 2), torch.zeros(len(share), 1)], dim=1).repeat(1, 2)
    rest = unlike.rest * _even(drawn.normal(1, len(ARKIT_NAMES)), drawn.normal(0.3, len(ARKIT_NAMES))) * _rests()
    resting = replace(params, expression=rest, eyes=eyes)
    forced = params.expression * _forces(unlike.force, drawn)
    acting = replace(params, expression=rest + _with_dragged(forced, unlike.dragged, drawn), eyes=eyes)
    calm, mesh = head(resting), head(acting)
    place = _places(head)
    turn = mesh.rotation_rotmat
    action = (mesh.vertices - calm.vertices) @ turn
    skin = ~head.region_mask("eyeballs")[None, :, None]
    beyond = _beyond_eyes(head).prod(1)[:, None]  # lids close whole
    action = torch.where(skin, torch.lerp(action, _pulled(action, place, unlike, drawn), beyond), action)
    middle = calm.joints[:, :1]
    bumps = _bumps(place, unlike, drawn)
    local = (calm.vertices - middle) @ turn
    sized = local * (1 + unlike.size * drawn.normal(1, 1, 3)) + _eyes_enlarged(head, unlike, drawn) + bumps + action
    return replace(mesh, vertices=sized @ turn.mT + middle)


def randomize_appearance(look: Appearance, cut: Appearance, generator: torch.Generator) -> Appearance:
    """Return a look with the brows, lips and irises of another one, and whites of any brightness."""
    white = uniform(0.5, 0.97, generator)
    sclera = tuple(white * uniform(0.93, 1.0, generator) for _ in range(3))
    return replace(
        look,
        sclera=sclera,  # type: ignore[arg-type]
        brow_width=cut.brow_width,
        brow_lift_m=cut.brow_lift_m,
        brow_tilt=cut.brow_tilt,
        iris_scale=cut.iris_scale,
        lip_edge=cut.lip_edge,
        brow_strength=uniform(0.1, 0.95, generator),
        teeth=tuple(channel * uniform(0.7, 1.05, generator) for channel in look.teeth),  # type: ignore[arg-type]
    )


def randomize_skin_texture(
    head: HeadModel, hair: tuple[float, float, float], share: float, generator: torch.Generator
) -> Tensor:
    """Return what skin colours are multiplied by at each vertex, (V, 3): shades, spots, shadowed eyes, beards."""
    rest = head.v_template
    tint = torch.zeros(len(rest), 3)
    for wavelength_m, size in ((0.08, 0.10), (0.025, 0.07), (0.009, 0.06)):
        waves = torch.randn(8, 3, generator=generator) * (2 * math.pi / wavelength_m / math.sqrt(3))
        phases = 2 * math.pi * torch.rand(8, generator=generator)
        colour = 1 + 0.3 * torch.randn(8, 3, generator=generator)
        tint += share * size / 2 * (rest @ waves.T + phases).sin() @ colour
    distance = torch.cdist(rest, _eye_middles(head)).amin(dim=1)
    ring = torch.exp(-(((distance - 0.013) / 0.009) ** 2))
    tint -= share * uniform(-0.2, 0.8, generator) * ring[:, None]
    if chance(0.3 * share, generator):
        grain = 0.7 + 0.3 * torch.rand(len(rest), 1, generator=generator)
        cover = uniform(0.2, 0.9, generator) * grain * _beard(head, chance(0.5, generator))[:, None]
        tint += cover * (torch.tensor(hair).clamp_min(0.05).log() + 0.4)
    is_skin = torch.ones(len(rest), dtype=torch.bool)
    for name in ("eyeballs", "upper_teeth", "lower_teeth", "mouth_interior"):
        is_skin &= ~head.region_mask(name)
    return torch.where(is_skin[:, None], tint, 0.0).exp()


def random_cuts(count: int, seed: int = 5) -> list[Appearance]:
    """Return looks with brows, lips and irises of other places and sizes."""
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
class _Drawn:
    """Random numbers of B faces, each times its share."""

    count: int
    share: Tensor
    generator: torch.Generator

    def normal(self, factor: float, *size: int) -> Tensor:
        values = torch.randn(self.count, *size, generator=self.generator)
        return factor * self.share.view(-1, *[1] * len(size)) * values


def _free() -> Tensor:
    """Return (52,) 1 for the actions that rest anywhere and drag others."""
    return torch.tensor([float(name not in _FIXED) for name in ARKIT_NAMES])


def _rests() -> Tensor:
    """Return (52,) how far actions are from zero at rest, relative to others."""
    return _free() * torch.tensor([LIDS if name in _LIDS else 1.0 for name in ARKIT_NAMES])


def _even(both: Tensor, each: Tensor) -> Tensor:
    """Return weights (B, 52) that are alike on both sides but for `each`; those without sides vary the more."""
    return (both + both[:, list(ARKIT_MIRROR)]) / math.sqrt(2) + each


def _forces(size: float, drawn: _Drawn) -> Tensor:
    """Return factors (B, 52) of how far actions go, the same for both sides; lips meet whatever the jaw does."""
    both = drawn.normal(size, len(ARKIT_NAMES))
    factor = ((both + both[:, list(ARKIT_MIRROR)]) / math.sqrt(2)).exp()
    factor[:, ARKIT_NAMES.index("mouthClose")] = factor[:, ARKIT_NAMES.index("jawOpen")]
    return factor


def _with_dragged(expression: Tensor, size: float, drawn: _Drawn) -> Tensor:
    """Return expressions (B, 52) in which every action brings a little of the others on its own side."""
    partner = list(ARKIT_MIRROR)
    mixing = drawn.normal(size, len(partner), len(partner))
    mixing = (mixing + mixing[:, partner][:, :, partner]) / math.sqrt(2)
    sides = torch.tensor([name.endswith("Right") - name.endswith("Left") for name in ARKIT_NAMES])
    allowed = (sides[:, None] * sides >= 0) * _free()[:, None] * _free()
    return expression + (expression[:, None] @ (mixing * allowed))[:, 0]


def _eye_middles(head: HeadModel) -> Tensor:
    return (head.J_regressor @ head.v_template)[3:5]


def _beyond_eyes(head: HeadModel) -> Tensor:
    """Return (V, 2): 0 in the core of the left and of the right eye, 1 beyond its rim."""
    distance = torch.cdist(head.v_template, _eye_middles(head))
    return ((distance - EYE_CORE_M) / (EYE_RIM_M - EYE_CORE_M)).clamp(0, 1)


def _places(head: HeadModel) -> Tensor:
    """Return where vertices (V, 3) are, metres; all of an eye is in its middle."""
    places = head.v_template
    for middle, beyond in zip(_eye_middles(head), _beyond_eyes(head).T):
        places = middle + (places - middle) * beyond[:, None]
    return places


def _smooth(place: Tensor, count: int, channels: int, drawn: _Drawn) -> tuple[Tensor, Tensor]:
    """Return random bells (B, V, count) about places of the face, and values (B, count, channels) for them.

    Their products sum up to a standard deviation of at most one.
    """
    face = place[place[:, 2] > place[:, 2].quantile(0.5)]
    chosen = torch.randint(len(face), (drawn.count, count), generator=drawn.generator)
    width_m = 0.012 + 0.033 * torch.rand(drawn.count, 1, count, generator=drawn.generator)
    middles = face[chosen]
    bells = torch.exp(-torch.cdist(place.expand(drawn.count, -1, -1), middles).square() / (2 * width_m**2))
    bells = bells / bells.square().sum(2, keepdim=True).clamp_min(1).sqrt()
    return bells, drawn.normal(1, count, channels)


def _bumps(place: Tensor, unlike: DomainRandomization, drawn: _Drawn) -> Tensor:
    """Return smooth displacements (B, V, 3) in metres, nearly the same on both sides."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    bells, value = _smooth(torch.cat([place, place * flip]), BUMPS, 3, drawn)
    here, there = (bells @ value / math.sqrt(2)).chunk(2, dim=1)
    lone_bells, lone_value = _smooth(place, BUMPS // 3, 3, drawn)
    return unlike.bump_m * (here + there * flip + unlike.uneven * lone_bells @ lone_value)


def _pulled(action: Tensor, place: Tensor, unlike: DomainRandomization, drawn: _Drawn) -> Tensor:
    """Return displacements (B, V, 3) of other lengths and directions, smoothly varying, alike on both sides."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    bells, value = _smooth(torch.cat([place, place * flip]), BUMPS, 4, drawn)
    here, there = (bells @ value / math.sqrt(2)).chunk(2, dim=1)
    both = here + there * torch.tensor([1.0, 1.0, -1.0, -1.0])  # a turn is an axial vector
    turned = torch.linalg.cross(unlike.turn_rad * both[..., 1:], action)
    return (unlike.pull * both[..., :1]).clamp(-1, 1).exp() * (action + turned)


def _eyes_enlarged(head: HeadModel, unlike: DomainRandomization, drawn: _Drawn) -> Tensor:
    """Return displacements (B, V, 3) in metres that enlarge both eyes."""
    away = head.v_template[:, None] - _eye_middles(head)
    moved = (away * (1 - _beyond_eyes(head))[..., None]).sum(1)
    return unlike.eye_size * drawn.normal(1, 1, 1) * moved


def _beard(head: HeadModel, whole: bool) -> Tensor:
    """Return (V,) how far vertices lie where a beard grows, or a moustache alone, in [0, 1]."""
    points = head.landmark_embedding("mediapipe").points(head.v_template, head.faces)
    nose, upper, mouth, chin = points[2], points[0], points[13], points[152]
    rest = head.v_template
    below = ((nose[1] - 0.003 - rest[:, 1]) / 0.004).clamp(0, 1)
    above = ((rest[:, 1] - (chin[1] - 0.02 if whole else upper[1])) / 0.004).clamp(0, 1)
    reach = 1.0 if whole else ((0.032 - (rest[:, 0] - mouth[0]).abs()) / 0.008).clamp(0, 1)
    front = ((rest[:, 2] - (chin[2] - 0.07)) / 0.02).clamp(0, 1)
    lips = head.region_mask("lips").float() if "lips" in head.data.regions else torch.zeros(len(rest))
    return below * above * reach * front * (1 - lips)
