"""The result for one face: properties that agree, and a plain value that can be compared, copied and pickled."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from other_process import use_face

from smirk3d import load_head
from smirk3d.errors import Smirk3dError
from smirk3d.face import ImageFit, assemble_face
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import save_pack


def test_rotation_and_angles(make_face):
    face = make_face(angles_deg=(20.0, -8.0, 5.0))
    np.testing.assert_allclose(face.angles_deg, (20.0, -8.0, 5.0), atol=1e-6)
    np.testing.assert_allclose(face.rotation, rotation_from_angles(20.0, -8.0, 5.0))


@pytest.mark.parametrize("focal_px", [None, 600.0])
def test_landmarks_in_the_image_are_those_of_the_head_projected(make_face, focal_px):
    face = make_face(focal_px=focal_px)
    head, image = face.landmarks("ibug68", "head"), face.landmarks("ibug68")
    assert head.shape == (68, 3) and image.shape == (68, 2)
    np.testing.assert_allclose(image, face.camera.project(head))
    np.testing.assert_allclose(face.project(head.tolist()), image)
    embedding = face.head.landmark_embedding("ibug68")
    corners = face.vertices[face.triangles[embedding.face_index.numpy()]]
    expected = (embedding.barycentric.numpy()[..., None] * corners).sum(axis=1)
    np.testing.assert_allclose(head, expected, atol=1e-7)
    x0, y0, x1, y1 = face.box_px
    assert (image >= [x0, y0]).all() and (image <= [x1, y1]).all()


def test_the_static_set_is_the_same_where_there_is_no_moving_contour(make_face):
    face = make_face()
    np.testing.assert_array_equal(face.landmarks("ibug68_static"), face.landmarks("ibug68"))


def test_unknown_space_and_set(make_face):
    with pytest.raises(ValueError, match="'image' or 'head', not 'camera'"):
        make_face().landmarks("ibug68", space="camera")
    with pytest.raises(KeyError, match="no landmarks 'wflw'"):
        make_face().landmarks("wflw")


def test_strongest_weights_come_first(make_face):
    face = make_face({"jawOpen": 0.5, "mouthSmileLeft": 0.75, "browInnerUp": 0.25})
    assert [name for name, _ in face.strongest(3)] == ["mouthSmileLeft", "jawOpen", "browInnerUp"]
    assert face.strongest(1)[0][1] == pytest.approx(0.75)
    assert len(face.strongest()) == 5 and len(face.strongest(99)) == len(ARKIT_NAMES)


def test_saving_returns_the_path(make_face, tmp_path):
    path = make_face().save(str(tmp_path / "face.json"))
    assert path == tmp_path / "face.json" and path.stat().st_size > 100


def test_repr_is_short(make_face):
    assert len(repr(make_face())) < 1200


def test_another_expression_of_the_same_person(open_head, flame_face) -> None:
    smiling = flame_face.with_arkit({"mouthSmileLeft": 0.8, "jawOpen": 0.5})
    assert smiling.arkit["mouthSmileLeft"] == pytest.approx(0.8) and sum(smiling.arkit.values()) == pytest.approx(1.3)
    np.testing.assert_array_equal(smiling.neutral_vertices, flame_face.neutral_vertices)
    assert smiling.camera is flame_face.camera and np.abs(smiling.jaw).max() > 0.05
    moved = smiling.vertices - flame_face.with_arkit({}).vertices
    corners = smiling.landmarks("ibug68_static", space="head") - flame_face.with_arkit({}).landmarks(
        "ibug68_static", space="head"
    )
    assert np.abs(moved).max() > 0.005 and np.linalg.norm(corners[54]) > 1.3 * np.linalg.norm(corners[48])  # their left
    assert set(smiling.arkit) == set(ARKIT_NAMES)
    with pytest.raises(ValueError, match="unknown: smile"):
        flame_face.with_arkit({"smile": 0.5})
    with pytest.raises(ValueError, match="0, 1"):
        flame_face.with_arkit({"jawOpen": 1.5})


@pytest.fixture
def open_face(open_head, make_face):
    """A face of the packaged head, which every process can find."""
    face = make_face({"jawOpen": 0.4, "mouthSmileLeft": 0.3})
    fit = ImageFit(face.camera, face.confidence, face.method, face.image_size, face.box_px, face.residual_percent)
    coefficients = {"shape": face.shape, "expression": face.expression, "jaw": np.ones(3, np.float32)}
    return assemble_face(
        open_head, face.vertices, face.neutral_vertices, coefficients, np.array(list(face.arkit.values())), fit
    )


def test_assembled_faces_have_zeros_for_what_is_not_known(open_head, open_face):
    assert open_face.head is open_head and open_face.head_id == open_head.id
    assert open_face.jaw.tolist() == [1, 1, 1] and open_face.eyelids.tolist() == [0, 0] and not open_face.eyes.any()
    assert open_face.triangles.dtype == np.int32
    np.testing.assert_array_equal(open_face.triangles, open_head.faces.numpy())
    assert open_face.triangles is open_face.with_arkit({}).triangles


def test_faces_are_compared_by_contents(make_face):
    face = make_face(seed=1)
    others = [copy.copy(face), copy.deepcopy(face), replace(face), pickle.loads(pickle.dumps(face)), make_face(seed=1)]
    for other in others:
        assert face == other and (face != other) is False and hash(face) == hash(other)
    assert face in others and len({face, *others}) == 1
    assert face != make_face(seed=2) and make_face(seed=2) not in [face]
    moved = replace(face, vertices=face.vertices + np.float32(1e-6))
    turned = replace(face, camera=replace(face.camera, translation_m=face.camera.translation_m + 1))
    assert moved not in [face, turned] and turned != face and replace(face, head_id="another") != face


def test_a_face_is_small_and_without_modules(open_face):
    assert len(pickle.dumps(open_face)) < 300_000
    assert not any(isinstance(value, torch.nn.Module | torch.Tensor) for value in vars(open_face).values())
    assert {open_face.vertices.dtype, open_face.neutral_vertices.dtype} == {np.dtype(np.float32)}


def test_a_face_works_in_another_process(open_face, tmp_path, other_process):
    face, smiling, landmarks = other_process.submit(use_face, open_face, tmp_path / "there.obj").result()
    assert face == open_face and smiling.head_id == open_face.head_id
    np.testing.assert_array_equal(landmarks, open_face.landmarks("mediapipe"))
    np.testing.assert_allclose(smiling.vertices, open_face.with_arkit({"mouthSmileLeft": 0.5}).vertices, atol=1e-7)
    assert (tmp_path / "there.obj").read_bytes() == open_face.save(tmp_path / "here.obj").read_bytes()


def test_a_face_of_an_unknown_head_names_the_remedy(open_face):
    stranger = replace(open_face, head_id="mine-0123456789abcdef-s1-e1")
    assert stranger.project(np.zeros((1, 3))).shape == (1, 2)
    with pytest.raises(
        Smirk3dError, match=r"'mine-0123456789abcdef-s1-e1' is not known here; load it first with load_h"
    ):
        stranger.landmarks("mediapipe")


def test_loading_the_head_is_the_remedy(open_head, open_face, tmp_path):
    data = replace(open_head.data, v_template=open_head.data.v_template * 1.5)
    face = replace(open_face, head_id=HeadModel(data, n_shape=10).id)
    with pytest.raises(Smirk3dError, match="load it first"):
        face.landmarks("mediapipe")
    save_pack(data, tmp_path / "large.pack")
    load_head(tmp_path / "large.pack")
    assert face.landmarks("mediapipe").shape == (478, 2) and face.head.n_shape == 10
