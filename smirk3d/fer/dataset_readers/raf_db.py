"""Reader of RAF-DB's basic emotions.

Source: Li et al., "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild", CVPR 2017.
"""

from __future__ import annotations

from pathlib import Path

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, read_text
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.labelled_face import LabelledFace, one_vote
from smirk3d.fer.emotions import emotion_index

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""Classes by number, from 1."""
LABEL_FILES = ("EmoLabel/list_patition_label.txt", "EmoLabel/list_partition_label.txt")
"""The first one is spelt as the data set spells it."""
SPLITS = ("train", "test")
_MAX_BYTES = 16 << 20


def label_file(root: Path) -> Path | None:
    """Return the list of labels below a folder, or None."""
    return next((root / name for name in LABEL_FILES if (root / name).is_file()), None)


def read_raf_db(root: Path, split: str) -> list[LabelledFace]:
    """Read the aligned pictures in `Image/aligned`.

    Args:
        root: Folder with `EmoLabel` and `Image`.
        split: "train" or "test".

    Raises:
        Smirk3dError: The labels are missing or cannot be read.
    """
    path = label_file(root)
    if path is None:
        raise Smirk3dError(f"{printable(root / LABEL_FILES[0])}: no such file; name the folder of RAF-DB")
    try:
        lines = read_text(path, _MAX_BYTES).split("\n")
    except (OSError, ValueError) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({one_line(error)}); fetch it again") from error
    faces = []
    for number, line in enumerate(lines, 1):
        name, _, label = line.strip().partition(" ")
        if name.startswith(f"{split}_"):
            if label.strip() not in map(str, range(1, len(CLASSES) + 1)):
                raise Smirk3dError(f"{printable(path)}: line {number}: the class is not 1 to 7; fetch it again")
            picture = root / "Image" / "aligned" / f"{Path(name).stem}_aligned.jpg"
            faces.append(LabelledFace(Path(name).stem, picture, one_vote(emotion_index(CLASSES[int(label) - 1]))))
    return faces
