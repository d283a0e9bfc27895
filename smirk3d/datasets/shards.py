"""Shards of training faces: plain tar files in the WebDataset layout, grouped by the name before the first dot.

A face is `KEY.jpg` (an upright RGB or grey image of one face with a margin), `KEY.npy` ((478, 2 or 3) float32,
MediaPipe's landmarks in pixels of that image, origin at the top-left corner of the top-left pixel, and where known
their depth on the same scale) and `KEY.json` (person, source, size, box, and `blendshapes`: MediaPipe's scores in
Apple's order). Where FAN's contour of the face is known, it is `KEY.contour.npy` ((17, 2) float32, iBUG's points in
pixels of the image).
"""

from __future__ import annotations

import io
import itertools
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import one_line, parse_json, parse_npy
from smirk3d.datasets.fan_contour import CONTOUR_COUNT
from smirk3d.datasets.landmark_table import LANDMARKS_NAME, LandmarkTable
from smirk3d.datasets.shard_archive import BLOCK_BYTES, Gap, Member, read_members
from smirk3d.datasets.shard_checks import check_landmarks, check_scores, jpeg_size
from smirk3d.errors import Smirk3dError

SPLITS: tuple[str, ...] = ("train", "val")
_JPEG_SUFFIXES = ("jpg", "jpeg")
_CONTOUR_SUFFIX = "contour.npy"
MAX_IMAGE_BYTES = 64 << 20
"""Largest encoded image of a face; see `smirk3d.datasets.shard_checks` for the decoded one."""
_MAX_BYTES = {
    **dict.fromkeys(_JPEG_SUFFIXES, MAX_IMAGE_BYTES),
    "json": 1 << 20,
    "npy": 1 << 16,
    _CONTOUR_SUFFIX: 1 << 16,
}
"""Largest members by suffix; members with other suffixes are skipped."""
_GUESSED_FACE_BYTES = 20_000
"""Size of a face in a damaged archive without any intact one."""


@dataclass(frozen=True, eq=False)
class Record:
    """One face of a shard.

    Attributes:
        key: Name within its data set, without a dot.
        jpeg: Encoded image.
        landmarks_px: (478, 2) float32, pixels of the image; landmarks may lie outside it.
        size_px: Width and height of the image.
        scores: (52,) float32 in [0, 1], MediaPipe's blendshape scores in Apple's order of names.
        person: Name of the person, "" where unknown.
        source: Photo that it was cropped from.
        depth_px: (478,) float32, MediaPipe's z on the scale of x, smaller is nearer; None where unknown.
        contour_px: (17, 2) float32, iBUG's face contour from the subject's right ear over the chin to the left ear,
            pixels of the image; None where unknown.
    """

    key: str
    jpeg: bytes
    landmarks_px: np.ndarray
    size_px: tuple[int, int]
    scores: np.ndarray
    person: str = ""
    source: str = ""
    depth_px: np.ndarray | None = None
    contour_px: np.ndarray | None = None

    @property
    def box_px(self) -> np.ndarray:
        """(4,) x0, y0, x1, y1 of the landmarks, pixels of the image."""
        return np.concatenate((self.landmarks_px.min(axis=0), self.landmarks_px.max(axis=0)))


@dataclass(frozen=True)
class DataError:
    """An unusable member of a shard.

    Attributes:
        shard: The shard.
        key: Name of the face, "" where the archive itself is damaged.
        reason: Description of the error.
        lost: Number of faces that it costs, estimated from the damaged bytes where the archive is damaged.
    """

    shard: Path
    key: str
    reason: str
    lost: int = 1

    def __str__(self) -> str:
        place = f"{printable(self.shard)}{': ' if self.key else ''}{printable(self.key)}"
        return f"{place}: {self.reason}; prepare the shard again"


def refuse(fault: DataError) -> None:
    """Raise a fault as an error.

    Raises:
        Smirk3dError: Always.
    """
    raise Smirk3dError(str(fault))


def write_shard(path: str | Path, records: Iterable[Record]) -> int:
    """Write faces to a shard atomically; equal records give equal bytes.

    Returns:
        The number of faces.

    Raises:
        Smirk3dError: The file cannot be written.
    """
    count = 0
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        for count, record in enumerate(records, start=1):  # noqa: B007 (the count is the result)
            for suffix, content in _members(record):
                info = tarfile.TarInfo(f"{record.key}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return count


def _members(record: Record) -> Iterator[tuple[str, bytes]]:
    columns = [record.landmarks_px] + ([] if record.depth_px is None else [record.depth_px])
    facts = {
        "person": record.person,
        "source": record.source,
        "width": record.size_px[0],
        "height": record.size_px[1],
        "box_px": [round(float(value), 3) for value in record.box_px],
        "blendshapes": [round(float(value), 6) for value in record.scores],
    }
    yield "jpg", record.jpeg
    yield "json", json.dumps(facts).encode("ascii")
    yield "npy", _npy(np.column_stack(columns))
    if record.contour_px is not None:
        yield _CONTOUR_SUFFIX, _npy(record.contour_px)


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array.astype("<f4"), allow_pickle=False)
    return file.getvalue()


def read_shard(path: str | Path, on_fault: Callable[[DataError], None] = refuse) -> Iterator[Record]:
    """Read the faces of a shard as `write_shard` writes them, in order.

    Args:
        path: Tar file; members with other suffixes are skipped.
        on_fault: Receives each face that cannot be used, which is then skipped, and each damaged part of the archive;
            what is intact before and behind it is read. The default raises.

    Raises:
        Smirk3dError: The file cannot be opened, or as `on_fault` does.
    """
    yield from _read_faces(Path(path), on_fault)


def _read_faces(
    path: Path, on_fault: Callable[[DataError], None], table: LandmarkTable | None = None
) -> Iterator[Record]:
    """Read and check the faces of an archive: the only place where damage becomes a `DataError`."""
    for key, members in _groups(path, on_fault):
        try:
            record = _record(key, members, table)
        except Exception as error:  # contents of others: the readers below raise exceptions of nearly any class
            on_fault(DataError(path, key, printable(one_line(error))))
            continue
        yield record


def read_folder(root: str | Path, split: str, on_fault: Callable[[DataError], None] = refuse) -> Iterator[Record]:
    """Read the faces of a split, `split-*.tar`, of a folder of shards.

    Where the folder has a `landmarks.npz`, landmarks and scores come from there: `keys` (N,), `lm` (N, 478, 2 or
    3) pixels of the images, `blendshapes` (N, K) and `blendshape_names` (K,); shards then need only `KEY.jpg`, and
    `KEY.json` for the person.

    Args:
        root: Folder of shards.
        split: "train" or "val".
        on_fault: See `read_shard`.

    Raises:
        Smirk3dError: There is no such shard, or a file cannot be read, or as `on_fault` does.
    """
    root = Path(root)
    shards = sorted(root.glob(f"{split}-*.tar"))
    if not shards:
        raise Smirk3dError(f"{printable(root)}: no {split}-*.tar there; make them with smirk3d data prepare")
    table = LandmarkTable(root / LANDMARKS_NAME) if (root / LANDMARKS_NAME).is_file() else None
    for path in shards:
        yield from _read_faces(path, on_fault, table)


_Members = dict[str, Member]


def _groups(path: Path, on_fault: Callable[[DataError], None]) -> Iterator[tuple[str, _Members]]:
    """Yield the members of each face by suffix."""
    for key, group in itertools.groupby(_files(path, on_fault), key=lambda member: _split_name(member.name)[0]):
        yield key, {_split_name(member.name)[1]: member for member in group}


def _files(path: Path, on_fault: Callable[[DataError], None]) -> Iterator[Member]:
    """Yield the members of an archive; bytes that belong to none are a fault."""
    n_bytes, names = 0, set()
    try:
        for part in read_members(path, lambda name: _MAX_BYTES.get(_split_name(name)[1], 0)):
            if isinstance(part, Gap):
                face_bytes = n_bytes / len(names) if n_bytes else _GUESSED_FACE_BYTES
                missing = _missing_bytes(path) if part.is_end else 0
                lost = int((part.size + (missing or 0)) / face_bytes) + part.is_end
                reason = f"damaged after {part.after or 'nothing'}: {part.size} bytes hold no face"
                on_fault(DataError(path, "", printable(reason + _end_note(part.is_end, missing, lost)), lost))
                continue
            n_bytes += BLOCK_BYTES * (1 + -(-len(part.content) // BLOCK_BYTES))
            names.add(_split_name(part.name)[0])
            yield part
    except OSError as error:
        raise Smirk3dError(
            f"{printable(path)}: unreadable ({printable(one_line(error))}); prepare the shard again"
        ) from error


def _missing_bytes(path: Path) -> int | None:
    """Return by how much a shard that ends early is smaller than the others of its split; None where nobody knows.

    All shards of a split but the last hold the same number of faces.
    """
    *full, last = sorted(path.parent.glob(f"{path.name.rpartition('-')[0]}-*.tar")) or [path]
    sizes = [each.stat().st_size for each in full if each != path]
    return None if path == last or not sizes else max(0, int(np.median(sizes)) - path.stat().st_size)


def _end_note(is_end: bool, missing: int | None, lost: int) -> str:
    """Return what is known about the faces behind the end of a shard."""
    if not is_end:
        return ""
    if missing is None:
        return ", and it ends early; nobody knows how many faces it had"
    return f", and it ends early, by about {lost} faces after the size of the other shards"


def _split_name(name: str) -> tuple[str, str]:
    """Return the key and the suffix: `a/b.c.jpg` is `a/b` and `c.jpg`."""
    folder, base = os.path.split(name)
    key, _, suffix = base.partition(".")
    return os.path.join(folder, key), suffix.lower()


def _content(members: _Members, suffix: str) -> bytes:
    """Return the content of a member; raises `ValueError` where there is none that can be used."""
    if suffix not in members:
        raise ValueError(f"no .{suffix}")
    if members[suffix].fault:
        raise ValueError(f"its .{suffix} cannot be used: {members[suffix].fault}")
    return members[suffix].content


def _parsed(members: _Members, suffix: str, parse: Callable[[bytes], Any]) -> Any:
    content = _content(members, suffix)
    try:
        return parse(content)
    except ValueError as error:
        raise ValueError(f"its .{suffix}: {error}") from error


def _record(key: str, members: _Members, table: LandmarkTable | None = None) -> Record:
    """Build and check a face; raises exceptions of any class where its content is damaged."""
    jpeg = _content(members, next((suffix for suffix in _JPEG_SUFFIXES if suffix in members), "jpg"))
    facts = _facts(members) if table is None or "json" in members else {}
    if table is not None:
        landmarks_px, scores = table.of(key)
    else:
        landmarks_px = _parsed(members, "npy", parse_npy)
        scores = np.array(facts["blendshapes"], dtype=np.float32)
    landmarks_px = np.array(landmarks_px, dtype=np.float32)
    size = jpeg_size(jpeg)
    check_landmarks(landmarks_px, size)
    check_scores(scores)
    person, source = facts.get("person") or "", facts.get("source") or ""
    depth_px = landmarks_px[:, 2].copy() if landmarks_px.shape[1] == 3 else None
    contour_px = _contour(members)
    return Record(key, jpeg, landmarks_px[:, :2], size, scores, str(person), str(source), depth_px, contour_px)


def _contour(members: _Members) -> np.ndarray | None:
    if _CONTOUR_SUFFIX not in members:
        return None
    contour_px = _parsed(members, _CONTOUR_SUFFIX, parse_npy).astype(np.float32)
    if contour_px.shape != (CONTOUR_COUNT, 2) or not np.isfinite(contour_px).all():
        raise ValueError(f"its contour is not {CONTOUR_COUNT} finite points")
    return contour_px


def _facts(members: _Members) -> dict:
    facts = _parsed(members, "json", parse_json)
    if not isinstance(facts, dict):
        raise ValueError("its .json is not an object")
    return facts
