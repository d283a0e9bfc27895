"""Reader of folders of pictures that are named after emotions, with or without splits."""

from __future__ import annotations

from pathlib import Path

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.labelled_face import LabelledFace, one_vote
from smirk3d.fer.emotions import EMOTIONS, emotion_index
from smirk3d.media.image_formats import IMAGE_SUFFIXES

SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}
"""Names of the folders of a split, in any case."""


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folders of splits below a folder, by split."""
    try:
        found = {each.name.lower(): each for each in root.iterdir() if each.is_dir()}
    except OSError:
        return {}
    named = {split: [found[name] for name in names if name in found] for split, names in SPLIT_FOLDERS.items()}
    return {split: folders[0] for split, folders in named.items() if folders}


def read_class_folders(root: Path) -> list[LabelledFace]:
    """Read the pictures of folders that are named after emotions.

    Raises:
        Smirk3dError: No folder is named after an emotion, or cannot be read.
    """
    faces: list[LabelledFace] = []
    try:
        folders = sorted(each for each in root.iterdir() if each.is_dir())
        for folder in folders:
            try:
                votes = one_vote(emotion_index(folder.name))
            except ValueError:
                continue
            files = sorted(each for each in folder.rglob("*") if each.suffix.lower() in IMAGE_SUFFIXES)
            faces += [LabelledFace(str(each.relative_to(root)), each, votes) for each in files]
    except OSError as error:
        raise Smirk3dError(f"{printable(root)}: unreadable ({one_line(error)}); check the folder") from error
    if not faces:
        raise Smirk3dError(
            f"{printable(root)}: no known layout; it needs FERPlus' labels.csv, or folders of pictures that are named "
            f"{', '.join(EMOTIONS)}"
        )
    return faces
