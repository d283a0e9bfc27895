"""What `smirk3d retarget --character` says of a character: what drives it, what stays still, what to do about it."""

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
    from smirk3d.export.tables.motion_file import Motion

FEW = 26
"""With fewer of the 52 actions driven there is a warning."""
_EYE_BONE = re.compile(r"(?i)eye(ball)?([_. -]?(l|r|left|right))?$")


def undriven(matrices: Sequence[np.ndarray]) -> list[str]:
    """Return the actions that drive no target."""
    from smirk3d.head.arkit import ARKIT_NAMES

    return [name for row, name in enumerate(ARKIT_NAMES) if not any(matrix[row].any() for matrix in matrices)]


def warn_of_few(hero: Character, matrices: Sequence[np.ndarray]) -> None:
    """Say where few of the actions are driven, and refuse where none is."""
    from smirk3d.export.gltf.morph_names import guess_targets

    missing, name = undriven(matrices), printable(hero.path)
    if 52 - len(missing) >= FEW:
        return
    free = [
        target
        for mesh, matrix in zip(hero.targets, matrices, strict=True)
        for target, weights in zip(mesh.names, matrix.T, strict=True)
        if mesh.given and not weights.any()
    ]
    if guesses := guess_targets(missing, free)[:5]:
        hint = "similar: " + ", ".join(f"{guess.action} ~ {guess.target}" for guess in guesses)
    elif free:
        hint = "it also has " + ", ".join(free[:5]) + (", …" if len(free) > 5 else "")
    elif any(mesh.given for mesh in hero.targets):
        hint = "all its named targets are driven"
    else:
        hint = f"its targets have no names, map them by number, as `jawOpen: '{hero.targets[0].mesh}[0]'`"
    advice = f"{hint}; --suggest FILE.yaml writes a mapping to edit, --mapping FILE.yaml uses it"
    if len(missing) == 52:
        raise Smirk3dError(f"{name}: none of its morph targets is named as an ARKit action; {advice}")
    print_message(f"{name}: only {52 - len(missing)} of 52 actions are driven, not {', '.join(missing)}; {advice}")


def driven_note(hero: Character, matrices: Sequence[np.ndarray]) -> str:
    """Say how many actions drive how many targets."""
    counts = [int(matrix.any(axis=0).sum()) for matrix in matrices]
    missing, meshes = undriven(matrices), sum(count > 0 for count in counts)
    note = f"{52 - len(missing)} of 52 actions drive {sum(counts)} targets on {meshes} mesh{'es' * (meshes != 1)}"
    return note + (f"; not driven: {', '.join(missing)}" if missing else "")


def turn_note(hero: Character, motion: Motion, head: int | None) -> str:
    """Say which node turns, or why none does."""
    if motion.rotation_rotmat is None:
        return "head not turned: no rotation in the input"
    if head is None:
        return "head not turned: no single node named head, name one with --head-node"
    return f"head turned: node {hero.document['nodes'][head].get('name')}"


def gaze_note(hero: Character, matrices: Sequence[np.ndarray]) -> list[str]:
    """Say where the gaze stays because eye bones, not targets, turn the eyes."""
    from smirk3d.head.arkit import GAZE_NAMES

    names = [str(node.get("name", "")) for node in hero.document["nodes"] if "mesh" not in node]
    bones = [name for name in names if _EYE_BONE.search(name)]
    if set(GAZE_NAMES) <= set(undriven(matrices)) and bones:
        return [f"gaze not driven: eye bones ({', '.join(bones[:2])}) are not turned"]
    return []
