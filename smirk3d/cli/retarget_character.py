"""`smirk3d retarget --character`: a clip or a table of ARKit weights as an animation of any character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from smirk3d.assets import atomic_path, printable
from smirk3d.cli.character_report import gaze_note, head_rotation_note, mapping_note, warn_if_few_are_mapped
from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.paths import check_no_input
from smirk3d.errors import UsageError
from smirk3d.output_lock import locked_file

if TYPE_CHECKING:
    import numpy as np

    from smirk3d.export.gltf.character import Character
    from smirk3d.export.tables.expression_file import Expressions
    from smirk3d.export.tables.motion_file import MotionFile


@dataclass(frozen=True, kw_only=True)
class CharacterOptions:
    """Options that animate a character."""

    character: Annotated[str | None, arg(metavar="FILE.glb")] = None
    """A .glb or .gltf with morph targets; FILE becomes an animation of it, written as .glb."""
    mapping: Annotated[str | None, arg(metavar="FILE.yaml")] = None
    """Targets of ARKit blendshapes that cannot be matched by name: arkitName: target, [targets] or {target: weight}."""
    suggest: Annotated[str | None, arg(metavar="FILE.yaml")] = None
    """Write a mapping to edit, with suggestions by similar names, instead of an animation."""
    head_node: Annotated[str | None, arg(metavar="NAME")] = None
    """Node of the character that the rotation of the head is applied to; by default the only one named head."""
    no_head_turn: bool = False
    """Leave the rotation of the head out."""
    fps: Annotated[float | None, arg(metavar="N")] = None
    """Frame rate of a FILE without time stamps; by default that of its time codes, or 30."""

    def check(self) -> None:
        """Check the options.

        Raises:
            UsageError: They contradict each other, or one is out of range or needs another.
        """
        used = [field.name for field in fields(self) if getattr(self, field.name) not in (None, False)]
        if used and self.character is None:
            raise UsageError(f"--{used[0].replace('_', '-')}: is about a character; name its file with --character")
        if self.head_node is not None and self.no_head_turn:
            raise UsageError("--head-node and --no-head-turn exclude each other; leave one out")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise UsageError(f"--fps {self.fps:g}: must be a positive number of frames a second")


def retarget_character(
    options: CharacterOptions, source: str, out: str | None, to_arkit: Callable[[Expressions], np.ndarray]
) -> int:
    """Animate a character, or write a mapping for it, and return the exit code.

    Args:
        options: Options of the command.
        source: Path of the motion.
        out: Target; beside the motion by default.
        to_arkit: Converts coefficients of a head to ARKit weights (T, 52).

    Raises:
        Smirk3dError: A file cannot be read, no target can be mapped, or writing failed.
        UsageError: The output is an input, or an option has no effect.
    """
    from smirk3d.export.gltf.character import find_head_node, read_character, save_animated_character
    from smirk3d.export.gltf.morph_names import read_mapping, retarget_matrices
    from smirk3d.export.tables.motion_file import read_motion

    target = _target(options, source, out)
    character = read_character(str(options.character))
    matrices = retarget_matrices(character.targets, read_mapping(options.mapping) if options.mapping else None)
    if options.suggest is not None:
        return _suggest(character, matrices, target)
    warn_if_few_are_mapped(character, matrices)
    motion_file = read_motion(source, options.fps, to_arkit)
    if motion_file.note:
        print_message(motion_file.note)
    motion = motion_file.keys
    head = None if options.no_head_turn else find_head_node(character, options.head_node)
    if options.head_node is not None and motion.rotation_rotmat is None:
        raise UsageError(
            f"--head-node {options.head_node}: {printable(source)} has no rotation of the head; leave the flag out"
        )
    with locked_file(target):
        save_animated_character(character, motion, matrices, target, head)
    rotation = [] if options.no_head_turn else [head_rotation_note(character, motion, head)]
    print_result(
        "; ".join(
            [
                _length_note(motion_file),
                mapping_note(character, matrices),
                *rotation,
                *gaze_note(character, matrices),
                str(target),
            ]
        )
    )
    return 0


def _target(options: CharacterOptions, source: str, out: str | None) -> Path:
    """Return the path of the output."""
    if options.suggest is not None:
        target = Path(options.suggest)
        if out is not None:
            raise UsageError("--suggest writes a mapping and no animation; leave --out out")
        if target.suffix.lower() not in (".yaml", ".yml"):
            raise UsageError(f"--suggest {target}: must end in .yaml")
        if target.exists():
            raise UsageError(f"--suggest {target}: exists already, perhaps edited; choose another name")
        return target
    own = Path(source).with_name(f"{Path(str(options.character)).stem}_{Path(source).stem}.glb")
    target = own if out is None else Path(out)
    if target.suffix.lower() != ".glb":
        raise UsageError(f"--out {target}: must end in .glb")
    check_no_input(target, [source, options.character, options.mapping])
    return target


def _suggest(character: Character, matrices: Sequence[np.ndarray], target: Path) -> int:
    from smirk3d.export.gltf.morph_names import suggestion_yaml

    text = suggestion_yaml(character.path.name, character.targets, matrices)
    with locked_file(target), atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    print_result(f"{mapping_note(character, matrices)}; edit, then give with --mapping: {target}")
    return 0


def _length_note(motion: MotionFile) -> str:
    lost = f" ({motion.n_lost} lost, held)" if motion.n_lost else ""
    return f"frames: {motion.n_frames}{lost}; {motion.keys.time_s[-1] - motion.keys.time_s[0]:.2f} s"
