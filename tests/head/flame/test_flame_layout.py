"""The test model in FLAME's file layout: what readers rely on, and that it is a face that moves like one."""

from __future__ import annotations

import io
import pickle
import pickletools
import sys
from pathlib import Path

import flame_layout as fl  # pyright: ignore[reportMissingImports]
import flame_layout_mesh as mesh  # pyright: ignore[reportMissingImports]
import numpy as np
import pytest
import torch
from flame_layout_files import MEDIAPIPE_105, python2_pickle  # pyright: ignore[reportMissingImports]
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from smirk3d.head.landmark_indices import MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.params import ContourTable

FILE_NAME = "generic_model.pkl"
GLOBALS = {  # what the published generic_model.pkl refers to
    ("__builtin__", "set"),
    ("chumpy.ch", "Ch"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("scipy.sparse.csc", "csc_matrix"),
}


class StandIn:
    """Takes whatever state a pickle gives it."""


class Reader(pickle.Unpickler):
    """Reads without chumpy and remembers which globals were asked for."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.asked: set[tuple[str, str]] = set()

    def find_class(self, module_name: str, global_name: str) -> object:
        # The C unpickler has already renamed Python 2's builtins.
        python2 = {"builtins": "__builtin__"}.get(module_name, module_name)
        self.asked.add((python2, global_name))
        if module_name == "chumpy.ch":
            return StandIn
        if global_name == "csc_matrix":
            return sparse.csc_matrix
        return super().find_class(module_name.replace("numpy.core", "numpy._core"), global_name)


@pytest.fixture(scope="module")
def layout() -> fl.FlameLayout:
    return fl.make_flame_layout()


@pytest.fixture(scope="module")
def folder(layout: fl.FlameLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files, written by the script's own main."""
    folder = tmp_path_factory.mktemp("flame")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["flame_layout.py", str(folder / FILE_NAME), "--companions"])
        fl.main()
    return folder


def on_mesh(layout: fl.FlameLayout, points: fl.Landmarks, vertices: np.ndarray | None = None) -> np.ndarray:
    corners = (layout.v_template if vertices is None else vertices)[layout.f[points.face_index]]
    return np.einsum("...k,...kc->...c", points.barycentric, corners)


def unit_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[column] for column in faces.T)
    normal = np.cross(b - a, c - a)
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def open_points(layout: fl.FlameLayout, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Values at the open head's vertices (V, ...), read where the vertices of the layout lie."""
    return np.einsum("vk,vk...->v...", layout.open_barycentric, values[faces[layout.open_face_index]])


def turned_jaw(layout: fl.FlameLayout, angle_rad: float) -> np.ndarray:
    """Vertices after the jaw alone turns about x, by SMPL's formula: the neck stays, the jaw turns about its joint."""
    sine, cosine = np.sin(angle_rad), np.cos(angle_rad)
    rotmat = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    rotations = np.stack([np.eye(3), rotmat, np.eye(3), np.eye(3)])
    rest = layout.v_template + layout.posedirs @ (rotations - np.eye(3)).ravel()
    jaw = layout.J_regressor @ layout.v_template
    return rest + layout.weights[:, 2:3] * ((rest - jaw[2]) @ rotmat.T + jaw[2] - rest)


def residual(basis: np.ndarray, target: np.ndarray) -> float:
    """Share of `target` (V, 3) that no combination of `basis` (V, 3, K) gives."""
    flat = basis.reshape(-1, basis.shape[2])
    best = flat @ np.linalg.lstsq(flat, target.ravel())[0]
    return float(np.linalg.norm(best - target.ravel()) / np.linalg.norm(target))


def test_python2_file_has_the_layout_and_no_other_globals(layout: fl.FlameLayout, folder: Path) -> None:
    raw = (folder / FILE_NAME).read_bytes()
    reader = Reader(raw)
    content = reader.load()
    assert reader.asked == GLOBALS
    assert raw[:2] == b"\x80\x02"
    shapes = {"v_template": (5023, 3), "shapedirs": (5023, 3, 400), "posedirs": (5023, 3, 36), "weights": (5023, 5)}
    for name, shape in shapes.items():
        array = vars(content[name])["x"]
        assert array.shape == shape and array.dtype == np.float64
        assert np.array_equal(array, getattr(layout, name))
    assert content["f"].shape == (9976, 3) and content["f"].dtype == np.uint32
    assert np.array_equal(content["f"], layout.f)
    assert content["kintree_table"].tolist() == [[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]]
    assert np.array_equal(content["J"], layout.J) and layout.J.shape == (5, 3)
    assert isinstance(content["J_regressor"], sparse.csc_matrix)
    assert np.array_equal(content["J_regressor"].toarray(), layout.J_regressor.toarray())
    assert (content["bs_style"], content["bs_type"]) == ("lbs", "lrotmin")


def test_python2_text_is_written_as_byte_strings() -> None:
    value = {"bs_style": "lbs", "long": "é" * 300, "rows": [np.arange(3), 7, None]}
    raw = python2_pickle(value)
    names = {opcode.name for opcode, _, _ in pickletools.genops(raw)}
    assert {"SHORT_BINSTRING", "BINSTRING"} <= names
    assert not {name for name in names if "UNICODE" in name or "BINBYTES" in name}
    content = Reader(raw).load()
    assert content["long"] == value["long"] and content["rows"][1:] == [7, None]
    assert content["rows"][0].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="complex"):
        python2_pickle({"odd": 1j})


def test_modern_file_is_a_plain_pickle(layout: fl.FlameLayout, tmp_path: Path) -> None:
    written = fl.write_flame_layout(tmp_path / FILE_NAME, chumpy=False)
    content = pickle.loads((tmp_path / FILE_NAME).read_bytes())
    assert written is layout
    assert np.array_equal(content["shapedirs"], layout.shapedirs)
    assert sparse.issparse(content["J_regressor"]) and content["J_regressor"].shape == (5, 5023)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_mesh_is_a_clean_surface(layout: fl.FlameLayout) -> None:
    faces = layout.f.astype(np.int64)
    assert np.array_equal(np.unique(faces), np.arange(5023))
    edges = mesh.directed_edges(faces)
    assert (edges[:, 0] != edges[:, 1]).all()
    # Each edge once in each direction: at most two triangles meet, and they agree on which side is out.
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert sorted(map(len, mesh.boundary_loops(faces))) == sorted([38, len(layout.masks["boundary"])])
    graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), (5023, 5023))
    count, label = connected_components(graph, directed=False)
    eyes = [layout.masks["left_eyeball"], layout.masks["right_eyeball"]]
    assert count == 3
    for eye in eyes:
        assert (label == label[eye[0]]).sum() == len(eye)


def test_no_triangle_is_flipped(layout: fl.FlameLayout, open_head: HeadModel) -> None:
    open_vertices, open_faces = open_head.v_template.double().numpy(), open_head.faces.numpy()
    normal = unit_normals(open_points(layout, open_vertices, open_faces), layout.f.astype(np.int64))
    own = unit_normals(open_vertices, open_faces)[layout.open_face_index]
    cosine = np.einsum("fc,fkc->fk", normal, own[layout.f]).max(1)
    # The triangles that narrow the open end of the neck are no part of the open head.
    rim = np.unique([loop for loop in mesh.boundary_loops(open_faces) if open_vertices[loop, 1].mean() < -0.08])
    on_rim = (np.isin(open_faces[layout.open_face_index], rim) | (layout.open_barycentric == 0)).all(1)
    added = on_rim[layout.f].all(1)
    assert 10 < added.sum() < 40
    assert cosine[~added].min() > 0.2
    assert np.quantile(cosine[~added], 0.01) > 0.8


def test_mesh_is_another_one(layout: fl.FlameLayout) -> None:
    assert (layout.open_barycentric >= 0).all()
    assert np.allclose(layout.open_barycentric.sum(1), 1, atol=1e-12)
    at_vertex = layout.open_barycentric.max(1) > 0.999
    assert at_vertex.mean() < 0.2


def test_mesh_follows_from_the_seed(layout: fl.FlameLayout) -> None:
    rng = np.random.default_rng(0)
    assert np.array_equal(layout.open_shape, fl.PERSON_STRENGTH * rng.normal(size=30))
    again = mesh.tessellate(fl.open_head_data(), rng)
    assert np.array_equal(again.faces, layout.f)
    assert np.array_equal(again.open_barycentric, layout.open_barycentric)


def test_truth_gives_the_template(layout: fl.FlameLayout, open_head: HeadModel) -> None:
    person = open_head.shaped(torch.from_numpy(layout.open_shape).float()).vertices.double().numpy()
    expected = fl.SCALE * open_points(layout, person, open_head.faces.numpy()) + fl.OFFSET_M
    assert np.abs(layout.v_template - expected).max() < 1e-6
    assert np.abs(layout.v_template - open_points(layout, person, open_head.faces.numpy())).max() > 0.03


def test_identity_is_expressed_in_another_basis(layout: fl.FlameLayout, open_head: HeadModel) -> None:
    transferred = fl.SCALE * open_points(layout, open_head.shapedirs.double().numpy(), open_head.faces.numpy())
    ours = layout.shapedirs[..., :10].reshape(-1, 10)[::50]
    expected = transferred[..., :10].reshape(-1, 10)[::50]
    # Equal covariance: an orthogonal change of basis, nothing more.
    assert np.allclose(ours @ ours.T, expected @ expected.T, atol=1e-9)
    assert min(np.linalg.norm(ours - sign * expected) for sign in (1, -1)) > 0.3 * np.linalg.norm(expected)
    size = np.sqrt((layout.shapedirs[..., 100:300] ** 2).sum(1).mean(0))
    assert (np.diff(size) < 0).all() and size[0] < 5e-4


def test_expression_spans_what_no_joint_or_lid_does(layout: fl.FlameLayout, open_head: HeadModel) -> None:
    without_jaw = fl.make_flame_layout(jaw=False)
    faces = open_head.faces.numpy()
    blendshapes = {
        name: fl.SCALE * open_points(layout, open_head.expressiondirs[..., row].double().numpy(), faces)
        for row, name in enumerate(open_head.expression_names)
    }
    basis, basis_without_jaw = layout.shapedirs[..., 300:], without_jaw.shapedirs[..., 300:]
    assert residual(basis, blendshapes["mouthSmileLeft"]) < 1e-6
    assert residual(basis, blendshapes["jawOpen"]) > 0.15
    assert residual(basis, blendshapes["eyeBlinkLeft"]) > 0.15
    assert residual(basis_without_jaw, blendshapes["jawOpen"]) < 1e-6
    assert np.array_equal(layout.f, without_jaw.f)
    assert not without_jaw.weights[:, 2].any()
    assert np.allclose(without_jaw.weights[:, 1], layout.weights[:, 1] + layout.weights[:, 2], atol=1e-15)
    components = basis.reshape(-1, 100)[:, :37]
    size = np.linalg.norm(components, axis=0)
    assert np.allclose(components.T @ components, np.diag(size**2), atol=1e-9 * size[0] ** 2)
    assert (np.diff(size) < 0).all()


def test_skinning(layout: fl.FlameLayout) -> None:
    assert np.allclose(layout.weights.sum(1), 1, atol=1e-12) and (layout.weights >= 0).all()
    regressor = layout.J_regressor.toarray()
    assert np.allclose(regressor.sum(1), 1, atol=1e-12) and (regressor >= 0).all()
    assert np.allclose(regressor @ layout.v_template, layout.J, atol=1e-12)
    for joint, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        eye = layout.masks[name]
        assert (layout.weights[eye, joint] == 1).all() and layout.weights[:, joint].sum() == len(eye)
        radius = np.linalg.norm(layout.v_template[eye] - layout.J[joint], axis=1)
        assert 0.010 < radius.mean() < 0.018 and radius.max() < 1.15 * radius.min()
    assert layout.J[3, 0] > 0.02 > -0.02 > layout.J[4, 0]
    ear = layout.v_template[layout.masks["left_ear"]]
    # The condyles: lower than the middle of the ears and in front of them.
    assert layout.J[2, 1] < ear[:, 1].mean() and layout.J[2, 2] > ear[:, 2].mean()


def test_jaw_rotation_opens_the_mouth_and_leaves_the_forehead(layout: fl.FlameLayout) -> None:
    turned = turned_jaw(layout, 0.3)
    before, after = on_mesh(layout, layout.mediapipe), on_mesh(layout, layout.mediapipe, turned)
    gap = np.linalg.norm(after[13] - after[14])
    assert np.linalg.norm(before[13] - before[14]) < 0.003
    assert 0.01 < gap < 0.03
    assert after[14, 1] < before[14, 1] - 0.01
    moved = np.linalg.norm(turned - layout.v_template, axis=1)
    assert moved[layout.masks["forehead"]].max() < 1e-3
    # What moves there is the pose corrective alone.
    assert layout.weights[layout.masks["forehead"], 2].max() < 0.03
    correctives = layout.posedirs[..., 9:18] @ (np.array([[0, 0, 0], [0, -0.045, -0.296], [0, 0.296, -0.045]])).ravel()
    assert 1e-5 < np.linalg.norm(correctives, axis=1).max() < 1e-3


@pytest.mark.parametrize(("side", "upper", "lower", "sign"), [(0, 386, 374, 1), (1, 159, 145, -1)])
def test_each_lid_closes_its_own_eye(layout: fl.FlameLayout, side: int, upper: int, lower: int, sign: int) -> None:
    offsets = layout.eyelids[side]
    moving = np.linalg.norm(offsets, axis=1) > 1e-4
    assert (sign * layout.v_template[moving, 0]).mean() > 0.02
    before = on_mesh(layout, layout.mediapipe)
    after = on_mesh(layout, layout.mediapipe, layout.v_template + offsets)
    opening = before[upper, 1] - before[lower, 1]
    assert opening > 0.006
    # The upper lid meets the lower one or lies over it.
    assert -0.5 * opening < after[upper, 1] - after[lower, 1] < 0.15 * opening
    other = [MIRROR[upper], MIRROR[lower]]
    assert np.abs(after[other] - before[other]).max() < 1e-4


def test_landmark_table(layout: fl.FlameLayout, folder: Path, open_head: HeadModel) -> None:
    table = np.load(folder / "landmark_embedding.npy", allow_pickle=True)[()]
    assert {key: tuple(value.shape) for key, value in table.items()} == {
        "static_lmk_faces_idx": (51,),
        "static_lmk_bary_coords": (51, 3),
        "dynamic_lmk_faces_idx": (79, 17),
        "dynamic_lmk_bary_coords": (79, 17, 3),
        "full_lmk_faces_idx": (1, 68),
        "full_lmk_bary_coords": (1, 68, 3),
    }
    assert isinstance(table["dynamic_lmk_faces_idx"], torch.Tensor)
    assert isinstance(table["dynamic_lmk_bary_coords"], torch.Tensor)
    assert np.array_equal(table["full_lmk_faces_idx"][0, 17:], table["static_lmk_faces_idx"])
    person = open_head.shaped(torch.from_numpy(layout.open_shape).float()).vertices
    for name, ours in (("ibug68", layout.ibug68), ("mediapipe", layout.mediapipe)):
        points = open_head.landmark_embedding(name).points(person, open_head.faces).double().numpy()
        assert np.linalg.norm(on_mesh(layout, ours) - (fl.SCALE * points + fl.OFFSET_M), axis=1).max() < 1.5e-3


def test_contour_slides_with_the_yaw(layout: fl.FlameLayout) -> None:
    for yaw_deg in (0, 17, 39, -1, -39):
        yaw = np.deg2rad(yaw_deg)
        rotmat = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        assert fl.YAWS_DEG[int(ContourTable.row(torch.from_numpy(rotmat)))] == yaw_deg
    points = on_mesh(layout, layout.contour)
    ahead, left, right = points[0], points[39], points[78]
    still = on_mesh(layout, layout.ibug68)[:17]
    assert np.linalg.norm(ahead - still, axis=1).max() < 0.001
    # Turned to their left, the left side slides towards the nose and the right side stays.
    assert (np.abs(left[11:, 0]) < np.abs(ahead[11:, 0]) - 0.0025).all()
    assert (np.abs(right[:6, 0]) < np.abs(ahead[:6, 0]) - 0.0025).all()
    assert np.linalg.norm(left[:8] - ahead[:8], axis=1).max() < 1e-9
    assert np.linalg.norm(right[9:] - ahead[9:], axis=1).max() < 1e-9
    yaw = np.deg2rad(39)
    across = np.array([np.cos(yaw), 0, np.sin(yaw)])
    assert (left[11:] @ across > ahead[11:] @ across + 0.001).all()


def test_small_files(layout: fl.FlameLayout, folder: Path) -> None:
    with np.load(folder / "mediapipe_landmark_embedding.npz") as table:
        assert table["lmk_face_idx"].shape == (105,) and table["lmk_b_coords"].shape == (105, 3)
        assert tuple(table["landmark_indices"]) == MEDIAPIPE_105 and len(set(MEDIAPIPE_105)) == 105
        assert np.array_equal(table["lmk_face_idx"], layout.mediapipe.face_index[table["landmark_indices"]])
    for side, name in enumerate(("l_eyelid", "r_eyelid")):
        assert np.array_equal(np.load(folder / f"{name}.npy"), layout.eyelids[side])


def test_masks(layout: fl.FlameLayout, folder: Path) -> None:
    masks = Reader((folder / "FLAME_masks.pkl").read_bytes()).load()
    names = "face neck scalp boundary right_eyeball left_eyeball right_ear left_ear forehead eye_region nose lips"
    assert set(masks) == {*names.split(), "right_eye_region", "left_eye_region"}
    for name, index in masks.items():
        assert len(np.unique(index)) == len(index) > 20
        x = layout.v_template[index, 0]
        assert not name.startswith("left") or x.min() > 0
        assert not name.startswith("right") or x.max() < 0
    for part in ("nose", "lips", "forehead", "eye_region"):
        assert np.isin(masks[part], masks["face"]).mean() > 0.75, part
    assert not np.isin(masks["left_eyeball"], masks["face"]).any()
    assert layout.v_template[masks["boundary"], 1].max() < layout.v_template[masks["nose"], 1].min()
