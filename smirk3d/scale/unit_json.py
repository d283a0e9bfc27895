"""Units and their counts as JSON: what travels between the driver of a run and its workers on other machines."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smirk3d.batch.naming import Job, RemotePhoto
from smirk3d.scale.dataset_photos import DatasetPhoto
from smirk3d.scale.remote_photos import FilePart, MissingPhoto
from smirk3d.scale.shard_task import UnitCounts
from smirk3d.scale.units import Unit

_PHOTO_KINDS: dict[str, type[FilePart] | type[MissingPhoto] | type[DatasetPhoto]] = {
    "file_part": FilePart,
    "missing": MissingPhoto,
    "dataset": DatasetPhoto,
}


def encode_unit(unit: Unit) -> str:
    """Return a unit as JSON in ASCII; names of files that are no UTF-8 are kept.

    Raises:
        TypeError: A photo is of a kind that has no JSON.
    """
    return json.dumps({"name": unit.name, "blocks": [[_job_fields(job) for job in block] for block in unit.blocks]})


def decode_unit(text: str) -> Unit:
    """Return the unit that `encode_unit` has written."""
    tree = json.loads(text)
    return Unit(tree["name"], tuple(tuple(_job(each) for each in block) for block in tree["blocks"]))


def encode_counts(counts: UnitCounts) -> str:
    """Return the counts of a unit as JSON in ASCII."""
    return json.dumps(asdict(counts))


def decode_counts(text: str) -> UnitCounts:
    """Return the counts that `encode_counts` has written."""
    tree = json.loads(text)
    return UnitCounts(**{**tree, "failures": tuple((name, reason) for name, reason in tree["failures"])})


def _job_fields(job: Job) -> dict[str, Any]:
    return {"path": str(job.path), "stem": job.stem, "remote": _photo_fields(job.remote)}


def _photo_fields(photo: RemotePhoto | None) -> dict[str, Any] | None:
    if photo is None:
        return None
    for kind, photo_type in _PHOTO_KINDS.items():
        if isinstance(photo, photo_type):
            return {"kind": kind, **asdict(photo)}
    raise TypeError(f"photos of the type {type(photo).__name__} cannot be sent to other machines")


def _job(tree: dict[str, Any]) -> Job:
    return Job(Path(tree["path"]), tree["stem"], _photo(tree["remote"]))


def _photo(tree: dict[str, Any] | None) -> RemotePhoto | None:
    if tree is None:
        return None
    fields = dict(tree)
    return _PHOTO_KINDS[fields.pop("kind")](**fields)
