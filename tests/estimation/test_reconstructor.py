"""From a real photo to a head: the astronaut, who smiles."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from smirk3d import Reconstructor
from smirk3d.errors import NoFaceError, Smirk3dError, UsageError
from smirk3d.estimation import estimator_settings
from smirk3d.face import Face
from smirk3d.geometry.camera import default_focal_px
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder, EncoderConfig
from smirk3d.params import FaceParams


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return astronaut()


@pytest.fixture(scope="module")
def reconstructor(open_head):
    with Reconstructor(open_head, "fit") as opened:
        yield opened


@pytest.fixture(scope="module")
def face(reconstructor, photo) -> Face:
    (found,) = reconstructor(photo)
    return found


@pytest.fixture(scope="module")
def detected(reconstructor, photo):
    return reconstructor.read_and_detect(photo).detections[0]


def eye_distance_px(face: Face) -> float:
    right, left = face.landmarks("mediapipe")[[33, 263]]
    return float(np.linalg.norm(left - right))


def mesh_error(face: Face, other: Face) -> float:
    """Mean distance in metres of the faces' skin."""
    skin = face.head.region_mask("face").numpy()
    return float(np.linalg.norm(face.vertices - other.vertices, axis=1)[skin].mean())


def test_the_astronaut_smiles_and_does_nothing_else(face):
    assert face.arkit["mouthSmileLeft"] > 0.3 and face.arkit["mouthSmileRight"] > 0.3
    assert face.arkit["mouthFrownLeft"] < 0.2 and face.arkit["tongueOut"] < 0.5
    assert face.arkit["eyeBlinkLeft"] < 0.5 and face.arkit["cheekPuff"] < 0.5
    assert {name for name, _ in face.strongest(10)} & {"mouthSmileLeft", "mouthSmileRight"}


def test_types_and_ranges(face, open_head):
    count = len(open_head.v_template)
    assert face.vertices.shape == face.neutral_vertices.shape == (count, 3)
    assert face.vertices.dtype == face.expression.dtype == np.float32
    assert face.triangles.shape[1] == 3 and face.triangles.max() == count - 1
    assert tuple(face.arkit) == ARKIT_NAMES == face.expression_names
    assert all(0 <= weight <= 1 for weight in face.arkit.values())
    assert list(face.arkit.values()) == pytest.approx(face.expression.tolist())
    assert face.shape.shape == (open_head.n_shape,) and np.abs(face.shape).max() < 5
    assert 0.5 < face.confidence <= 1 and face.method == "fit" and face.image_size == (512, 512)
    assert face.jaw.shape == (3,) and face.eyelids.shape == (2,)
    assert np.isfinite(face.vertices).all()


def test_vertices_are_the_heads_own(face, open_head):
    shape, expression = torch.from_numpy(face.shape), torch.from_numpy(face.expression)
    expected = open_head(FaceParams(shape=shape, expression=expression)).vertices
    np.testing.assert_allclose(face.vertices, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(face.neutral_vertices, open_head.shaped(shape).vertices.numpy(), atol=1e-5)


def test_landmarks_of_the_mesh_lie_on_the_detected_ones(face, detected):
    distance = np.linalg.norm(face.landmarks("mediapipe") - detected.landmarks_px, axis=1)
    assert distance.mean() < 0.03 * eye_distance_px(face)
    assert face.residual_percent < 3
    reported = face.residual_percent / 100 * eye_distance_px(face)
    assert distance.mean() == pytest.approx(reported, rel=0.1)
    embedding = face.head.landmark_embedding("mediapipe")
    vertices, triangles = torch.from_numpy(face.vertices), torch.from_numpy(face.triangles.astype(np.int64))
    np.testing.assert_allclose(
        face.project(embedding.points(vertices, triangles).numpy()), face.landmarks("mediapipe"), atol=1e-3
    )


def test_the_box_is_around_her_face(face):
    x0, y0, x1, y1 = face.box_px
    assert 160 < x0 < 200 and 40 < y0 < 90 and 250 < x1 < 290 and 150 < y1 < 200
    lying = face.landmarks("ibug68")
    assert (lying > [x0 - 10, y0 - 10]).all() and (lying < [x1 + 10, y1 + 10]).all()


def test_pose_and_camera(face):
    yaw, pitch, roll = face.angles_deg
    assert max(abs(yaw), abs(pitch), abs(roll)) < 25
    np.testing.assert_allclose(face.rotation @ face.rotation.T, np.eye(3), atol=1e-5)
    assert face.camera.focal_px == pytest.approx(default_focal_px(512, 512, 500.0))
    assert 0.5 < -face.camera.translation_m[2] < 5  # metres away
    nose, ear = face.landmarks("mediapipe", "head")[[1, 234]]
    assert face.camera.depth(nose[None]) < face.camera.depth(ear[None])


def test_the_mirrored_photo_gives_the_mirrored_face(reconstructor, photo, face):
    (other,) = reconstructor(np.ascontiguousarray(photo[:, ::-1]))
    difference = np.abs(other.expression[list(ARKIT_MIRROR)] - face.expression)
    assert difference.mean() < 0.04
    yaw, pitch, roll = face.angles_deg
    np.testing.assert_allclose(other.angles_deg, (-yaw, pitch, -roll), atol=3)


def test_all_kinds_of_input_give_the_same(reconstructor, photo, face, tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(photo).save(path)
    for source in (path, str(path), Image.fromarray(photo)):
        (other,) = reconstructor(source)
        np.testing.assert_array_equal(other.vertices, face.vertices)


def test_a_grey_image_gives_nearly_the_same(reconstructor, photo, face):
    grey = np.asarray(Image.fromarray(photo).convert("L"))
    (other,) = reconstructor(Image.fromarray(grey))
    assert mesh_error(face, other) < 0.004
    assert other.arkit["mouthSmileLeft"] > 0.2
    np.testing.assert_allclose(other.angles_deg, face.angles_deg, atol=4)


def test_a_moved_and_larger_image_gives_nearly_the_same(reconstructor, photo, face):
    framed = np.full((1100, 1100, 3), 128, dtype=np.uint8)
    framed[:1024, 76:] = np.asarray(Image.fromarray(photo).resize((1024, 1024), Image.Resampling.BICUBIC))
    (other,) = reconstructor(framed)
    assert mesh_error(face, other) < 0.004
    moved = other.landmarks("mediapipe") - (2 * face.landmarks("mediapipe") + [76, 0])
    assert np.linalg.norm(moved, axis=1).mean() < 0.06 * eye_distance_px(other)


def test_no_face_is_an_error_that_names_the_file(reconstructor, tmp_path):
    path = tmp_path / "wall.png"
    Image.new("RGB", (200, 200), (90, 120, 160)).save(path)
    with pytest.raises(NoFaceError, match=r"wall\.png: no face found") as error:
        reconstructor(path)
    assert isinstance(error.value, Smirk3dError) and "\n" not in str(error.value)
    with pytest.raises(NoFaceError, match="the picture"):
        reconstructor(np.zeros((64, 64, 3), dtype=np.uint8))


@pytest.fixture
def package_weights(monkeypatch) -> Callable[[Path | None], None]:
    """Let the installation come with a file of weights, or without."""
    return lambda path: monkeypatch.setattr(estimator_settings, "packaged_encoder", lambda: path)


def test_methods_and_weights_that_do_not_go_together(open_head, package_weights):
    package_weights(None)
    for method in ("encoder", "refine"):
        with pytest.raises(UsageError, match=rf"'{method}' needs trained weights.*comes with none.*--weights"):
            Reconstructor(open_head, method)
    with pytest.raises(UsageError, match=r"w\.pt: method 'fit' uses no weights"):
        Reconstructor(open_head, method="fit", weights="w.pt")


def test_without_weights_auto_is_the_fit(open_head, package_weights, photo, face):
    package_weights(None)
    with Reconstructor(open_head) as reconstructor:
        (other,) = reconstructor(photo)
    assert other.method == "fit"
    np.testing.assert_array_equal(other.expression, face.expression)


def test_with_the_weights_of_the_package(open_head, flame_head, package_weights, photo, tmp_path):
    path = tmp_path / "encoder.safetensors"
    small = "tf_mobilenetv3_small_minimal_100"
    save_networks(path, encoder=Encoder(open_head.spec, EncoderConfig(small, small, small)), meta={})
    package_weights(path)
    expected: dict[estimator_settings.Method, str] = {
        "auto": estimator_settings.AUTO_METHOD,
        "refine": "refine",
        "encoder": "encoder",
        "fit": "fit",
    }
    for method, used in expected.items():
        with Reconstructor(open_head, method) as reconstructor:
            assert reconstructor(photo)[0].method == used
    with Reconstructor(flame_head) as reconstructor:
        assert reconstructor(photo)[0].method == "refine"
    with pytest.raises(UsageError, match=r"the package's own are for the open head.*--weights.*--method refine"):
        Reconstructor(flame_head, "encoder")


def test_invalid_options_are_refused(open_head):
    for focal in (0.0, -5.0):
        with pytest.raises(ValueError, match="focal"):
            Reconstructor(open_head, focal=focal)
    if not torch.cuda.is_available():
        with pytest.raises(Smirk3dError, match="'cuda' is not available; use --device cpu"):
            Reconstructor(open_head, device="cuda")
    with pytest.raises(Smirk3dError, match="no such head"):
        Reconstructor("nobody.pack")


def test_flame_gives_what_the_open_head_gives(flame_head, flame_face, face):
    other = flame_face
    assert other.method == "fit" and other.expression.shape == (flame_head.n_expression,)
    assert other.shape.shape == (flame_head.n_shape,) and np.abs(other.shape).max() < 5
    difference = np.abs(np.subtract(list(other.arkit.values()), list(face.arkit.values())))
    assert difference.mean() < 0.05 and other.arkit["mouthSmileLeft"] > 0.3
    np.testing.assert_allclose(other.angles_deg, face.angles_deg, atol=5)
    assert other.residual_percent < 3
    names = ("shape", "expression", "jaw", "eyelids", "eyes")
    params = FaceParams(**{name: torch.from_numpy(getattr(other, name)) for name in names})
    np.testing.assert_allclose(other.vertices, flame_head(params).vertices.numpy(), atol=1e-5)
    between = np.linalg.norm(other.landmarks("ibug68")[17:] - face.landmarks("ibug68")[17:], axis=1)
    assert between.mean() < 0.04 * eye_distance_px(face)


def test_orthographic_and_given_focal_lengths(open_head, photo, face):
    with (
        Reconstructor(open_head, "fit", focal="orthographic") as flat,
        Reconstructor(open_head, "fit", focal=700.0) as near,
    ):
        (far_face,), (near_face,) = flat(photo), near(photo)
    assert far_face.camera.focal_px is None and far_face.camera.translation_m[2] == 0
    assert near_face.camera.focal_px == 700
    assert -near_face.camera.translation_m[2] > -face.camera.translation_m[2] * 0.8
    for other in (far_face, near_face):
        assert other.residual_percent < 3 and mesh_error(face, other) < 0.006


def test_scores_can_be_switched_off(open_head, photo, face):
    with Reconstructor(open_head, "fit", use_scores=False) as reconstructor:
        (other,) = reconstructor(photo)
    assert other.residual_percent < 3
    assert not np.array_equal(other.expression, face.expression)


def test_two_faces_in_one_photo(open_head, photo, face):
    both = np.concatenate([photo[:, 40:400], photo[:, 40:400]], axis=1)
    with Reconstructor(open_head, "fit", max_faces=2) as reconstructor:
        faces = reconstructor(both)
    assert len(faces) == 2
    area = [np.prod(found.box_px[2:] - found.box_px[:2]) for found in faces]
    assert area[0] >= area[1]
    columns = sorted(float(found.box_px[0]) for found in faces)
    assert columns[1] - columns[0] == pytest.approx(360, abs=15)
    for found in faces:
        assert found.arkit["mouthSmileLeft"] > 0.2 and mesh_error(face, found) < 0.008


def test_one_person_in_several_photos(reconstructor, photo, face):
    grey = np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))
    faces = reconstructor.fit_identity([photo, grey, photo[:380, 60:420]])
    assert len(faces) == 3
    for other in faces[1:]:
        np.testing.assert_allclose(other.shape, faces[0].shape, atol=1e-5)
        np.testing.assert_allclose(other.neutral_vertices, faces[0].neutral_vertices, atol=1e-6)
    assert faces[2].image_size == (360, 380)
    assert all(other.residual_percent < 4 and other.arkit["mouthSmileLeft"] > 0.2 for other in faces)
    assert reconstructor.fit_identity([]) == []


def test_a_batch_of_photos_equals_single_photos(reconstructor, photo, face):
    prepared = [reconstructor.read_and_detect(photo[:400]), reconstructor.read_and_detect(photo)]
    faces = reconstructor.solve(prepared)
    assert [len(found) for found in faces] == [1, 1]
    assert mesh_error(faces[1][0], face) < 2e-4 and faces[0][0].image_size == (512, 400)
    assert reconstructor.solve([]) == []


def test_a_list_of_photos_gives_a_list_for_each(reconstructor, photo, face):
    both = reconstructor([photo, np.zeros((64, 64, 3), dtype=np.uint8)])
    assert [len(faces) for faces in both] == [1, 0]
    assert mesh_error(both[0][0], face) < 2e-4
    with pytest.raises(Smirk3dError, match=r"photo 2 of 2: .*nowhere\.png"):
        reconstructor([photo, "nowhere.png"])
    with pytest.raises(UsageError, match="list of photos"):
        reconstructor.fit_identity("photo.jpg")


def test_a_copy_by_pickle_gives_the_same(reconstructor, photo, face):
    with pickle.loads(pickle.dumps(reconstructor)) as other:
        assert other(photo) == [face]


def test_it_works_after_a_fork():
    # In a process of its own, since forking one with as many threads as that of the tests is not safe.
    code = """
import faulthandler, os, sys
from skimage.data import astronaut
from smirk3d import Reconstructor
used, unused, photo = Reconstructor(method="fit"), Reconstructor(method="fit"), astronaut()
expected = used(photo)[0].confidence
if os.fork() == 0:
    faulthandler.dump_traceback_later(40, exit=True)
    sys.exit(abs(used(photo)[0].confidence - expected) > 1e-3)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    if hasattr(os, "fork"):
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_what_a_neutral_photo_shows_is_taken_off(reconstructor, photo, face, monkeypatch):
    neutral = face.with_arkit({"browInnerUp": 0.2, "mouthSmileLeft": 0.3, "jawOpen": 0.1})
    with monkeypatch.context() as patched:
        patched.setattr(reconstructor, "solve", lambda _: [[neutral]])
        rested = reconstructor.with_neutral(photo)
    with rested:
        (found,) = rested(photo)
    np.testing.assert_allclose(found.shape, face.shape, atol=1e-5)
    for name, rest in {"mouthSmileLeft": 0.3, "mouthSmileRight": 0.0, "browInnerUp": 0.2, "jawOpen": 0.0}.items():
        assert found.arkit[name] == pytest.approx(max(0.0, face.arkit[name] - rest) / (1 - rest), abs=1e-4)


def test_a_smile_is_no_resting_face(reconstructor, photo):
    with pytest.raises(UsageError, match="shows no resting face but mouthSmile"):
        reconstructor.with_neutral(photo)
