"""Recognition of the 52 ARKit blendshapes by name, for the morph targets of characters and the columns of tables.

A name is recognised only where that is unambiguous: with any capitals and separators, with `L` and `R` for the sides,
and with further words that have no meaning for a face (`head_eyeBlinkLeft`, `blendShape1.eyeBlink_L`). Names of other
conventions are in `smirk3d.export.naming_schemes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from smirk3d.head.arkit import ARKIT_NAMES

MAX_NAME = 200
"""Longer names, in characters, are not names of blendshapes."""
SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\x00-\x7f]+")
_MAX_WORDS = 8
"""No spelling of a blendshape has more words."""
_FACE_PARTS = frozenset(["eye", "jaw", "mouth", "brow", "cheek", "nose", "tongue"])
_ARKIT_WORDS = frozenset(word.lower() for name in ARKIT_NAMES for word in _WORD.findall(name)) - _FACE_PARTS
_VARIANT_WORDS = frozenset(
    ("corrective", "corr", "fix", "inverse", "inv", "negative", "neg", "opposite", "half", "inbetween", "not", "no")
)
"""Words of names that are variants or correctives of a blendshape."""


def _spellings() -> Iterator[tuple[str, str]]:
    for name in ARKIT_NAMES:
        yield name.lower(), name
        for side in ("Left", "Right"):
            if name.endswith(side):
                yield (name.removesuffix(side) + side[0]).lower(), name


_SPELLINGS = dict(_spellings())


@dataclass(frozen=True)
class _ParsedName:
    """The ARKit blendshape that a name stands for.

    Attributes:
        blendshape: ARKit name.
        rank: 0 for the exact name, 1 for another spelling, 2 if there are further words around it.
        side: "left" or "right" for one half of a blendshape that has no side in ARKit, such as browInnerUp_L; else "".
    """

    blendshape: str
    rank: int
    side: str = ""


def match_names(names: Sequence[str]) -> np.ndarray:
    """Match names with the ARKit names.

    If several names match one blendshape, the closest spelling is taken, and none if two are equally close. A
    blendshape without a side is mapped to both halves where there are a left and a right half of it.

    Args:
        names: K names.

    Returns:
        (52, K) float32, 1 where a name is mapped to a blendshape, else 0.
    """
    found: dict[str, list[tuple[int, _ParsedName]]] = {}
    for column, name in enumerate(names):
        if (parsed := _parse_name(name)) is not None:
            found.setdefault(parsed.blendshape, []).append((column, parsed))
    matrix = np.zeros((len(ARKIT_NAMES), len(names)), dtype=np.float32)
    for blendshape, candidates in found.items():
        matrix[ARKIT_NAMES.index(blendshape), _best_columns(candidates)] = 1
    return matrix


def _best_columns(candidates: Sequence[tuple[int, _ParsedName]]) -> list[int]:
    """Return the columns of the names that stand for one blendshape: the closest, or two halves, or none."""
    unsided = [(column, parsed.rank) for column, parsed in candidates if not parsed.side]
    closest = min((rank for _, rank in unsided), default=0)
    best = [column for column, rank in unsided if rank == closest]
    if len(best) == 1:
        return best
    if not unsided and sorted(parsed.side for _, parsed in candidates) == ["left", "right"]:
        return [column for column, _ in candidates]
    return []


def _parse_name(name: str) -> _ParsedName | None:
    """Return the blendshape of a name, None where that is ambiguous."""
    if name in _SPELLINGS.values():
        return _ParsedName(name, 0)
    words = split_words(name)
    spans = [
        (i, j)
        for i in range(len(words))
        for j in range(i + 1, min(i + _MAX_WORDS, len(words)) + 1)
        if "".join(words[i:j]) in _SPELLINGS
    ]
    if len(spans) != 1:
        return None
    ((start, end),) = spans
    blendshape, before, after = _SPELLINGS["".join(words[start:end])], words[:start], words[end:]
    side = ""
    if after and after[0] in SIDES and not blendshape.endswith(("Left", "Right")):
        side, after = SIDES[after[0]], after[1:]
    # Further words that belong to another blendshape or a variant make the name ambiguous.
    conflicting = {*before, *after} & (_ARKIT_WORDS | _VARIANT_WORDS | SIDES.keys()) or {*after} & _FACE_PARTS
    return None if conflicting else _ParsedName(blendshape, 2 if before or after else 1, side)


def split_words(name: str) -> list[str]:
    """Return the words of a name in lower case; none if it is too long to be one."""
    return [word.lower() for word in _WORD.findall(name)] if len(name) <= MAX_NAME else []
