"""Loading of heads by name or path, and the cache of the built open head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from smirk3d.assets import cache_dir
from smirk3d.errors import Smirk3dError
from smirk3d.head.data import HeadData
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import load_pack, read_header, save_pack

OPEN_HEAD = "open"


def load_head(
    head: str | Path = OPEN_HEAD, *, n_shape: int | None = None, n_expression: int | None = None
) -> HeadModel:
    """Load a head; the open head is built and cached at the first call.

    Args:
        head: "open", or the path of a pack file.
        n_shape: identity components to use, all by default. n_expression: the same for expression.

    Raises:
        Smirk3dError: there is no such file, or it is no head.
    """
    if str(head) == OPEN_HEAD:
        data = open_head_data()
    else:
        path = Path(head)
        if not path.is_file():
            raise Smirk3dError(f"{path}: no such head file; give a pack, or 'open' for the open head")
        data = load_pack(path)
    return HeadModel(data, n_shape, n_expression)


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
    from smirk3d.head.open_head import build_open_head

    # The one look upwards: landmarks need the renderer and the detector, which need a head.
    from smirk3d.pipeline.detect import Detector
    from smirk3d.pipeline.embed import embed_landmarks

    report("building the open head from MakeHuman's data")
    data = build_open_head()
    with Detector(max_faces=1) as detector:
        data = embed_landmarks(data, detector, report=report)
    save_pack(data, open_head_path())
    return data


def _is_current(path: Path) -> bool:
    from smirk3d.head.open_head import OpenHeadConfig, source_versions

    try:
        meta = read_header(path)["meta"]
    except Smirk3dError:
        return False
    wanted = source_versions(OpenHeadConfig())
    return all(meta.get(key) == value for key, value in wanted.items())
