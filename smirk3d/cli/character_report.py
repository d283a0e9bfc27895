"""Console messages of `smirk3d retarget --character`: which blendshapes are mapped, which are not, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from smirk3d.assets import printable
from smirk3d.cli.console import print_message
from smirk3d.errors import Smirk3dError

if TYPE_CHECKING:
    import numpy as np

    from smirk3d.export.gltf.character import Character
    from smirk3d.export.tables.motion_file import KeyframeMotion

MIN_MAPPED = 26
"""A warning is printed if fewer of the 52 blendshapes are mapped."""
_REGIONS = {
    "the gaze": ("eyeLook",),
    "the eyelids": ("eyeBlink", "eyeSquint", "eyeWide"),
    "the brows": ("brow",),
    "the jaw": ("jaw",),
    "the mouth": ("mouth",),
    "the cheeks": ("cheek",),
    "the nose": ("nose",),
    "the tongue": ("tongue",),
}
"""Regions of the face, and how their blendshapes begin."""
_DIRECTIONS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
"""Blendshapes whose side is a direction."""
_MAX_PARTS = 8
_EYE_BONE = re.compile(r"(?i)eye(ball)?([_. -]?(l|r|left|right))?$")


def unmapped_blendshapes(matrices: Sequence[np.ndarray]) -> list[str]:
    """Return the ARKit blendshapes to which no target is mapped; `matrices` are (52, K) of each mesh."""
    from smirk3d.head.arkit import ARKIT_NAMES

    return [name for row, name in enumerate(ARKIT_NAMES) if not any(matrix[row].any() for matrix in matrices)]


def warn_if_few_are_mapped(character: Character, matrices: Sequence[np.ndarray]) -> None:
    """Print a warning if few ARKit blendshapes are mapped to targets.

    Raises:
        Smirk3dError: None is.
    """
    from smirk3d.export.gltf.morph_names import suggest_targets

    missing, name = unmapped_blendshapes(matrices), printable(character.path)
    if 52 - len(missing) >= MIN_MAPPED:
        return
    free = [
        target
        for mesh, matrix in zip(character.targets, matrices, strict=True)
        for target, weights in zip(mesh.names, matrix.T, strict=True)
        if mesh.from_file and not weights.any()
    ]
    if suggestions := suggest_targets(missing, free)[:5]:
        hint = "similar: " + ", ".join(f"{suggestion.blendshape} ~ {suggestion.target}" for suggestion in suggestions)
    elif free:
        hint = "it also has " + ", ".join(free[:5]) + (", …" if len(free) > 5 else "")
    elif any(mesh.from_file for mesh in character.targets):
        hint = "all its named targets are driven"
    else:
        hint = f"its targets have no names, map them by number, as `jawOpen: '{character.targets[0].mesh}[0]'`"
    advice = f"{hint}; --suggest FILE.yaml writes a mapping to edit, --mapping FILE.yaml uses it"
    if len(missing) == 52:
        raise Smirk3dError(f"{name}: none of its morph targets is named as an ARKit blendshape; {advice}")
    print_message(
        f"{name}: only {52 - len(missing)} of 52 ARKit blendshapes are driven, not {summarize(missing)}; {advice}"
    )


def mapping_note(character: Character, matrices: Sequence[np.ndarray]) -> str:
    """Return how many ARKit blendshapes are mapped to how many targets."""
    counts = [int(matrix.any(axis=0).sum()) for matrix in matrices]
    missing, meshes = unmapped_blendshapes(matrices), sum(count > 0 for count in counts)
    where = f"{sum(counts)} targets on {meshes} mesh{'es' * (meshes != 1)}"
    note = f"{52 - len(missing)} of 52 ARKit blendshapes drive {where}"
    return note + (f"; not driven: {summarize(missing)}" if missing else "")


def summarize(blendshapes: Sequence[str]) -> str:
    """Return ARKit blendshapes as a short list: both sides as one, regions of which none is left as their name."""
    from smirk3d.head.arkit import ARKIT_NAMES, mirror_name

    parts: list[str] = []
    for region, prefixes in _REGIONS.items():
        of_region = [name for name in ARKIT_NAMES if name.startswith(prefixes)]
        missing = [name for name in of_region if name in blendshapes]
        if len(missing) == len(of_region) > 1:
            parts.append(region)
            continue
        for name in missing:
            both = mirror_name(name) != name and mirror_name(name) in missing and not name.startswith(_DIRECTIONS)
            stem = name.removesuffix("Left").removesuffix("Right")
            parts.append(f"{stem} (both sides)" if both else name)
    parts = list(dict.fromkeys(parts))
    rest = len(parts) - _MAX_PARTS
    return ", ".join(parts if rest <= 1 else [*parts[:_MAX_PARTS], f"{rest} more"])


def head_rotation_note(character: Character, motion: KeyframeMotion, head: int | None) -> str:
    """Return which node gets the rotation of the head, or why none does."""
    if motion.rotation_rotmat is None:
        return "head not rotated: no rotation in the input"
    if head is None:
        return "head not rotated: no single node named head, name one with --head-node"
    return f"head rotated: node {character.document['nodes'][head].get('name')}"


def gaze_note(character: Character, matrices: Sequence[np.ndarray]) -> list[str]:
    """Return a note if the gaze is not animated because bones, not targets, rotate the eyes."""
    from smirk3d.head.arkit import GAZE_NAMES

    names = [str(node.get("name", "")) for node in character.document["nodes"] if "mesh" not in node]
    bones = [name for name in names if _EYE_BONE.search(name)]
    if set(GAZE_NAMES) <= set(unmapped_blendshapes(matrices)) and bones:
        return [f"gaze not driven: eye bones ({', '.join(bones[:2])}) are not rotated"]
    return []
