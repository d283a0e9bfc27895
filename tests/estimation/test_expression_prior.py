"""The reading of the detector: the one that is shipped, its file, and the regression that learns it."""

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

READINGS = ("with_scores", "points_only")
FACES, FEATURES = 12, 10
# Actions without a left and a right, because the two of a pair are judged together.
SEEN = [ARKIT_NAMES.index(name) for name in ("jawOpen", "jawForward", "mouthFunnel", "mouthPucker")]
TRACELESS, TONGUE = (ARKIT_NAMES.index(name) for name in ("mouthShrugLower", "tongueOut"))
MIRROR_X = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def shipped() -> DetectorCalibration:
    return load_calibration()


@pytest.fixture(scope="module")
def marks(open_head) -> tuple[Tensor, Tensor, Tensor]:
    """Marks (pixels), depths and scores of random faces, the marks those of the head itself."""
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
    for name in READINGS:
        for field in fields(BlendshapeRegressor):
            pair = (getattr(getattr(calibration, name), field.name) for calibration in (a, b))
            torch.testing.assert_close(*pair, rtol=rtol, atol=atol)


# The one that is shipped


def test_shipped_sizes_and_ranges(shipped):
    assert shipped.reference.shape == (478, 3) and shipped.weight.shape == (478,)
    assert (shipped.weight > 0).all() and (shipped.weight <= 1).all()
    for name, size in zip(READINGS, (3 * 478 + 52, 3 * 478), strict=True):
        reading = getattr(shipped, name)
        assert reading.mean.shape == (size,) and reading.matrix.shape == (size, 52)
        assert reading.offset.shape == reading.std.shape == reading.explained.shape == (52,)
        assert reading.matrix.isfinite().all() and (reading.std > 0).all()
        assert reading.explained.min() >= 0 and reading.explained.max() <= 1


def test_as_a_voice_among_others_a_reading_is_as_sure_as_it_explains():
    explained, matrix = torch.tensor([1.0, 0.25, 0.0, 0.5]), torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    zero = torch.zeros(4)
    reading = BlendshapeRegressor(torch.zeros(1), matrix, zero, torch.full((4,), 0.2), explained)
    expected = torch.tensor([0.2, 0.4, torch.inf, torch.inf])  # the last is not read off anything
    torch.testing.assert_close(reading.likelihood_std, expected)
    torch.testing.assert_close(reading.prior_std, 0.2 * reading.prior_relaxation)


def test_evidence_is_as_wrong_as_the_reading_without_its_lean_on_the_usual():
    """Of y = x + noise, regression says E[x | y] with the error `std`; what y alone says of x has the other one."""
    random = torch.Generator().manual_seed(0)
    truth = torch.randn(200_000, generator=random)
    seen = truth + 1.5 * torch.randn(truth.shape, generator=random)
    explained = 1 / (1 + 1.5**2)
    std = (explained * seen - truth).std()
    one = torch.ones(1)
    reading = BlendshapeRegressor(0 * one, one[None], 0 * one, std * one, explained * one)
    assert float(reading.likelihood_std) == pytest.approx(float((seen - truth).std()), rel=0.01)


@pytest.mark.parametrize("with_scores", [True, False])
def test_prior_means_are_weights(shipped, marks, with_scores):
    points_px, depth_px, scores = marks
    prior = shipped.prior(points_px, depth_px, scores if with_scores else None)
    guess, prior_std = prior.mean, prior.std
    assert guess.shape == (FACES, 52) and guess.min() >= 0 and guess.max() <= 1
    assert prior_std.shape == (52,) and (prior_std > 0).all()
    assert prior_std.equal((shipped.with_scores if with_scores else shipped.points_only).prior_std)
    assert not guess[:, ARKIT_NAMES.index("tongueOut")].any()
    assert (guess > 0.2).any()


def test_opposites_never_act_together(shipped, marks):
    points_px, depth_px, _ = marks
    scores = torch.rand(FACES, 52, generator=torch.Generator().manual_seed(1))
    everything = replace(shipped.with_scores, offset=torch.full((52,), 0.6))
    guess = replace(shipped, with_scores=everything).prior(points_px, depth_px, scores).mean
    both = torch.stack([torch.minimum(guess[:, a], guess[:, b]) for a, b in ANTAGONISTS])
    assert not both.any()
    assert guess[:, [a for pair in ANTAGONISTS for a in pair]].any()


@pytest.mark.parametrize("with_scores", [True, False])
def test_a_mirrored_face_gives_the_mirrored_prior(shipped, marks, with_scores):
    points_px, depth_px, scores = marks
    mirrored_px = (points_px * MIRROR_X[:2] + torch.tensor([640.0, 0.0]))[:, list(MIRROR)]
    guess = shipped.prior(points_px, depth_px, scores if with_scores else None).mean
    other = shipped.prior(
        mirrored_px, depth_px[:, list(MIRROR)], scores[:, list(ARKIT_MIRROR)] if with_scores else None
    )
    torch.testing.assert_close(other.mean, guess[:, list(ARKIT_MIRROR)], atol=0.02, rtol=0)


def test_features_do_not_know_pose_and_size(shipped, marks):
    points_px, depth_px, _ = marks
    rotmat = torch.from_numpy(rotation_from_angles(20.0, -10.0, 15.0)).float()
    space = torch.cat([points_px, depth_px[..., None]], dim=-1) * torch.tensor([1.0, -1.0, -1.0])
    turned = (1.7 * space @ rotmat.T + torch.tensor([50.0, 80.0, 9.0])) * torch.tensor([1.0, -1.0, -1.0])
    features = detector_features(shipped.reference, shipped.weight, points_px, depth_px)
    again = detector_features(shipped.reference, shipped.weight, turned[..., :2], turned[..., 2])
    assert features.shape == (FACES, 3 * 478) and features.abs().max() > 0.1
    torch.testing.assert_close(again, features, atol=1e-3, rtol=0)


def test_marks_of_the_reference_have_no_features(shipped):
    pixels = 700 * shipped.reference[None] * torch.tensor([1.0, -1.0, -1.0])
    features = detector_features(shipped.reference, shipped.weight, pixels[..., :2], pixels[..., 2])
    assert features.abs().max() < 1e-3


# The file


def test_saving_and_loading_gives_the_same_to_half_precision(shipped, tmp_path):
    path = tmp_path / "folder" / "calibration.safetensors"
    fine = replace(shipped, points_only=replace(shipped.points_only, offset=shipped.points_only.offset + 1 / 3))
    save_calibration(fine, path, {"made": "by a test"})
    assert_equal(load_calibration(path), fine, rtol=1e-3, atol=1e-7)
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_to_a_device_is_a_copy(shipped):
    assert_equal(shipped.to(torch.device("cpu")), shipped, rtol=0, atol=0)
    assert shipped.to(torch.device("meta")).with_scores.std.device.type == "meta"


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
def test_a_damaged_file_says_so(tmp_path, damage):
    path = tmp_path / "calibration.safetensors"
    damage(path)
    with pytest.raises(Smirk3dError, match=r"calibration\.safetensors: .*reinstall") as error:
        load_calibration(path)
    assert "\n" not in str(error.value)


# The regression


def rows(noise: float = 0.02, count: int = 2000) -> tuple[Tensor, Tensor]:
    """Features that are linear in random weights, which a third of the rows lack; two actions leave no trace."""
    random = torch.Generator().manual_seed(2)
    weights = torch.zeros(count, 52)
    acting = [*SEEN, TRACELESS, TONGUE]
    weights[:, acting] = torch.rand(count, 6, generator=random) * (torch.rand(count, 6, generator=random) < 0.5)
    weights[::3] = 0
    mixing = torch.randn(52, FEATURES, generator=random)
    mixing[[TRACELESS, TONGUE]] = 0
    features = weights @ mixing + 4 + noise * torch.randn(count, FEATURES, generator=random)
    return features, weights


def test_a_linear_relation_is_recovered():
    features, weights = rows()
    reading = fit_blendshape_regressor(features, weights, ridge=1e-2)
    assert reading.explained[SEEN].min() > 0.95
    for action in SEEN:
        read, true = reading.linear(features)[:, action], weights[:, action]
        assert torch.corrcoef(torch.stack([read, true]))[0, 1] > 0.98
        assert (reading(features)[:, action] - true)[true > 0.1].abs().mean() < 0.25
    assert reading.std[SEEN].max() < 0.3


def test_calm_rows_read_nothing():
    features, weights = rows()
    reading = fit_blendshape_regressor(features, weights, ridge=1e-2)
    calm = (weights == 0).all(1)
    assert reading(features[calm]).mean() < 0.01
    assert reading(features[calm]).max() < 0.1


def test_what_leaves_no_trace_is_not_read_and_not_explained():
    features, weights = rows()
    reading = fit_blendshape_regressor(features, weights, ridge=1e-2)
    assert reading.explained[TRACELESS] < MIN_EXPLAINED_VARIANCE
    # So the fit is to hold it: less prior_std than for what is seen, relative to the error.
    share = reading.prior_std / reading.std
    assert share[TRACELESS] < 0.25 and share[SEEN].min() > 0.9
    assert not reading(features)[:, TONGUE].any()


def test_actions_that_no_row_shows_are_not_explained():
    features, weights = rows()
    reading = fit_blendshape_regressor(features, weights, ridge=1e-2)
    absent = (weights == 0).all(0)
    assert absent.any() and not reading.explained[absent].any()
    assert all(getattr(reading, field.name).isfinite().all() for field in fields(BlendshapeRegressor))


def test_what_calm_photos_read_is_taken_off():
    features, weights = rows()
    calm = features[(weights == 0).all(1)]
    shifted = calm + features[weights[:, SEEN[0]] > 0.5].mean(0) - calm.mean(0)
    plain = fit_blendshape_regressor(features, weights, ridge=1e-2)
    taught = fit_blendshape_regressor(features, weights, ridge=1e-2, neutral_photos=shifted)
    assert plain(shifted)[:, SEEN[0]].mean() > 0.3
    assert taught(shifted)[:, SEEN[0]].mean() < 0.05
    assert (taught(features) <= plain(features) + 1e-5).all()
