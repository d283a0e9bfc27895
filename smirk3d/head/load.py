"""Loading of heads by name or path, and the cache of heads that took time to make."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from smirk3d.assets import cache_dir, printable, sha256
from smirk3d.errors import Smirk3dError
from smirk3d.head.data import HeadData
from smirk3d.head.identifier import HeadId
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import load_pack, read_content_id, read_header, save_pack
from smirk3d.zoo.registry import find

OPEN_HEAD = "open"
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
    """Load a head; the open head is built, and a FLAME model completed, at the first call and cached.

    Args:
        head: "open", or the path of a FLAME model or a pack, which are told apart by their content.
        n_shape: identity components to use, all by default. n_expression: the same for expression.
        report: receives a line of text before each step of what takes long.

    Raises:
        Smirk3dError: there is no such file, or it is no head.
    """
    return HeadModel(load_head_data(head, report), n_shape, n_expression)


def load_head_data(head: str | Path, report: Callable[[str], None] = lambda message: None) -> HeadData:
    """Return the record that `load_head` makes its module of.

    Raises:
        Smirk3dError: there is no such file, or it is no head.
    """
    if str(head) == OPEN_HEAD:
        return open_head_data(report)
    path = Path(head)
    if not path.is_file():
        raise Smirk3dError(
            f"{printable(path)}: no such head file; give a FLAME model, a pack, or 'open' for the open head"
        )
    return _flame_data(path, report) if _is_pickle(path) else load_pack(path)


def _is_pickle(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise Smirk3dError(f"{printable(path)}: cannot be read ({error.strerror}); check its permissions") from error
    if start[8:] == b"{":  # the JSON header of a pack, after its length
        return False
    return start[:1] in _PICKLE_STARTS and (start[:1] != b"\x80" or start[1:2] <= bytes([_HIGHEST_PROTOCOL]))


def _flame_data(path: Path, report: Callable[[str], None]) -> HeadData:
    """Return a FLAME model with all that its files do not say, from the cache where it has been completed before."""
    # The look upwards, as for the open head.
    from smirk3d.authoring.flame_completion import transfer_annotations
    from smirk3d.detection.detector import Detector
    from smirk3d.head.flame.companion_files import FlameFiles, read_mediapipe_points
    from smirk3d.head.flame.loader import read_flame

    files = FlameFiles.beside(path)
    cached = cache_dir() / "heads" / f"{_digest((path, *files.present()))}.pack"
    if cached.is_file() and (data := _load_if_whole(cached)) is not None:
        return data
    data = read_flame(path, files)
    points = None if files.mediapipe is None else read_mediapipe_points(files.mediapipe, len(data.faces))
    report(f"completing {printable(path.name)} for its first use")
    with Detector(max_faces=1) as detector:
        data = transfer_annotations(data, detector, report, points)
    save_pack(data, cached)
    return data


def _digest(paths: tuple[Path, ...]) -> str:
    """Return 16 hexadecimal digits that stand for files, their names, and the versions of what is made of them."""
    from smirk3d.authoring.flame_completion import TRANSFER_VERSION
    from smirk3d.authoring.open_head import BUILD_VERSION

    # The names count: a model without a jaw joint may be known by its name alone.
    parts = [f"{path.name} {sha256(path)}" for path in paths]
    return hashlib.sha256(
        "\n".join([TRANSFER_VERSION, BUILD_VERSION, *parts]).encode("utf-8", "surrogateescape")
    ).hexdigest()[:16]


def _load_if_whole(path: Path) -> HeadData | None:
    """Return a cached head, or None for one that is damaged or of another format, which is made anew."""
    try:
        return load_pack(path)
    except Smirk3dError:
        return None


def find_head_data(head_id: str) -> HeadData | None:
    """Find the data of a head by its identifier: in the package, then among the packs in the cache.

    Args:
        head_id: `HeadModel.id` or `HeadData.content_id`; numbers of components are ignored.

    Returns:
        The whole head, or None where there is no such pack. Packs that cannot be read are passed over.
    """
    wanted = HeadId.parse(head_id).content if HeadId.is_valid(head_id) else head_id
    for path in (find("open_head"), *sorted((cache_dir() / "heads").glob("*.pack"))):
        try:
            if read_content_id(path) == wanted:
                return load_pack(path)
        except Smirk3dError:
            continue
    return None


def open_head_path() -> Path:
    """Return where the built open head is cached."""
    return cache_dir() / "heads" / "open.pack"


def open_head_data(report: Callable[[str], None] = lambda message: None) -> HeadData:
    """Return the cached open head; build it first where it is missing or its sources have changed.

    Args:
        report: receives a line of text before each step of a build.
    """
    path = open_head_path()
    if path.is_file() and _is_current(path):
        return load_pack(path)
    return rebuild_open_head(report)


def rebuild_open_head(report: Callable[[str], None] = lambda message: None) -> HeadData:
    """Build the open head with its landmarks, cache it and return it."""
    from smirk3d.authoring.landmark_embedding import embed_landmarks
    from smirk3d.authoring.open_head import build_open_head

    # The one look upwards: landmarks need the renderer and the detector, which need a head.
    from smirk3d.detection.detector import Detector

    report("building the open head from MakeHuman's data")
    data = build_open_head()
    with Detector(max_faces=1) as detector:
        data = embed_landmarks(data, detector, report=report)
    save_pack(data, open_head_path())
    return data


def _is_current(path: Path) -> bool:
    from smirk3d.authoring.open_head import OpenHeadConfig, source_versions

    try:
        meta = read_header(path)["meta"]
    except Smirk3dError:
        return False
    wanted = source_versions(OpenHeadConfig())
    return all(meta.get(key) == value for key, value in wanted.items())
