"""Pseudo-targets that training fits by itself, kept in the cache."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from smirk3d.assets import cache_dir, check_writable, make_folder, printable, warn_of_cache
from smirk3d.datasets.blendshape_pseudo_targets import blend_blendshape_scores
from smirk3d.datasets.prepared_cache import locked
from smirk3d.datasets.pseudo_targets import TargetTable, fit_targets, join_targets, records_of, with_depth
from smirk3d.datasets.shards import DataError, Record
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel

LINE_EVERY_FACES = 1024
_log = logging.getLogger(__name__)


def fitted_targets(folder: Path, head: HeadModel) -> TargetTable:
    """Return the targets of all faces of a folder of shards, as `smirk3d data targets` makes them.

    They are fitted at the first use and read from the cache afterwards, as long as head and faces are the same. Of an
    interrupted fit nothing is kept.

    Args:
        folder: Folder of shards.
        head: Head model, on the CPU.

    Raises:
        Smirk3dError: No face can be fitted.
    """
    faults: list[DataError] = []
    records = list(with_depth(folder, records_of(folder, "all", faults.append), faults.append))
    if not records:
        raise Smirk3dError(f"{printable(folder)}: no face can be fitted; prepare it again with smirk3d data prepare")
    path = cache_dir() / "targets" / f"{_digest(records, head)}.npz"
    try:
        make_folder(path.parent)
        check_writable(path)
    except Smirk3dError as error:
        warn_of_cache(error)
        return _fitted(records, head)
    with locked(path.parent):
        if not path.is_file():
            _log.info("%s: fitting the targets of %d faces", printable(folder), len(records))
            _fitted(records, head).save(path)
    return TargetTable.load(path, head)


def _fitted(records: list[Record], head: HeadModel) -> TargetTable:
    tables, count, logged = [], 0, 0
    for table in fit_targets(head, records):
        tables.append(table)
        count += len(table)
        if count - logged >= LINE_EVERY_FACES:
            logged = count
            _log.info("fitted targets: %d of %d", count, len(records))
    joined = join_targets(tables)
    if tuple(head.expression_names) != ARKIT_NAMES:
        return joined
    return blend_blendshape_scores(joined, {record.key: record.scores for record in records})


def _digest(records: list[Record], head: HeadModel) -> str:
    digest = hashlib.sha256(repr(sorted((record.key, record.person) for record in records)).encode())
    for record in sorted(records, key=lambda record: record.key):
        digest.update(record.landmarks_px.tobytes())
    for name, tensor in sorted(head.named_buffers()):
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
