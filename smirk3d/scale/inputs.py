"""Inputs of a run: files, folders, patterns, lists of these in a text file, tar archives, stores, and data sets."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from smirk3d.assets import printable
from smirk3d.batch.naming import Job, plan_outputs
from smirk3d.bounded_io import one_line, open_plain, open_plain_text
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.media.images import is_image_name
from smirk3d.scale.dataset_photos import PREFIX, dataset_photos
from smirk3d.scale.remote_photos import FilePart, MissingPhoto
from smirk3d.scale.stores import is_stored, list_objects, open_store, split_address
from smirk3d.scale.tar_index import archived_files

LIST_SUFFIX, ARCHIVE_SUFFIX = ".txt", ".tar"
_LISTING_THREADS = 32
"""Archives whose headers are read at the same time; in a store each header is a request."""


def with_lists(inputs: Iterable[str]) -> tuple[str, ...]:
    """Replace each text file by its lines, which are inputs; empty lines are left out.

    Raises:
        Smirk3dError: A list cannot be read.
    """
    found: list[str] = []
    for item in inputs:
        found += _lines(item) if item.lower().endswith(LIST_SUFFIX) and os.path.isfile(item) else [item]
    return tuple(found)


def needs_fetching(item: str) -> bool:
    """Return whether an input is no file, folder or pattern of images on this machine."""
    return is_stored(item) or item.startswith(PREFIX) or item.lower().endswith(ARCHIVE_SUFFIX)


def list_jobs(inputs: Iterable[str], out_dir: Path | None = None) -> list[Job]:
    """List the photos that the inputs name, each once: files of this machine first.

    An input without photos becomes a job that fails with the reason, and so does what is damaged in an archive.

    Args:
        inputs: Files, folders and patterns, also of tar archives; text files of inputs, one a line; `s3://bucket/prefix`
            and other stores; `hf:` data sets, see `smirk3d.scale.dataset_photos`.
        out_dir: Folder for the results; see `plan_outputs`.

    Raises:
        UsageError: There are no photos.
        Smirk3dError: A list, a store or a data set cannot be read.
    """
    names = with_lists(inputs)
    jobs = plan_outputs([name for name in names if not needs_fetching(name)], out_dir)
    for item in (name for name in names if needs_fetching(name)):
        jobs += _fetched_jobs(item)
    unique = {job.name: job for job in jobs}
    if all(isinstance(job.remote, MissingPhoto) or os.path.isdir(job.path) for job in unique.values()):
        where = ", ".join(map(printable, names)) or "the command line"
        raise UsageError(f"no images in {where}; name images, folders, archives or stores that hold some")
    return list(unique.values())


def _lines(path: str) -> list[str]:
    try:
        with open_plain_text(path) as file:
            return [line.rstrip("\r\n") for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise Smirk3dError(
            f"{printable(path)}: cannot be read as a list of inputs ({one_line(error)}); write one a line, in UTF-8"
        ) from error


def _fetched_jobs(item: str) -> list[Job]:
    """Return the jobs of one input that is no plain file."""
    if item.startswith(PREFIX):
        return [Job(Path(each.name), str(each.row), each) for each in dataset_photos(item)]
    if item.lower().endswith(ARCHIVE_SUFFIX):
        jobs = _archive_jobs(_archives(item))
    else:
        jobs = [_object_job(item, *found) for found in list_objects(item) if is_image_name(found[1])]
    return jobs or [_missing(item, "holds no images; check the address")]


def _object_job(item: str, store: str, path: str, size: int) -> Job:
    prefix = split_address(item)[1].split("*")[0].rpartition("/")[0]
    stem = os.path.splitext(path.removeprefix(prefix).lstrip("/"))[0]
    name = _address(store, path)
    return Job(Path(name), stem, FilePart(name, store, path, 0, size))


def _address(store: str, path: str) -> str:
    return f"{store.partition('?')[0]}/{path}" if store else path


def _archives(item: str) -> list[tuple[str, str]]:
    """Return the store, "" for this machine, and the path of each archive that an input names."""
    if is_stored(item):
        return [(store, path) for store, path, _ in list_objects(item) if path.lower().endswith(ARCHIVE_SUFFIX)]
    return [("", path) for path in ([item] if os.path.lexists(item) else sorted(glob.glob(item, recursive=True)))]


def _archive_jobs(archives: Sequence[tuple[str, str]]) -> list[Job]:
    with ThreadPoolExecutor(_LISTING_THREADS, "smirk3d-list") as threads:
        return [job for jobs in threads.map(lambda each: list(_members(*each)), archives) for job in jobs]


def _members(store: str, path: str) -> Iterator[Job]:
    """Yield the images of an archive; a last job that fails states what is wrong with it."""
    name = _address(store, path)
    try:
        with _opened(store, path) as file:
            for each in archived_files(file):
                if is_image_name(each.name):
                    photo = FilePart(f"{name}/{each.name}", store, path, each.offset, each.size)
                    yield Job(Path(photo.name), os.path.splitext(each.name)[0], photo)
    except (OSError, ValueError, Smirk3dError) as error:
        yield _missing(name, f"is damaged or unreadable ({printable(one_line(error))}); copy it again")


def _opened(store: str, path: str) -> IO[bytes] | Any:
    if not store:
        return open_plain(path)
    file_system, base = open_store(store)
    return file_system.open_input_file(f"{base}/{path}")


def _missing(name: str, reason: str) -> Job:
    return Job(Path(name), os.path.basename(name), MissingPhoto(name, reason))
