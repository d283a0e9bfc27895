"""Reader of Google's facial expression comparison: triplets of faces, of which raters name the odd one.

The tables hold addresses of pictures; nothing is downloaded, the pictures must lie on the disk. Source: Vemulapalli and
Agarwala, "A Compact Embedding for Facial Expression Similarity", CVPR 2019.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.csv_rows import numbered_rows, rows_without_header
from smirk3d.media.image_formats import IMAGE_SUFFIXES

FACES, _CELLS_OF_FACE = 3, 5
TYPES = ("ONE_CLASS_TRIPLET", "TWO_CLASS_TRIPLET", "THREE_CLASS_TRIPLET")


@dataclass(frozen=True)
class TripletFace:
    """A face of a triplet.

    Attributes:
        picture: File of the picture.
        box: Left, top, right, bottom as shares of the width and the height of the picture.
    """

    picture: Path
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Triplet:
    """Three faces, two of which look alike.

    Attributes:
        faces: The three faces.
        odd: Index of the one that most raters found least alike.
        agreement: Share of the raters who named it.
        kind: One of `TYPES`.
    """

    faces: tuple[TripletFace, TripletFace, TripletFace]
    odd: int
    agreement: float
    kind: str


@dataclass(frozen=True)
class Triplets:
    """What was read of a table.

    Attributes:
        triplets: Those with three pictures on the disk and an odd one that most raters named.
        n_rows: Rows of the table.
        n_without_picture: Rows that were left out because a picture is not there.
        n_undecided: Rows that were left out because no face was named by more than half of the raters.
    """

    triplets: tuple[Triplet, ...]
    n_rows: int
    n_without_picture: int
    n_undecided: int


def read_fec_triplets(table: Path, pictures: Path) -> Triplets:
    """Read a table without header, faceexp-comparison-data-train-public.csv or its sibling.

    Args:
        table: The table.
        pictures: A table with the columns `url` and `path` (relative to it), or a folder. In a folder the picture of an
            address is the file with the last part of the address as its name, or with the address's SHA-1 in
            hexadecimal and any suffix of images.

    Raises:
        Smirk3dError: A table cannot be read, or a row is no triplet.
    """
    find = _mapped(pictures) if pictures.suffix.lower() == ".csv" else _in_folder(pictures)
    triplets: list[Triplet] = []
    n_rows = n_missing = n_undecided = 0
    for number, row in enumerate(rows_without_header(table), 1):
        n_rows += 1
        addresses, boxes, kind, votes = _parsed(table, number, row)
        odd, count = votes.most_common(1)[0]
        if 2 * count <= votes.total():
            n_undecided += 1
            continue
        found = [find(address) for address in addresses]
        if None in found:
            n_missing += 1
            continue
        first, second, third = (TripletFace(path, box) for path, box in zip(found, boxes) if path is not None)
        triplets.append(Triplet((first, second, third), odd - 1, count / votes.total(), kind))
    return Triplets(tuple(triplets), n_rows, n_missing, n_undecided)


def _parsed(
    table: Path, number: int, row: list[str]
) -> tuple[list[str], list[tuple[float, float, float, float]], str, Counter[int]]:
    """Return addresses, boxes, type, and how many raters named each face from 1 to 3."""
    n_cells = FACES * _CELLS_OF_FACE
    try:
        addresses = [row[k * _CELLS_OF_FACE] for k in range(FACES)]
        faces = [row[k * _CELLS_OF_FACE + 1 : (k + 1) * _CELLS_OF_FACE] for k in range(FACES)]
        boxes = [(left, top, right, bottom) for left, right, top, bottom in (map(float, face) for face in faces)]
        votes = Counter(int(cell) for cell in row[n_cells + 2 :: 2] if cell.strip())
        kind = row[n_cells].strip()
        if kind not in TYPES or not votes or not set(votes) <= {1, 2, 3}:
            raise ValueError("it is no triplet with raters")
    except (IndexError, ValueError) as error:
        raise Smirk3dError(f"{printable(table)}: row {number}: {one_line(error)}; fetch the table again") from error
    return addresses, boxes, kind, votes


def _mapped(table: Path) -> Callable[[str], Path | None]:
    paths = {row["url"]: table.parent / row["path"] for _, row in numbered_rows(table, ("url", "path"))}
    return lambda address: path if (path := paths.get(address)) is not None and path.is_file() else None


def _in_folder(folder: Path) -> Callable[[str], Path | None]:
    try:
        names = {each.name: each for each in folder.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES}
    except OSError as error:
        raise Smirk3dError(f"{printable(folder)}: unreadable ({one_line(error)}); name a folder or a table") from error
    stems: Mapping[str, Path] = {path.stem: path for path in names.values()}

    def find(address: str) -> Path | None:
        digest = hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
        return stems.get(digest) or names.get(unquote(urlsplit(address).path).rpartition("/")[2])

    return find
