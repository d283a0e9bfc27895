"""The expression prior from the detector: the packaged regressors, their file, and the regression that fits them."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from smirk3d.errors import Smirk3dError
from smirk3d.estimation.expression_prior import (
    MIN_EXPLAINED_VARIANCE,
    BlendshapeRegressor,
    DetectorCalibration,
    detector_features,
    fit_blendshape_regressor,
    load_calibration,
    save_calibration,
)
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ANTAGONISTS, ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.params import FaceParams

REGRESSORS = ("with_scores", "points_only")
FACES, FEATURES = 12, 10
# Blendshapes without sides, because the explained variances of a pair are averaged.
EXPLAINED = [ARKIT_NAMES.index(name) for name in ("jawOpen", "jawForward", "mouthFunnel", "mouthPucker")]
UNEXPLAINED, TONGUE = (ARKIT_NAMES.index(name) for name in ("mouthShrugLower", "tongueOut"))
MIRROR_X = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def packaged() -> DetectorCalibration:
    return load_calibration()


@pytest.fixture(scope="module")
def landmarks(open_head) -> tuple[Tensor, Tensor, Tensor]:
    """Landmarks and depths (pixels) and scores of random faces; the landmarks are those of the head itself."""
    random = torch.Generator().manual_seed(0)
    weights = torch.rand(FACES, 52, generator=random) * (torch.rand(FACES, 52, generator=random) < 0.15)
    shape = 0.7 * torch.randn(FACES, open_head.n_shape, generator=random)
    points = open_head(FaceParams(shape=shape, expression=weights)).landmarks("mediapipe")
    scores = (weights + 0.1 * torch.randn(FACES, 52, generator=random)).clamp(0, 1)
    pixels = 900 * points * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([320.0, 240.0, 0.0])
    return pixels[..., :2], pixels[..., 2], scores


def assert_equal(a: DetectorCalibration, b: DetectorCalibration, rtol: float, atol: float) -> None:
    torch.testing.assert_close(a.reference, b.reference)
    torch.testing.assert_close(a.weight, b.weight)
    for name in REGRESSORS:
        for field in fields(BlendshapeRegressor):
            pair = (getattr(getattr(calibration, name), field.name) for calibration in (a, b))
            torch.testing.assert_close(*pair, rtol=rtol, atol=atol)


# The packaged calibration


def test_packaged_sizes_and_ranges(packaged):
    assert packaged.reference.shape == (478, 3) and packaged.weight.shape == (478,)
    assert (packaged.weight > 0).all() and (packaged.weight <= 1).all()
    for name, size in zip(REGRESSORS, (3 * 478 + 52, 3 * 478), strict=True):
        regressor = getattr(packaged, name)
        assert regressor.mean.shape == (size,) and regressor.matrix.shape == (size, 52)
        assert regressor.offset.shape == regressor.std.shape == regressor.explained.shape == (52,)
        assert regressor.matrix.isfinite().all() and (regressor.std > 0).all()
        assert regressor.explained.min() >= 0 and regressor.explained.max() <= 1


def test_precision_of_a_measurement_is_the_explained_share():
    explained, matrix = torch.tensor([1.0, 0.25, 0.0, 0.5]), torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    zero = torch.zeros(4)
    regressor = BlendshapeRegressor(torch.zeros(1), matrix, zero, torch.full((4,), 0.2), explained)
    expected = torch.tensor([0.2, 0.4, torch.inf, torch.inf])  # the last depends on no feature
    torch.testing.assert_close(regressor.likelihood_std, expected)
    torch.testing.assert_close(regressor.prior_std, 0.2 * regressor.prior_relaxation)


def test_likelihood_std_is_the_error_without_shrinkage():
    """Of y = x + noise, regression gives E[x | y] with the error `std`; y alone measures x with `likelihood_std`."""
    random = torch.Generator().manual_seed(0)
    truth = torch.randn(200_000, generator=random)
    seen = truth + 1.5 * torch.randn(truth.shape, generator=random)
    explained = 1 / (1 + 1.5**2)
    std = (explained * seen - truth).std()
    one = torch.ones(1)
    regressor = BlendshapeRegressor(0 * one, one[None], 0 * one, std * one, explained * one)
    assert float(regressor.likelihood_std) == pytest.approx(float((seen - truth).std()), rel=0.01)


@pytest.mark.parametrize("with_scores", [True, False])
def test_prior_means_are_weights(packaged, landmarks, with_scores):
    points_px, depth_px, scores = landmarks
    prior = packaged.prior(points_px, depth_px, scores if with_scores else None)
    mean, prior_std = prior.mean, prior.std
    assert mean.shape == (FACES, 52) and mean.min() >= 0 and mean.max() <= 1
    assert prior_std.shape == (52,) and (prior_std > 0).all()
    assert prior_std.equal((packaged.with_scores if with_scores else packaged.points_only).prior_std)
    assert not mean[:, ARKIT_NAMES.index("tongueOut")].any()
    assert (mean > 0.2).any()


def test_antagonists_are_never_active_together(packaged, landmarks):
    points_px, depth_px, _ = landmarks
    scores = torch.rand(FACES, 52, generator=torch.Generator().manual_seed(1))
    everything = replace(packaged.with_scores, offset=torch.full((52,), 0.6))
    mean = replace(packaged, with_scores=everything).prior(points_px, depth_px, scores).mean
    both = torch.stack([torch.minimum(mean[:, a], mean[:, b]) for a, b in ANTAGONISTS])
    assert not both.any()
    assert mean[:, [a for pair in ANTAGONISTS for a in pair]].any()


@pytest.mark.parametrize("with_scores", [True, False])
def test_a_mirrored_face_gives_the_mirrored_prior(packaged, landmarks, with_scores):
    points_px, depth_px, scores = landmarks
    mirrored_px = (points_px * MIRROR_X[:2] + torch.tensor([640.0, 0.0]))[:, list(MIRROR)]
    mean = packaged.prior(points_px, depth_px, scores if with_scores else None).mean
    other = packaged.prior(
        mirrored_px, depth_px[:, list(MIRROR)], scores[:, list(ARKIT_MIRROR)] if with_scores else None
    )
    torch.testing.assert_close(other.mean, mean[:, list(ARKIT_MIRROR)], atol=0.02, rtol=0)


def test_features_are_invariant_to_pose_and_size(packaged, landmarks):
    points_px, depth_px, _ = landmarks
    rotmat = torch.from_numpy(rotation_from_angles(20.0, -10.0, 15.0)).float()
    space = torch.cat([points_px, depth_px[..., None]], dim=-1) * torch.tensor([1.0, -1.0, -1.0])
    turned = (1.7 * space @ rotmat.T + torch.tensor([50.0, 80.0, 9.0])) * torch.tensor([1.0, -1.0, -1.0])
    features = detector_features(packaged.reference, packaged.weight, points_px, depth_px)
    again = detector_features(packaged.reference, packaged.weight, turned[..., :2], turned[..., 2])
    assert features.shape == (FACES, 3 * 478) and features.abs().max() > 0.1
    torch.testing.assert_close(again, features, atol=1e-3, rtol=0)


def test_features_of_the_reference_are_zero(packaged):
    pixels = 700 * packaged.reference[None] * torch.tensor([1.0, -1.0, -1.0])
    features = detector_features(packaged.reference, packaged.weight, pixels[..., :2], pixels[..., 2])
    assert features.abs().max() < 1e-3


# The file


def test_saving_and_loading_gives_the_same_to_half_precision(packaged, tmp_path):
    path = tmp_path / "folder" / "calibration.safetensors"
    fine = replace(packaged, points_only=replace(packaged.points_only, offset=packaged.points_only.offset + 1 / 3))
    save_calibration(fine, path, {"made": "by a test"})
    assert_equal(load_calibration(path), fine, rtol=1e-3, atol=1e-7)
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_moving_to_a_device_copies(packaged):
    assert_equal(packaged.to(torch.device("cpu")), packaged, rtol=0, atol=0)
    assert packaged.to(torch.device("meta")).with_scores.std.device.type == "meta"


def damage_nothing(_: Path) -> None:
    """The file is missing."""


def damage_text(path: Path) -> None:
    path.write_text("no calibration")


def damage_cut(path: Path) -> None:
    save_calibration(load_calibration(), path, {})
    path.write_bytes(path.read_bytes()[:1000])


def damage_other(path: Path) -> None:
    save_file({"reference": torch.zeros(478, 3)}, path)


@pytest.mark.parametrize("damage", [damage_nothing, damage_text, damage_cut, damage_other])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, damage):
    path = tmp_path / "calibration.safetensors"
    damage(path)
    with pytest.raises(Smirk3dError, match=r"calibration\.safetensors: .*reinstall") as error:
        load_calibration(path)
    assert "\n" not in str(error.value)


# The regression


def rows(noise: float = 0.02, count: int = 2000) -> tuple[Tensor, Tensor]:
    """Features that are linear in random weights, a third of the rows without any; two blendshapes have no effect."""
    random = torch.Generator().manual_seed(2)
    weights = torch.zeros(count, 52)
    acting = [*EXPLAINED, UNEXPLAINED, TONGUE]
    weights[:, acting] = torch.rand(count, 6, generator=random) * (torch.rand(count, 6, generator=random) < 0.5)
    weights[::3] = 0
    mixing = torch.randn(52, FEATURES, generator=random)
    mixing[[UNEXPLAINED, TONGUE]] = 0
    features = weights @ mixing + 4 + noise * torch.randn(count, FEATURES, generator=random)
    return features, weights


def test_a_linear_relation_is_recovered():
    features, weights = rows()
    regressor = fit_blendshape_regressor(features, weights, ridge=1e-2)
    assert regressor.explained[EXPLAINED].min() > 0.95
    for action in EXPLAINED:
        read, true = regressor.linear(features)[:, action], weights[:, action]
        assert torch.corrcoef(torch.stack([read, true]))[0, 1] > 0.98
        assert (regressor(features)[:, action] - true)[true > 0.1].abs().mean() < 0.25
    assert regressor.std[EXPLAINED].max() < 0.3


def test_neutral_rows_have_no_expression():
    features, weights = rows()
    regressor = fit_blendshape_regressor(features, weights, ridge=1e-2)
    neutral = (weights == 0).all(1)
    assert regressor(features[neutral]).mean() < 0.01
    assert regressor(features[neutral]).max() < 0.1


def test_blendshapes_without_effect_are_not_explained():
    features, weights = rows()
    regressor = fit_blendshape_regressor(features, weights, ridge=1e-2)
    assert regressor.explained[UNEXPLAINED] < MIN_EXPLAINED_VARIANCE
    # So the fit holds it: its prior_std is smaller relative to the error than that of an explained weight.
    share = regressor.prior_std / regressor.std
    assert share[UNEXPLAINED] < 0.25 and share[EXPLAINED].min() > 0.9
    assert not regressor(features)[:, TONGUE].any()


def test_blendshapes_that_never_occur_are_not_explained():
    features, weights = rows()
    regressor = fit_blendshape_regressor(features, weights, ridge=1e-2)
    absent = (weights == 0).all(0)
    assert absent.any() and not regressor.explained[absent].any()
    assert all(getattr(regressor, field.name).isfinite().all() for field in fields(BlendshapeRegressor))


def test_the_floor_of_neutral_photos_is_subtracted():
    features, weights = rows()
    neutral = features[(weights == 0).all(1)]
    shifted = neutral + features[weights[:, EXPLAINED[0]] > 0.5].mean(0) - neutral.mean(0)
    plain = fit_blendshape_regressor(features, weights, ridge=1e-2)
    taught = fit_blendshape_regressor(features, weights, ridge=1e-2, neutral_photos=shifted)
    assert plain(shifted)[:, EXPLAINED[0]].mean() > 0.3
    assert taught(shifted)[:, EXPLAINED[0]].mean() < 0.05
    assert (taught(features) <= plain(features) + 1e-5).all()
