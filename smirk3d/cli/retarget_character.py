"""`smirk3d retarget --character`: a clip, or a table of ARKit weights, becomes an animation of any character."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from smirk3d.assets import atomic_path, printable
from smirk3d.cli.console import complain, say
from smirk3d.errors import Smirk3dError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from smirk3d.export.character import Character, Motion
    from smirk3d.export.expressions import Expressions

DEFAULT_FPS = 30.0
FEW = 26
"""With fewer of the 52 actions driven there is a warning."""
_TIME_CODE = re.compile(r"\d+:\d\d:\d\d[:;](?P<frame>\d+)(\.\d+)?")
_EYE_BONE = re.compile(r"(?i)eye(ball)?([_. -]?(l|r|left|right))?$")
_USUAL_FPS = (24, 25, 30, 48, 50, 60, 100, 120, 240)


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
    """Frames a second of a FILE without time stamps, 30 by default."""

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
    from smirk3d.export.character import find_head_node, read_character, save_animated
    from smirk3d.export.morph_names import drive_matrices, read_mapping
    from smirk3d.export.save import make_folder

    target = _target(flags, source, out)
    hero = read_character(str(flags.character))
    matrices = drive_matrices(hero.targets, read_mapping(flags.mapping) if flags.mapping else None)
    if flags.suggest is not None:
        return _suggest(hero, matrices, target)
    _warn(hero, matrices)
    motion, frames = _read_motion(Path(source), flags.fps, to_arkit)
    head = None if flags.no_head_turn else find_head_node(hero, flags.head_node)
    if flags.head_node is not None and motion.rotation_rotmat is None:
        raise UsageError(f"--head-node {flags.head_node}: {source} has no rotation of the head; leave the flag out")
    make_folder(target.parent)
    save_animated(hero, motion, matrices, target, head)
    turn = [] if flags.no_head_turn else [_turn_note(hero, motion, head)]
    length = f"{frames}; {motion.time_s[-1] - motion.time_s[0]:.2f} s"
    say("; ".join([length, _driven_note(hero, matrices), *turn, *_gaze_note(hero, matrices), str(target)]))
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
    from smirk3d.export.morph_names import suggestion_yaml
    from smirk3d.export.save import make_folder

    make_folder(target.parent)
    text = suggestion_yaml(hero.path.name, hero.targets, matrices)
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    say(f"{_driven_note(hero, matrices)}; edit, then give with --mapping: {target}")
    return 0


def _undriven(matrices: Sequence[np.ndarray]) -> list[str]:
    from smirk3d.head.arkit import ARKIT_NAMES

    return [name for row, name in enumerate(ARKIT_NAMES) if not any(matrix[row].any() for matrix in matrices)]


def _warn(hero: Character, matrices: Sequence[np.ndarray]) -> None:
    """Say where few of the actions are driven, and refuse where none is."""
    from smirk3d.export.morph_names import guess_targets

    missing, name = _undriven(matrices), printable(hero.path)
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
    complain(f"{name}: only {52 - len(missing)} of 52 actions are driven, not {', '.join(missing)}; {advice}")


def _driven_note(hero: Character, matrices: Sequence[np.ndarray]) -> str:
    counts = [int(matrix.any(axis=0).sum()) for matrix in matrices]
    missing, meshes = _undriven(matrices), sum(count > 0 for count in counts)
    note = f"{52 - len(missing)} of 52 actions drive {sum(counts)} targets on {meshes} mesh{'es' * (meshes != 1)}"
    return note + (f"; not driven: {', '.join(missing)}" if missing else "")


def _turn_note(hero: Character, motion: Motion, head: int | None) -> str:
    if motion.rotation_rotmat is None:
        return "head not turned: no rotation in the input"
    if head is None:
        return "head not turned: no single node named head, name one with --head-node"
    return f"head turned: node {hero.document['nodes'][head].get('name')}"


def _gaze_note(hero: Character, matrices: Sequence[np.ndarray]) -> list[str]:
    """Say where the gaze stays because eye bones, not targets, turn the eyes."""
    from smirk3d.head.arkit import GAZE_NAMES

    names = [str(node.get("name", "")) for node in hero.document["nodes"] if "mesh" not in node]
    bones = [name for name in names if _EYE_BONE.search(name)]
    if set(GAZE_NAMES) <= set(_undriven(matrices)) and bones:
        return [f"gaze not driven: eye bones ({', '.join(bones[:2])}) are not turned"]
    return []


@dataclass(frozen=True, eq=False)
class _Frames:
    """Frames as a file has them: times (T,) or None, known (T,) bool, and values of the K known or of all T frames."""

    time_s: np.ndarray | None
    known: np.ndarray
    arkit: np.ndarray
    rotation_rotmat: np.ndarray | None = None


def _read_motion(path: Path, fps: float | None, to_arkit: Callable[[Expressions], np.ndarray]) -> tuple[Motion, str]:
    """Return key frames, and how many frames they stand for, in words."""
    import numpy as np

    given = _read_frames(path, fps or DEFAULT_FPS, to_arkit)
    if fps is not None and given.time_s is not None:
        raise UsageError(f"--fps {fps:g}: {path} has its own time stamps; leave the flag out")
    time_s = np.arange(len(given.known)) / (fps or DEFAULT_FPS) if given.time_s is None else given.time_s
    if not given.known.any():
        raise Smirk3dError(f"{printable(path)}: the face was lost in all frames; name another clip")
    times = time_s.astype(np.float32)  # as they will be written
    if not (np.isfinite(times).all() and times[0] >= 0 and (np.diff(times) > 0).all()):
        raise Smirk3dError(f"{printable(path)}: its times do not increase; name the .npz of one person of the clip")
    lost = int((~given.known).sum())
    return _held(given, time_s), f"frames: {len(times)}" + (f" ({lost} lost, held)" if lost else "")


def _held(given: _Frames, time_s: np.ndarray) -> Motion:
    """Return keys for the known frames, and for the last one of each gap after them with the values before it.

    So linear interpolation holds the last known values through a gap, and nothing is made up.
    """
    import numpy as np

    from smirk3d.export.character import Motion

    frames = np.arange(len(given.known))
    last_known = np.maximum.accumulate(np.where(given.known, frames, -1))
    ends = np.append(given.known[1:], True)
    keys = np.flatnonzero((given.known | ends) & (last_known >= 0))
    source = last_known[keys]
    turned = None if given.rotation_rotmat is None else given.rotation_rotmat[source].astype(np.float64)
    return Motion(time_s[keys], given.arkit[source].clip(0, 1), turned)


def _read_frames(path: Path, fps: float, to_arkit: Callable[[Expressions], np.ndarray]) -> _Frames:
    import numpy as np

    from smirk3d.export.expressions import read_expressions

    arrays = _arrays(path) if path.suffix.lower() == ".npz" else {}
    if {"time_s", "arkit"} <= arrays.keys():
        return _clip_frames(path, arrays)
    given = read_expressions(path)
    _check_time_codes(path, given.frames, fps)
    weights = given.arrays["arkit"] if "arkit" in given.arrays else to_arkit(given)
    if path.suffix.lower() == ".csv":
        time_s, known = _table_rows(path)
        arkit = np.zeros((len(known), weights.shape[1]))
        arkit[known] = weights
        return _Frames(time_s, known, arkit)
    photo = arrays.get("rotation", np.zeros(()))
    turned = photo[None] if len(weights) == 1 and photo.shape == (3, 3) and _are_rotations(photo) else None
    return _Frames(None, np.ones(len(weights), dtype=bool), weights, turned)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return what the archive of a clip or a photo has of use; nothing where it cannot be read."""
    import numpy as np

    wanted = ("time_s", "status", "arkit", "arkit_names", "rotation_rotmat", "rotation")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in wanted if name in archive.files}
    except Exception:  # `read_expressions` says what is wrong with it
        return {}


def _clip_frames(path: Path, arrays: dict[str, np.ndarray]) -> _Frames:
    import numpy as np

    from smirk3d.clip import Status
    from smirk3d.head.arkit import ARKIT_NAMES

    arkit, time_s, count = arrays["arkit"], arrays["time_s"], len(np.atleast_1d(arrays["time_s"]))
    names = [str(name) for name in arrays.get("arkit_names", np.array(ARKIT_NAMES)).ravel()]
    status = arrays.get("status", np.zeros(count, dtype=np.uint8))
    rotation = arrays.get("rotation_rotmat")
    shapes = (time_s.shape, status.shape, arkit.shape, (count, 3, 3) if rotation is None else rotation.shape)
    if shapes != ((count,), (count,), (count, 52), (count, 3, 3)) or {*names} != {*ARKIT_NAMES} or not count:
        raise Smirk3dError(f"{printable(path)}: is no clip of 52 ARKit weights; name the .npz that `video` wrote")
    known = status != Status.LOST
    if not np.isfinite(arkit[known]).all() or (rotation is not None and not _are_rotations(rotation[known])):
        raise Smirk3dError(
            f"{printable(path)}: has weights that are no numbers, or rotations that are none; write it anew"
        )
    return _Frames(time_s.astype(np.float64), known, arkit[:, [names.index(name) for name in ARKIT_NAMES]], rotation)


def _are_rotations(rotmat: np.ndarray) -> bool:
    import numpy as np

    product = rotmat.astype(np.float64) @ np.swapaxes(rotmat, -1, -2)
    return bool(np.allclose(product, np.eye(3), atol=1e-3) and (np.linalg.det(rotmat) > 0).all())


def _table_rows(path: Path) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the times (N,) of a table's rows, None where it has none, and (N,) bool, which of them have weights."""
    import numpy as np

    from smirk3d.head.arkit import ARKIT_NAMES

    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [column.strip().lower() for column in next(reader)]
        rows = [dict(zip(header, row)) for row in reader if row]
    known = np.array([any(row.get(name.lower(), "").strip() for name in ARKIT_NAMES) for row in rows])
    if "time_s" not in header:
        return None, known
    try:
        return np.array([float(row.get("time_s", "")) for row in rows]), known
    except ValueError as error:
        raise Smirk3dError(
            f"{printable(path)}: 'time_s' is not a number in all rows; correct it, or leave it out"
        ) from error


def _check_time_codes(path: Path, frames: Sequence[str], fps: float) -> None:
    """Refuse a recording that counts more frames a second than it would be played with."""
    codes = [match for frame in frames if (match := _TIME_CODE.fullmatch(frame))]
    most = max((int(code["frame"]) for code in codes), default=0)
    if most >= fps:
        likely = next((usual for usual in _USUAL_FPS if usual > most), most + 1)
        raise UsageError(f"{path}: its time codes count to frame {most} of a second; give --fps {likely}")
