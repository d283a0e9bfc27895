"""Which morph targets of a character are which ARKit actions: by their names, or as a mapping file says.

Names match by themselves only where that is exact: any capitals and separators, `L` and `R` for the sides, and words
around the name that have no meaning for a face (`head_eyeBlinkLeft`, `blendShape1.eyeBlink_L`). Everything else is for
the mapping file; what is merely similar is suggested, never driven.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\x00-\x7f]+")
_BY_NUMBER = re.compile(r"(?P<mesh>.*)\[(?P<number>\d+)\]")
_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_ORGANS = frozenset(["eye", "jaw", "mouth", "brow", "cheek", "nose", "tongue"])
_WORDS_OF_ACTIONS = frozenset(word.lower() for name in ARKIT_NAMES for word in _WORD.findall(name)) - _ORGANS
_OTHER_SHAPES = frozenset(
    ("corrective", "corr", "fix", "inverse", "inv", "negative", "neg", "opposite", "half", "inbetween", "not", "no")
)
"""Words that make of a name that of another shape."""


def _keys() -> Iterator[tuple[str, str]]:
    for name in ARKIT_NAMES:
        yield name.lower(), name
        for side in ("Left", "Right"):
            if name.endswith(side):
                yield (name.removesuffix(side) + side[0]).lower(), name


_KEYS = dict(_keys())


@dataclass(frozen=True)
class TargetNames:
    """The morph targets of a mesh.

    Attributes:
        mesh: What the mesh is called. names: One a target, `mesh[number]` where the file gives none.
        given: Whether the file gives them.
    """

    mesh: str
    names: tuple[str, ...] = field(repr=False)
    given: bool = True


@dataclass(frozen=True)
class NameMapping:
    """What a mapping file says.

    Attributes:
        source: The file, as errors name it.
        targets: ARKit name -> target, or `mesh[number]` -> weight.
    """

    source: str
    targets: dict[str, dict[str, float]]


@dataclass(frozen=True)
class _Reading:
    """A name that was understood.

    Attributes:
        action: ARKit name. rank: 0 the name itself, 1 spelt otherwise, 2 with other words around it.
        side: "left" or "right" for one half of an action that has no side in ARKit, as browInnerUp_L, else "".
    """

    action: str
    rank: int
    side: str = ""


def target_names(document: dict[str, Any], mesh: dict[str, Any], count: int) -> tuple[str, ...] | None:
    """Return the names of a glTF mesh's `count` targets: as most exporters write them, as VRM's, or the accessors'."""
    for owner in (mesh, *mesh["primitives"]):
        names = (owner.get("extras") or {}).get("targetNames") or ()
        if len(names) == count and all(isinstance(name, str) for name in names):
            return tuple(names)
    for primitive in mesh["primitives"]:
        numbers = [target["POSITION"] for target in primitive.get("targets", []) if "POSITION" in target]
        names = [document["accessors"][number].get("name") for number in numbers]
        if len(set(names)) == count and all(names):
            return tuple(names)
    return None


def match_names(names: Sequence[str]) -> np.ndarray:
    """Return (52, K) float32, 1 where one of the K targets of a mesh is an ARKit action, else 0.

    Of several targets that may be one action the closest spelling counts; two of the same closeness are none. An
    action without a side that the mesh has as a left and a right half drives both.
    """
    readings = [_read(name) for name in names]
    matrix = np.zeros((len(ARKIT_NAMES), len(names)), dtype=np.float32)
    for row, action in enumerate(ARKIT_NAMES):
        found = [(column, r) for column, r in enumerate(readings) if r is not None and r.action == action]
        wholes = [(column, r.rank) for column, r in found if not r.side]
        best = [column for column, rank in wholes if rank == min(rank for _, rank in wholes)]
        halves = [column for column, r in found if r.side]
        if len(best) == 1:
            matrix[row, best] = 1
        elif not wholes and sorted(r.side for _, r in found) == ["left", "right"]:
            matrix[row, halves] = 1
    return matrix


def _read(name: str) -> _Reading | None:
    """Return what a target's name means, None where that is not certain."""
    if name in ARKIT_NAMES:
        return _Reading(name, 0)
    words = _words(name)
    places = [(i, j) for i in range(len(words)) for j in range(i + 1, len(words) + 1) if "".join(words[i:j]) in _KEYS]
    if len(places) != 1:
        return None
    ((start, end),) = places
    action, before, after = _KEYS["".join(words[start:end])], words[:start], words[end:]
    side = ""
    if after and after[0] in _SIDES and not action.endswith(("Left", "Right")):
        side, after = _SIDES[after[0]], after[1:]
    strange = {*before, *after} & (_WORDS_OF_ACTIONS | _OTHER_SHAPES | _SIDES.keys()) or {*after} & _ORGANS
    return None if strange else _Reading(action, 2 if before or after else 1, side)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def retarget_matrices(meshes: Sequence[TargetNames], mapping: NameMapping | None = None) -> tuple[np.ndarray, ...]:
    """Return for each mesh (52, K) float32: ARKit weights (T, 52) times it are the weights (T, K) of its targets.

    What the mapping says of an action replaces what its name would match; contributions of several actions to one
    target add up.

    Raises:
        Smirk3dError: The mapping names a target that no mesh has.
    """
    matrices = [match_names(mesh.names if mesh.given else [""] * len(mesh.names)) for mesh in meshes]
    for action, targets in (mapping.targets if mapping else {}).items():
        row = ARKIT_NAMES.index(action)
        for matrix in matrices:
            matrix[row] = 0
        for target, weight in targets.items():
            places = list(_places(target, meshes))
            if not places:
                known = dict.fromkeys(name for mesh in meshes for name in mesh.names)
                where = mapping.source if mapping else ""
                raise Smirk3dError(f"{where}: {action}: no target {_quoted(target)}{closest(target, list(known))}")
            for place, column in places:
                matrices[place][row, column] = weight
    return tuple(matrices)


def _places(target: str, meshes: Sequence[TargetNames]) -> Iterator[tuple[int, int]]:
    """Yield mesh and column of all targets that a mapping's word means: a name, or else `mesh[number]`."""
    named = [(m, k) for m, mesh in enumerate(meshes) for k, name in enumerate(mesh.names) if name == target]
    yield from named
    if not named and (parts := _BY_NUMBER.fullmatch(target)):
        number = int(parts["number"])
        yield from (
            (m, number) for m, mesh in enumerate(meshes) if mesh.mesh == parts["mesh"] and number < len(mesh.names)
        )


def read_mapping(path: str | Path) -> NameMapping:
    """Read a mapping: YAML of `arkitName: target`, `[targets]` or `{target: weight}`; `[]` leaves the action out.

    Raises:
        Smirk3dError: The file cannot be read, is something else, or names no ARKit action.
    """
    source = printable(path)
    try:
        given = _load_yaml(Path(path).read_text(encoding="utf-8-sig"))
        if not isinstance(given, dict):
            raise ValueError("it is no list of `arkitName: target`")
        return NameMapping(source, {_action(name): _targets(name, value) for name, value in given.items()})
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Smirk3dError(
            f"{source}: cannot be read as a mapping ({printable(reason)}); --suggest FILE.yaml writes one to edit"
        ) from error


def _load_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that is given twice."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if twice := [key for key in keys if keys.count(key) > 1]:
                raise ValueError(f"{twice[0]} is given twice")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {' '.join(str(error).split())}") from error


def _action(name: Any) -> str:
    if name not in ARKIT_NAMES:
        raise ValueError(f"{_quoted(str(name))} is no ARKit action{closest(str(name), ARKIT_NAMES)}")
    return name


def _targets(action: str, value: Any) -> dict[str, float]:
    if value is None:
        return {}
    listed = value if isinstance(value, list) else [value]
    pairs = list(value.items()) if isinstance(value, dict) else [(target, 1.0) for target in listed]
    for target, weight in pairs:
        if not isinstance(target, str):
            raise ValueError(f"{action}: {target!r} is no name; a target without one is mesh[number]")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise ValueError(f"{action}: the weight of {_quoted(target)} is {weight!r}, no number")
    return {target: float(weight) for target, weight in pairs}


def _quoted(name: str) -> str:
    return f"'{printable(name)}'"


def closest(name: str, known: Sequence[str]) -> str:
    """Return the end of a sentence: what may have been meant."""
    lower = {other.lower(): other for other in known}
    found = [lower[other] for other in get_close_matches(name.lower(), list(lower), cutoff=0.5)]
    if not found:
        return f"; there are {', '.join(map(printable, known[:5]))}{', …' if len(known) > 5 else ''}"
    return f"; did you mean {' or '.join(map(printable, found))}?"


@dataclass(frozen=True)
class Guess:
    """What an action may be called in a character, by the similarity of the names, which is in [0, 1].

    `weight` is 0.5 where the target is for both sides and the action for one of them.
    """

    action: str
    target: str
    similarity: float
    weight: float = 1.0


_LIKELY = 0.6
_SAME_WORDS = {
    "brw": "brow",
    "eyebrow": "brow",
    "eyebrows": "brow",
    "brows": "brow",
    "eyes": "eye",
    "mth": "mouth",
    "lip": "mouth",
    "lips": "mouth",
    "wink": "blink",
    "close": "blink",
    "closed": "blink",
    "raise": "up",
    "raised": "up",
    "happy": "smile",
    "kiss": "pucker",
}
"""Words of other naming schemes, and what ARKit says; a mouth that is closed is closed in both."""


def guess_targets(actions: Sequence[str], names: Sequence[str]) -> list[Guess]:
    """Return the likely targets of actions, most similar names first; one an action, and none for two actions.

    Args:
        actions: ARKit names without a target. names: Targets without an action.
    """
    pairs = [_compared(action, name) for action in actions for name in dict.fromkeys(names)]
    guesses: list[Guess] = []
    taken: set[str] = set()
    for guess in sorted(pairs, key=lambda pair: -pair.similarity):
        # A target for both sides may serve two actions.
        seat = guess.target if guess.weight == 1 else f"{guess.target} {guess.action[-5:]}"
        if guess.similarity >= _LIKELY and not {guess.action, seat} & taken:
            taken |= {guess.action, seat}
            guesses.append(guess)
    return guesses


def _compared(action: str, target: str) -> Guess:
    wanted, own_side = _plain_words(action)
    found, side = _plain_words(target)
    if own_side and side and own_side != side:
        return Guess(action, target, 0.0)
    matcher = SequenceMatcher(None, " ".join(wanted), " ".join(found), autojunk=False)
    same = matcher.ratio() if matcher.quick_ratio() >= _LIKELY else 0.0
    return Guess(action, target, same * (1.0 if own_side == side else 0.85), 0.5 if own_side and not side else 1.0)


def _plain_words(name: str) -> tuple[list[str], str]:
    """Return the words of a name in ARKit's terms, and its side ("" for none or both)."""
    words = _words(name)
    sides = {_SIDES[word] for word in words if word in _SIDES}
    plain = [_SAME_WORDS.get(word, word) for word in words if word not in _SIDES]
    if "mouth" in plain or "jaw" in plain:
        plain = ["close" if word == "blink" else word for word in plain]
    return plain, sides.pop() if len(sides) == 1 else ""


def suggestion_yaml(character: str, meshes: Sequence[TargetNames], matrices: Sequence[np.ndarray]) -> str:
    """Return a mapping to edit: what is driven, and the best guesses for the rest.

    Args:
        character: What the comment at the top calls it. meshes: Its targets. matrices: As of `retarget_matrices`.
    """
    driven = _driven(meshes, matrices)
    used = {name for targets in driven.values() for name in targets}
    unused = list(dict.fromkeys(name for mesh in meshes for name in mesh.names if name not in used))
    known = [name for mesh in meshes if mesh.given for name in mesh.names if name not in used]
    missing = [action for action in ARKIT_NAMES if not driven[action]]
    guesses = {guess.action: guess for guess in guess_targets(missing, known)}
    lines = [
        f"# Which morph targets of {printable(character)} each ARKit action drives; edit, then give with --mapping.",
        "# action: target, [targets], or {target: weight}; [] leaves the action out. A target may be mesh[number].",
    ]
    for action in ARKIT_NAMES:
        guess = guesses.get(action)
        if guess is not None:
            pair = _flow({guess.target: guess.weight})
            lines.append(f"{action}: {pair}  # guess, names are similar by {guess.similarity:.2f}: check it")
        else:
            lines.append(f"{action}: {_flow(driven[action])}" + ("" if driven[action] else "  # nothing similar"))
    left = [name for name in unused if name not in {guess.target for guess in guesses.values()}]
    lines += ["# Targets that nothing drives:", *(f"#   {printable(name)}" for name in left)] if left else []
    return "\n".join(lines) + "\n"


def _driven(meshes: Sequence[TargetNames], matrices: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Return for each action the targets that it drives, and their weights."""
    found: dict[str, dict[str, float]] = {action: {} for action in ARKIT_NAMES}
    for mesh, matrix in zip(meshes, matrices, strict=True):
        for row, column in zip(*np.nonzero(matrix)):
            found[ARKIT_NAMES[row]][mesh.names[column]] = float(matrix[row, column])
    return found


def _flow(targets: dict[str, float]) -> str:
    """Return targets as YAML on one line: a name, a list, or names with weights."""
    import yaml

    names = list(targets)
    plain: Any = targets if {*targets.values()} - {1.0} else names[0] if len(names) == 1 else names
    text = yaml.safe_dump({"": plain}, default_flow_style=True, allow_unicode=True, width=1 << 30)
    return text[text.index(":") + 1 : text.rindex("}")].strip()
