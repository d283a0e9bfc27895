"""Photos and videos among the inputs of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from smirk3d.batch.naming import Job
from smirk3d.batch.runner import plan_jobs
from smirk3d.errors import UsageError
from smirk3d.media.images import LISTED_SUFFIXES
from smirk3d.media.video import VIDEO_SUFFIXES


def plan_recognition(
    inputs: Iterable[str | os.PathLike[str]], out_dir: Path, own_names: tuple[str, ...] = ()
) -> list[Job]:
    """List the photos and the videos that the inputs name.

    Args:
        inputs: Files, folders (with all their subfolders) and glob patterns.
        out_dir: Folder for the results.
        own_names: Names of pictures that a run writes into `out_dir`; they are no inputs.

    Raises:
        UsageError: There are no inputs, or only folders without photos and videos.
    """
    names = list(inputs)
    own = {os.path.abspath(out_dir / name) for name in own_names} - {os.path.abspath(name) for name in names}
    jobs = plan_jobs(names, out_dir, LISTED_SUFFIXES | set(VIDEO_SUFFIXES))
    kept = [job for job in jobs if os.path.abspath(job.path) not in own]
    if not kept:
        raise UsageError("no photos and no videos among the inputs but those of an earlier run; name others")
    return kept


def is_video(job: Job) -> bool:
    """Return whether the name of a file is that of a video."""
    return job.path.suffix.lower() in VIDEO_SUFFIXES and not os.path.isdir(job.path)
