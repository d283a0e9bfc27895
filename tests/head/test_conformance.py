"""What every head does that a person can load: the open head, FLAME's layout in each of its forms, and packs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from flame_layout import make_flame_layout
from flame_layout_files import write_companions, write_model
from head_oracle import at, oracle, random_params
from same import assert_same

from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.head.data import HeadData
from smirk3d.head.flame.loader import read_flame
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import load_pack, save_pack
from smirk3d.params import FaceParams

MIRROR_X = torch.tensor([-1.0, 1.0, 1.0])
KINDS = ("open", "chumpy", "arrays", "no jaw", "pack of open", "pack of chumpy")


@pytest.fixture(scope="module")
def flame(tmp_path_factory) -> dict[str, HeadData]:
    """One head in FLAME's layout, read from each form of its file."""
    layout, read = make_flame_layout(), {}
    for kind, name in (("chumpy", "generic_model"), ("arrays", "flame2023"), ("no jaw", "flame2023_no_jaw")):
        folder: Path = tmp_path_factory.mktemp(name)
        write_model(folder / f"{name}.pkl", layout, kind == "chumpy")
        write_companions(folder, layout)
        read[kind] = read_flame(folder / f"{name}.pkl")
    return read


@pytest.fixture(scope="module", params=KINDS)
def data(request, open_head, flame, tmp_path_factory) -> HeadData:
    kind = request.param.removeprefix("pack of ")
    head = open_head.data if kind == "open" else flame[kind]
    if kind == request.param:
        return head
    path = tmp_path_factory.mktemp("packs") / "head.pack"
    save_pack(head, path)
    return load_pack(path)


@pytest.fixture(scope="module")
def head(data) -> HeadModel:
    return HeadModel(data)


def some_params(head: HeadModel, *batch: int, seed: int = 0) -> FaceParams:
    """Random parameters of the size that a head is fitted with: FLAME's 300 shapes at once would be a caricature."""
    params = random_params(head, *batch, seed=seed)
    assert params.shape is not None
    return params.replace(shape=params.shape * 0.5)


def test_shapes_and_types(data):
    vertices, joints = len(data.v_template), 5
    assert data.v_template.shape == (vertices, 3) and data.faces.shape[1] == 3
    assert data.J_regressor.shape == (joints, vertices) and data.lbs_weights.shape == (vertices, joints)
    assert data.expression_rotvec.shape == (len(data.expression_names), joints, 3)
    assert data.faces.max() < vertices and data.faces_uv.max() < len(data.uv) and len(data.faces) == len(data.faces_uv)
    tensors = [value for value in vars(data).values() if isinstance(value, torch.Tensor)]
    assert {tensor.dtype for tensor in tensors} == {torch.float32, torch.int64}
    assert all(tensor.isfinite().all() for tensor in tensors)
    assert len(set(data.expression_names)) == data.expressiondirs.shape[-1]
    assert sorted(data.expression_names) == list(data.expression_names) or data.name == "open"


def test_left_is_left(data):
    joints = data.J_regressor @ data.v_template
    assert joints[3, 0] > 0.02 and joints[4, 0] < -0.02
    for side, sign in (("left", 1), ("right", -1)):
        for part in ("eyeball", "eye_region"):
            assert (sign * data.v_template[data.regions[f"{side}_{part}"], 0]).mean() > 0.02
    assert data.eyelid_dirs is not None
    motion = data.eyelid_dirs.norm(dim=1)
    left, right = (data.v_template[:, 0] @ motion) / motion.sum(0)
    assert left > 0.02 and right < -0.02


def test_zero_coefficients_give_the_template(head):
    for params in (FaceParams(), head.spec.zeros()):
        torch.testing.assert_close(head(params).vertices, head.v_template, atol=1e-7, rtol=0)


@pytest.mark.parametrize("seed", range(2))
def test_as_the_oracle(head, seed):
    params = some_params(head, seed=seed)
    vertices, joints = oracle(head, params)
    mesh = head(params)
    np.testing.assert_allclose(mesh.vertices.numpy(), vertices, atol=3e-6)
    np.testing.assert_allclose(mesh.joints.numpy(), joints, atol=3e-6)


def test_a_batch_is_a_loop(head):
    params = some_params(head, 3)
    mesh = head(params)
    for index in range(3):
        one = head(at(params, (index,)))
        torch.testing.assert_close(mesh.vertices[index], one.vertices, atol=2e-6, rtol=0)
        torch.testing.assert_close(mesh.landmarks()[index], one.landmarks(), atol=2e-6, rtol=0)


def test_shorter_vectors_and_fewer_components(data, head):
    params = some_params(head)
    assert params.shape is not None and params.expression is not None
    short = params.replace(shape=params.shape[:10], expression=params.expression[:7])
    shape, expression = torch.zeros_like(params.shape), torch.zeros_like(params.expression)
    shape[:10], expression[:7] = params.shape[:10], params.expression[:7]
    wanted = head(params.replace(shape=shape, expression=expression)).vertices
    torch.testing.assert_close(head(short).vertices, wanted, atol=2e-6, rtol=0)
    small = HeadModel(data, n_shape=10, n_expression=7)
    assert small.expression_names == head.expression_names[:7]
    assert (small.spec["shape"].size, small.spec["expression"].size) == (10, 7)
    torch.testing.assert_close(small(short).vertices, wanted, atol=2e-6, rtol=0)


def test_precision_is_the_head_s(data, head):
    params = some_params(head)
    double = HeadModel(data).double()
    mesh = double(params.to(torch.float64))
    assert mesh.vertices.dtype == mesh.joints.dtype == mesh.landmarks().dtype == torch.float64
    np.testing.assert_allclose(mesh.vertices.numpy(), oracle(head, params)[0], atol=1e-12)
    # Parameters of another precision are refused, not converted.
    for model, other in ((head, params.to(torch.float64)), (double, params)):
        with pytest.raises(RuntimeError, match="dtype"):
            model(other)


def test_gradients_reach_every_parameter(head):
    params = some_params(head, 2)
    for _, value in params.items():
        value.requires_grad_()
    direction = torch.randn(head.v_template.shape, generator=torch.Generator().manual_seed(0))
    (head(params).vertices * direction).sum().backward()
    for name, value in params.items():
        assert value.grad is not None and value.grad.isfinite().all(), name
        assert value.grad.abs().amax(0).gt(0).all(), name


def test_mirrored_faces(data, head):
    mirror, sign = data.mirror_vertices, data.shape_mirror_sign
    if mirror is None:
        assert sign is None and data.name == "flame"
        return
    assert sign is not None
    params = some_params(head)
    assert params.shape is not None and params.expression is not None
    one = head(FaceParams(shape=params.shape, expression=params.expression)).vertices
    other = head(FaceParams(shape=params.shape * sign, expression=params.expression[list(ARKIT_MIRROR)])).vertices
    torch.testing.assert_close(other, one[mirror] * MIRROR_X, atol=3e-5, rtol=0)


def test_late_eyelids_move_along_world_axes(data, head):
    closed, pose = torch.tensor([0.7, 0.0]), torch.tensor([0.1, 1.2, 0.0])
    moved = head(FaceParams(pose=pose, eyelids=closed)).vertices - head(FaceParams(pose=pose)).vertices
    assert data.eyelid_dirs is not None
    along_world = torch.allclose(moved, 0.7 * data.eyelid_dirs[..., 0], atol=1e-6)
    assert along_world == data.eyelids_after_skinning == (data.name == "flame")


@pytest.mark.parametrize(
    "yaw_deg, row", [(0, 0), (12.4, 12), (39, 39), (75, 39), (-0.6, 40), (-25, 64), (-39, 78), (-80, 78)]
)
def test_the_contour_follows_the_yaw(data, head, yaw_deg, row):
    mesh = head(FaceParams(neck=torch.tensor([0.0, math.radians(yaw_deg), 0.0])))
    static, moving = mesh.landmarks("ibug68_static"), mesh.landmarks("ibug68")
    torch.testing.assert_close(moving[17:], static[17:])
    if data.contour is None:
        assert moving.equal(static)
        return
    corners = mesh.vertices[data.faces[data.contour.face_index[row]]]
    expected = torch.einsum("lkc,lk->lc", corners, data.contour.barycentric[row])
    torch.testing.assert_close(moving[:17], expected, atol=1e-6, rtol=0)


def test_a_pack_keeps_everything(data, tmp_path):
    save_pack(data, tmp_path / "head.pack")
    again = load_pack(tmp_path / "head.pack")
    records = ("contour", "lid_closure", "contacts")
    for name, value in vars(data).items():
        found = getattr(again, name)
        if name in records and value is not None:
            found, value = vars(found), vars(value)
        assert_same(found, value)


def test_the_forms_of_one_file_agree(flame):
    one, other, no_jaw = flame["chumpy"], flame["arrays"], flame["no jaw"]
    for name in ("v_template", "shapedirs", "expressiondirs", "posedirs", "J_regressor", "lbs_weights", "faces"):
        assert getattr(one, name).equal(getattr(other, name)) and getattr(one, name).equal(getattr(no_jaw, name))
    assert one.jaw_readout is None and no_jaw.jaw_readout is not None
    specs = [HeadModel(head).spec.names for head in (one, no_jaw)]
    assert specs[0] == ("shape", "expression", "eyelids", "jaw", "pose", "camera")
    assert specs[1] == ("shape", "expression", "eyelids", "pose", "camera")
    sizes = [HeadModel(one).spec[name].size for name in specs[0]]
    assert sizes == [300, 100, 2, 3, 3, 3]
