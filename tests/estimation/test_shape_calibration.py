"""The calibration of identities that are fitted to several photos."""

import numpy as np
import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.estimation.landmark_fit import RECORD_DTYPE, LandmarkFitEstimator
from smirk3d.estimation.landmark_model import SHAPE_LIMIT
from smirk3d.estimation.shape_calibration import (
    ShapeCalibration,
    calibration_of,
    fit_calibration,
    load_shape_calibration,
    save_shape_calibration,
)
from smirk3d.head.load import load_open_head


def samples(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(count))


def test_a_linear_map_between_fitted_and_true_shapes_is_found():
    sign = torch.tensor([1.0, -1.0, 1.0])
    # Symmetric and antisymmetric coefficients cannot depend on each other.
    wanted = torch.tensor([[0.5, 0.0, 0.2], [0.0, 0.8, 0.0], [-0.1, 0.0, 0.3]])
    fitted = samples(500, 3)
    found = fit_calibration(fitted, fitted @ wanted, sign, ridge=1e-6, share=1.0)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    half = fit_calibration(fitted, fitted @ wanted, sign, ridge=1e-6, share=0.5)
    torch.testing.assert_close(half, (torch.eye(3) + wanted) / 2, atol=1e-4, rtol=0)


def test_errors_of_the_fit_make_it_believe_less():
    true, noise = samples(4000, 2).chunk(2)
    fitted = true + torch.tensor([2.0, 0.1]) * noise
    matrix = fit_calibration(fitted, true, torch.ones(2), ridge=0.1, share=1.0)
    # The gain of least squares is the signal's share of the variance: 1 / (1 + 4) and 1 / (1 + 0.01).
    torch.testing.assert_close(matrix.diagonal(), torch.tensor([0.2, 0.99]), atol=0.05, rtol=0)


def test_a_face_and_its_mirror_image_are_treated_alike():
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0])
    matrix = fit_calibration(samples(40, 4), samples(41, 4)[:40], sign, ridge=1.0, share=1.0)
    torch.testing.assert_close(sign[:, None] * matrix * sign, matrix, atol=1e-6, rtol=0)


def test_the_packaged_calibration_is_of_the_packaged_head(open_head):
    calibration = load_shape_calibration()
    assert calibration.head == open_head.data.content_id
    assert calibration.matrix.shape == (open_head.n_shape, open_head.n_shape)
    assert 0.1 < calibration.matrix.diagonal().mean() < 1.0
    assert calibration_of(open_head.data, 40) is None


def test_only_shared_identities_are_calibrated(open_head):
    estimator, plain = LandmarkFitEstimator(open_head), LandmarkFitEstimator(open_head)
    plain.shape_calibration = None
    records = np.zeros(2, RECORD_DTYPE)
    points = open_head.landmark_embedding("mediapipe").points(open_head.v_template, open_head.faces).numpy()
    records["landmarks_px"] = 128 + 700 * points[:, :2] * [1, -1] + samples(2, 2).numpy()[:, None]
    records["landmarks_px"][:, :, 1] *= 1.05
    records["depth_px"], records["image_size"], records["image_scale"] = -700 * points[:, 2], 256, 1.0
    intrinsics = estimator.intrinsics(records)
    single = [each.solve(records, intrinsics).shape for each in (estimator, plain)]
    torch.testing.assert_close(*single, atol=0, rtol=0)
    person = np.zeros(2, dtype=np.int64)
    shared, raw = (each.solve(records, intrinsics, person=person).shape for each in (estimator, plain))
    wanted = load_shape_calibration()(raw).clamp(-SHAPE_LIMIT, SHAPE_LIMIT)
    torch.testing.assert_close(shared, wanted, atol=1e-5, rtol=0)
    assert (shared - raw).abs().max() > 0.05


def test_heads_with_fewer_components_have_no_calibration():
    assert LandmarkFitEstimator(load_open_head(n_shape=20)).shape_calibration is None


def test_a_file_is_read_back_and_a_damaged_one_is_named(tmp_path):
    written = ShapeCalibration(torch.eye(3) / 2, "open-1", {"seed": "4"})
    save_shape_calibration(written, tmp_path / "a.safetensors")
    found = load_shape_calibration(tmp_path / "a.safetensors")
    assert found.matrix.equal(written.matrix) and found.head == "open-1" and found.meta == {"seed": "4"}
    (tmp_path / "b.safetensors").write_bytes(b"no tensors")
    with pytest.raises(Smirk3dError, match=r"b\.safetensors: cannot be read"):
        load_shape_calibration(tmp_path / "b.safetensors")
