"""Rendered people of known identity, each with a neutral face and several strong expressions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.procedural_face import ProceduralFaceRenderer, project_head_perspective
from smirk3d.render.appearance.randomization import random_appearance, random_background, random_light, simulate_sensor

EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "roaring": {
        "jawOpen": 0.9,
        "mouthUpperUp": 0.6,
        "noseSneer": 0.8,
        "browDown": 0.9,
        "mouthStretch": 0.5,
        "eyeSquint": 0.5,
    },
    "laughing": {"mouthSmile": 0.9, "cheekSquint": 0.6, "jawOpen": 0.15, "mouthUpperUp": 0.4},
    "smiling": {"mouthSmile": 0.7},
    "surprised": {"jawOpen": 0.6, "browOuterUp": 0.6, "browInnerUp": 0.8, "eyeWide": 0.7},
    "pressed": {"mouthPress": 0.8, "mouthRollUpper": 0.6, "mouthRollLower": 0.6},
}
"""ARKit weights of each photo; a name without a side stands for both."""
SIZE_PX = 320
DISTANCE_M, FOCAL_PX = 1.0, 900.0
SHAPE_STD, MAX_SHAPE = 0.9, 2.5
MAX_ANGLES_DEG = (20.0, 8.0, 5.0)


@dataclass(frozen=True, eq=False)
class RenderedPhoto:
    """One photo of a rendered person.

    Attributes:
        person: Number of the person.
        expression: Key of `EXPRESSIONS`.
        shape: (S,) float32 true identity coefficients.
        weights: (52,) float32 true ARKit weights.
        pixels: (H, W, 3) uint8 RGB.
    """

    person: int
    expression: str
    shape: np.ndarray
    weights: np.ndarray
    pixels: np.ndarray


def rendered_people(head: HeadModel, count: int, seed: int, rest: float = 0.0) -> Iterator[RenderedPhoto]:
    """Yield the photos of random people, all of a person in turn.

    Args:
        head: The open head.
        count: Number of people.
        seed: Of everything random.
        rest: Largest weight of the actions that a person shows all the time, see `resting_weights`; they are added to
            every expression and are no part of the true weights.
    """
    random = torch.Generator().manual_seed(seed)
    renderer = ProceduralFaceRenderer(head)
    for person in range(count):
        shape = (SHAPE_STD * torch.randn(head.n_shape, generator=random)).clamp(-MAX_SHAPE, MAX_SHAPE)
        resting = resting_weights(rest, random)
        appearance_and_light = (random_appearance(random), random_light(random))
        for name in EXPRESSIONS:
            weights = expression_weights(name)
            angles = [limit * float(2 * torch.rand((), generator=random) - 1) for limit in MAX_ANGLES_DEG]
            rotmat = torch.from_numpy(rotation_from_angles(*angles)).float()
            with torch.no_grad():
                shown = (weights + resting).clamp(0, 1)
                vertices = head(FaceParams(shape=shape, expression=shown)).vertices
            view = project_head_perspective(
                vertices, rotmat, centered_translation(head, vertices, rotmat), relative_focal()
            )
            picture = renderer.render(view, SIZE_PX, *appearance_and_light, random_background(SIZE_PX, random))
            pixels = simulate_sensor(picture, random).clamp(0, 1).mul(255).byte().permute(1, 2, 0)
            yield RenderedPhoto(person, name, shape.numpy(), weights.numpy(), np.ascontiguousarray(pixels.numpy()))


def expression_weights(name: str) -> Tensor:
    """Return the ARKit weights (52,) of an expression of `EXPRESSIONS`."""
    weights = torch.zeros(len(ARKIT_NAMES))
    for action, value in EXPRESSIONS[name].items():
        sides = (action,) if action in ARKIT_NAMES else (f"{action}Left", f"{action}Right")
        for side in sides:
            weights[ARKIT_NAMES.index(side)] = value
    return weights


RESTING_ACTIONS = ("eyeBlink", "eyeSquint", "browDown", "browOuterUp", "mouthFrown", "mouthSmile", "mouthPress")
"""Actions of which lids, brows and mouths of resting faces have some."""


def resting_weights(largest: float, random: torch.Generator) -> Tensor:
    """Return the ARKit weights (52,) of a random resting face, both sides alike: half of `RESTING_ACTIONS` at most."""
    weights = torch.zeros(len(ARKIT_NAMES))
    for action in RESTING_ACTIONS:
        value = largest * float((2 * torch.rand((), generator=random) - 1).clamp_min(0))
        for side in ("Left", "Right"):
            weights[ARKIT_NAMES.index(action + side)] = value
    return weights


def relative_focal() -> float:
    """Return the focal length over half the side of the picture."""
    return FOCAL_PX / (SIZE_PX / 2)


def centered_translation(head: HeadModel, vertices: Tensor, rotmat: Tensor) -> Tensor:
    """Return the translation (3,), metres, that puts the face into the middle of the picture."""
    center = rotmat @ vertices[head.region_mask("face")].mean(0)
    return -center * torch.tensor([1.0, 1.0, 0.0]) - torch.tensor([0.0, 0.0, DISTANCE_M])
