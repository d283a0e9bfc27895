"""Generated pictures with ground truth, made shard by shard at their first use and kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smirk3d.assets import atomic_path, make_folder, printable, warn_of_cache
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError


@dataclass(frozen=True, eq=False)
class GeneratedShard:
    """Pictures with ground truth.

    Attributes:
        pixels: (N, ...) uint8.
        truth: (N, D) float32, numbers of each picture side by side.
    """

    pixels: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, eq=False)
class ShardCache:
    """The shards of a set.

    Attributes:
        folder: Folder in which they are kept between runs; None: in memory.
        prefix: Beginning of the files' names, which depends on all that determines the content.
        pixels_shape: Shape of a shard's `pixels`.
        truth_shape: Shape of its `truth`.
        make: Makes the shard of a number.
    """

    folder: Path | None
    prefix: str
    pixels_shape: tuple[int, ...]
    truth_shape: tuple[int, int]
    make: Callable[[int], GeneratedShard]
    _shards: dict[int, GeneratedShard] = field(default_factory=dict)

    def shard(self, number: int) -> GeneratedShard:
        """Return a shard, made or read as needed.

        Raises:
            Smirk3dError: Its files are not what was written there.
        """
        if number not in self._shards:
            self._shards[number] = self._stored(number, self.folder) if self.folder else self.make(number)
        return self._shards[number]

    def prepare(self, count: int) -> Iterator[int]:
        """Make what the first `count` pictures lack; yields their number after each shard."""
        size = self.truth_shape[0]
        for number in range(-(-count // size)):
            self.shard(number)
            yield min((number + 1) * size, count)

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pictures (K, ...) float32 in [0, 1] and the truth (K, D) at an index (K,) int64."""
        size = self.truth_shape[0]
        places = [(self.shard(k // size), k % size) for k in index.tolist()]
        pixels = torch.from_numpy(np.stack([shard.pixels[row] for shard, row in places])).float() / 255
        return pixels, torch.from_numpy(np.stack([shard.truth[row] for shard, row in places]))

    def _stored(self, number: int, folder: Path) -> GeneratedShard:
        """Open a shard, making it where it is missing; where it cannot be written, it stays in memory."""
        paths = [folder / f"{self.prefix}_{number:05d}_{what}.npy" for what in ("pixels", "truth")]
        if not all(path.is_file() for path in paths):
            shard = self.make(number)
            try:
                make_folder(folder)
                for path, values in zip(paths, (shard.pixels, shard.truth)):
                    with atomic_path(path) as temporary:
                        np.save(temporary, values)
            except Smirk3dError as error:  # such as a full disk
                warn_of_cache(error)
                return shard
        try:
            shard = GeneratedShard(*(np.load(path, mmap_mode="r", allow_pickle=False) for path in paths))
            self._check(shard)
        except (OSError, ValueError, EOFError) as error:
            raise Smirk3dError(
                f"{printable(paths[0])}: broken ({printable(one_line(error))}); delete it and its truth"
            ) from error
        return shard

    def _check(self, shard: GeneratedShard) -> None:
        """Raise `ValueError` where arrays are not those of a shard of this set."""
        wanted = (self.pixels_shape, np.uint8), (self.truth_shape, np.float32)
        for values, (shape, dtype) in zip((shard.pixels, shard.truth), wanted):
            if values.shape != shape or values.dtype != dtype:
                raise ValueError(f"{values.dtype} of {values.shape}")
