"""Safetensors files that depend on their content alone: the library orders their remarks by chance."""

from __future__ import annotations

import json
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor

_LENGTH_BYTES = 8
_ALIGNMENT = 8


def to_safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a file of the format safetensors; equal tensors and remarks give equal bytes.

    Args:
        tensors: Contiguous tensors on the CPU.
        metadata: Remarks.
    """
    content = memoryview(save(dict(tensors), metadata=dict(metadata)))
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = json.loads(bytes(content[_LENGTH_BYTES:start]))
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT)  # the tensors that follow are aligned
    return b"".join([len(text).to_bytes(_LENGTH_BYTES, "little"), text, content[start:]])
