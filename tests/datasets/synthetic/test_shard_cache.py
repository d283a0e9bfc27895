from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from smirk3d.datasets.synthetic.shard_cache import GeneratedShard, ShardCache
from smirk3d.errors import Smirk3dError

SIZE = 3


class Maker:
    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, number: int) -> GeneratedShard:
        self.made.append(number)
        pixels = np.full((SIZE, 1, 2, 2), number, np.uint8)
        return GeneratedShard(pixels, np.arange(SIZE * 2, dtype=np.float32).reshape(SIZE, 2) + 10 * number)


def cache_of(folder: Path | None, make: Maker) -> ShardCache:
    return ShardCache(folder, "set", (SIZE, 1, 2, 2), (SIZE, 2), make)


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_shard_is_made_once(is_kept: bool, tmp_path: Path) -> None:
    make = Maker()
    cache = cache_of(tmp_path if is_kept else None, make)
    pixels, truth = cache.rows(torch.tensor([4, 0, 4]))
    assert truth.tolist() == [[12, 13], [0, 1], [12, 13]] and pixels[0].mul(255).unique().tolist() == [1]
    assert list(cache.prepare(7)) == [3, 6, 7] and make.made == [1, 0, 2]
    again = Maker()
    assert torch.equal(cache_of(tmp_path, again).rows(torch.tensor([4]))[1], truth[:1])
    assert again.made == ([] if is_kept else [1])


def test_in_a_place_that_cannot_be_written_it_stays_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = cache_of(tmp_path / "file", Maker())
    assert cache.rows(torch.tensor([5]))[1].tolist() == [[14, 15]]


@pytest.mark.parametrize("what", ["pixels", "truth"])
@pytest.mark.parametrize("content", [b"cut", None])
def test_a_file_of_something_else_is_named(what: str, content: bytes | None, tmp_path: Path) -> None:
    cache_of(tmp_path, Maker()).shard(0)
    path = tmp_path / f"set_00000_{what}.npy"
    if content is None:
        np.save(path, np.zeros((1, 1), np.float32))
    else:
        path.write_bytes(content)
    with pytest.raises(Smirk3dError, match=r"set_00000_pixels\.npy: broken"):
        cache_of(tmp_path, Maker()).shard(0)
