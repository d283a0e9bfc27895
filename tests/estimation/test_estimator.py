"""A method of one's own: a photo and a clip through the public interfaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from smirk3d import Reconstructor
from smirk3d.estimation.estimator import Estimator, FaceObservation, HeadEstimates, Intrinsics
from smirk3d.estimation.projection import Pose
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.media.video import Frame, VideoInfo
from smirk3d.tracking.track_video import TrackOptions, track_video
from smirk3d.tracking.whittaker_smoother import SmoothConfig

PX_PER_M = 1000.0


class BoxEstimator:
    """Puts a mean head that looks into the camera in the middle of the detected box, with the detector's scores."""

    method = "box"
    dtype = np.dtype([("middle_px", "f8", 2), ("scores", "f4", 52), ("image_size", "i4", 2)])

    def __init__(self, head: HeadModel) -> None:
        self.head = head

    def observe(self, faces: Sequence[FaceObservation]) -> np.ndarray:
        found = [face.detection for face in faces]
        rows = [
            (each.box_px.reshape(2, 2).mean(0), each.blendshape_scores, face.photo.size)
            for each, face in zip(found, faces)
        ]
        return np.array(rows, dtype=self.dtype)

    def intrinsics(self, records: np.ndarray, shared: bool = False) -> Intrinsics:
        return Intrinsics.orthographic(records["image_size"])

    def identity(self, records: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
        return np.zeros(self.head.n_shape, dtype=np.float32)

    def solve(
        self,
        records: np.ndarray,
        intrinsics: Intrinsics,
        identity: np.ndarray | None = None,
        person: np.ndarray | None = None,
    ) -> HeadEstimates:
        offset_px, center_px = records["middle_px"] - intrinsics.center_px, torch.from_numpy(intrinsics.center_px)
        scale, focal_px = torch.full((len(records),), PX_PER_M), torch.from_numpy(intrinsics.focal_px)
        pose = Pose(torch.eye(3).expand(len(records), 3, 3), scale, torch.from_numpy(offset_px), center_px, focal_px)
        shape = torch.zeros(len(records), self.head.n_shape)
        return HeadEstimates(shape, torch.from_numpy(records["scores"].copy()), pose, torch.full_like(scale, 0.01))


class Clip:
    """The astronaut, who moves to the right."""

    info = VideoInfo("astronaut", 25.0, 4)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        for k in range(4):
            yield Frame(k, k / 25, np.roll(astronaut(), 5 * k, axis=1))


@pytest.fixture(scope="module")
def reconstructor(open_head: HeadModel) -> Iterator[Reconstructor]:
    with Reconstructor.from_estimator(BoxEstimator(open_head)) as opened:
        yield opened


def test_it_is_an_estimator(open_head: HeadModel) -> None:
    estimator: Estimator = BoxEstimator(open_head)
    assert estimator.observe([]).dtype == estimator.dtype


def test_a_photo(reconstructor: Reconstructor, open_head: HeadModel) -> None:
    (detection,) = reconstructor.detect(astronaut())
    (face,) = reconstructor(astronaut())
    assert face.method == "box" and face.camera.focal_px is None and face.residual_percent == pytest.approx(1.0)
    assert list(face.arkit.values()) == pytest.approx(detection.blendshape_scores.tolist())
    np.testing.assert_allclose(face.project(np.zeros((1, 3)))[0], detection.box_px.reshape(2, 2).mean(0), atol=1e-3)
    np.testing.assert_allclose(face.neutral_vertices, open_head.v_template.numpy(), atol=1e-6)
    (same,) = reconstructor.fit_identity([astronaut()])
    np.testing.assert_array_equal(same.vertices, face.vertices)


def test_a_clip(reconstructor: Reconstructor) -> None:
    (face,) = reconstructor(astronaut())
    (track,) = track_video(Clip(), reconstructor, TrackOptions(smooth=SmoothConfig(0), min_duration_s=0)).tracks
    assert track.method == "box" and track.focal_px is None and len(track) == 4
    smile = ARKIT_NAMES.index("mouthSmileLeft")
    np.testing.assert_allclose(track.arkit[:, smile], face.arkit["mouthSmileLeft"], atol=0.1)
    middle_px = [track.face(k).project(np.zeros((1, 3)))[0] for k in range(4)]
    np.testing.assert_allclose(np.diff(middle_px, axis=0), [[5, 0]] * 3, atol=1.5)
