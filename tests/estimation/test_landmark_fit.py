"""The method "fit" as an estimator: records, cameras, identities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from smirk3d.detection.detector import Detection
from smirk3d.estimation.estimator import FaceObservation, reconstruct_faces
from smirk3d.estimation.landmark_fit import RECORD_DTYPE, LandmarkFitEstimator
from smirk3d.geometry.camera import Camera, default_focal_px
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo
from smirk3d.params import FaceParams

SIZE_PX, PX_PER_M = 256, 700.0


@pytest.fixture(scope="module")
def estimator(open_head: HeadModel) -> LandmarkFitEstimator:
    return LandmarkFitEstimator(open_head)


@pytest.fixture(scope="module")
def faces(open_head: HeadModel) -> list[FaceObservation]:
    """One person with a neutral face from four directions."""
    shape = 0.7 * torch.randn(open_head.n_shape, generator=torch.Generator().manual_seed(0))
    points = open_head(FaceParams(shape=shape)).landmarks("mediapipe").double().numpy()
    photo, observations = Photo(np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.uint8)), []
    for yaw_deg in (-20.0, -5.0, 5.0, 20.0):
        rotmat = rotation_from_angles(yaw_deg, 0, 0)
        landmarks_px = Camera(rotmat, np.zeros(3), np.full(2, SIZE_PX / 2), PX_PER_M).project(points)
        box_px = np.concatenate([landmarks_px.min(0), landmarks_px.max(0)])
        depth = -PX_PER_M * points @ rotmat[2]
        observations.append(FaceObservation(photo, Detection(landmarks_px, depth, np.zeros(52), box_px, 1.0)))
    return observations


def test_records_hold_all_that_the_fit_needs(estimator, faces) -> None:
    records = estimator.observe(faces)
    assert records.dtype == RECORD_DTYPE and records.shape == (4,)
    np.testing.assert_allclose(records["landmarks_px"][2], faces[2].detection.landmarks_px, atol=1e-4)
    assert records["image_size"].tolist() == [[SIZE_PX, SIZE_PX]] * 4 and (records["image_scale"] == 1).all()
    assert estimator.observe([]).shape == (0,)


def test_focal_lengths_of_photos_and_of_a_clip(open_head, estimator, faces) -> None:
    records = estimator.observe(faces)
    own, shared = estimator.intrinsics(records), estimator.intrinsics(records, shared=True)
    assert (own.center_px == SIZE_PX / 2).all() and len(set(shared.focal_px)) == 1
    assert own.focal_px.min() <= shared.focal_px[0] <= own.focal_px.max()
    np.testing.assert_allclose(own.focal_px, default_focal_px(SIZE_PX, SIZE_PX, PX_PER_M), rtol=0.1)
    reduced = [FaceObservation(replace(face.photo, scale=0.5), face.detection) for face in faces]
    in_file_px = LandmarkFitEstimator(open_head, focal=900.0)
    assert (in_file_px.intrinsics(in_file_px.observe(reduced)).focal_px == 450).all()
    orthographic = LandmarkFitEstimator(open_head, focal="orthographic")
    assert np.isinf(orthographic.intrinsics(records).focal_px).all()


def test_an_identity_is_fitted_to_all_records_and_kept(estimator, faces) -> None:
    records = estimator.observe(faces)
    intrinsics = estimator.intrinsics(records, shared=True)
    identity = estimator.identity(records, intrinsics)
    together = estimator.solve(records, intrinsics, person=np.zeros(4, dtype=np.int64))
    np.testing.assert_allclose(identity, together.shape[0], atol=1e-5)
    known = estimator.solve(records, intrinsics, identity=identity)
    np.testing.assert_array_equal(known.shape, np.tile(identity, (4, 1)))
    assert known.residual.max() < 0.02
    torch.testing.assert_close(known.pose.rotmat, together.pose.rotmat, atol=0.02, rtol=0)


def test_faces_of_one_person_share_a_shape(estimator, faces) -> None:
    found = reconstruct_faces(estimator, faces, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(found[0].shape, found[1].shape)
    np.testing.assert_array_equal(found[2].shape, found[3].shape)
    assert np.abs(found[0].shape - found[2].shape).max() > 1e-3
