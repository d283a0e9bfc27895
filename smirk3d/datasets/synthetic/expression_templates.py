"""Templates of expressions that are rare in photos (extreme, one-sided), for the cycle path of training.

Left and right are the subject's own, as in `smirk3d.head.arkit`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expression_file import EXPRESSION_FORMATS, Expressions, read_expressions
from smirk3d.head.arkit import ARKIT_NAMES, mirror_name
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.params import FaceParams

_SYMMETRIC: dict[str, dict[str, float]] = {
    "lips_rolled_in": {"mouthRollLower": 0.8, "mouthRollUpper": 0.8},
    "lip_bite": {"mouthRollLower": 1.0, "mouthUpperUpBoth": 0.4, "jawOpen": 0.08},
    "pressed_lips": {"mouthPressBoth": 1.0, "mouthRollLower": 0.4, "mouthRollUpper": 0.4, "mouthShrugLower": 0.3},
    "kiss": {"mouthPucker": 1.0, "mouthShrugLower": 0.2},
    "whistle": {"mouthPucker": 1.0, "mouthFunnel": 0.3, "jawOpen": 0.06},
    "oh": {"mouthFunnel": 0.7, "mouthPucker": 0.2, "jawOpen": 0.4},
    "pout": {"mouthShrugLower": 0.9, "mouthPucker": 0.5, "mouthFrownBoth": 0.4, "browInnerUp": 0.4},
    "cheeks_blown": {"cheekPuff": 1.0, "mouthPressBoth": 0.4, "mouthPucker": 0.3},
    "closed_smile": {"mouthSmileBoth": 0.9, "cheekSquintBoth": 0.5, "mouthPressBoth": 0.3},
    "grin": {"mouthSmileBoth": 0.9, "mouthUpperUpBoth": 0.5, "mouthLowerDownBoth": 0.5, "cheekSquintBoth": 0.5},
    "laugh": {
        "mouthSmileBoth": 0.9,
        "jawOpen": 0.55,
        "mouthUpperUpBoth": 0.5,
        "cheekSquintBoth": 0.8,
        "eyeSquintBoth": 0.7,
    },
    "teeth_bared": {"mouthUpperUpBoth": 1.0, "mouthLowerDownBoth": 1.0, "mouthStretchBoth": 0.7, "noseSneerBoth": 0.4},
    "lips_stretched": {"mouthStretchBoth": 1.0, "mouthDimpleBoth": 0.6},
    "frown": {"mouthFrownBoth": 1.0, "browDownBoth": 0.7, "mouthShrugLower": 0.4},
    "chin_raised": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.7, "browInnerUp": 0.5, "browOuterUpBoth": 0.5},
    "shout": {
        "jawOpen": 0.9,
        "mouthUpperUpBoth": 0.5,
        "mouthLowerDownBoth": 0.6,
        "browDownBoth": 0.9,
        "eyeSquintBoth": 0.4,
        "noseSneerBoth": 0.5,
    },
    "yawn": {"jawOpen": 1.0, "mouthFunnel": 0.3, "eyeBlinkBoth": 0.8, "browInnerUp": 0.5, "browDownBoth": 0.2},
    "wide_eyes_open_mouth": {
        "eyeWideBoth": 1.0,
        "jawOpen": 0.6,
        "browInnerUp": 0.9,
        "browOuterUpBoth": 0.9,
    },
    "fear": {
        "browInnerUp": 1.0,
        "browOuterUpBoth": 0.4,
        "browDownBoth": 0.3,
        "eyeWideBoth": 1.0,
        "mouthStretchBoth": 0.9,
        "mouthLowerDownBoth": 0.4,
        "jawOpen": 0.2,
    },
    "anger": {
        "browDownBoth": 1.0,
        "eyeSquintBoth": 0.4,
        "eyeWideBoth": 0.3,
        "mouthPressBoth": 0.8,
        "noseSneerBoth": 0.5,
    },
    "sadness": {"browInnerUp": 1.0, "mouthFrownBoth": 0.8, "mouthShrugLower": 0.4, "eyeSquintBoth": 0.2},
    "crying": {
        "browInnerUp": 0.8,
        "browDownBoth": 0.5,
        "eyeSquintBoth": 0.9,
        "eyeBlinkBoth": 0.6,
        "mouthFrownBoth": 0.8,
        "mouthStretchBoth": 0.6,
        "mouthLowerDownBoth": 0.6,
        "jawOpen": 0.25,
    },
    "disgust": {
        "noseSneerBoth": 1.0,
        "mouthUpperUpBoth": 0.8,
        "browDownBoth": 0.7,
        "eyeSquintBoth": 0.6,
        "mouthShrugLower": 0.4,
        "cheekSquintBoth": 0.5,
    },
    "squint": {"eyeSquintBoth": 1.0, "cheekSquintBoth": 0.7, "browDownBoth": 0.4},
    "eyes_shut_tight": {
        "eyeBlinkBoth": 0.7,
        "eyeSquintBoth": 0.8,
        "cheekSquintBoth": 0.2,
        "browDownBoth": 0.8,
        "noseSneerBoth": 0.5,
    },
    "brows_raised": {"browInnerUp": 1.0, "browOuterUpBoth": 1.0},
    "tongue_out": {"tongueOut": 1.0, "jawOpen": 0.5},
    "jaw_forward": {"jawForward": 1.0, "mouthShrugLower": 0.3},
    "jaw_dropped_lips_closed": {"jawOpen": 0.6, "mouthClose": 0.6},
}
"""Symmetric templates; a name ending in Both stands for its left and right blendshape."""

_LEFT: dict[str, dict[str, float]] = {
    "mouth": {"mouthLeft": 1.0, "mouthPressLeft": 0.3},
    "jaw": {"jawLeft": 1.0, "jawOpen": 0.15},
    "kiss": {"mouthPucker": 1.0, "mouthLeft": 0.7},
    "smile": {"mouthSmileLeft": 1.0, "mouthDimpleLeft": 0.5, "cheekSquintLeft": 0.5},
    "smile_and_wink": {
        "mouthSmileLeft": 0.9,
        "eyeBlinkLeft": 0.8,
        "cheekSquintLeft": 0.2,
        "eyeSquintLeft": 0.4,
        "mouthSmileRight": 0.2,
    },
    "sneer": {"noseSneerLeft": 1.0, "mouthUpperUpLeft": 1.0, "cheekSquintLeft": 0.6, "eyeSquintLeft": 0.4},
    "contempt": {"mouthDimpleLeft": 0.6, "mouthSmileLeft": 0.5, "mouthPressLeft": 0.6, "browOuterUpRight": 0.3},
    "brow_up": {"browOuterUpLeft": 1.0, "browInnerUp": 0.3, "eyeWideLeft": 0.4, "browDownRight": 0.9},
    "lower_lip_down": {"mouthLowerDownLeft": 1.0, "mouthStretchLeft": 0.7},
    "mouth_corner_down": {"mouthFrownLeft": 1.0, "mouthStretchLeft": 0.3},
}
"""One-sided templates of the left; those of the right are their mirror images."""


def _mirrored(weights: Mapping[str, float]) -> dict[str, float]:
    return {mirror_name(name): weight for name, weight in weights.items()}


def _all_templates() -> Mapping[str, Mapping[str, float]]:
    found: dict[str, Mapping[str, float]] = {}
    for name, weights in _SYMMETRIC.items():
        sides = {name.replace("Both", side): w for name, w in weights.items() for side in ("Left", "Right")}
        found[name] = MappingProxyType(sides)
    for name, weights in _LEFT.items():
        found[f"{name}_left"] = MappingProxyType(dict(weights))
        found[f"{name}_right"] = MappingProxyType(_mirrored(weights))
    return MappingProxyType(found)


ARKIT_TEMPLATES: Mapping[str, Mapping[str, float]] = _all_templates()
"""Name of the template -> ARKit weights by name; those not named are 0."""


def template_tensor() -> Tensor:
    """Return the built-in templates as ARKit weights, (T, 52) float32 in [0, 1], in the order of `ARKIT_TEMPLATES`."""
    rows = [[weights.get(name, 0.0) for name in ARKIT_NAMES] for weights in ARKIT_TEMPLATES.values()]
    return torch.tensor(rows)


def templates_for(head: HeadModel, folder: str | os.PathLike[str] | None = None) -> FaceParams:
    """Return templates as parameters of a head, fields (T, ...): expression and, where the head has them, jaw, eyelids.

    Args:
        head: Any head; for other heads than the open head the ARKit weights are retargeted.
        folder: Folder of further templates, see `read_templates`; they follow the built-in ones.

    Raises:
        Smirk3dError: The folder cannot be used, or the head has no landmarks for retargeting.
    """
    built_in = _from_arkit(head, template_tensor())
    return built_in if folder is None else _joined(head, [built_in, read_templates(folder, head)])


def read_templates(folder: str | os.PathLike[str], head: HeadModel) -> FaceParams:
    """Read templates from all .npz and .csv in a folder, in the order of their names, each frame a template.

    Files may hold coefficients of the head itself or ARKit weights (see
    `smirk3d.export.tables.expression_file.read_expressions`);
    of both, the head's own are taken where the file names this head.

    Returns:
        Fields (T, ...) as in `templates_for`, kept in the head's ranges.

    Raises:
        Smirk3dError: The folder holds no such file, or one that cannot be read or belongs to another head.
    """
    folder = Path(folder)
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in EXPRESSION_FORMATS)
    if not files:
        raise Smirk3dError(
            f"{printable(folder)}: no templates; give a folder with {' or '.join(EXPRESSION_FORMATS)} files"
        )
    return _joined(head, [_as_params(read_expressions(path), path, head) for path in files])


def _as_params(given: Expressions, path: Path, head: HeadModel) -> FaceParams:
    own = given.arrays.get("expression")
    is_named = given.head == head.data.name
    if "arkit" in given.arrays and not (own is not None and is_named):
        return _from_arkit(head, torch.tensor(given.arrays["arkit"]))
    if own is None or own.shape[1] > head.n_expression or not (is_named or given.head == ""):
        whose = (
            f"of the head {given.head!r}" if given.head else f"with {0 if own is None else own.shape[1]} coefficients"
        )
        raise Smirk3dError(
            f"{printable(path)}: expressions {printable(whose)} do not fit the head {head.data.name!r}; "
            "convert the file with smirk3d retarget"
        )
    fields = {name: torch.tensor(value) for name, value in given.arrays.items() if name in _fields(head)}
    missing = head.n_expression - own.shape[1]
    fields["expression"] = torch.nn.functional.pad(fields["expression"], (0, missing))
    return head.spec.clamp(FaceParams(**fields))


def _from_arkit(head: HeadModel, weights: Tensor) -> FaceParams:
    to_head = find_retargeter(head)
    if to_head is None:
        return FaceParams(expression=weights)
    found = {name: value for name, value in to_head.from_arkit(weights).items() if name in _fields(head)}
    return FaceParams(**found)


def _fields(head: HeadModel) -> tuple[str, ...]:
    """Return the expression fields of a head that an encoder predicts; gaze is not among them."""
    return tuple(name for name in ("expression", "jaw", "eyelids") if name in head.spec.names)


def _joined(head: HeadModel, parts: list[FaceParams]) -> FaceParams:
    """Concatenate templates; fields that some lack are zeros there."""
    joined: dict[str, Tensor] = {}
    for name in _fields(head):
        zeros = [torch.zeros(*part.batch_shape, head.spec[name].size) for part in parts]
        values = [getattr(part, name) for part in parts]
        joined[name] = torch.cat([zero if value is None else value for zero, value in zip(zeros, values)])
    return FaceParams(**joined)
