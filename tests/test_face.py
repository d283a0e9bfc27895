"""The result for one face: views of the same numbers that agree."""

import numpy as np
import pytest

from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES


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


def test_showing_a_face_is_short(make_face):
    assert len(repr(make_face())) < 1200


def test_another_expression_of_the_same_person(open_head, flame_face) -> None:
    from smirk3d.head.arkit import ARKIT_NAMES

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
