"""Stand-ins for the tensors of torch in the pickles of head files."""

from __future__ import annotations

import io
import math

import numpy as np
import torch

from smirk3d.head.flame.array_stubs import checked_shape
from smirk3d.head.flame.bounded_unpickler import BoundedUnpickler
from smirk3d.head.flame.safe_stub import SafeStub, as_bytes

_LEGACY_STORAGE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of a legacy torch storage; the other formats of `torch.load` do not occur in head files."""
_LEGACY_PICKLES = 5
"""Magic number, version, system, the storage, and the list of storages."""


class TorchStorage(SafeStub):
    """`_load_from_bytes` of torch.

    Attributes:
        value: (N,) the numbers of the storage.
    """

    __slots__ = ("value",)

    def __new__(cls, content: object) -> TorchStorage:
        """Read the storage with the restricted reader of torch."""
        content = as_bytes(content)
        if not content.startswith(_LEGACY_STORAGE):
            raise ValueError("storage of an unknown format")
        _check_storage(content)
        storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        self = super().__new__(cls)
        self.value = torch.empty(0, dtype=storage.dtype).set_(storage)
        return self


class _StorageReader(BoundedUnpickler):
    """Reader of the pickles before the numbers of a storage, which builds nothing."""

    def __init__(self, file: io.BytesIO, n_bytes: int) -> None:
        super().__init__(file)
        self._n_bytes = n_bytes

    def find_class(self, module: str, name: str) -> type:
        """Return a stub of any name."""
        return SafeStub

    def persistent_load(self, pid: tuple) -> None:
        """Refuse a storage that is larger than the file."""
        if not isinstance(pid[4], int) or pid[4] > self._n_bytes:
            raise ValueError("storage larger than the file")


def _check_storage(content: bytes) -> None:
    """Read the pickles of a legacy storage before torch does, which would allocate whatever they state."""
    stream = io.BytesIO(content)
    for _ in range(_LEGACY_PICKLES):
        _StorageReader(stream, len(content)).load()


class TorchTensor(SafeStub):
    """`_rebuild_tensor_v2` of torch: a tensor, converted to an array."""

    __slots__ = ()

    def __new__(cls, storage: TorchStorage, offset: int, size: tuple, stride: tuple, *ignored: object) -> np.ndarray:  # type: ignore[misc]
        """Make the array; torch validates that it lies within the storage."""
        flat = storage.value
        # Strides of 0 would make a huge array of a few numbers.
        if math.prod(checked_shape(size)) > len(flat):
            raise ValueError("tensor larger than its storage")
        return flat.as_strided(tuple(size), tuple(stride), offset).clone().numpy()
