"""How the detector marks photos otherwise than rendered heads: along the contour, where it can only guess.

`smirk3d.authoring.landmark_embedding` finds where the points lie on a mesh from pictures of that mesh. On the cheeks, the jaw and
the forehead these marks spread widely, and marks at the very rim of a face are left out of them. What the fits to
thousands of photos still miss on average says where such points belong (`smirk3d.train.recipes.landmark_bias`).
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from smirk3d.assets import atomic_path
from smirk3d.errors import Smirk3dError
from smirk3d.zoo.registry import find

_TENSOR = "offset"


def save_landmark_bias(offset: Tensor, path: Path, meta: dict[str, str]) -> None:
    """Write offsets, see `load_landmark_bias`, with a description in the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({_TENSOR: offset.contiguous()}, metadata={"about": json.dumps(meta)}))


def load_landmark_bias(path: Path | None = None) -> Tensor:
    """Read how far points lie from where pictures of a mesh put them; without a path the package's own file.

    Returns:
        (478, 3) float32, head frame, in distances of the outer eye corners; zero for points that are seen well.

    Raises:
        Smirk3dError: The file is missing or damaged.
    """
    path = find("landmark_bias") if path is None else path
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(_TENSOR).float()
    except (OSError, SafetensorError) as error:
        raise Smirk3dError(f"{path}: cannot be read as landmark offsets ({error}); reinstall smirk3d") from error
