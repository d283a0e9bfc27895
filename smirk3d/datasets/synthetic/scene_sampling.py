"""Random synthetic images of the open head with known parameters, for evaluation and training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.params import FaceParams
from smirk3d.render.appearance.procedural_face import ProceduralFaceRenderer, project_head_perspective
from smirk3d.render.appearance.randomization import random_appearance, random_background, random_light, simulate_sensor

Kind = Literal["neutral", "single", "one_sided", "combination"]
KIND_SHARES: tuple[tuple[Kind, int], ...] = (
    ("neutral", 1),
    ("single", 2),
    ("one_sided", 1),
    ("combination", 2),
)
"""How many of six images of a set are of each kind."""
FACE_SHARE = 0.6
"""Height of the face over the side of the image, before the random zoom."""
FACE_HEIGHT_M = 0.20
REQUIRED = {"mouthClose": ("jawOpen", 1.0), "tongueOut": ("jawOpen", 0.5)}
"""Blendshapes that need another one, and its smallest share."""


@dataclass(frozen=True)
class SampleRanges:
    """Ranges of the random scenes.

    Attributes:
        yaw_deg: Largest absolute yaw, degrees.
        pitch_deg: Largest absolute pitch, degrees.
        roll_deg: Largest absolute roll, degrees.
        distance_m: Range of the camera's distance, metres.
        shape_std: Standard deviation of the identity coefficients.
    """

    yaw_deg: float = 40.0
    pitch_deg: float = 20.0
    roll_deg: float = 15.0
    distance_m: tuple[float, float] = (0.4, 2.0)
    shape_std: float = 0.8


@dataclass(frozen=True)
class Sample:
    """One image and its ground truth.

    Attributes:
        image: (3, S, S) in [0, 1].
        kind: Distribution of the expression.
        shape: (n_shape,) identity coefficients.
        expression: (52,) ARKit weights.
        rotmat: (3, 3) rotation from head to camera.
        translation_m: (3,) translation from head to camera, metres.
        focal_px: Focal length in pixels of the image.
        vertices_px: (V, 2) projected vertices, pixels.
    """

    image: Tensor
    kind: Kind
    shape: Tensor
    expression: Tensor
    rotmat: Tensor
    translation_m: Tensor
    focal_px: float
    vertices_px: Tensor


def random_expression(kind: Kind, generator: torch.Generator) -> Tensor:
    """Draw an expression, (52,) ARKit weights in [0, 1].

    Args:
        kind: "single": one blendshape, both sides alike; "one_sided": one side only; "combination": two to five
            blendshapes, some one-sided, and gaze; "neutral": all zero.
        generator: All randomness, on the CPU.
    """
    weights = torch.zeros(len(ARKIT_NAMES))
    if kind == "neutral":
        return weights
    sided = [name for name in ARKIT_NAMES if name.endswith("Left") and name not in GAZE_NAMES]
    middle = [name for name in ARKIT_NAMES if not name.endswith(("Left", "Right"))] + ["jawLeft", "mouthLeft"]
    pool = [name for name in sided if name not in ("jawLeft", "mouthLeft")]
    count = 1 if kind != "combination" else 2 + int(torch.randint(0, 4, (), generator=generator))
    names = pool if kind == "one_sided" else pool + middle
    for _ in range(count):
        name = names[int(torch.randint(0, len(names), (), generator=generator))]
        one_sided = kind == "one_sided" or (kind == "combination" and chance(0.3, generator))
        _activate(
            weights,
            name,
            uniform(0.4, 1.0, generator),
            one_sided or name in ("jawLeft", "mouthLeft"),
            generator,
        )
    if kind == "combination" or (kind == "single" and chance(0.15, generator)):
        _set_gaze(weights, generator)
    return weights


def random_sample(
    renderer: ProceduralFaceRenderer,
    kind: Kind,
    size: int,
    generator: torch.Generator,
    ranges: SampleRanges | None = None,
) -> Sample:
    """Render one random image.

    Args:
        renderer: Renderer of the head.
        kind: Distribution of the expression, see `random_expression`.
        size: S, side of the image in pixels.
        generator: All randomness, on the CPU.
        ranges: Ranges of pose, camera and identity.
    """
    ranges = SampleRanges() if ranges is None else ranges
    head = renderer.head
    shape = ranges.shape_std * torch.randn(head.n_shape, generator=generator)
    expression = random_expression(kind, generator)
    limits = (ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg)
    angles = [uniform(-limit, limit, generator) for limit in limits]
    rotmat = torch.from_numpy(rotation_from_angles(*angles)).float()
    vertices = head(FaceParams(shape=shape, expression=expression)).vertices
    distance = uniform(*ranges.distance_m, generator)
    zoom = uniform(0.8, 1.15, generator)
    focal = 2 * FACE_SHARE * zoom * distance / FACE_HEIGHT_M
    face_center = rotmat @ vertices[head.region_mask("face")].mean(0)
    shift = 0.015 * torch.randn(3, generator=generator) * torch.tensor([1.0, 1.0, 0.0])
    translation = -face_center * torch.tensor([1.0, 1.0, 0.0]) + shift - torch.tensor([0.0, 0.0, distance])
    view = project_head_perspective(vertices, rotmat, translation, focal)
    background = random_background(size, generator)
    image = renderer.render(view, size, random_appearance(generator), random_light(generator), background)
    return Sample(
        image=simulate_sensor(image, generator),
        kind=kind,
        shape=shape,
        expression=expression,
        rotmat=rotmat,
        translation_m=translation,
        focal_px=focal * size / 2,
        vertices_px=(view.ndc[:, :2] + 1) * size / 2,
    )


def _activate(weights: Tensor, name: str, value: float, one_sided: bool, generator: torch.Generator) -> None:
    index = ARKIT_NAMES.index(name)
    partner = ARKIT_MIRROR[index]
    if one_sided and chance(0.5, generator):
        index, partner = partner, index
    weights[index] = value
    if not one_sided:
        weights[partner] = value
    if name in REQUIRED:
        other, share = REQUIRED[name]
        other_index = ARKIT_NAMES.index(other)
        weights[other_index] = max(float(weights[other_index]), share * value)


def _set_gaze(weights: Tensor, generator: torch.Generator) -> None:
    """Set a random gaze, the same for both eyes."""
    side, height = uniform(-1, 1, generator), uniform(-1, 1, generator)
    horizontal = ("eyeLookOutLeft", "eyeLookInRight") if side > 0 else ("eyeLookInLeft", "eyeLookOutRight")
    vertical = ("eyeLookUpLeft", "eyeLookUpRight") if height > 0 else ("eyeLookDownLeft", "eyeLookDownRight")
    for names, value in ((horizontal, abs(side)), (vertical, abs(height))):
        for name in names:
            weights[ARKIT_NAMES.index(name)] = value


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """Draw a number from [low, high)."""
    return float(torch.rand((), generator=generator)) * (high - low) + low


def chance(probability: float, generator: torch.Generator) -> bool:
    """Draw True with a probability."""
    return float(torch.rand((), generator=generator)) < probability
