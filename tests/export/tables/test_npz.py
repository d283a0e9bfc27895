from __future__ import annotations

import json

import numpy as np
import pytest

from smirk3d.export import save_face
from smirk3d.head.arkit import ARKIT_NAMES

CONTRACT = {
    *("vertices", "triangles", "vertices_image", "neutral_vertices", "shape", "expression"),
    *("expression_names", "arkit", "rotation", "camera", "landmarks_68", "landmarks_68_head"),
}


@pytest.fixture(scope="module", params=[None, 700.0], ids=["orthographic", "perspective"])
def face(make_face, request):
    return make_face(focal_px=request.param)


@pytest.fixture(scope="module")
def arrays(face, tmp_path_factory):
    path = save_face(face, tmp_path_factory.mktemp("npz") / "face.npz")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_keys_and_types(arrays, face):
    assert set(arrays) >= CONTRACT
    for name, value in arrays.items():
        assert value.dtype.kind in "fiU", name
        assert value.dtype.kind != "f" or value.dtype == np.float32, name
    assert arrays["landmarks_68"].shape == (68, 2) and arrays["landmarks_68_head"].shape == (68, 3)
    assert tuple(arrays["arkit_names"]) == ARKIT_NAMES
    assert tuple(arrays["expression_names"]) == face.expression_names
    np.testing.assert_array_equal(arrays["vertices"], face.vertices)
    np.testing.assert_array_equal(arrays["triangles"], face.triangles)


def test_camera_matrix_maps_vertices_to_the_image(arrays, face):
    homogeneous = np.c_[arrays["vertices"], np.ones(len(arrays["vertices"]))] @ arrays["camera"].T
    np.testing.assert_allclose(homogeneous[:, :2] / homogeneous[:, 2:], arrays["vertices_image"][:, :2], atol=2e-2)
    assert np.isnan(arrays["focal_px"]) == (face.camera.focal_px is None)


def test_image_mesh_is_nearest_at_the_nose(arrays, face):
    z = arrays["vertices_image"][:, 2]
    turned = face.vertices @ face.rotation.T
    assert np.corrcoef(z, turned[:, 2])[0, 1] < -0.99
    extent_px = np.ptp(turned[:, 2]) * face.camera.scale_px_per_m
    assert np.ptp(z) == pytest.approx(extent_px, rel=1e-3)


def test_json_has_the_same_values(arrays, face, tmp_path):
    record = json.loads(save_face(face, tmp_path / "face.json").read_text())
    assert list(record["arkit"]) == list(ARKIT_NAMES)
    np.testing.assert_allclose(list(record["arkit"].values()), arrays["arkit"], atol=1e-6)
    np.testing.assert_allclose(record["camera"], arrays["camera"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(record["landmarks_68"], arrays["landmarks_68"], rtol=1e-5)
    assert record["focal_px"] == face.camera.focal_px
    assert "vertices" not in record
    assert record["visibility"] == {"eyes": 1, "mouth": 1, "left": 1, "right": 1}
    assert record["angles_deg"]["yaw"] == pytest.approx(20, abs=1e-3)
