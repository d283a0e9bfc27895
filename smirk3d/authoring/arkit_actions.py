"""The blendshapes of the open head with the meaning of Apple's: amplitudes, lids and lips that close, gaze, tongue."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from smirk3d.authoring.action_reshaping import reshape_actions
from smirk3d.authoring.contact_pairs import find_contact_pairs, find_lid_closure, with_contact
from smirk3d.authoring.coupled_parts import couple_lip_lining
from smirk3d.authoring.lids import closing_blink, enclosing_sphere
from smirk3d.authoring.lips import close_seam
from smirk3d.authoring.openings import Openings
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.data import HeadData

GAZE_DEG = {"eyeLookUp": 18.0, "eyeLookDown": 19.0, "eyeLookIn": 22.0, "eyeLookOut": 22.0}
"""Rotation of an eye at weight 1. Apple's face geometry has no eyes; these lie within 25 % of the median of public
characters with ARKit blendshapes and of what most web avatars do (23 to 26)."""
TONGUE_GAIN = 1.08
"""Factor on the motion of the tongue, after which its tip passes the lower lip as far as on those characters."""
_FLIP = (-1.0, 1.0, 1.0)


def calibrate_actions(data: HeadData, openings: Openings) -> HeadData:
    """Return the open head with closed neutral lips, calibrated blendshapes, and contact of lids and lips.

    Args:
        data: The open head with MakeHuman's blendshapes, symmetric.
        openings: Its loops around eyes and mouth.
    """
    mirror = data.mirror_vertices
    assert mirror is not None
    mean, shapedirs = close_seam(openings.mouth, data.v_template, data.shapedirs)
    data = replace(data, v_template=mean, shapedirs=couple_lip_lining(openings.mouth, shapedirs))
    offsets = reshape_actions(data, openings).permute(2, 0, 1)
    offsets[ARKIT_NAMES.index("tongueOut"), data.regions["tongue"]] *= TONGUE_GAIN
    blink, upper_share = _blink(data, openings)
    offsets[ARKIT_NAMES.index("eyeBlinkLeft")] = blink
    offsets = _symmetric(offsets, mirror)
    offsets[:, data.regions["eyeballs"]] = 0.0
    pairs = find_contact_pairs(openings, mean, upper_share)
    offsets, pairs = with_contact(offsets, pairs, mean)
    return replace(
        data,
        expressiondirs=offsets.permute(1, 2, 0).contiguous(),
        expression_rotvec=_gaze(data.expression_rotvec),
        eyelid_dirs=torch.stack([offsets[ARKIT_NAMES.index(f"eyeBlink{s}")] for s in ("Left", "Right")], dim=-1),
        lid_closure=find_lid_closure(openings, mean, upper_share),
        contacts=pairs,
    )


def _blink(data: HeadData, openings: Openings) -> tuple[Tensor, Tensor]:
    """Return the blink (V, 3) of the left eye and the share of the upper lid along its edge."""
    eyeball = enclosing_sphere(data.v_template[data.regions["left_eyeball"]])
    blink = data.expressiondirs[..., ARKIT_NAMES.index("eyeBlinkLeft")]
    return closing_blink(openings.left_eye, blink, data.v_template, eyeball)


def _symmetric(offsets: Tensor, mirror: Tensor) -> Tensor:
    """Return offsets (52, V, 3) with exact mirror symmetry; right blendshapes are the mirror images of left ones."""
    partner = torch.tensor(ARKIT_MIRROR)
    mirrored = offsets[partner][:, mirror] * offsets.new_tensor(_FLIP)
    is_right = torch.tensor([name.endswith("Right") for name in ARKIT_NAMES])
    is_own = partner == torch.arange(len(partner))
    both = (offsets + mirrored) / 2
    result = torch.where(is_right[:, None, None], mirrored, offsets)
    return torch.where(is_own[:, None, None], both, result)


def _gaze(rotvec: Tensor) -> Tensor:
    """Return the rotation vectors (E, J, 3) of the gaze, with the angles of `GAZE_DEG`."""
    result = rotvec.clone()
    for name in GAZE_NAMES:
        row = ARKIT_NAMES.index(name)
        angle = torch.deg2rad(torch.tensor(GAZE_DEG[name.removesuffix("Left").removesuffix("Right")]))
        result[row] = rotvec[row] / rotvec[row].norm() * angle
    return result
