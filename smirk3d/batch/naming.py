"""Names of output files: short where possible, and different for different inputs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from smirk3d.media.images import LISTED_SUFFIXES, EncodedPhoto, iter_inputs

OVERLAY_ENDING, NEURAL_RENDER_ENDING, EMOTIONS_ENDING = "_overlay.png", "_neural.png", "_emotions.png"


class RemotePhoto(Protocol):
    """An image that is no file of this machine: an object in a store, a member of an archive, a row of a data set."""

    @property
    def name(self) -> str:
        """What tables and errors call it, the same in every run."""
        ...

    def read(self) -> EncodedPhoto:
        """Return its content.

        Raises:
            Smirk3dError: It cannot be read.
        """
        ...


@dataclass(frozen=True)
class Job:
    """One input image.

    Attributes:
        path: As named by the user, or found below a folder that the user named.
        stem: Outputs are named `<stem>_<face>.<suffix>` below the output folder; may contain folders.
        remote: Where the image is, if it is no file of this machine.
    """

    path: Path
    stem: str
    remote: RemotePhoto | None = None

    @property
    def name(self) -> str:
        """What tables and errors call the image."""
        return os.fspath(self.path) if self.remote is None else self.remote.name

    def source(self) -> Path | EncodedPhoto:
        """Return what `Reconstructor` reads; a remote image is fetched.

        Raises:
            Smirk3dError: A remote image cannot be read.
        """
        return self.path if self.remote is None else self.remote.read()


def plan_outputs(
    inputs: Iterable[str | os.PathLike[str]],
    out_dir: Path | None = None,
    suffixes: Collection[str] = LISTED_SUFFIXES,
) -> list[Job]:
    """List the images that the inputs name, each once, with the stems of their outputs.

    The stem is the file's name without its suffix, below the folder that was named. Inputs that would share a stem
    all get a longer one: first with the suffix, then with the folders below the common folder of all inputs. A stem
    therefore does not depend on the order of the inputs.

    Args:
        inputs: Files, folders and glob patterns; see `iter_inputs`.
        out_dir: Folder for the results; images that an earlier run wrote there are no inputs.
        suffixes: Suffixes of the files that are listed of folders and patterns, in lower case.
    """
    roots: dict[str, tuple[Path, str]] = {}
    for item in inputs:
        is_folder = os.path.isdir(item)
        for path in iter_inputs([item], suffixes):
            is_named = os.path.abspath(item) == os.path.abspath(path)
            if not is_named and out_dir is not None and _is_own_output(path, out_dir):
                continue
            root = os.fspath(item) if is_folder else os.path.dirname(path)
            roots.setdefault(_file_key(path), (path, root))
    paths = [path for path, _ in roots.values()]
    return [Job(path, stem) for path, stem in zip(paths, _stems(list(roots.values())), strict=True)]


def _stems(rooted: Sequence[tuple[Path, str]]) -> list[str]:
    """Choose for each (path, root) the shortest of its candidates that no other path shares."""
    common = _common_folder([path for path, _ in rooted])
    candidates = [_candidates(path, root, common) for path, root in rooted]
    level = [0] * len(candidates)
    while True:
        chosen = [names[i] for names, i in zip(candidates, level, strict=True)]
        counts = Counter(os.path.normcase(name) for name in chosen)
        clashing = [
            k
            for k, name in enumerate(chosen)
            if counts[os.path.normcase(name)] > 1 and level[k] + 1 < len(candidates[k])
        ]
        if not clashing:
            return chosen
        for k in clashing:
            level[k] += 1


def _candidates(path: Path, root: str, common: str) -> list[str]:
    """List candidates for a stem from short to long; the last one differs for different files."""
    names = [os.path.relpath(path, root or os.curdir), os.path.relpath(os.path.abspath(path), common)]
    return [candidate for name in names for candidate in (_without_suffix(name), name)]


def _without_suffix(name: str) -> str:
    return os.path.splitext(name)[0]


def _common_folder(paths: Sequence[Path]) -> str:
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
    try:
        return os.path.commonpath(folders) if folders else os.curdir
    except ValueError:  # Windows: several drives
        return os.path.splitdrive(folders[0])[0] + os.sep


def _file_key(path: Path) -> str:
    """Return a text that is equal for paths of the same file."""
    return os.path.normcase(os.path.abspath(path))


def _is_own_output(path: Path, out_dir: Path) -> bool:
    """Return whether a path is an image that a run wrote into its folder."""
    endings = (OVERLAY_ENDING, NEURAL_RENDER_ENDING, EMOTIONS_ENDING)
    return path.name.endswith(endings) and Path(os.path.abspath(path)).is_relative_to(os.path.abspath(out_dir))
