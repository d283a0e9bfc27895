"""What a VRM file states about its face: which targets its expressions bind, and which node is the head.

Sources: VRM 0.0 specification, `VRM.blendShapeMaster` and `VRM.humanoid`; VRM 1.0 specification, `VRMC_vrm`, sections
expressions and humanoid. In VRM 0 a bind names a mesh and its weight is in percent; in VRM 1 it names a node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smirk3d.export.blendshape_names import match_names
from smirk3d.export.naming_schemes import gaze_matrix
from smirk3d.head.arkit import ARKIT_NAMES

Json = dict[str, Any]
VRM_0, VRM_1 = "VRM", "VRMC_vrm"
"""Names of the extensions."""
_PRESETS = {
    "blinkleft": {"eyeBlinkLeft": 1.0},
    "blinkright": {"eyeBlinkRight": 1.0},
    "blink": {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5},
    "aa": {"jawOpen": 1.0},
    "oh": {"mouthFunnel": 1.0},
    "ou": {"mouthPucker": 1.0},
    "ih": {"mouthStretchLeft": 0.5, "mouthStretchRight": 0.5},
}
"""Preset expressions of VRM 1 that stand for ARKit blendshapes, with weights; better ones first."""
_VRM_0_PRESETS = {
    **{"blink_l": "blinkLeft", "blink_r": "blinkRight", "a": "aa", "i": "ih", "u": "ou", "o": "oh"},
    **{f"look{direction.lower()}": f"look{direction}" for direction in ("Up", "Down", "Left", "Right")},
}
"""Names of presets in VRM 0 and in VRM 1."""


@dataclass(frozen=True)
class Bind:
    """One target that an expression of a VRM file moves.

    Attributes:
        expression: Name of the expression, or of its preset.
        column: Index of the target in its mesh.
        weight: Weight of the target where that of the expression is 1.
    """

    expression: str
    column: int
    weight: float


def head_bone(document: Json) -> int | None:
    """Return the index of the node that the humanoid of a VRM file names as head, None if there is none."""
    extensions = document.get("extensions") or {}
    bones = ((extensions.get(VRM_1) or {}).get("humanoid") or {}).get("humanBones") or {}
    node = (bones.get("head") or {}).get("node") if isinstance(bones, dict) else None
    if node is None:
        older = ((extensions.get(VRM_0) or {}).get("humanoid") or {}).get("humanBones") or []
        node = next((bone.get("node") for bone in older if bone.get("bone") == "head"), None)
    known = isinstance(node, int) and 0 <= node < len(document.get("nodes", []))
    return node if known else None


def binds_by_mesh(document: Json) -> dict[int, list[Bind]]:
    """Return the binds of all expressions, by the index of their mesh.

    Args:
        document: JSON of the file.
    """
    found: dict[int, list[Bind]] = {}
    for mesh, bind in (*_binds_of_vrm_1(document), *_binds_of_vrm_0(document)):
        if bind.column >= 0 and bind.weight:
            found.setdefault(mesh, []).append(bind)
    return found


def _binds_of_vrm_1(document: Json) -> Iterator[tuple[int, Bind]]:
    nodes = document.get("nodes", [])
    expressions = ((document.get("extensions") or {}).get(VRM_1) or {}).get("expressions") or {}
    for group in ("preset", "custom"):
        for name, expression in (expressions.get(group) or {}).items():
            for bind in expression.get("morphTargetBinds") or []:
                mesh = nodes[bind["node"]].get("mesh")
                yield mesh, Bind(name, int(bind["index"]), float(bind.get("weight", 1.0)))


def _binds_of_vrm_0(document: Json) -> Iterator[tuple[int, Bind]]:
    master = ((document.get("extensions") or {}).get(VRM_0) or {}).get("blendShapeMaster") or {}
    for group in master.get("blendShapeGroups") or []:
        preset = str(group.get("presetName") or "unknown").lower()
        name = str(group.get("name", "")) if preset == "unknown" else _VRM_0_PRESETS.get(preset, preset)
        for bind in group.get("binds") or []:
            yield bind["mesh"], Bind(name, int(bind["index"]), float(bind.get("weight", 100.0)) / 100)


def stated_matrix(binds: Sequence[Bind], count: int) -> np.ndarray:
    """Return the map from ARKit weights to `count` targets by expressions that are named as ARKit blendshapes.

    Returns:
        (52, count) float32.
    """
    names = list(dict.fromkeys(bind.expression for bind in binds))
    return _bound(match_names(names), names, binds, count)


def preset_matrix(binds: Sequence[Bind], count: int) -> np.ndarray:
    """Return the map from ARKit weights to `count` targets by VRM's preset expressions: blinks, vowels and gaze.

    Returns:
        (52, count) float32.
    """
    names = list(dict.fromkeys(bind.expression for bind in binds))
    matrix = gaze_matrix(names)
    lower = [name.lower() for name in names]
    for preset, targets in _PRESETS.items():
        for blendshape, weight in targets.items() if preset in lower else ():
            row = matrix[ARKIT_NAMES.index(blendshape)]
            if not row.any():
                row[lower.index(preset)] = weight
    return _bound(matrix, names, binds, count)


def _bound(matrix: np.ndarray, names: Sequence[str], binds: Sequence[Bind], count: int) -> np.ndarray:
    """Return the map to targets (52, count) from that to expressions (52, len(names))."""
    effects, row = np.zeros((len(names), count), dtype=np.float32), {name: k for k, name in enumerate(names)}
    for bind in binds:
        effects[row[bind.expression], bind.column] = bind.weight
    return matrix @ effects
