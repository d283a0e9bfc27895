"""Linear blend skinning against chains of homogeneous matrices."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from smirk3d.head.data import JOINT_PARENTS
from smirk3d.head.skinning import linear_blend_skinning

VERTICES, JOINTS = 9, len(JOINT_PARENTS)


def random_body(seed: int, *batch: int):
    random = np.random.default_rng(seed)
    vertices = random.normal(size=(*batch, VERTICES, 3))
    joints = random.normal(size=(*batch, JOINTS, 3))
    rotmat = Rotation.from_rotvec(random.normal(size=(int(np.prod(batch)) * JOINTS, 3))).as_matrix()
    weights = random.dirichlet(np.ones(JOINTS), size=VERTICES)
    return vertices, joints, rotmat.reshape(*batch, JOINTS, 3, 3), weights


def skin(vertices, joints, rotmat, weights, parents=JOINT_PARENTS) -> np.ndarray:
    v, j, r, w = (torch.from_numpy(np.ascontiguousarray(a)) for a in (vertices, joints, rotmat, weights))
    return linear_blend_skinning(v, j, r, w, parents).numpy()


def by_matrices(vertices, joints, rotmat, weights, parents=JOINT_PARENTS) -> np.ndarray:
    """World matrix of a joint = product over its ancestors of translate, turn, translate back."""
    posed = np.zeros_like(vertices)
    for joint in range(len(parents)):
        world, ancestor = np.eye(4), joint
        while ancestor >= 0:
            to, turn, back = np.eye(4), np.eye(4), np.eye(4)
            to[:3, 3], turn[:3, :3], back[:3, 3] = joints[ancestor], rotmat[ancestor], -joints[ancestor]
            world = to @ turn @ back @ world
            ancestor = parents[ancestor]
        homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], axis=1)
        posed += weights[:, joint : joint + 1] * (homogeneous @ world.T)[:, :3]
    return posed


def test_gradients_of_skinning():
    vertices, joints, rotmat, weights = (torch.from_numpy(a).requires_grad_() for a in random_body(4, 2))
    assert torch.autograd.gradcheck(
        lambda v, j, r: linear_blend_skinning(v, j, r, weights.detach(), JOINT_PARENTS), [vertices, joints, rotmat]
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("parents", [JOINT_PARENTS, (-1, 0, 1, 2, 3), (-1, 0, 0, 0, 0)])
def test_as_products_of_matrices(seed, parents):
    body = random_body(seed)
    np.testing.assert_allclose(skin(*body, parents), by_matrices(*body, parents), atol=1e-12)


def test_any_batch_shape_is_a_loop():
    vertices, joints, rotmat, weights = random_body(1, 2, 3)
    posed = skin(vertices, joints, rotmat, weights)
    assert posed.shape == (2, 3, VERTICES, 3)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(
            posed[index], by_matrices(vertices[index], joints[index], rotmat[index], weights), atol=1e-12
        )


def test_no_rotation_moves_nothing():
    vertices, joints, _, weights = random_body(2)
    still = np.broadcast_to(np.eye(3), (JOINTS, 3, 3))
    np.testing.assert_allclose(skin(vertices, joints, still, weights), vertices, atol=1e-14)


def test_a_vertex_at_a_joint_stays_when_that_joint_rotates():
    vertices, joints, rotmat, weights = random_body(3)
    still = np.broadcast_to(np.eye(3), (JOINTS, 3, 3)).copy()
    still[2] = rotmat[2]
    vertices[4] = joints[2]
    np.testing.assert_allclose(skin(vertices, joints, still, weights)[4], joints[2], atol=1e-12)
