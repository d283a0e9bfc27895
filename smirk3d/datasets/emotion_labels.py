"""Emotion labels of faces in shards."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, open_plain_text, parse_json
from smirk3d.datasets.shard_archive import Gap, read_members
from smirk3d.errors import Smirk3dError

LABELS_NAME = "labels.csv"
MAX_JSON_BYTES = 1 << 20
"""Largest .json of a face."""


def emotion_labels(folder: str | Path, split: str) -> dict[str, str]:
    """Return the emotion of each labelled face of a split by its key, in the order of the shards.

    The label is the field `emotion` of `KEY.json`. Where the folder's `labels.csv` names the collection of each face
    (columns `key` and `source`), only faces of the largest one count: collections differ in more than their faces,
    and a probe would learn to tell them apart.

    Args:
        folder: Folder of shards, `SPLIT-*.tar`.
        split: Name of the split.

    Raises:
        Smirk3dError: A file cannot be read.
    """
    labels: dict[str, str] = {}
    for path in sorted(Path(folder).glob(f"{split}-*.tar")):
        try:
            labels |= _emotions_of_shard(path)
        except OSError as error:
            raise Smirk3dError(f"{printable(path)}: unreadable ({one_line(error)}); prepare it again") from error
    largest = _keys_of_largest_source(Path(folder) / LABELS_NAME)
    return labels if largest is None else {key: label for key, label in labels.items() if key in largest}


def _emotions_of_shard(path: Path) -> dict[str, str]:
    """Return the labels of a shard; damaged parts, of which `read_folder` tells, have none."""
    labels = {}
    for member in read_members(path, lambda name: MAX_JSON_BYTES if name.endswith(".json") else 0):
        if isinstance(member, Gap):
            if not member.after and member.is_end:
                raise Smirk3dError(f"{printable(path)}: unreadable (no archive); prepare it again")
            continue
        try:
            facts = parse_json(member.content)
        except ValueError:
            continue
        if isinstance(facts, dict) and facts.get("emotion"):
            labels[member.name.removesuffix(".json")] = str(facts["emotion"])
    return labels


def _keys_of_largest_source(path: Path) -> set[str] | None:
    """Return the keys of the largest collection; None where the folder does not tell collections apart."""
    if not path.is_file():
        return None
    try:
        with open_plain_text(path) as file:
            source_of = {row["key"]: row["source"] for row in csv.DictReader(file)}
    except KeyError:
        return None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({type(error).__name__}); replace or remove it") from error
    if not source_of:
        return None
    largest, _ = Counter(source_of.values()).most_common(1)[0]
    return {key for key, source in source_of.items() if source == largest}
