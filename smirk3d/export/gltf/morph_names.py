"""Mapping of ARKit blendshapes to the morph targets of a character.

In this order: a mapping file; the expressions of a VRM file that are named as ARKit blendshapes; the names of the
targets (`smirk3d.export.blendshape_names`); names of other conventions (`smirk3d.export.naming_schemes`); VRM's preset
expressions. All other targets need a mapping file; targets with similar names are suggested, but never used without it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import MAX_YAML_BYTES, parse_yaml, read_text
from smirk3d.errors import Smirk3dError
from smirk3d.export.blendshape_names import MAX_NAME, SIDES, match_names, split_words
from smirk3d.export.gltf import vrm
from smirk3d.export.gltf.vrm import Bind
from smirk3d.export.naming_schemes import FAITHFUL, SIMPLIFIED, gaze_matrix, preset_matrix
from smirk3d.head.arkit import ARKIT_NAMES

_BY_NUMBER = re.compile(r"(?P<mesh>.*)\[(?P<number>\d+)\]")


@dataclass(frozen=True)
class TargetNames:
    """The morph targets of a mesh.

    Attributes:
        mesh: Name of the mesh.
        names: Name of each target, `mesh[number]` where the file has no names.
        from_file: Whether the names are from the file.
        binds: What the expressions of a VRM file do with the targets.
    """

    mesh: str
    names: tuple[str, ...] = field(repr=False)
    from_file: bool = True
    binds: tuple[Bind, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class NameMapping:
    """The contents of a mapping file.

    Attributes:
        source: Name of the file, for error messages.
        targets: ARKit name -> target name, or `mesh[number]` -> weight.
    """

    source: str
    targets: dict[str, dict[str, float]]


def target_names(document: dict[str, Any], mesh: dict[str, Any], count: int) -> tuple[str, ...] | None:
    """Return the names of the `count` targets of a glTF mesh, None where it has none.

    Exporters write them in the `extras` of the mesh or, as in VRM, of a primitive, or as names of accessors.
    """
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


def retarget_matrices(meshes: Sequence[TargetNames], mapping: NameMapping | None = None) -> tuple[np.ndarray, ...]:
    """Return the linear map from ARKit weights to the weights of each mesh's targets.

    An entry of the mapping replaces the match by name of its blendshape. Contributions of several blendshapes to one
    target add up. Conventions with few, stylised targets apply only to blendshapes that nothing else drives.

    Args:
        meshes: Targets of each mesh.
        mapping: Contents of a mapping file.

    Returns:
        For each mesh with K targets (52, K) float32; ARKit weights (T, 52) times it are the targets' weights (T, K).

    Raises:
        Smirk3dError: The mapping names a target that no mesh has.
    """
    matrices = _automatic_matrices(meshes)
    for blendshape, targets in (mapping.targets if mapping else {}).items():
        row = ARKIT_NAMES.index(blendshape)
        for matrix in matrices:
            matrix[row] = 0
        for target, weight in targets.items():
            found = list(_find_targets(target, meshes))
            if not found:
                known = dict.fromkeys(name for mesh in meshes for name in mesh.names)
                where = mapping.source if mapping else ""
                raise Smirk3dError(
                    f"{where}: {blendshape}: no target {_quoted(target)}{closest_names_hint(target, list(known))}"
                )
            for mesh_index, column in found:
                matrices[mesh_index][row, column] = weight
    return tuple(matrices)


def _automatic_matrices(meshes: Sequence[TargetNames]) -> list[np.ndarray]:
    """Return the map (52, K) of each mesh by what the file states and by names."""
    names = [mesh.names if mesh.from_file else ("",) * len(mesh.names) for mesh in meshes]
    matrices = [vrm.stated_matrix(mesh.binds, len(mesh.names)) for mesh in meshes]
    stated = _driven(matrices)
    for matrix, of_mesh in zip(matrices, names, strict=True):
        for found in (match_names(of_mesh), gaze_matrix(of_mesh), preset_matrix(of_mesh, FAITHFUL)[0]):
            _fill(matrix, found, stated)
    for fallback in (
        [vrm.preset_matrix(mesh.binds, len(mesh.names)) for mesh in meshes],
        [preset_matrix(of_mesh, SIMPLIFIED)[0] for of_mesh in names],
    ):
        driven = _driven(matrices)
        for matrix, found in zip(matrices, fallback, strict=True):
            _fill(matrix, found, driven)
    return matrices


def _driven(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Return for each blendshape (52,) whether it drives any target."""
    return np.any([matrix.any(axis=1) for matrix in matrices], axis=0)


def _fill(matrix: np.ndarray, found: np.ndarray, kept: np.ndarray) -> None:
    """Set the rows of blendshapes that drive nothing yet, except those in `kept` (52,)."""
    rows = ~(matrix.any(axis=1) | kept)
    matrix[rows] = found[rows]


def _find_targets(target: str, meshes: Sequence[TargetNames]) -> Iterator[tuple[int, int]]:
    """Yield (mesh, column) of all targets with a name; if there are none, of the target `mesh[number]`."""
    named = [(m, k) for m, mesh in enumerate(meshes) for k, name in enumerate(mesh.names) if name == target]
    yield from named
    if not named and (parts := _BY_NUMBER.fullmatch(target)):
        number = int(parts["number"])
        yield from (
            (m, number) for m, mesh in enumerate(meshes) if mesh.mesh == parts["mesh"] and number < len(mesh.names)
        )


def read_mapping(path: str | Path) -> NameMapping:
    """Read a mapping: YAML of `arkitName: target`, `[targets]` or `{target: weight}`; `[]` leaves the blendshape out.

    Raises:
        Smirk3dError: The file cannot be read, is something else, or names no ARKit blendshape.
    """
    source = printable(path)
    try:
        entries = _load_yaml(read_text(path, MAX_YAML_BYTES, "utf-8-sig"))
        if not isinstance(entries, dict):
            raise ValueError("it is no list of `arkitName: target`")
        return NameMapping(
            source, {_checked_blendshape(name): _checked_targets(name, value) for name, value in entries.items()}
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Smirk3dError(
            f"{source}: cannot be read as a mapping ({printable(reason)}); --suggest FILE.yaml writes one to edit"
        ) from error


def _load_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Rejects duplicate keys."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if twice := next((key for key, count in Counter(keys).items() if count > 1), None):
                raise ValueError(f"{twice} is given twice")
            return super().construct_mapping(node, deep)

    try:
        return parse_yaml(text, Loader)
    except ValueError as error:
        raise ValueError(f"no YAML: {error}") from error


def _checked_blendshape(name: Any) -> str:
    if name not in ARKIT_NAMES:
        raise ValueError(f"{_quoted(str(name))} is no ARKit blendshape{closest_names_hint(str(name), ARKIT_NAMES)}")
    return name


def _checked_targets(blendshape: str, value: Any) -> dict[str, float]:
    if value is None:
        return {}
    listed = value if isinstance(value, list) else [value]
    pairs = list(value.items()) if isinstance(value, dict) else [(target, 1.0) for target in listed]
    for target, weight in pairs:
        if not isinstance(target, str):
            raise ValueError(f"{blendshape}: {target!r} is no name; a target without one is mesh[number]")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise ValueError(f"{blendshape}: the weight of {_quoted(target)} is {weight!r}, no number")
    return {target: float(weight) for target, weight in pairs}


def _quoted(name: str) -> str:
    return f"'{printable(name)}'"


def closest_names_hint(name: str, known: Sequence[str]) -> str:
    """Return the end of an error message: the most similar names, or some of the known ones."""
    lower = {other.lower(): other for other in known}
    found = [lower[other] for other in get_close_matches(name.lower(), list(lower), cutoff=0.5)]
    if not found:
        return f"; there are {', '.join(map(printable, known[:5]))}{', …' if len(known) > 5 else ''}"
    return f"; did you mean {' or '.join(map(printable, found))}?"


@dataclass(frozen=True)
class Suggestion:
    """A target whose name is similar to that of a blendshape.

    Attributes:
        blendshape: ARKit name.
        target: Name of the target.
        similarity: Similarity of the two names in [0, 1].
        weight: 0.5 where the target is for both sides of the face and the blendshape for one of them, else 1.
    """

    blendshape: str
    target: str
    similarity: float
    weight: float = 1.0


_MIN_SIMILARITY = 0.6
"""Targets with less similar names are not suggested."""
_MAX_CANDIDATES = 2000
"""Number of targets that suggestions are chosen from, the first of the file; comparing names is slow."""
_SYNONYMS = {
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
"""Words of other naming schemes and their ARKit equivalents; "close" of mouth or jaw is not replaced."""


def suggest_targets(blendshapes: Sequence[str], names: Sequence[str]) -> list[Suggestion]:
    """Return at most one target for each blendshape, most similar names first; no target is suggested twice.

    Args:
        blendshapes: ARKit names without a target.
        names: Targets without a blendshape.
    """
    candidates = [name for name in dict.fromkeys(names) if len(name) <= MAX_NAME][:_MAX_CANDIDATES]
    pairs = [_suggestion(blendshape, name) for blendshape in blendshapes for name in candidates]
    suggestions: list[Suggestion] = []
    used: set[str] = set()
    for suggestion in sorted(pairs, key=lambda pair: -pair.similarity):
        # A target for both sides can be suggested once for each side.
        key = suggestion.target if suggestion.weight == 1 else f"{suggestion.target} {suggestion.blendshape[-5:]}"
        if suggestion.similarity >= _MIN_SIMILARITY and not {suggestion.blendshape, key} & used:
            used |= {suggestion.blendshape, key}
            suggestions.append(suggestion)
    return suggestions


def _suggestion(blendshape: str, target: str) -> Suggestion:
    wanted, blendshape_side = _normalized_words(blendshape)
    found, side = _normalized_words(target)
    if blendshape_side and side and blendshape_side != side:
        return Suggestion(blendshape, target, 0.0)
    matcher = SequenceMatcher(None, " ".join(wanted), " ".join(found), autojunk=False)
    # `quick_ratio` is an upper bound of `ratio`, which is slow.
    similarity = matcher.ratio() if matcher.quick_ratio() >= _MIN_SIMILARITY else 0.0
    similarity *= 1.0 if blendshape_side == side else 0.85
    return Suggestion(blendshape, target, similarity, 0.5 if blendshape_side and not side else 1.0)


def _normalized_words(name: str) -> tuple[list[str], str]:
    """Return the words of a name with ARKit's synonyms, and its side ("" for none or both)."""
    words = split_words(name)
    sides = {SIDES[word] for word in words if word in SIDES}
    plain = [_SYNONYMS.get(word, word) for word in words if word not in SIDES]
    if "mouth" in plain or "jaw" in plain:
        plain = ["close" if word == "blink" else word for word in plain]
    return plain, sides.pop() if len(sides) == 1 else ""


def suggestion_yaml(character: str, meshes: Sequence[TargetNames], matrices: Sequence[np.ndarray]) -> str:
    """Return the text of a mapping file to edit: the present mapping, and suggestions for the other blendshapes.

    Args:
        character: Name of the character, for the comment at the top.
        meshes: Targets of each mesh.
        matrices: Present mapping of each mesh (52, K), see `retarget_matrices`.
    """
    mapped = _mapped_targets(meshes, matrices)
    used = {name for targets in mapped.values() for name in targets}
    unused = list(dict.fromkeys(name for mesh in meshes for name in mesh.names if name not in used))
    known = [name for mesh in meshes if mesh.from_file for name in mesh.names if name not in used]
    missing = [blendshape for blendshape in ARKIT_NAMES if not mapped[blendshape]]
    suggestions = {suggestion.blendshape: suggestion for suggestion in suggest_targets(missing, known)}
    lines = [
        f"# Which morph targets of {printable(character)} each ARKit action drives; edit, then give with --mapping.",
        "# action: target, [targets], or {target: weight}; [] leaves the action out. A target may be mesh[number].",
    ]
    for blendshape in ARKIT_NAMES:
        suggestion = suggestions.get(blendshape)
        if suggestion is not None:
            pair = _inline_yaml({suggestion.target: suggestion.weight})
            lines.append(f"{blendshape}: {pair}  # guess, names are similar by {suggestion.similarity:.2f}: check it")
        else:
            lines.append(
                f"{blendshape}: {_inline_yaml(mapped[blendshape])}"
                + ("" if mapped[blendshape] else "  # nothing similar")
            )
    left = [name for name in unused if name not in {suggestion.target for suggestion in suggestions.values()}]
    lines += ["# Targets that nothing drives:", *(f"#   {printable(name)}" for name in left)] if left else []
    return "\n".join(lines) + "\n"


def _mapped_targets(meshes: Sequence[TargetNames], matrices: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Return for each blendshape the targets that are mapped to it, and their weights."""
    found: dict[str, dict[str, float]] = {blendshape: {} for blendshape in ARKIT_NAMES}
    for mesh, matrix in zip(meshes, matrices, strict=True):
        for row, column in zip(*np.nonzero(matrix)):
            found[ARKIT_NAMES[row]][mesh.names[column]] = float(matrix[row, column])
    return found


def _inline_yaml(targets: dict[str, float]) -> str:
    """Return targets as YAML in one line: a name, a list of names, or names with weights."""
    import yaml

    names = list(targets)
    plain: Any = targets if {*targets.values()} - {1.0} else names[0] if len(names) == 1 else names
    text = yaml.safe_dump({"": plain}, default_flow_style=True, allow_unicode=True, width=1 << 30)
    return text[text.index(":") + 1 : text.rindex("}")].strip()
