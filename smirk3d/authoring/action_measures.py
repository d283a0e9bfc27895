"""Amplitudes of the ARKit blendshapes of a head, by the same measures as Apple's (`arkit_amplitudes.csv`)."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.authoring.arkit_amplitudes import amplitudes
from smirk3d.authoring.face_points import FacePointFinder, SurfacePoints
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

REGION_BOXES = {
    "cheek": (0.3, 1.1, -1.0, -0.2),
    "nose_wing": (0.12, 0.32, -0.7, -0.45),
    "brow": (0.1, 0.85, 0.22, 0.58),
}
"""Regions on the left side: x and y ranges in eye distances from the middle between the eyes."""
CHARACTERS_MEDIAN = {
    ("eyeLookDown", "eye_pitch"): -17.5,
    ("eyeLookUp", "eye_pitch"): 16.3,
    ("eyeLookIn", "eye_yaw"): -21.8,
    ("eyeLookOut", "eye_yaw"): 23.3,
    ("tongueOut", "tongue_tip_beyond_lower_lip"): 0.233,
}
"""Where Apple's face geometry has no eyes and no tongue: median of three families of public characters, degrees and
eye distances."""
MEASURES: dict[str, tuple[str, ...]] = {
    "eyeBlink": ("lid_closure",),
    "eyeSquint": ("lid_closure", "lid_lower_dy"),
    "eyeWide": ("lid_closure",),
    "eyeLookDown": ("eye_pitch", "lid_gap", "lid_upper_dy"),
    "eyeLookUp": ("eye_pitch", "lid_gap", "lid_upper_dy"),
    "eyeLookIn": ("eye_yaw",),
    "eyeLookOut": ("eye_yaw",),
    "jawOpen": ("mouth_gap", "chin_dy", "mouth_narrowing"),
    "jawForward": ("chin_dz",),
    "jawLeft": ("chin_dx",),
    "jawRight": ("chin_dx",),
    "mouthClose": ("mouth_gap", "lip_lower_dy", "lip_upper_dy"),
    "mouthFunnel": ("mouth_gap", "mouth_narrowing", "lip_upper_dz", "lip_lower_dz"),
    "mouthPucker": ("mouth_narrowing", "lip_upper_dz", "lip_lower_dz"),
    "mouthLeft": ("lip_upper_dx", "lip_lower_dx"),
    "mouthRight": ("lip_upper_dx", "lip_lower_dx"),
    "mouthSmile": ("mouth_corner_dx", "mouth_corner_dy", "mouth_corner_dz", "mouth_corner_length"),
    "mouthFrown": ("mouth_corner_dy", "mouth_corner_length"),
    "mouthDimple": ("mouth_corner_dx", "mouth_corner_length"),
    "mouthStretch": ("mouth_corner_dx", "mouth_corner_dy", "mouth_corner_length"),
    "mouthRollLower": ("lip_lower_dy", "lip_lower_dz"),
    "mouthRollUpper": ("lip_upper_dy", "lip_upper_dz"),
    "mouthShrugLower": ("lip_lower_dy", "chin_dy"),
    "mouthShrugUpper": ("lip_upper_dy",),
    "mouthPress": ("mouth_corner_dy", "mouth_corner_length"),
    "mouthLowerDown": ("lip_lower_side_dy",),
    "mouthUpperUp": ("lip_upper_side_dy",),
    "browDown": ("brow_in_dy", "brow_out_dy", "brow_region_max_dy"),
    "browInnerUp": ("brow_in_dy", "brow_region_max_dy"),
    "browOuterUp": ("brow_out_dy", "brow_in_dy", "brow_region_max_dy"),
    "cheekPuff": ("cheek_max",),
    "cheekSquint": ("cheek_max", "lid_lower_dy"),
    "noseSneer": ("nose_wing_mean_dy", "nose_wing_max"),
    "tongueOut": ("tongue_tip_beyond_lower_lip",),
}
"""The 34 actions, sides merged, and their measures, the most telling one first."""


@dataclass(frozen=True)
class Amplitude:
    """One measure of one action.

    Attributes:
        action: Name without the side.
        measure: Name of the measure.
        value: Of this head, in eye distances, degrees or ratios.
        reference: Apple's value.
    """

    action: str
    measure: str
    value: float
    reference: float

    @property
    def ratio(self) -> float:
        """Value over reference."""
        return self.value / self.reference


def measure_actions(head: HeadModel, shape: Tensor | None = None) -> list[Amplitude]:
    """Measure all actions of `MEASURES` on one person, left sides.

    Args:
        head: A head with the ARKit blendshapes and the regions of the open head.
        shape: (S,) identity coefficients, None for the mean head.
    """
    measurement = _Measurement(head, shape)
    rows = []
    for action, names in MEASURES.items():
        name = action if action in ARKIT_NAMES else f"{action}Left"
        values = measurement.of(name)
        rows += [Amplitude(action, each, values[each], _reference(action, name, each)) for each in names]
    return rows


def within(rows: list[Amplitude], tolerance: float = 0.25) -> tuple[int, int]:
    """Return how many actions are within a relative tolerance by their first measure, and by all of them."""
    first, every = 0, 0
    for action in MEASURES:
        own = [abs(row.ratio - 1) <= tolerance for row in rows if row.action == action]
        first += own[0]
        every += all(own)
    return first, every


def _reference(action: str, name: str, measure: str) -> float:
    if (action, measure) in CHARACTERS_MEDIAN:
        return CHARACTERS_MEDIAN[action, measure]
    mirrored = {"jawRight": "jawLeft", "mouthRight": "mouthLeft"}.get(name, name)
    own = amplitudes()[mirrored]
    sign = -1.0 if mirrored != name else 1.0

    def read(key: str, default: float = 0.0) -> float:
        return next((own[side, key] for side in ("left", "both") if (side, key) in own), default)

    if measure == "lid_closure":
        return 1 - read("lid_gap", 1.0)
    if measure == "mouth_narrowing":
        return read("mouth_width_ratio", 1.0) - 1
    if measure == "mouth_corner_length":
        return sum(read(f"mouth_corner_d{axis}") ** 2 for axis in "xyz") ** 0.5
    if measure == "lid_gap":
        return read("lid_gap", 1.0)
    return sign * read(measure)


class _Measurement:
    """All measures of one person."""

    def __init__(self, head: HeadModel, shape: Tensor | None) -> None:
        self._head, self._shape = head, shape
        self._points: SurfacePoints = FacePointFinder(head, shape).find()
        self._neutral = head(FaceParams(shape=shape)).vertices
        self._rest = self._points.of(self._neutral)
        self._unit = self._points.unit_m
        middle = (self._rest["left_eye_inner"] + self._rest["left_eye_outer"]) / 2
        self._place = (self._neutral - torch.stack([middle[0] * 0, middle[1], middle[2] * 0])) / self._unit

    def of(self, name: str) -> dict[str, float]:
        """Return measure -> value of a blendshape at weight 1; of mouthClose as what it adds to jawOpen."""
        weights = torch.zeros(len(ARKIT_NAMES))
        weights[ARKIT_NAMES.index(name)] = 1.0
        vertices = self._vertices(weights)
        if name == "mouthClose":
            opened = torch.zeros(len(ARKIT_NAMES))
            opened[ARKIT_NAMES.index("jawOpen")] = 1.0
            vertices = self._neutral + self._vertices(weights + opened) - self._vertices(opened)
        points = self._points.of(vertices)
        values: dict[str, float] = {}
        for point, position in points.items():
            moved = (position - self._rest[point]) / self._unit
            for axis, letter in enumerate("xyz"):
                values[f"{_measure_name(point)}_d{letter}"] = float(moved[axis])
        values["mouth_corner_length"] = float(
            (points["left_mouth_corner"] - self._rest["left_mouth_corner"]).norm() / self._unit
        )
        values |= self._gaps(points) | self._regions(vertices) | self._gaze(weights)
        values["tongue_tip_beyond_lower_lip"] = self._tongue(vertices)
        return values

    def _vertices(self, weights: Tensor) -> Tensor:
        return self._head(FaceParams(shape=self._shape, expression=weights)).vertices

    def _gaps(self, points: dict[str, Tensor]) -> dict[str, float]:
        def height(where: dict[str, Tensor], part: str) -> float:
            return float((where[f"{part}_upper"] - where[f"{part}_lower"])[1])

        def width(where: dict[str, Tensor]) -> float:
            return float((where["left_mouth_corner"] - where["right_mouth_corner"]).norm())

        gap = height(points, "left_lid") / height(self._rest, "left_lid")
        mouth = height(points, "lip") / self._unit
        return {
            "lid_gap": gap,
            "lid_closure": 1 - gap,
            "mouth_gap": mouth,
            "mouth_narrowing": width(points) / width(self._rest) - 1,
        }

    def _regions(self, vertices: Tensor) -> dict[str, float]:
        moved = (vertices - self._neutral) / self._unit
        face = self._head.region_mask("face")
        values = {}
        for name, (x0, x1, y0, y1) in REGION_BOXES.items():
            x, y = self._place[:, 0], self._place[:, 1]
            inside = face & (x > x0) & (x < x1) & (y > y0) & (y < y1)
            dy = moved[inside, 1]
            values[f"{name}_max"] = float(moved[inside].norm(dim=1).max())
            values[f"{name}_mean_dy"] = float(dy.mean())
            values[f"{name}_region_max_dy"] = float(dy[dy.abs().argmax()])
        return values

    def _gaze(self, weights: Tensor) -> dict[str, float]:
        rotvec = torch.rad2deg(self._head.joint_rotvec(weights, FaceParams())[3])
        return {"eye_pitch": float(-rotvec[0]), "eye_yaw": float(rotvec[1])}

    def _tongue(self, vertices: Tensor) -> float:
        tip = vertices[self._head.region_mask("tongue"), 2].max()
        lip = self._points.of(vertices)["lip_lower"][2]
        return float((tip - lip) / self._unit)


def _measure_name(point: str) -> str:
    """Return the stem of a measure of a point: those of the right side keep their prefix."""
    stem = point.removeprefix("left_")
    return stem.replace("lip_side_upper", "lip_upper_side").replace("lip_side_lower", "lip_lower_side")
