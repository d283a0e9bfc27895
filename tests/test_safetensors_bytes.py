"""Equal tensors and remarks give equal bytes, which other readers take."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load

from smirk3d.safetensors_bytes import to_safetensors

TENSORS = {"b": torch.arange(5.0), "ä": torch.zeros(2, 3, dtype=torch.int64), "half": torch.ones(3).half()}
REMARKS = {name: f"{name} ü" for name in ("zebra", "a", "some", "more", "of", "them")}


def test_bytes_depend_on_the_content_alone() -> None:
    first, *others = [to_safetensors(TENSORS, dict(sorted(REMARKS.items(), reverse=k % 2 == 0))) for k in range(6)]
    assert all(other == first for other in others)


def test_tensors_and_remarks_come_back() -> None:
    content = to_safetensors(TENSORS, REMARKS)
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0 and json.loads(content[8 : 8 + length])["__metadata__"] == REMARKS
    found = load(content)
    assert found.keys() == TENSORS.keys()
    assert all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in TENSORS.items()
    )
