"""The bias of the detector's landmarks on photos against renderings, along the contour of the face.

`smirk3d.authoring.landmark_embedding` finds the places of the landmarks on a mesh from renderings of that mesh. On
cheeks, jaw and forehead the detected landmarks scatter widely there, and those on the outline of a face are excluded.
The mean residuals of fits to thousands of photos correct these places (`smirk3d.train.recipes.landmark_bias`).
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
    """Write the bias.

    Args:
        offset: (478, 3), see `load_landmark_bias`.
        path: The file, .safetensors.
        meta: Description for the header of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({_TENSOR: offset.contiguous()}, metadata={"about": json.dumps(meta)}))


def load_landmark_bias(path: Path | None = None) -> Tensor:
    """Read the bias.

    Args:
        path: The file; None for the one that comes with the package.

    Returns:
        (478, 3) float32 offsets from the places that renderings give, head frame, in units of the distance between
        the outer eye corners; zero for landmarks that renderings place reliably.

    Raises:
        Smirk3dError: The file is missing or damaged.
    """
    path = find("landmark_bias") if path is None else path
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor(_TENSOR).float()
    except (OSError, SafetensorError) as error:
        raise Smirk3dError(f"{path}: cannot be read as landmark offsets ({error}); reinstall smirk3d") from error
