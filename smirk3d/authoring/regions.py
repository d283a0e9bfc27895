"""Vertex masks of the regions of the open head."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smirk3d.authoring.makehuman import MakeHuman
from smirk3d.head.data import JOINT_NAMES


def head_regions(source: MakeHuman, mirror: Tensor) -> dict[str, Tensor]:
    """Return the regions of the head as vertex masks.

    Regions of the skin: face, lips, nose, forehead, left_eye_region, right_eye_region and eye_regions, ears, neck,
    scalp.
    Others: left_eyeball, right_eyeball and eyeballs, eyes (eyeballs and lids), mouth_interior and in it tongue,
    lower_teeth, upper_teeth; eye_sockets behind the lids.

    They follow from masks in MakeHuman's texture space, the parts of its mesh and the support of its targets.

    Args:
        source: The MakeHuman data.
        mirror: (V,) int64 partner of each vertex in the mirrored head.

    Returns:
        Name -> (V,) bool mask, symmetric except for names that start with left or right.
    """
    masks = _part_masks(source)
    skin = masks.pop("skin")
    weights = source.joint_weights(JOINT_NAMES)
    ears = skin & (source.uv_mask("ears") > 0.5)
    lids = skin & (source.uv_mask("eyelids") > 0.5)
    lips = skin & (source.uv_mask("lips") > 0.5)
    neck = skin & (weights[:, JOINT_NAMES.index("root")] > 0.3)
    influence = _influence_masks(source)
    vertices = source.head_vertices()
    left = vertices[:, 0] > 0
    face = skin & ~ears & ~neck & (source.uv_mask("face") > 0.5)
    # The remaining skin is scalp above the centre of the ears and throat below it.
    rest = skin & ~ears & ~neck & ~face
    above = vertices[:, 1] > vertices[ears, 1].mean()
    eye_regions = face & (lids | influence["eyes"])
    masks |= {
        "face": face,
        "lips": lips,
        "nose": face & influence["nose"] & ~eye_regions & ~lips,
        "forehead": face & influence["forehead"] & ~eye_regions & ~influence["nose"],
        "eye_regions": eye_regions,
        "left_eye_region": eye_regions & left,
        "right_eye_region": eye_regions & ~left,
        "eyes": masks["eyeballs"] | lids,
        "ears": ears,
        "neck": neck | (rest & ~above),
        "scalp": rest & above,
    }
    return {name: _symmetric(name, torch.from_numpy(mask), mirror) for name, mask in masks.items()}


def _part_masks(source: MakeHuman) -> dict[str, np.ndarray]:
    """Return the masks of the parts of the mesh."""
    topology = source.topology
    parts = {
        "skin": ("head",),
        "eye_sockets": ("eye_cavity.L", "eye_cavity.R"),
        "left_eyeball": ("helper-l-eye",),
        "right_eyeball": ("helper-r-eye",),
        "eyeballs": ("helper-l-eye", "helper-r-eye"),
        "tongue": ("helper-tongue", "tongue"),
        "lower_teeth": ("helper-lower-teeth",),
        "upper_teeth": ("helper-upper-teeth",),
        "mouth_interior": (
            "mouth_cavity",
            "helper-tongue",
            "tongue",
            "helper-lower-teeth",
            "helper-upper-teeth",
        ),
    }
    masks = {}
    for name, members in parts.items():
        mask = np.zeros(len(topology.body_index), dtype=bool)
        mask[topology.faces[np.isin(topology.part, members)]] = True
        masks[name] = mask
    return masks


def _influence_masks(source: MakeHuman) -> dict[str, np.ndarray]:
    """Return the vertices (V,) bool that the local targets of eyes, nose and forehead move by more than 2 mm."""
    influence = {}
    for name in ("eyes", "nose", "forehead"):
        offsets = [side for pair in source.local_targets((name,)).values() for side in pair]
        influence[name] = np.stack([np.linalg.norm(side, axis=1) for side in offsets]).max(0) > 0.002
    return influence


def _symmetric(name: str, mask: Tensor, mirror: Tensor) -> Tensor:
    return mask if name.startswith(("left", "right")) else mask | mask[mirror]
