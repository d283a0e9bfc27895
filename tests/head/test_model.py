"""What every head does, whatever its mesh: stages, batches, oracle, gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from head_oracle import at, oracle, random_params
from scipy.spatial.transform import Rotation

from smirk3d.head.model import ExpressedHead, HeadModel
from smirk3d.params import FaceParams


def test_zero_coefficients_give_the_template(any_head):
    for params in (FaceParams(), any_head.spec.zeros()):
        torch.testing.assert_close(any_head(params).vertices, any_head.v_template, atol=1e-7, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_as_the_oracle(any_head, seed):
    params = random_params(any_head, seed=seed)
    assert params.pose is not None and params.neck is not None
    vertices, joints = oracle(any_head, params)
    mesh = any_head(params)
    np.testing.assert_allclose(mesh.vertices.numpy(), vertices, atol=2e-6)
    np.testing.assert_allclose(mesh.joints.numpy(), joints, atol=2e-6)
    skull = Rotation.from_rotvec(params.pose.numpy()) * Rotation.from_rotvec(params.neck.numpy())
    np.testing.assert_allclose(mesh.rotation_rotmat.numpy(), skull.as_matrix(), atol=2e-6)


@pytest.mark.parametrize("batch", [(1,), (3,), (2, 3)])
def test_any_batch_is_a_loop(any_head, batch):
    params = random_params(any_head, *batch)
    mesh = any_head(params)
    landmarks = mesh.landmarks("ibug68_static")
    assert mesh.vertices.shape == (*batch, len(any_head.v_template), 3)
    assert mesh.joints.shape == (*batch, 5, 3) and mesh.rotation_rotmat.shape == (*batch, 3, 3)
    for index in np.ndindex(*batch):
        one = any_head(at(params, index))
        torch.testing.assert_close(mesh.vertices[index], one.vertices, atol=1e-6, rtol=0)
        torch.testing.assert_close(mesh.rotation_rotmat[index], one.rotation_rotmat)
        torch.testing.assert_close(landmarks[index], one.landmarks("ibug68"), atol=1e-6, rtol=0)


def test_fields_of_different_batches_are_broadcast(any_head):
    shape = torch.randn(2, 1, any_head.n_shape, generator=torch.Generator().manual_seed(0))
    pose = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    mesh = any_head(FaceParams(shape=shape, pose=pose))
    assert mesh.vertices.shape[:2] == (2, 3)
    one = any_head(FaceParams(shape=shape[1, 0], pose=pose[2]))
    torch.testing.assert_close(mesh.vertices[1, 2], one.vertices, atol=1e-6, rtol=0)


def test_an_empty_batch_gives_an_empty_mesh(any_head):
    assert any_head(any_head.spec.zeros(0)).vertices.shape == (0, len(any_head.v_template), 3)


def test_stages_build_on_one_another(any_head):
    params = random_params(any_head)
    shaped = any_head.shaped(params.shape)
    expressed = any_head.expressed(shaped, params)
    torch.testing.assert_close(any_head.posed(expressed, params).vertices, any_head(params).vertices)
    # The first stages are linear.
    assert params.shape is not None
    double = any_head.shaped(2 * params.shape).vertices - any_head.v_template
    torch.testing.assert_close(double, 2 * (shaped.vertices - any_head.v_template), atol=1e-6, rtol=1e-4)


def test_joints_follow_whatever_vertices_are_posed(any_head):
    vertices = torch.randn(2, *any_head.v_template.shape, generator=torch.Generator().manual_seed(0))
    expression = torch.zeros(any_head.n_expression)
    mesh = any_head.posed(ExpressedHead(vertices, expression), FaceParams(pose=torch.tensor([0.1, 0.2, 0.3])))
    torch.testing.assert_close(mesh.joints, any_head.J_regressor @ vertices, atol=1e-6, rtol=0)
    # The root joint is where its own rotation leaves it.
    rotmat, root = mesh.rotation_rotmat, mesh.joints[:, :1]
    if any_head.posedirs is None:
        torch.testing.assert_close(mesh.vertices, (vertices - root) @ rotmat.mT + root, atol=1e-5, rtol=0)


def test_directions_equal_the_data_and_are_component_major_in_memory(any_head):
    # One head is a sum of rows, so rows that are not contiguous would make it slow without a word.
    for head in (any_head, HeadModel(any_head.data).double(), HeadModel(any_head.data, n_shape=2)):
        data = any_head.data
        torch.testing.assert_close(head.shapedirs, data.shapedirs[..., : head.n_shape].to(head.shapedirs.dtype))
        torch.testing.assert_close(head.expressiondirs, data.expressiondirs.to(head.shapedirs.dtype))
        for directions in (head.shapedirs, head.expressiondirs, head.posedirs, head.eyelid_dirs):
            assert directions is None or directions.permute(2, 0, 1).is_contiguous()


def test_no_stage_returns_the_template_tensor_itself(any_head):
    template = any_head.v_template.clone()
    for vertices in (any_head.shaped(None).vertices, any_head(FaceParams()).vertices):
        vertices.add_(1)
        assert torch.equal(any_head.v_template, template)


def test_shorter_vectors_stand_for_trailing_zeros(any_head):
    params = random_params(any_head, 2)
    assert params.shape is not None and params.expression is not None
    short = params.replace(shape=params.shape[..., :3], expression=params.expression[..., :2])
    padded = params.replace(shape=params.shape.clone(), expression=params.expression.clone())
    padded.shape[..., 3:], padded.expression[..., 2:] = 0, 0  # type: ignore[index]
    torch.testing.assert_close(any_head(short).vertices, any_head(padded).vertices, atol=1e-6, rtol=0)


def test_longer_vectors_are_refused(any_head):
    with pytest.raises(ValueError, match=f"{any_head.n_shape + 1} coefficients"):
        any_head(FaceParams(shape=torch.zeros(any_head.n_shape + 1)))
    with pytest.raises(ValueError, match=f"uses {any_head.n_expression}"):
        any_head(FaceParams(expression=torch.zeros(2, any_head.n_expression + 1)))


def test_fewer_components(any_head):
    small = HeadModel(any_head.data, n_shape=2, n_expression=3)
    assert (small.n_shape, small.n_expression, len(small.expression_names)) == (2, 3, 3)
    params = random_params(small)
    torch.testing.assert_close(small(params).vertices, any_head(params).vertices, atol=1e-6, rtol=0)


def test_float64_throughout(any_head):
    params = random_params(any_head)
    double = HeadModel(any_head.data).double()
    mesh = double(params.to(torch.float64))
    assert mesh.vertices.dtype == mesh.joints.dtype == mesh.landmarks().dtype == torch.float64
    np.testing.assert_allclose(mesh.vertices.numpy(), oracle(any_head, params)[0], atol=1e-12)


def test_gradients_of_every_parameter(tiny_data):
    head = HeadModel(tiny_data).double()
    given = random_params(head, 2).items()
    names = [name for name, _ in given]

    def vertices(*values: torch.Tensor) -> torch.Tensor:
        return head(FaceParams(**dict(zip(names, values, strict=True)))).vertices

    assert torch.autograd.gradcheck(vertices, [value.requires_grad_() for _, value in given])


def test_gradients_where_expressions_rotate_joints_and_fields_differ_in_batch(tiny_data):
    turns = 0.3 * torch.randn(*tiny_data.expression_rotvec.shape, generator=torch.Generator().manual_seed(1))
    data = replace(tiny_data, expression_rotvec=turns, posedirs=None, eyelids_after_skinning=False)
    head = HeadModel(data).double()
    random = torch.Generator().manual_seed(2)
    sizes = ((2, 1, head.n_shape), (3, head.n_expression), (3,), (1, 3))
    values = [torch.randn(*size, generator=random, dtype=torch.float64).requires_grad_() for size in sizes]

    def vertices(shape: torch.Tensor, expression: torch.Tensor, jaw: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        return head(FaceParams(shape=shape, expression=expression, jaw=jaw, pose=pose)).vertices

    assert vertices(*values).shape[:-2] == (2, 3)
    assert torch.autograd.gradcheck(vertices, values)


def test_gradients_at_rest_are_finite(any_head):
    # The rotation vector 0 is where a careless angle divides by zero.
    head = any_head
    zeros = FaceParams(
        shape=torch.zeros(head.n_shape, requires_grad=True),
        expression=torch.zeros(head.n_expression, requires_grad=True),
        pose=torch.zeros(3, requires_grad=True),
        jaw=torch.zeros(3, requires_grad=True),
    )
    head(zeros).vertices.square().sum().backward()
    for name, value in zeros.items():
        assert value.grad is not None and value.grad.isfinite().all() and value.grad.any(), name


def test_the_pose_rotates_the_head_rigidly_about_its_root(any_head):
    params = random_params(any_head).replace(pose=None, eyelids=None)
    pose = torch.tensor([0.3, -0.8, 0.2])
    still, turned = any_head(params), any_head(params.replace(pose=pose))
    rotmat = torch.from_numpy(Rotation.from_rotvec(pose.numpy()).as_matrix()).float()
    root = still.joints[0]
    torch.testing.assert_close(turned.vertices, (still.vertices - root) @ rotmat.T + root, atol=2e-6, rtol=0)
    torch.testing.assert_close(turned.rotation_rotmat, rotmat @ still.rotation_rotmat)


def test_late_eyelids_move_along_world_axes(tiny_data):
    pose = torch.tensor([0.0, 1.2, 0.0])
    closed = FaceParams(pose=pose, eyelids=torch.tensor([1.0, 0.0]))

    def moved(head: HeadModel) -> torch.Tensor:
        return head(closed).vertices - head(FaceParams(pose=pose)).vertices

    assert tiny_data.eyelid_dirs is not None
    torch.testing.assert_close(moved(HeadModel(tiny_data)), tiny_data.eyelid_dirs[..., 0], atol=1e-6, rtol=0)
    early = moved(HeadModel(replace(tiny_data, eyelids_after_skinning=False)))
    assert (early - tiny_data.eyelid_dirs[..., 0]).abs().max() > 1e-3


def test_eyelids_of_a_head_without_any_are_an_error(tiny_data):
    head = HeadModel(replace(tiny_data, eyelid_dirs=None))
    head(FaceParams())
    with pytest.raises(ValueError, match="'tiny' has no eyelid"):
        head(FaceParams(eyelids=torch.zeros(2)))


def test_regions(any_head):
    mask = any_head.region_mask("face")
    assert mask.dtype == torch.bool and mask.shape == any_head.v_template.shape[:1]
    assert any_head.region_mask("head").all()
    faces = any_head.region_faces("face")
    assert mask[faces].all()
    expected = sum(all(mask[v] for v in triangle) for triangle in any_head.faces.tolist())
    assert len(faces) == expected


def test_unknown_names_are_errors_that_list_the_known_ones(any_head):
    with pytest.raises(KeyError, match=r"no region 'moustache'; it has head, .*face"):
        any_head.region_mask("moustache")
    with pytest.raises(KeyError, match=r"no landmarks 'wflw'; it has ibug68"):
        any_head.landmark_embedding("wflw")
    with pytest.raises(KeyError, match="it has none"):
        HeadModel(replace(any_head.data, landmarks={})).landmark_embedding("mediapipe")


def test_state_is_not_saved_and_needs_no_gradient(any_head):
    assert any_head.state_dict() == {} and not list(any_head.parameters())
    assert not any_head.v_template.requires_grad
