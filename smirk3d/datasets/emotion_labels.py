"""Emotion labels of faces in shards."""

from __future__ import annotations

import csv
import json
import tarfile
from collections import Counter
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError

LABELS_NAME = "labels.csv"


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
        except (OSError, tarfile.TarError, ValueError, AttributeError) as error:
            raise Smirk3dError(f"{printable(path)}: unreadable ({type(error).__name__}); prepare it again") from error
    largest = _keys_of_largest_source(Path(folder) / LABELS_NAME)
    return labels if largest is None else {key: label for key, label in labels.items() if key in largest}


def _emotions_of_shard(path: Path) -> dict[str, str]:
    labels = {}
    with tarfile.open(path, "r:") as archive:
        for info in archive:
            file = archive.extractfile(info) if info.name.endswith(".json") else None
            emotion = json.loads(file.read()).get("emotion") if file else None
            if emotion:
                labels[info.name.removesuffix(".json")] = str(emotion)
    return labels


def _keys_of_largest_source(path: Path) -> set[str] | None:
    """Return the keys of the largest collection; None where the folder does not tell collections apart."""
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            source_of = {row["key"]: row["source"] for row in csv.DictReader(file)}
    except KeyError:
        return None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({type(error).__name__}); replace or remove it") from error
    if not source_of:
        return None
    largest, _ = Counter(source_of.values()).most_common(1)[0]
    return {key for key, source in source_of.items() if source == largest}
