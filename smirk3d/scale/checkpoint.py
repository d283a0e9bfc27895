"""What an interrupted run has finished, by the names of the photos, and the settings that go with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from smirk3d.assets import printable
from smirk3d.errors import UsageError
from smirk3d.scale.parquet_shards import SUFFIX, images_of_shard
from smirk3d.scale.result_folder import ResultFolder

SETTINGS_NAME = "_settings.json"
"""Readers of Parquet folders leave out names that begin with an underscore."""
_MAX_SETTINGS_BYTES = 1 << 20
_READING_THREADS = 16


def claim(folder: ResultFolder, settings: Mapping[str, object], resume: bool) -> list[str]:
    """Refuse to mix runs with different settings, store the settings, and return the names of the files.

    Args:
        folder: Of the results.
        settings: What the rows depend on besides the photos, as JSON.
        resume: The folder may have results.

    Raises:
        UsageError: The folder has results and `resume` is not set, or they were made with other settings.
        Smirk3dError: The folder cannot be read or written.
    """
    own = json.dumps(settings, indent=1, sort_keys=True).encode("ascii") + b"\n"
    names = folder.names()
    is_occupied = any(name.endswith(SUFFIX) for name in names)
    if is_occupied and not resume:
        raise UsageError(f"{printable(str(folder))}: has shards already; add --resume or choose another --out")
    if is_occupied and (SETTINGS_NAME not in names or folder.read(SETTINGS_NAME, _MAX_SETTINGS_BYTES) != own):
        raise UsageError(
            f"{printable(str(folder))}/{SETTINGS_NAME}: the shards there were made with other settings; use the same, "
            "or another --out"
        )
    folder.write(SETTINGS_NAME, own)
    return names


def finished_images(folder: ResultFolder, shards: Sequence[str]) -> set[str]:
    """Return the names of the photos of shards.

    Raises:
        Smirk3dError: A shard cannot be read.
    """
    with ThreadPoolExecutor(_READING_THREADS, "smirk3d-resume") as threads:
        return {name for names in threads.map(lambda each: images_of_shard(folder, each), shards) for name in names}
