"""`smirk3d retarget --character`: a clip, or a table of ARKit weights, becomes an animation of any character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from smirk3d.assets import atomic_path
from smirk3d.cli.character_report import driven_note, gaze_note, turn_note, warn_of_few
from smirk3d.cli.console import print_message, print_result
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from smirk3d.export.gltf.character import Character
    from smirk3d.export.tables.expression_file import Expressions
    from smirk3d.export.tables.motion_file import MotionFile


@dataclass(frozen=True, kw_only=True)
class CharacterFlags:
    """Flags that animate a character."""

    character: Annotated[str | None, arg(metavar="FILE.glb")] = None
    """A .glb or .gltf with morph targets: FILE becomes an animation on it, written as .glb."""
    mapping: Annotated[str | None, arg(metavar="FILE.yaml")] = None
    """Which targets an action drives, where names do not tell: arkitName: target, [targets] or {target: weight}."""
    suggest: Annotated[str | None, arg(metavar="FILE.yaml")] = None
    """Write a mapping to edit, with guesses by similar names, and no animation."""
    head_node: Annotated[str | None, arg(metavar="NAME")] = None
    """Node of the character that the head's turn moves; by default the only one named head."""
    no_head_turn: bool = False
    """Leave the head's turn out."""
    fps: Annotated[float | None, arg(metavar="N")] = None
    """Frames a second of a FILE without time stamps; else what its time codes tell, or 30."""

    def check(self) -> None:
        """Refuse flags that contradict each other.

        Raises:
            UsageError: One needs another, excludes it, or is out of range.
        """
        given = [field.name for field in fields(self) if getattr(self, field.name) not in (None, False)]
        if given and self.character is None:
            raise UsageError(f"--{given[0].replace('_', '-')}: is about a character; name its file with --character")
        if self.head_node is not None and self.no_head_turn:
            raise UsageError("--head-node and --no-head-turn exclude each other; leave one out")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise UsageError(f"--fps {self.fps:g}: must be a positive number of frames a second")


def retarget_character(
    flags: CharacterFlags, source: str, out: str | None, to_arkit: Callable[[Expressions], np.ndarray]
) -> int:
    """Animate a character, or write a mapping for it, and return the exit code.

    Args:
        flags: What the person asked for. source: The motion. out: Target; beside the motion by default.
        to_arkit: Makes ARKit weights (T, 52) of what holds coefficients alone.

    Raises:
        Smirk3dError: A file cannot be read, nothing of the character can be driven, or writing failed.
        UsageError: The output is an input, or a flag has nothing to work on.
    """
    from smirk3d.export.gltf.character import find_head_node, read_character, save_animated
    from smirk3d.export.gltf.morph_names import read_mapping, retarget_matrices
    from smirk3d.export.save import make_folder
    from smirk3d.export.tables.motion_file import read_motion

    target = _target(flags, source, out)
    hero = read_character(str(flags.character))
    matrices = retarget_matrices(hero.targets, read_mapping(flags.mapping) if flags.mapping else None)
    if flags.suggest is not None:
        return _suggest(hero, matrices, target)
    warn_of_few(hero, matrices)
    given = read_motion(source, flags.fps, to_arkit)
    if given.note:
        print_message(given.note)
    motion = given.keys
    head = None if flags.no_head_turn else find_head_node(hero, flags.head_node)
    if flags.head_node is not None and motion.rotation_rotmat is None:
        raise UsageError(f"--head-node {flags.head_node}: {source} has no rotation of the head; leave the flag out")
    make_folder(target.parent)
    save_animated(hero, motion, matrices, target, head)
    turn = [] if flags.no_head_turn else [turn_note(hero, motion, head)]
    print_result(
        "; ".join([_length_note(given), driven_note(hero, matrices), *turn, *gaze_note(hero, matrices), str(target)])
    )
    return 0


def _target(flags: CharacterFlags, source: str, out: str | None) -> Path:
    """Return what is to be written."""
    if flags.suggest is not None:
        target = Path(flags.suggest)
        if out is not None:
            raise UsageError("--suggest writes a mapping and no animation; leave --out out")
        if target.suffix.lower() not in (".yaml", ".yml"):
            raise UsageError(f"--suggest {target}: must end in .yaml")
        if target.exists():
            raise UsageError(f"--suggest {target}: exists already, perhaps edited; choose another name")
        return target
    own = Path(source).with_name(f"{Path(str(flags.character)).stem}_{Path(source).stem}.glb")
    target = own if out is None else Path(out)
    if target.suffix.lower() != ".glb":
        raise UsageError(f"--out {target}: must end in .glb")
    if target.resolve() in {Path(name).resolve() for name in (source, flags.character, flags.mapping) if name}:
        raise UsageError(f"--out {target}: is an input itself; choose another name")
    return target


def _suggest(hero: Character, matrices: Sequence[np.ndarray], target: Path) -> int:
    from smirk3d.export.gltf.morph_names import suggestion_yaml
    from smirk3d.export.save import make_folder

    make_folder(target.parent)
    text = suggestion_yaml(hero.path.name, hero.targets, matrices)
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    print_result(f"{driven_note(hero, matrices)}; edit, then give with --mapping: {target}")
    return 0


def _length_note(given: MotionFile) -> str:
    lost = f" ({given.n_lost} lost, held)" if given.n_lost else ""
    return f"frames: {given.n_frames}{lost}; {given.keys.time_s[-1] - given.keys.time_s[0]:.2f} s"
