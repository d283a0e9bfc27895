"""The network of visibility: mirror images, its file, and damaged files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from smirk3d.errors import Smirk3dError
from smirk3d.networks.half_file import save_half
from smirk3d.networks.visibility import (
    GRID_SIZE,
    MIRRORED_REGION,
    N_REGIONS,
    VisibilityNetwork,
    load_visibility_network,
)


def network() -> VisibilityNetwork:
    torch.manual_seed(0)
    return VisibilityNetwork().train(False)


@torch.no_grad()
def test_sides_of_a_mirrored_patch_are_exchanged() -> None:
    patches = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    own, mirrored = network().region_logits(patches), network().region_logits(patches.flip(3))
    assert own.shape == (2, N_REGIONS)
    torch.testing.assert_close(mirrored, own[:, list(MIRRORED_REGION)], rtol=0, atol=1e-6)
    regions, grid = network()(patches)
    assert regions.shape == (2, N_REGIONS) and grid.shape == (2, GRID_SIZE, GRID_SIZE)


@torch.no_grad()
def test_a_saved_network_is_the_same_in_half_precision(tmp_path: Path) -> None:
    path, patches = tmp_path / "new" / "v.safetensors", torch.randn(1, 3, 64, 64)
    save_half(network(), path, {"made_by": "a test"})
    loaded = load_visibility_network(path)
    assert not loaded.training and path.stat().st_size < 1_000_000
    torch.testing.assert_close(loaded.region_logits(patches), network().region_logits(patches), rtol=0, atol=0.02)


@pytest.mark.parametrize("content", [b"", b"nothing of this kind", None])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "v.safetensors"
    if content is None:
        save_file({"other": torch.zeros(3)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(Smirk3dError, match=r"v\.safetensors: cannot be read .* reinstall smirk3d") as caught:
        load_visibility_network(path)
    assert "\n" not in str(caught.value)
