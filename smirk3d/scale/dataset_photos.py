"""Photos of a data set of the package `datasets`, from its cache on this machine; nothing is downloaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.media.images import EncodedPhoto

PREFIX = "hf:"
_DEFAULT_SPLIT = "train"


@dataclass(frozen=True)
class DatasetPhoto:
    """A row of a data set.

    Attributes:
        dataset: As named by the user, `hf:NAME`, `hf:NAME:SPLIT` or `hf:NAME:CONFIGURATION:SPLIT`; or the folder of a
            data set that was saved to disk, `hf:FOLDER`.
        row: Number of the row from 0.
    """

    dataset: str
    row: int

    @property
    def name(self) -> str:
        """See `smirk3d.batch.naming.RemotePhoto`."""
        return f"{self.dataset}/{self.row}"

    def read(self) -> EncodedPhoto:
        """See `smirk3d.batch.naming.RemotePhoto`."""
        rows, column = _opened(self.dataset)
        try:
            image = rows[self.row][column]
            content = image["bytes"]
            if content is None:
                with open(image["path"], "rb") as file:
                    content = file.read()
        except Exception as error:  # the package raises anything
            raise Smirk3dError(f"cannot read {printable(self.name)}: {printable(one_line(error))}") from error
        return EncodedPhoto(self.name, content)


def dataset_photos(dataset: str) -> list[DatasetPhoto]:
    """Return the photos of a data set.

    Args:
        dataset: As for `DatasetPhoto`.

    Raises:
        Smirk3dError: The package `datasets` is not installed, or the data set is not in its cache.
        UsageError: The data set has no images.
    """
    rows, _ = _opened(dataset)
    return [DatasetPhoto(dataset, k) for k in range(len(rows))]


@lru_cache(maxsize=8)
def _opened(dataset: str) -> tuple[Any, str]:
    """Return the rows of a data set, images as encoded bytes, and the column of the images."""
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        datasets: Any = import_module("datasets")
    except ImportError as error:
        raise Smirk3dError(f"{printable(dataset)}: needs the package datasets; pip install datasets") from error
    try:
        rows = _loaded(datasets, dataset.removeprefix(PREFIX))
    except UsageError:
        raise
    except Exception as error:  # the package raises anything
        raise Smirk3dError(
            f"{printable(dataset)}: is not in the cache of the package datasets ({printable(one_line(error))}); "
            "load it once with datasets.load_dataset where there is a network"
        ) from error
    columns = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    if not columns:
        raise UsageError(f"{printable(dataset)}: has no column of images")
    return rows.cast_column(columns[0], datasets.Image(decode=False)).select_columns(columns[:1]), columns[0]


def _loaded(datasets: Any, name: str) -> Any:
    if os.path.isdir(name):
        loaded = datasets.load_from_disk(name)
        return loaded[_DEFAULT_SPLIT] if isinstance(loaded, datasets.DatasetDict) else loaded
    parts = name.split(":")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise UsageError(f"hf:{printable(name)}: write hf:NAME, hf:NAME:SPLIT or hf:NAME:CONFIGURATION:SPLIT")
    split = parts[-1] if len(parts) > 1 else _DEFAULT_SPLIT
    return datasets.load_dataset(parts[0], parts[1] if len(parts) == 3 else None, split=split)
