"""The 52 blendshapes with the amplitudes of Apple's: MakeHuman's offsets, scaled and corrected by smooth fields.

Each blendshape is first scaled so that the measured points move as far as Apple's; the rest is made up by the
smoothest field that takes the points where Apple's are. Lips, lids and brows have fields of their own, so that the one
does not drag the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.authoring.arkit_amplitudes import amplitudes, point_motion
from smirk3d.authoring.edge_loops import Rims, along
from smirk3d.authoring.face_points import FacePointFinder, SurfacePoints
from smirk3d.authoring.lips import profile, shared_motion
from smirk3d.authoring.openings import LID_EDGE, Openings
from smirk3d.authoring.smooth_field import SmoothField
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.data import HeadData
from smirk3d.head.model import HeadModel

MOUTH_ACTIONS = (
    "jawForward",
    "jawLeft",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthLeft",
    "mouthSmileLeft",
    "mouthFrownLeft",
    "mouthDimpleLeft",
    "mouthStretchLeft",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthLowerDownLeft",
    "mouthUpperUpLeft",
)
FOLDED_ACTIONS = ("mouthSmileLeft", "mouthStretchLeft")
"""Blendshapes of which MakeHuman's offsets fold the cheek sharply."""
BROW_ACTIONS = ("browDownLeft", "browInnerUp", "browOuterUpLeft")
LID_ACTIONS = (
    "eyeSquintLeft",
    "eyeWideLeft",
    "eyeLookUpLeft",
    "eyeLookDownLeft",
    "eyeLookInLeft",
    "eyeLookOutLeft",
    "cheekSquintLeft",
    "browDownLeft",
)
"""Blendshapes that move the lids; the blink is made by `smirk3d.authoring.lids`."""
REGION_SCALED = {"cheekPuff": "cheek_max", "cheekSquintLeft": "cheek_max", "noseSneerLeft": "nose_wing_max"}
"""Blendshapes that are scaled by the largest motion in a region."""
REGION_BOXES = {"cheek_max": (0.3, 1.1, -1.0, -0.2), "nose_wing_max": (0.12, 0.32, -0.7, -0.45)}
"""Regions on the left side of the face: x and y ranges in eye distances from the middle between the eyes."""
SCALE_RANGE = (0.5, 1.4)
LIP_LOOPS = range(2, 7)
"""Loops of the lips that move alike."""
MAX_CLOSED_GAP = 0.016
"""Blendshapes that leave Apple's lips no farther apart than this, in eye distances, leave ours closed."""
FOREHEAD_SHARE = 0.6
"""Motion of the forehead relative to that of the brow below; not measured, it keeps most of the motion at the brow."""
CHEEK_STIFFNESS = 100.0
"""How far folded cheeks are faired, see `SmoothField.fair`: a smile's fold, two edges wide, looked like a dark hook
beside the mouth; this leaves a soft one from nose to mouth, as people have."""
LID_SHARE = 0.93
"""Share of Apple's motion of the lids, whose gap is larger than ours: half-way between equal motions and equal parts of
the gap."""
SIDELONG_LID_SHIFT = 0.04
"""How far the lids follow a sidelong gaze, in eye distances; 0.06 is the largest motion of Apple's lids."""


@dataclass(frozen=True)
class _Measured:
    """Points of the mean head and their present motion.

    Attributes:
        points: The points.
        rest: Name -> (3,) metres.
        unit_m: Eye distance, metres.
    """

    points: SurfacePoints
    rest: dict[str, Tensor]
    unit_m: float

    def missing(self, action: str, offsets: Tensor, neutral: Tensor) -> dict[str, Tensor]:
        """Return Apple's motion of each point minus that of offsets (V, 3), metres; NaN where unknown."""
        moved = self.points.of(neutral + offsets)
        wanted = point_motion(action)
        return {name: wanted[name] * self.unit_m - (moved[name] - self.rest[name]) for name in wanted}

    def missing_brows(self, action: str, offsets: Tensor, neutral: Tensor) -> dict[str, Tensor]:
        """Return the same, with points between the brows and on the forehead, which follow them."""
        missing = self.missing(action, offsets, neutral)
        moved, wanted = self.points.of(neutral + offsets), point_motion(action)
        center = (wanted["left_brow_in"] + wanted["right_brow_in"]) / 2
        for side in ("left", "right"):
            name = f"{side}_brow_center"
            wanted[name] = center
            missing[name] = center * self.unit_m - (moved[name] - self.rest[name])
        for brow in [name for name in wanted if "brow" in name]:
            above = brow.replace("brow", "forehead")
            target = FOREHEAD_SHARE * wanted[brow] * self.unit_m
            missing[above] = target - (moved[above] - self.rest[above])
        return missing


def reshape_actions(data: HeadData, openings: Openings) -> Tensor:
    """Return the offsets (V, 3, 52) of the ARKit blendshapes with Apple's amplitudes, blinks aside.

    Args:
        data: The open head with MakeHuman's blendshapes.
        openings: Its loops around eyes and mouth.
    """
    head = HeadModel(data)
    points = FacePointFinder(head).find()
    measured = _Measured(points, points.of(data.v_template), points.unit_m)
    offsets = {name: data.expressiondirs[..., row].clone() for row, name in enumerate(ARKIT_NAMES)}
    _scale(offsets, measured, data)
    _reshape_mouth(offsets, measured, data, openings.mouth)
    _reshape_brows(offsets, measured, data, openings)
    _reshape_lids(offsets, measured, data, openings.left_eye)
    return torch.stack([offsets[name] for name in ARKIT_NAMES], dim=-1)


def _scale(offsets: dict[str, Tensor], measured: _Measured, data: HeadData) -> None:
    for action in (*MOUTH_ACTIONS, *BROW_ACTIONS, *LID_ACTIONS[:4]):
        wanted = point_motion(action)
        moved = measured.points.of(data.v_template + offsets[action])
        pairs = [(moved[name] - measured.rest[name], wanted[name] * measured.unit_m) for name in wanted]
        now, then = (torch.cat(list(each)) for each in zip(*pairs, strict=True))
        known = ~then.isnan()
        factor = float((now[known] * then[known]).sum() / now[known].square().sum())
        offsets[action] = offsets[action] * min(max(factor, SCALE_RANGE[0]), SCALE_RANGE[1])
    middle = (measured.rest["left_eye_inner"] + measured.rest["left_eye_outer"]) / 2
    place = (data.v_template - torch.tensor([0.0, float(middle[1]), 0.0])) / measured.unit_m
    for action, measure in REGION_SCALED.items():
        x0, x1, y0, y1 = REGION_BOXES[measure]
        x, y = place[:, 0], place[:, 1]
        region = data.regions["face"] & (x > x0) & (x < x1) & (y > y0) & (y < y1)
        largest = float(offsets[action][region].norm(dim=1).max()) / measured.unit_m
        offsets[action] = offsets[action] * (amplitudes()[action]["left", measure] / largest)


def _reshape_mouth(offsets: dict[str, Tensor], measured: _Measured, data: HeadData, mouth: Rims) -> None:
    neutral = data.v_template
    field = SmoothField(neutral, data.faces, _mouth_region(data))
    upper, lower = (torch.cat([rim[loop] for loop in LIP_LOOPS]) for rim in (mouth.upper, mouth.lower))
    lips = torch.cat([upper, lower])
    chin = measured.points.matrix(("chin",), len(neutral))
    handles = torch.cat([torch.eye(len(neutral))[lips], chin])
    values = []
    for action in MOUTH_ACTIONS:
        missing = measured.missing(action, offsets[action], neutral)
        sides = [
            _lip_values(rim, part, missing, measured, neutral)
            for rim, part in ((mouth.upper, "upper"), (mouth.lower, "lower"))
        ]
        values.append(torch.cat([*sides, missing["chin"][None]]))
    stacked = torch.stack(values, dim=1)
    corrections = torch.stack([field.solve(handles, stacked[..., axis]) for axis in range(3)], dim=-1)
    for row, action in enumerate(MOUTH_ACTIONS):
        offsets[action] = offsets[action] + corrections[:, row]
        gap = amplitudes()[action].get(("both", "mouth_gap"), 0.0096)
        if abs(gap) < MAX_CLOSED_GAP:
            offsets[action] = shared_motion(mouth, offsets[action][None], neutral)[0]
    _fair_cheeks(offsets, data, mouth)
    _close_opened_mouth(offsets, mouth, measured, data)


def _fair_cheeks(offsets: dict[str, Tensor], data: HeadData, mouth: Rims) -> None:
    """Soften the folds of the cheeks in place; lips and lids stay."""
    regions = data.regions
    free = (regions["face"] | regions["neck"]) & ~regions["lips"] & ~regions["eye_regions"]
    free[torch.cat([mouth.upper.flatten(), mouth.lower.flatten()])] = False
    field = SmoothField(data.v_template, data.faces, free)
    for action in FOLDED_ACTIONS:
        offsets[action] = field.fair(offsets[action], CHEEK_STIFFNESS)


def _mouth_region(data: HeadData) -> Tensor:
    """Return the vertices (V,) that corrections of the mouth may move: the lower face and the cavity of the mouth."""
    regions = data.regions
    lower = data.v_template[:, 1] < data.v_template[regions["eye_regions"], 1].min() + 0.005
    teeth = regions["upper_teeth"] | regions["lower_teeth"] | regions["tongue"]
    skin = (regions["face"] | regions["neck"]) & ~regions["eye_regions"] & ~regions["ears"]
    return (skin | (regions["mouth_interior"] & ~teeth)) & lower


def _lip_nodes(measured: _Measured) -> tuple[Tensor, tuple[str, ...]]:
    """Return places between the mouth's corners of the measured points of a lip, and patterns of their names."""
    right, left = measured.rest["right_mouth_corner"][0], measured.rest["left_mouth_corner"][0]
    names = ("right_mouth_corner", "right_lip_side_{part}", "lip_{part}", "left_lip_side_{part}", "left_mouth_corner")
    places = [measured.rest[name.format(part="upper")][0] for name in names]
    return torch.stack([(x - right) / (left - right) for x in places]), names


def _lip_values(rim: Tensor, part: str, values: dict[str, Tensor], measured: _Measured, neutral: Tensor) -> Tensor:
    """Return values (N, 3) at the vertices of `LIP_LOOPS` of one lip, from those at the measured points."""
    nodes, names = _lip_nodes(measured)
    at_nodes = torch.stack([values[name.format(part=part)] for name in names])
    rows = []
    for loop in LIP_LOOPS:
        axes = [profile(rim[loop], neutral, nodes, at_nodes[:, axis]) for axis in range(3)]
        rows.append(torch.stack(axes, dim=1))
    return torch.cat(rows)


def _close_opened_mouth(offsets: dict[str, Tensor], mouth: Rims, measured: _Measured, data: HeadData) -> None:
    """Let mouthClose bring the lips of jawOpen back into their neutral form, at the place where Apple's lips close."""
    neutral = data.v_template
    opened, closing = point_motion("jawOpen"), point_motion("mouthClose")
    together = {name: (opened[name] + closing[name]) * measured.unit_m for name in opened}
    for name in ("lip", "left_lip_side", "right_lip_side"):
        mean = (together[f"{name}_upper"] + together[f"{name}_lower"]) / 2
        together[f"{name}_upper"] = together[f"{name}_lower"] = mean
    field = SmoothField(neutral, data.faces, _mouth_region(data))
    lips = torch.cat([torch.cat([rim[loop] for loop in LIP_LOOPS]) for rim in (mouth.upper, mouth.lower)])
    wanted = torch.cat(
        [
            _lip_values(rim, part, together, measured, neutral)
            for rim, part in ((mouth.upper, "upper"), (mouth.lower, "lower"))
        ]
    )
    missing = wanted - (offsets["jawOpen"] + offsets["mouthClose"])[lips]
    handles = torch.cat([torch.eye(len(neutral))[lips], measured.points.matrix(("chin",), len(neutral))])
    missing = torch.cat([missing, torch.zeros(1, 3)])
    correction = torch.stack([field.solve(handles, missing[:, axis, None])[:, 0] for axis in range(3)], dim=1)
    offsets["mouthClose"] = offsets["mouthClose"] + correction
    both = shared_motion(mouth, (offsets["jawOpen"] + offsets["mouthClose"])[None], neutral)[0]
    offsets["mouthClose"] = both - offsets["jawOpen"]


def _reshape_brows(offsets: dict[str, Tensor], measured: _Measured, data: HeadData, openings: Openings) -> None:
    neutral = data.v_template
    lids = torch.zeros(len(neutral), dtype=torch.bool)
    for eye in (openings.left_eye, openings.right_eye):
        lids[torch.cat([eye.upper[1:].flatten(), eye.lower[1:].flatten()])] = True
    above = neutral[:, 1] > neutral[data.regions["eyeballs"], 1].mean() - 0.01
    field = SmoothField(neutral, data.faces, data.regions["face"] & above & ~lids)
    for axis, names in ((0, ("brow_in",)), (1, ("brow_center", "brow_in", "brow_mid", "brow_out"))):
        brows = tuple(f"{side}_{name}" for side in ("left", "right") for name in names)
        points = brows + tuple(name.replace("brow", "forehead") for name in brows)
        missing = [measured.missing_brows(action, offsets[action], neutral) for action in BROW_ACTIONS]
        values = torch.stack([torch.stack([each[name][axis] for name in points]) for each in missing], dim=1)
        correction = field.solve(measured.points.matrix(points, len(neutral)), values)
        for row, action in enumerate(BROW_ACTIONS):
            offsets[action][:, axis] += correction[:, row]


def _reshape_lids(offsets: dict[str, Tensor], measured: _Measured, data: HeadData, eye: Rims) -> None:
    neutral = data.v_template
    region = data.regions["left_eye_region"].clone()
    region[torch.cat([eye.upper.flatten(), eye.lower.flatten()])] = True
    field = SmoothField(neutral, data.faces, region)
    rims = {"upper": eye.upper, "lower": eye.lower}
    edge = torch.cat([rim[loop] for rim in rims.values() for loop in LID_EDGE])
    handles = torch.eye(len(neutral))[edge]
    for action in LID_ACTIONS:
        missing = measured.missing(action, offsets[action], neutral)
        rows = []
        for part, rim in rims.items():
            height = float(missing[f"left_lid_{part}"][1])
            if action in ("eyeSquintLeft", "eyeWideLeft"):
                height -= (1 - LID_SHARE) * float(point_motion(action)[f"left_lid_{part}"][1]) * measured.unit_m
            for loop in LID_EDGE:
                bell = torch.sin(torch.pi * along(rim[loop], neutral))
                rows.append(bell[:, None] * torch.tensor([_sidelong_shift(action) * measured.unit_m, height, 0.0]))
        values = torch.cat(rows)
        for axis in range(2):
            offsets[action][:, axis] += field.solve(handles, values[:, axis, None])[:, 0]


def _sidelong_shift(action: str) -> float:
    """Return how far the lids of the left eye move to the left, in eye distances."""
    return {"eyeLookInLeft": -SIDELONG_LID_SHIFT, "eyeLookOutLeft": SIDELONG_LID_SHIFT}.get(action, 0.0)
