"""The complete list of names to which the pickle of a head file may refer, besides the classes of chumpy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from smirk3d.head.flame.array_stubs import ArrayClass, DType, NumpyFromBuffer, NumpyReconstruct, NumpyScalar
from smirk3d.head.flame.safe_stub import (
    CopyregReconstructor,
    Encode,
    NoBytes,
    ObjectClass,
    SafeFrozenSet,
    SafeOrderedDict,
    SafeSet,
)
from smirk3d.head.flame.sparse_stubs import SparseColumns, SparseList, SparseRows
from smirk3d.head.flame.torch_stubs import TorchStorage, TorchTensor


def _allowed() -> Mapping[tuple[str, str], type]:
    table: dict[tuple[str, str], type] = {
        ("collections", "OrderedDict"): SafeOrderedDict,
        ("numpy", "ndarray"): ArrayClass,
        ("numpy", "dtype"): DType,
        ("_codecs", "encode"): Encode,
        ("torch._utils", "_rebuild_tensor_v2"): TorchTensor,
        ("torch.storage", "_load_from_bytes"): TorchStorage,
    }
    for builtins in ("builtins", "__builtin__"):
        names = {"set": SafeSet, "frozenset": SafeFrozenSet, "object": ObjectClass, "bytes": NoBytes}
        table |= {(builtins, name): kind for name, kind in names.items()}
    for module in ("copyreg", "copy_reg"):
        table[module, "_reconstructor"] = CopyregReconstructor
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = NumpyReconstruct
        table[f"{core}.multiarray", "scalar"] = NumpyScalar
        table[f"{core}.numeric", "_frombuffer"] = NumpyFromBuffer
    for name, kind in (("csc", SparseColumns), ("csr", SparseRows), ("coo", SparseList)):
        for module in (name, f"_{name}", "_arrays"):
            table |= {(f"scipy.sparse.{module}", f"{name}_{what}"): kind for what in ("matrix", "array")}
    return MappingProxyType(table)


ALLOWED = _allowed()
"""(module, name) -> its stub: all names to which a head file may refer."""
