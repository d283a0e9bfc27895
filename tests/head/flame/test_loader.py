"""FLAME models and their companions, of a few vertices: what is read, and what is refused."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from smirk3d.errors import Smirk3dError
from smirk3d.head.flame.companion_files import IBUG68_MIRROR, FlameFiles, read_mediapipe_points
from smirk3d.head.flame.loader import read_flame
from smirk3d.head.landmark_indices import IBUG68, MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.head.uv_unwrap import cylindrical_uv
from smirk3d.params import FaceParams, LandmarkEmbedding

RINGS, AROUND = 12, 16
COLUMNS = 8
EYE_HEIGHT_M, EYE_APART_M = 0.03, 0.06


def sphere() -> tuple[np.ndarray, np.ndarray]:
    """A head-sized sphere without poles: vertices (192, 3) in metres, outward triangles (352, 3)."""
    latitude, longitude = np.meshgrid(
        np.linspace(-1.3, 1.3, RINGS), np.arange(AROUND) * 2 * np.pi / AROUND, indexing="ij"
    )
    xyz = np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude)
    index = np.arange(RINGS * AROUND).reshape(RINGS, AROUND)
    a, b = index[:-1].ravel(), np.roll(index, -1, axis=1)[:-1].ravel()
    c, d = index[1:].ravel(), np.roll(index, -1, axis=1)[1:].ravel()
    faces = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
    return np.stack([part.ravel() for part in xyz], 1) * 0.12, faces


def flame_like(columns: int = COLUMNS, seed: int = 0) -> dict[str, Any]:
    """The entries of a model: two patches of the sphere are eyeballs, the lower front follows the jaw."""
    random = np.random.default_rng(seed)
    vertices, faces = sphere()
    eyes = np.array([[side * EYE_APART_M / 2, EYE_HEIGHT_M, 0.11] for side in (1, -1)])
    near = [np.linalg.norm(vertices - eye, axis=1).argsort()[:4] for eye in eyes]
    weights = np.zeros((len(vertices), 5))
    weights[:, 1] = 1
    weights[(vertices[:, 1] < -0.03) & (vertices[:, 2] > 0.02)] = (0.0, 0.25, 0.75, 0.0, 0.0)
    regressor = np.full((5, len(vertices)), 1 / len(vertices))
    for side in (0, 1):
        weights[near[side]] = np.eye(5)[3 + side]
        regressor[3 + side] = 0
        regressor[3 + side, near[side]] = 0.25
    return {
        "f": faces.astype(np.uint32),
        "v_template": vertices,
        "shapedirs": random.normal(size=(len(vertices), 3, columns)) * 1e-3,
        "posedirs": random.normal(size=(len(vertices), 3, 36)) * 1e-3,
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], range(5)], dtype=np.uint32),
        "bs_style": "lbs",
    }


def save(path: Path, model: object) -> Path:
    path.write_bytes(pickle.dumps(model, 2))
    return path


@pytest.fixture
def model() -> dict[str, Any]:
    return flame_like()


@pytest.fixture
def path(tmp_path, model) -> Path:
    return save(tmp_path / "generic_model.pkl", model)


# The model itself


def test_the_numbers_are_those_of_the_file(path, model):
    data = read_flame(path)
    assert data.name == "flame" and data.meta["source"] == "generic_model.pkl" and len(data.meta["source_sha256"]) == 64
    pairs = {"v_template": "v_template", "posedirs": "posedirs", "J_regressor": "J_regressor", "lbs_weights": "weights"}
    for ours, theirs in pairs.items():
        tensor = getattr(data, ours)
        assert tensor.dtype == torch.float32 and tensor.is_contiguous()
        np.testing.assert_allclose(tensor.numpy(), model[theirs], rtol=1e-6)
    basis = torch.cat([data.shapedirs, data.expressiondirs], dim=-1).numpy()
    np.testing.assert_allclose(basis, model["shapedirs"], rtol=1e-6)
    assert data.faces.dtype == torch.int64 and (data.faces.numpy() == model["f"]).all()
    assert data.eyelids_after_skinning and data.eyelid_dirs is None and data.mirror_vertices is None
    assert (data.expression_low, data.expression_high) == (float("-inf"), float("inf"))
    assert not data.expression_rotvec.any() and data.landmarks == {} and data.contour is None


def test_a_basis_of_400_columns_is_300_and_100(tmp_path):
    data = read_flame(save(tmp_path / "m.pkl", flame_like(400)))
    assert (data.shapedirs.shape[-1], data.expressiondirs.shape[-1]) == (300, 100)
    assert data.expression_names[0] == "flame_00" and data.expression_names[-1] == "flame_99"
    assert data.meta["components"] == "300 shape, 100 expression"


@pytest.mark.parametrize("columns, shape", [(8, 6), (2, 1), (150, 113)])
def test_the_split_of_a_smaller_basis_is_recorded(tmp_path, columns, shape):
    data = read_flame(save(tmp_path / "m.pkl", flame_like(columns)))
    assert data.shapedirs.shape[-1] == shape and len(data.expression_names) == columns - shape
    assert "assumed" in data.meta["components"] and str(shape) in data.meta["components"]


def test_eyeballs_follow_the_weights(path, model):
    data = read_flame(path)
    assert set(data.regions) == {"left_eyeball", "right_eyeball", "eyeballs"}
    for column, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        np.testing.assert_array_equal(data.regions[name].numpy(), model["weights"][:, column] > 0.5)
    assert data.v_template[data.regions["left_eyeball"], 0].min() > 0


def test_minus_one_is_a_root_too(tmp_path, model):
    model["kintree_table"] = np.array([[-1, 0, 1, 1, 1], range(5)])
    read_flame(save(tmp_path / "m.pkl", model))


def break_(name: str, change: Any) -> Any:
    def apply(model: dict[str, Any]) -> None:
        model[name] = change(model[name]) if callable(change) else change

    return apply


def with_value(value: float, index: tuple[int, ...]) -> Any:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[index] = value
        return array

    return change


def swap_eyes(model: dict[str, Any]) -> None:
    model["J_regressor"] = model["J_regressor"][[0, 1, 2, 4, 3]]


MISTAKES = {
    "has no 'posedirs'": lambda model: model.pop("posedirs"),
    "'v_template' is .192, 2., expected .any, 3.": break_("v_template", lambda a: a[:, :2]),
    "'shapedirs' is .191, 3, 8., expected .192, 3, any.": break_("shapedirs", lambda a: a[:-1]),
    "'shapedirs' has 1 column": break_("shapedirs", lambda a: a[..., :1]),
    "'posedirs' is .192, 3, 207.": break_("posedirs", np.zeros((192, 3, 207))),
    "'weights' is .192, 4.": break_("weights", lambda a: a[:, :4]),
    "'weights' has values that are not finite": break_("weights", with_value(np.nan, (3, 1))),
    "'v_template' has values that are not finite": break_("v_template", with_value(np.inf, (0, 0))),
    "rows of 'weights' do not add up to 1": break_("weights", lambda a: 2 * a),
    "rows of 'J_regressor' do not add up": break_("J_regressor", lambda a: a / 2),
    "'f' is not within 0 and 191": break_("f", with_value(192, (5, 1))),
    "'f' is .352, 2.": break_("f", lambda a: a[:, :2]),
    "'f' is not of whole numbers": break_("f", lambda a: a + 0.5 * (a < 3)),
    "'v_template' is no array of numbers": break_("v_template", "template.obj"),
    "its joints are not root, neck": break_("kintree_table", np.array([[-1, 0, 1, 2, 3], range(5)])),
    "its left eye is not on the side of": swap_eyes,
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_named(tmp_path, model, message):
    MISTAKES[message](model)
    with pytest.raises(Smirk3dError, match=f"broken.pkl: .*{message}") as error:
        read_flame(save(tmp_path / "broken.pkl", model))
    assert "\n" not in str(error.value)


def test_other_pickles_are_refused(tmp_path):
    with pytest.raises(Smirk3dError, match=r"list\.pkl: holds a list, no FLAME model"):
        read_flame(save(tmp_path / "list.pkl", [1, 2]))
    with pytest.raises(Smirk3dError, match=r"masks\.pkl: has no 'v_template'"):
        read_flame(save(tmp_path / "masks.pkl", {"face": [1, 2]}))


# The jaw


def test_a_jaw_joint_is_a_parameter(path):
    head = HeadModel(read_flame(path))
    assert "jaw" in head.spec.names and head.data.jaw_readout is None and head.data.meta["jaw"] == "joint"


@pytest.mark.parametrize(
    "name, weighted", [("flame2023_no_jaw.pkl", True), ("noJaw.pkl", True), ("flame2023.pkl", False)]
)
def test_without_a_jaw_joint_the_expression_rotates_the_jaw(tmp_path, model, name, weighted):
    if not weighted:
        model["weights"][:, 1] += model["weights"][:, 2]
        model["weights"][:, 2] = 0
    rotvec = np.array([0.03, -0.01, 0.004])
    pivot = np.array([0.0, -0.01, 0.02])
    lower = model["v_template"][:, 1] < 0
    turned = Rotation.from_rotvec(rotvec).apply(model["v_template"] - pivot) + pivot - model["v_template"]
    model["shapedirs"][..., -1] = turned * lower[:, None]
    data = read_flame(save(tmp_path / name, model))
    assert data.jaw_readout is not None and data.meta["jaw"] == "part of the expression"
    np.testing.assert_allclose(data.jaw_readout[-1].numpy(), rotvec, atol=1e-4)
    assert "jaw" not in HeadModel(data).spec.names


# Companions


def points(random: np.random.Generator, *size: int) -> tuple[np.ndarray, np.ndarray]:
    return random.integers(0, 352, size), random.dirichlet(np.ones(3), size)


def landmark_table(seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    full, moving = points(random, 68), points(random, 79, 17)
    return {
        "static_lmk_faces_idx": full[0][17:],
        "static_lmk_bary_coords": full[1][17:],
        "dynamic_lmk_faces_idx": torch.from_numpy(moving[0]),
        "dynamic_lmk_bary_coords": torch.from_numpy(moving[1]).float(),
        "full_lmk_faces_idx": full[0][None],
        "full_lmk_bary_coords": full[1][None].tolist(),
    }


def save_npy(path: Path, table: object) -> None:
    np.save(path, np.array(table, dtype=object), allow_pickle=True)


def test_a_bare_model_has_no_companions(path):
    assert FlameFiles.beside(path) == FlameFiles() and FlameFiles().present() == ()


@pytest.mark.parametrize("flat", [True, False])
def test_landmarks_and_contour(path, flat):
    table = landmark_table()
    if flat:
        table["full_lmk_faces_idx"] = table["full_lmk_faces_idx"][0]
    save_npy(path.parent / "landmark_embedding.npy", table)
    data = read_flame(path)
    embedding, contour = data.landmarks["ibug68"], data.contour
    assert contour is not None and contour.face_index.shape == (79, 17) and embedding.weight.eq(1).all()
    np.testing.assert_array_equal(embedding.face_index.numpy(), np.ravel(table["full_lmk_faces_idx"]))
    np.testing.assert_allclose(contour.barycentric.numpy(), table["dynamic_lmk_bary_coords"])
    assert data.meta["landmarks ibug68"] == "from landmark_embedding.npy"
    mesh = HeadModel(data)(FaceParams(pose=torch.tensor([0.0, math.radians(-20.2), 0.0])))
    row = 39 + 20
    corners = mesh.vertices[data.faces[contour.face_index[row]]]
    expected = (corners * contour.barycentric[row][..., None]).sum(1)
    torch.testing.assert_close(mesh.landmarks("ibug68")[:17], expected)
    torch.testing.assert_close(mesh.landmarks("ibug68")[17:], mesh.landmarks("ibug68_static")[17:])


def test_differing_landmark_sets_are_recorded(path):
    table = landmark_table()
    table["static_lmk_faces_idx"] = (table["static_lmk_faces_idx"] + 40) % 352
    save_npy(path.parent / "landmark_embedding.npy", table)
    assert "differ from the full 68" in read_flame(path).meta["landmarks ibug68"]


def test_mirrored_landmarks_as_mediapipe_has_them():
    everything = LandmarkEmbedding(torch.zeros(478).long(), torch.zeros(478, 3), torch.ones(478), torch.tensor(MIRROR))
    assert list(IBUG68_MIRROR) == everything.take(torch.tensor(IBUG68)).mirror.tolist()


BAD_TABLES = {
    "has no 'full_lmk_bary_coords', but": lambda table: table.pop("full_lmk_bary_coords"),
    "expected .79, 17. points": break_("dynamic_lmk_faces_idx", lambda a: a[:5]),
    "'static_lmk_faces_idx' is not within 0 and 351": break_("static_lmk_faces_idx", with_value(352, (4,))),
    "'static_lmk_bary_coords' do not add up to 1": break_("static_lmk_bary_coords", lambda a: a / 2),
    "'static_lmk_bary_coords' is no array": break_("static_lmk_bary_coords", [[1, 2], [3]]),
}


@pytest.mark.parametrize("message", BAD_TABLES)
def test_damaged_landmarks_are_named(path, message):
    table = landmark_table()
    BAD_TABLES[message](table)
    save_npy(path.parent / "landmark_embedding.npy", table)
    with pytest.raises(Smirk3dError, match=f"landmark_embedding.npy: .*{message}"):
        read_flame(path)


def test_mediapipe_points(tmp_path):
    chosen = np.array([1, 33, 263, 61, 468])
    face_index, weights = points(np.random.default_rng(1), 5)
    file = tmp_path / "mediapipe_landmark_embedding.npz"
    np.savez(file, lmk_face_idx=face_index, lmk_b_coords=weights, landmark_indices=chosen)
    read = read_mediapipe_points(file, 352)
    assert read.index.tolist() == chosen.tolist() and read.embedding.mirror.tolist() == [0, 2, 1, 3, 4]
    np.testing.assert_array_equal(read.embedding.face_index.numpy(), face_index)
    np.testing.assert_allclose(read.embedding.barycentric.numpy(), weights, rtol=1e-6)
    for wrong in ([1, 1, 2, 3, 4], [1, 2, 3, 4, 478], [1, 2, 3, 4]):
        np.savez(file, lmk_face_idx=face_index, lmk_b_coords=weights, landmark_indices=np.array(wrong))
        with pytest.raises(Smirk3dError, match=r"mediapipe_landmark_embedding\.npz: "):
            read_mediapipe_points(file, 352)


def test_pickled_objects_in_npz_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", landmark_indices=np.array([{}], dtype=object))
    with pytest.raises(Smirk3dError, match=r"a\.npz: cannot be read as \.npz"):
        read_mediapipe_points(tmp_path / "a.npz", 352)


def test_masks(path):
    lists = {
        "face": np.arange(9),
        "left_ear": [20, 21],
        "right_ear": [30],
        "eye_region": np.array([4, 5]),
        "boundary": [7],
    }
    lists |= {
        "left_eye_region": [4],
        "right_eye_region": [5],
        "left_eyeball": [50],
        "right_eyeball": [60],
        "beard": [1],
    }
    save(path.parent / "FLAME_masks.pkl", lists)
    data = read_flame(path)
    found = {name: mask.nonzero()[:, 0].tolist() for name, mask in data.regions.items()}
    assert found["face"] == list(range(9)) and found["ears"] == [20, 21, 30] and found["eye_regions"] == [4, 5]
    assert found["eyeballs"] == [50, 60] and found["boundary"] == [7] and "beard" not in found
    assert data.meta["regions"] == "from FLAME_masks.pkl"


@pytest.mark.parametrize("masks", [{"face": [192]}, {"face": [-1]}, {"nothing": [1]}, [1, 2], {"face": "all"}])
def test_wrong_masks_are_named(path, masks):
    save(path.parent / "FLAME_masks.pkl", masks)
    with pytest.raises(Smirk3dError, match=r"FLAME_masks\.pkl: "):
        read_flame(path)


def test_eyelids(path):
    left, right = np.random.default_rng(0).normal(size=(2, 192, 3))
    np.save(path.parent / "l_eyelid.npy", left)
    with pytest.raises(Smirk3dError, match=r"l_eyelid\.npy: r_eyelid\.npy is missing"):
        read_flame(path)
    np.save(path.parent / "r_eyelid.npy", right)
    data = read_flame(path)
    assert data.eyelid_dirs is not None and data.eyelid_dirs.shape == (192, 3, 2)
    np.testing.assert_allclose(data.eyelid_dirs[..., 1].numpy(), right, rtol=1e-6)
    np.save(path.parent / "r_eyelid.npy", right[:-1])
    with pytest.raises(Smirk3dError, match=r"r_eyelid\.npy: .*another mesh"):
        read_flame(path)


def test_texture_coordinates(path, model):
    uv = np.random.default_rng(0).random((400, 2))
    np.savez(path.parent / "FLAME_texture.npz", vt=uv, ft=model["f"] + 3)
    data = read_flame(path)
    np.testing.assert_allclose(data.uv.numpy(), uv, rtol=1e-6)
    np.testing.assert_array_equal(data.faces_uv.numpy(), model["f"] + 3)
    np.savez(path.parent / "FLAME_texture.npz", vt=uv, ft=model["f"][:-1])
    with pytest.raises(Smirk3dError, match=r"FLAME_texture\.npz: 'ft'"):
        read_flame(path)


def test_companions_in_folders_of_their_own(path):
    (path.parent / "FLAME_masks").mkdir()
    inner = save(path.parent / "FLAME_masks" / "FLAME_masks.pkl", {"face": [1]})
    assert FlameFiles.beside(path).present() == (inner,)
    assert "face" not in read_flame(path, FlameFiles()).regions


# Texture coordinates that are made up


def test_cylindrical_texture_coordinates():
    vertices, faces = (torch.from_numpy(part) for part in sphere())
    uv, faces_uv = cylindrical_uv(vertices.float(), faces)
    assert uv.min() >= 0 and uv.max() <= 1 and len(vertices) < len(uv) < 1.2 * len(vertices)
    spread = uv[faces_uv].amax(1) - uv[faces_uv].amin(1)
    assert spread.max() < 0.2, "a triangle reaches across the texture"
    a, b, c = uv[faces_uv].double().unbind(1)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).all(), "from outside the texture is not mirrored"
    front = uv[(vertices[:, 2] > 0.1).nonzero()[:, 0]]
    assert (front[:, 0] - 0.5).abs().max() < 0.2
    # Corners share a texture corner exactly where they share a vertex and a side of the seam.
    corner_of = dict(zip(faces_uv.flatten().tolist(), faces.flatten().tolist()))
    assert all(corner_of[t] == v for t, v in zip(faces_uv.flatten().tolist(), faces.flatten().tolist()))
