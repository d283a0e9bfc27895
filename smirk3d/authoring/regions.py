"""Vertex masks of the open head's regions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smirk3d.authoring.makehuman import MakeHuman
from smirk3d.head.data import JOINT_NAMES


def head_regions(source: MakeHuman, mirror: Tensor) -> dict[str, Tensor]:
    """Return name -> (V,) bool masks, symmetric except for names that start with left or right.

    Regions of the skin: face, lips, nose, forehead, left/right_eye_region and eye_regions, ears, neck, scalp.
    Others: left/right_eyeball and eyeballs, eyes (eyeballs and lids), mouth_interior and in it tongue,
    lower_teeth, upper_teeth; eye_sockets behind the lids.

    Sources: masks painted in MakeHuman's texture space, parts of its mesh, and the reach of its targets.
    """
    masks = _part_masks(source)
    skin = masks.pop("skin")
    weights = source.joint_weights(JOINT_NAMES)
    ears = skin & (source.uv_mask("ears") > 0.5)
    lids = skin & (source.uv_mask("eyelids") > 0.5)
    lips = skin & (source.uv_mask("lips") > 0.5)
    neck = skin & (weights[:, JOINT_NAMES.index("root")] > 0.3)
    reach = _influence_masks(source)
    vertices = source.head_vertices()
    left = vertices[:, 0] > 0
    face = skin & ~ears & ~neck & (source.uv_mask("face") > 0.5)
    # What is left of the skin is hair above the middle of the ears and throat below.
    rest = skin & ~ears & ~neck & ~face
    above = vertices[:, 1] > vertices[ears, 1].mean()
    eye_regions = face & (lids | reach["eyes"])
    masks |= {
        "face": face,
        "lips": lips,
        "nose": face & reach["nose"] & ~eye_regions & ~lips,
        "forehead": face & reach["forehead"] & ~eye_regions & ~reach["nose"],
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
    """Return the masks that follow from the parts of the mesh."""
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
    """Return where the local changes of the eyes, nose and forehead move the skin by more than 2 mm."""
    reach = {}
    for name in ("eyes", "nose", "forehead"):
        offsets = [side for pair in source.local_targets((name,)).values() for side in pair]
        reach[name] = np.stack([np.linalg.norm(side, axis=1) for side in offsets]).max(0) > 0.002
    return reach


def _symmetric(name: str, mask: Tensor, mirror: Tensor) -> Tensor:
    return mask if name.startswith(("left", "right")) else mask | mask[mirror]
