"""The photo-textured pairs of a run: its photos, and the same photos with known changes of the expression."""

from __future__ import annotations

import logging

from smirk3d.assets import cache_dir
from smirk3d.datasets.sampler import BatchSampler
from smirk3d.datasets.sources import PhotoSource
from smirk3d.datasets.synthetic.photo_textured import PhotoTexturedFaces
from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel

SEED_OFFSET = 9
"""Keeps the random numbers of pairs apart from those of other pictures."""
_log = logging.getLogger(__name__)


def open_photo_pairs(sampler: BatchSampler, head: HeadModel, count: int, seed: int) -> PhotoTexturedFaces:
    """Open the pairs in the user's cache, and make those that are missing.

    Args:
        sampler: Its first photos with targets are changed; the pairs are as large as its crops.
        head: The open head.
        count: Number of pairs.
        seed: Of the run.

    Raises:
        Smirk3dError: The run has no photos with targets, or none of them can be changed.
    """
    sources = [each for each in sampler.sources if isinstance(each, PhotoSource) and each.table is not None]
    if not sources:
        raise Smirk3dError("photo-textured pairs need photos with targets; set data.fit_targets=true, or pairs to 0")
    faces, table, size = sources[0].faces, sources[0].table, sampler.data.size
    assert table is not None
    folder = cache_dir() / "photo_textured"
    pairs = PhotoTexturedFaces(head, faces, table, count, seed + SEED_OFFSET, size, folder=folder)
    for made in pairs.prepare():
        _log.info("photo-textured pairs: %d of %d", made, len(pairs))
    return pairs
