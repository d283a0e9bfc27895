"""Rendered people whose photos are moved: neutral ones with strong expressions in place, and turned ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.datasets.synthetic.rendered_people import (
    EXPRESSIONS,
    MAX_ANGLES_DEG,
    MAX_SHAPE,
    SHAPE_STD,
    SIZE_PX,
    centered_translation,
    expression_weights,
    relative_focal,
)
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.reenactment.source_photo import PIVOT_M
from smirk3d.render.appearance.procedural_face import (
    Appearance,
    Light,
    ProceduralFaceRenderer,
    project_head_perspective,
)
from smirk3d.render.appearance.randomization import random_appearance, random_background, random_light

SOURCE_YAW_DEG = 22.0
"""Yaw of the first photo of a turned person, to either side."""
TURN_DEG = (9.0, 6.0, 0.0)
"""Yaw, pitch and roll by which this head is to turn, the yaw back to the front."""
FURTHER = (("surprised", 0.0), ("neutral", -1.0), ("laughing", 0.5))
"""Expression and yaw, over that of the first photo, of further photos."""
TURNED_EXPRESSIONS = ("laughing", "surprised")


@dataclass(frozen=True, eq=False)
class PersonInPlace:
    """A rendered person whose pictures differ in the expression alone.

    Attributes:
        neutral: (H, W, 3) uint8 RGB.
        moved: Expression of `EXPRESSIONS` -> (H, W, 3) uint8 RGB; without "neutral".
    """

    neutral: np.ndarray
    moved: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class TurnedPerson:
    """A rendered person whose photo shows one side of the face, and is to turn.

    Attributes:
        photos: (H, W, 3) uint8 RGB each: the photo, then further ones of other poses, expressions and backgrounds.
        turn: (3, 3) rotation in the camera frame by which the head turns.
        moved: Expression of `TURNED_EXPRESSIONS` -> (H, W, 3) uint8 RGB, the turned head before the same background.
    """

    photos: tuple[np.ndarray, ...]
    turn: np.ndarray
    moved: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class _RenderedPerson:
    """A person to be rendered."""

    shape: Tensor
    appearance: Appearance
    light: Light

    @staticmethod
    def draw(head: HeadModel, random: torch.Generator) -> _RenderedPerson:
        shape = (SHAPE_STD * torch.randn(head.n_shape, generator=random)).clamp(-MAX_SHAPE, MAX_SHAPE)
        return _RenderedPerson(shape, random_appearance(random), random_light(random))

    def vertices(self, head: HeadModel, name: str) -> Tensor:
        with torch.no_grad():
            return head(FaceParams(shape=self.shape, expression=expression_weights(name))).vertices

    def picture(
        self, renderer: ProceduralFaceRenderer, vertices: Tensor, rotmat: Tensor, place: Tensor, background: Tensor
    ) -> np.ndarray:
        view = project_head_perspective(vertices, rotmat, place, relative_focal())
        picture = renderer.render(view, SIZE_PX, self.appearance, self.light, background).clamp(0, 1)
        return np.ascontiguousarray(picture.mul(255).round().byte().permute(1, 2, 0).numpy())


def people_in_place(head: HeadModel, count: int, seed: int) -> Iterator[PersonInPlace]:
    """Yield random people before random backgrounds, in a random pose that stays, without the sensor's noise."""
    random = torch.Generator().manual_seed(seed)
    renderer = ProceduralFaceRenderer(head)
    for _ in range(count):
        person, background = _RenderedPerson.draw(head, random), random_background(SIZE_PX, random)
        angles = [limit * float(2 * torch.rand((), generator=random) - 1) for limit in MAX_ANGLES_DEG]
        rotmat = _rotation(*angles)
        place = centered_translation(head, person.vertices(head, "neutral"), rotmat)
        pictures = {
            name: person.picture(renderer, person.vertices(head, name), rotmat, place, background)
            for name in EXPRESSIONS
        }
        yield PersonInPlace(pictures.pop("neutral"), pictures)


def turned_people(head: HeadModel, count: int, seed: int) -> Iterator[TurnedPerson]:
    """Yield random people with several photos each; the first one is turned to a side."""
    random = torch.Generator().manual_seed(seed)
    renderer = ProceduralFaceRenderer(head)
    for number in range(count):
        person, background, side = (
            _RenderedPerson.draw(head, random),
            random_background(SIZE_PX, random),
            (-1) ** number,
        )
        rotmat = _rotation(side * SOURCE_YAW_DEG, 0, 0)
        place = centered_translation(head, person.vertices(head, "neutral"), rotmat)
        photos = [person.picture(renderer, person.vertices(head, "neutral"), rotmat, place, background)]
        for name, share in FURTHER:
            vertices, other = person.vertices(head, name), _rotation(side * share * SOURCE_YAW_DEG, 0, 0)
            own = centered_translation(head, vertices, other)
            photos.append(person.picture(renderer, vertices, other, own, random_background(SIZE_PX, random)))
        turn = rotation_from_angles(-side * TURN_DEG[0], TURN_DEG[1], TURN_DEG[2])
        turned = torch.from_numpy(turn).float() @ rotmat
        pivot = torch.tensor(PIVOT_M)
        moved_place = place + rotmat @ pivot - turned @ pivot
        moved = {
            name: person.picture(renderer, person.vertices(head, name), turned, moved_place, background)
            for name in TURNED_EXPRESSIONS
        }
        yield TurnedPerson(tuple(photos), turn, moved)


def _rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Tensor:
    return torch.from_numpy(rotation_from_angles(yaw_deg, pitch_deg, roll_deg)).float()
