"""The method "refine": two estimates of the expression are fused, and landmarks determine the rest."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import Tensor

from smirk3d import Reconstructor
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.estimator import FaceObservation, reconstruct_faces
from smirk3d.estimation.expression_prior import BlendshapeRegressor, ExpressionPrior
from smirk3d.estimation.fusion import (
    DEFAULT_EXPRESSION_STD,
    REFUTED_RESIDUAL,
    ExpressionEstimate,
    FusionConfig,
    FusionEstimator,
    expression_std,
    fuse,
    fuse_correcting_symmetric_bias,
)
from smirk3d.estimation.identity_network import identity_network_of
from smirk3d.estimation.landmark_fit import LandmarkFitEstimator
from smirk3d.estimation.regression import CropEncoder
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES, resolve_antagonists
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.media.images import Photo
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.encoder import Encoder, EncoderConfig, predicts_arkit
from smirk3d.params import FaceParams

FACES, SIDE_PX = 12, 256
CPU = torch.device("cpu")
BACKBONE = "tf_mobilenetv3_small_minimal_100"
SMALL = EncoderConfig(BACKBONE, BACKBONE, BACKBONE)


@pytest.fixture(scope="module")
def truth() -> Tensor:
    """ARKit weights of faces with a few blendshapes each."""
    random = torch.Generator().manual_seed(0)
    strength = 0.3 + 0.6 * torch.rand(FACES, 52, generator=random)
    return resolve_antagonists(strength * (torch.rand(FACES, 52, generator=random) < 0.1))


@pytest.fixture(scope="module")
def observations(open_head: HeadModel, truth: Tensor) -> list[FaceObservation]:
    """Blank photos of people with those expressions, as detected without errors."""
    random = torch.Generator().manual_seed(1)
    shape = 0.7 * torch.randn(FACES, open_head.n_shape, generator=random)
    points = open_head(FaceParams(shape=shape, expression=truth)).landmarks("mediapipe").double().numpy()
    angles_deg = 15 * torch.randn(FACES, 3, generator=random).clamp(-1.5, 1.5)
    blank = Photo(np.zeros((SIDE_PX, SIDE_PX, 3), dtype=np.uint8), None, 1.0, ())
    found = []
    for each, angles, weights in zip(points, angles_deg.tolist(), truth.numpy()):
        rotmat = rotation_from_angles(*angles)
        camera = Camera(rotmat, np.zeros(3), np.full(2, SIDE_PX / 2), 700.0)
        landmarks_px, depth = camera.project(each).astype(np.float32), -700 * (each @ rotmat[2]).astype(np.float32)
        box = np.concatenate([landmarks_px.min(0), landmarks_px.max(0)])
        found.append(FaceObservation(blank, Detection(landmarks_px, depth, 0.5 * weights, box, 1.0)))
    return found


PRIOR_STD = 0.12


class KnownPriorFitter(LandmarkFitEstimator):
    """A landmark fit whose prior of the expression is the ground truth with known errors.

    The calibration is for MediaPipe's landmarks, which lie elsewhere than a perfect detector's.
    """

    truth = torch.zeros(FACES, 52)

    @property
    def regressor(self) -> BlendshapeRegressor:
        one = torch.ones(52)
        return BlendshapeRegressor(
            torch.zeros(1), one[None], 0 * one, std=PRIOR_STD * 0.9**0.5 * one, explained=0.9 * one
        )

    def prior(self, records: np.ndarray) -> ExpressionPrior:
        noise = PRIOR_STD * torch.randn(self.truth.shape, generator=torch.Generator().manual_seed(4))
        return replace(super().prior(records), mean=(self.truth + noise).clamp(0, 1)[: len(records)])


@pytest.fixture(scope="module")
def fitter(open_head: HeadModel, truth: Tensor) -> LandmarkFitEstimator:
    made = KnownPriorFitter(open_head)
    made.truth = truth
    return made


@pytest.fixture(scope="module")
def encoded(truth: Tensor) -> Tensor:
    """The predictions of an encoder with errors of 0.1."""
    return (truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)


def encoder_of(predictions: FaceParams) -> CropEncoder:
    """An encoder that predicts these parameters, one row per face, for any image."""
    rows = cycle(range(predictions.batch_shape[0]))

    def run(crops: Tensor) -> FaceParams:
        index = [next(rows) for _ in crops]
        return FaceParams(**{name: value[index] for name, value in predictions.items()})

    return CropEncoder(run, 32, CPU)


def refine(
    fitter: LandmarkFitEstimator,
    weights: Tensor,
    std: float,
    observations: Sequence[FaceObservation],
    prior_scale: float = 1.0,
):
    encoder, config = encoder_of(FaceParams(expression=weights)), FusionConfig(prior_scale)
    estimator = FusionEstimator(fitter, encoder, torch.full((52,), std), config=config)
    return reconstruct_faces(estimator, observations)


def arkit(faces: Sequence) -> Tensor:
    return torch.tensor([list(face.arkit.values()) for face in faces])


def rms(error: Tensor) -> float:
    return float(error.square().mean().sqrt())


# Fusion


def test_fusion_is_better_than_either_estimate_and_states_its_error():
    random = torch.Generator().manual_seed(0)
    truth = 0.3 + 0.4 * torch.rand(4000, 52, generator=random)
    for a, b in ((0.1, 0.1), (0.05, 0.2), (0.3, 0.1)):
        noisy = [truth + std * torch.randn(truth.shape, generator=random) for std in (a, b)]
        neutral = [estimate.index_fill(1, torch.arange(52)[:28], 0.0) for estimate in noisy]  # no opposites to undo
        fused = fuse(*(ExpressionEstimate(w, torch.full((52,), std)) for w, std in zip(neutral, (a, b))))
        error = rms((fused.weights - truth)[:, 28:])
        assert error < 0.99 * min(a, b)
        assert error == pytest.approx(float(fused.std[0]), rel=0.02)


def test_an_estimate_of_infinite_error_has_no_weight():
    weights = torch.rand(5, 52, generator=torch.Generator().manual_seed(0))
    predicted, nothing = ExpressionEstimate(weights, torch.full((52,), 0.2)), torch.full((52,), torch.inf)
    fused = fuse(predicted, ExpressionEstimate(torch.ones(5, 52), nothing))
    torch.testing.assert_close(fused.weights, resolve_antagonists(weights))
    torch.testing.assert_close(fused.std, predicted.std)
    assert fuse(predicted, predicted).std[0] == pytest.approx(0.2 / 2**0.5)


def test_fused_antagonists_are_not_active_together():
    up, down = torch.zeros(1, 52), torch.zeros(1, 52)
    up[0, ARKIT_NAMES.index("eyeLookUpLeft")] = down[0, ARKIT_NAMES.index("eyeLookDownLeft")] = 0.8
    std = torch.full((52,), 0.1)
    assert not fuse(ExpressionEstimate(up, std), ExpressionEstimate(down, std)).weights.any()


# The estimator


def test_the_expression_is_better_than_both_estimates(fitter, observations, truth, encoded):
    mean = fitter.prior(fitter.observe(observations)).mean
    std = rms(encoded - truth)
    refined = arkit(refine(fitter, encoded, std, observations))
    assert rms(refined - truth) < 0.95 * min(std, rms(mean - truth))
    assert refined.min() >= 0 and refined.max() <= 1


def test_the_mesh_still_lies_on_the_landmarks(fitter, observations, encoded):
    fitted = np.mean([face.residual_percent for face in reconstruct_faces(fitter, observations)])
    refined = refine(fitter, encoded, 0.1, observations)
    assert np.mean([face.residual_percent for face in refined]) < fitted + 0.15
    assert {face.method for face in refined} == {"refine"}


def test_a_prior_scale_of_zero_holds_the_expression_and_fits_the_rest(fitter, observations, truth, encoded):
    faces = refine(fitter, encoded, 1e-6, observations, prior_scale=0.0)
    torch.testing.assert_close(arkit(faces), resolve_antagonists(encoded), atol=1e-5, rtol=0)
    exact = refine(fitter, truth, 1e-6, observations, prior_scale=0.0)
    assert max(face.residual_percent for face in exact) < 1.3
    assert all(np.abs(face.shape).max() > 0.3 for face in exact)


def test_a_larger_prior_scale_follows_the_landmarks_more_closely(fitter, observations, truth, encoded):
    moved, residual = [], []
    for prior_scale in (0.0, 1.0, 10.0):
        faces = refine(fitter, encoded, 0.1, observations, prior_scale)
        moved.append(float((arkit(faces) - resolve_antagonists(encoded)).abs().mean()))
        residual.append(np.mean([face.residual_percent for face in faces]))
    assert moved[0] < moved[1] < moved[2] and residual[0] > residual[1] > residual[2]


def test_an_uncertain_encoder_leaves_the_detectors_prior(open_head, observations):
    fitter = LandmarkFitEstimator(open_head)
    mean, detector = fitter.prior(fitter.observe(observations)).mean, fitter.regressor
    faces = refine(fitter, torch.rand(FACES, 52, generator=torch.Generator().manual_seed(3)), 1e4, observations, 0.0)
    measured = detector.likelihood_std.isfinite()
    assert measured.sum() > 40 and not measured[ARKIT_NAMES.index("tongueOut")]
    torch.testing.assert_close(arkit(faces)[:, measured], mean[:, measured], atol=1e-3, rtol=0)


def test_one_prediction_serves_other_heads(flame_head, open_head, observations, truth, fitter):
    faces = refine(LandmarkFitEstimator(flame_head), truth, 0.02, observations)
    own = refine(fitter, truth, 0.02, observations)
    assert all(face.expression.shape == (flame_head.n_expression,) for face in faces)
    assert float((arkit(faces) - arkit(own)).abs().mean()) < 0.02
    assert np.mean([face.residual_percent for face in faces]) < 3


def test_predictions_for_another_head_are_retargeted_to_arkit(flame_head, observations, truth):
    actions = find_retargeter(flame_head)
    assert actions is not None
    predicted = actions.from_arkit(truth)
    predicted = FaceParams(expression=predicted.expression, jaw=predicted.jaw, eyelids=predicted.eyelids)
    fitter = LandmarkFitEstimator(flame_head)
    estimator = FusionEstimator(
        fitter, encoder_of(predicted), torch.full((52,), 1e-6), actions, FusionConfig(prior_scale=0.0)
    )
    shown = actions.to_arkit(predicted).weights
    torch.testing.assert_close(arkit(reconstruct_faces(estimator, observations)), shown, atol=1e-4, rtol=0)
    no_gaze = [k for k, name in enumerate(ARKIT_NAMES) if not name.startswith("eyeLook")]
    assert float((shown - truth)[:, no_gaze].abs().mean()) < 0.02  # FLAME encoders do not see the eyes turn


def test_faces_of_one_person_share_their_shape(fitter, observations, encoded):
    estimator = FusionEstimator(fitter, encoder_of(FaceParams(expression=encoded[:3])), torch.full((52,), 0.1))
    faces = reconstruct_faces(estimator, observations[:3], np.array([0, 1, 0]))
    np.testing.assert_array_equal(faces[0].shape, faces[2].shape)
    assert np.abs(faces[0].shape - faces[1].shape).max() > 0.1


# Files and methods


def test_which_heads_predict_arkit_weights(open_head, flame_head):
    assert predicts_arkit(open_head.spec) and not predicts_arkit(flame_head.spec)
    assert not predicts_arkit(HeadModel(open_head.data, n_expression=50).spec)


def write_encoder(path: Path, head: HeadModel, std: Sequence[float] | None = None) -> Path:
    torch.manual_seed(0)
    save_networks(path, encoder=Encoder(head.spec, SMALL).eval(), expression_std=std, meta={})
    return path


def test_errors_come_from_the_file(open_head, tmp_path):
    known = [0.01 * (k + 1) for k in range(52)]
    torch.testing.assert_close(
        expression_std(write_encoder(tmp_path / "a.safetensors", open_head, known)), torch.tensor(known)
    )
    silent = expression_std(write_encoder(tmp_path / "b.safetensors", open_head))
    torch.testing.assert_close(silent, torch.full((52,), DEFAULT_EXPRESSION_STD))
    torch.save({"smirk_encoder.x": torch.zeros(1)}, tmp_path / "SMIRK_em1.pt")
    assert expression_std(tmp_path / "SMIRK_em1.pt").equal(silent)


def test_from_the_photo_to_the_face(open_head, tmp_path):
    sure = write_encoder(tmp_path / "w.safetensors", open_head, [1e-4] * 52)
    with Reconstructor(open_head, weights=sure) as reconstructor:
        (face,) = reconstructor(astronaut())
        prepared = reconstructor.read_and_detect(astronaut())
    assert face.method == "refine" and face.residual_percent < 3
    encoder, (face_observation,) = (
        Encoder.from_checkpoint(sure),
        [FaceObservation(prepared.photo, prepared.detections[0])],
    )
    predicted, _ = CropEncoder(encoder.eval(), encoder.size_px, CPU)([face_observation])
    assert predicted.expression is not None
    expected = resolve_antagonists(predicted.expression.detach())[0]
    np.testing.assert_allclose(list(face.arkit.values()), expected, atol=0.05)


def test_the_encoder_of_the_open_head_serves_other_heads(open_head, flame_head, tmp_path):
    path = write_encoder(tmp_path / "w.safetensors", open_head)
    with Reconstructor(flame_head, weights=path) as reconstructor:
        (face,) = reconstructor(astronaut())
    assert face.method == "refine" and face.head is flame_head
    with pytest.raises(Smirk3dError, match=r"w\.safetensors: its encoder is not for the head"):
        Reconstructor(flame_head, "encoder", weights=path)


def test_a_flame_encoder_serves_its_own_head_alone(open_head, flame_head, tmp_path):
    sized = HeadModel(flame_head.data, 20, 10)
    path = write_encoder(tmp_path / "w.safetensors", sized)
    with Reconstructor(flame_head, "refine", weights=path) as reconstructor:
        (face,) = reconstructor(astronaut())
    assert face.method == "refine" and face.expression.shape == (10,) and face.shape.shape == (20,)
    with pytest.raises(Smirk3dError, match=r"w\.safetensors: its encoder is not for the head 'open'"):
        Reconstructor(open_head, "refine", weights=path)


def test_asymmetry_follows_a_certain_encoder() -> None:
    left, right = ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")
    even, one_sided = torch.zeros(1, 52), torch.zeros(1, 52)
    even[0, [left, right]] = 0.5
    one_sided[0, left] = 0.4

    def smile(encoder_std: float) -> torch.Tensor:
        std = torch.ones(52)
        return fuse_correcting_symmetric_bias(
            ExpressionEstimate(one_sided, encoder_std * std), ExpressionEstimate(even, std)
        ).weights[0, [left, right]]

    torch.testing.assert_close(smile(float("inf")), torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(smile(1e-4), torch.tensor([0.4, 0.0]), atol=1e-4, rtol=0)
    alike = smile(1.0)
    torch.testing.assert_close(alike.sum(), torch.tensor(0.7))  # the mean of both voices
    assert alike[0] - alike[1] > 0.9 * 0.4  # the difference is the encoder's, nearly


def test_an_identity_that_the_landmarks_refute_is_not_used(observations, encoded, open_head):
    fitter, network = LandmarkFitEstimator(open_head), identity_network_of(open_head)
    std, config = torch.full((52,), 0.1), FusionConfig(identity_trust=1e6)
    encoder = encoder_of(FaceParams(expression=encoded))
    plain = FusionEstimator(fitter, encoder, std)
    records = plain.observe(observations)
    intrinsics = plain.intrinsics(records)
    expected = plain.solve(records, intrinsics)
    own = FusionEstimator(fitter, encoder, std, config=config, identity=network)
    known = np.zeros(len(records), own.dtype)
    for name in records.dtype.names or ():
        known[name] = records[name]
    wrong = 3 * np.sign(np.random.default_rng(0).normal(size=known["shape"].shape))
    known["shape_seen"], known["shape"] = True, wrong
    known["shape"][0] = 0.9 * expected.shape[0].numpy()  # this one fits
    found = own.solve(known, intrinsics)
    torch.testing.assert_close(found.shape[0], 0.9 * expected.shape[0], atol=0.02, rtol=0)
    torch.testing.assert_close(found.shape[1:], expected.shape[1:], atol=1e-2, rtol=0)
    torch.testing.assert_close(found.pose.rotmat[1:], expected.pose.rotmat[1:], atol=1e-3, rtol=0)
    assert found.residual.max() <= REFUTED_RESIDUAL
