"""From records to motion: batches, cameras, and parameters that do not follow from ARKit weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from smirk3d.estimation.estimator import FaceObservation, HeadEstimates, Intrinsics
from smirk3d.estimation.projection import Pose
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.tracking.track_solver import MAX_BATCH, ClipCamera, clip_camera, coefficients, solve_identity, solve_motion

SIZE = (640, 480)


class NumberEstimator:
    """Estimates heads whose ARKit weights, place and residual are the numbers in the records."""

    method, dtype = "numbers", np.dtype([("value", "f4")])

    def __init__(self, head: HeadModel, focal_px: float = np.inf, *, native: bool = False) -> None:
        self.head, self.focal_px, self.native = head, focal_px, native
        self.batches: list[int] = []

    def observe(self, faces: Sequence[FaceObservation]) -> np.ndarray:
        return np.zeros(len(faces), dtype=self.dtype)

    def intrinsics(self, records: np.ndarray, shared: bool = False) -> Intrinsics:
        assert shared
        return Intrinsics(np.zeros((len(records), 2)), np.full(len(records), self.focal_px))

    def identity(self, records: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
        return np.full(self.head.n_shape, intrinsics.center_px[0, 0], dtype=np.float32)

    def solve(
        self,
        records: np.ndarray,
        intrinsics: Intrinsics,
        identity: np.ndarray | None = None,
        person: np.ndarray | None = None,
    ) -> HeadEstimates:
        self.batches.append(len(records))
        assert identity is not None and person is None and len(intrinsics.focal_px) == len(records)
        value = torch.from_numpy(records["value"].copy())
        column = value[:, None]
        # The principal point lies 10 pixels to the right of the middle of the frame.
        center_px = torch.from_numpy(intrinsics.center_px) + torch.tensor([10.0, 0.0])
        rotmat, focal_px = torch.eye(3).expand(len(value), 3, 3), torch.from_numpy(intrinsics.focal_px)
        pose = Pose(rotmat, torch.ones_like(value), column.expand(-1, 2), center_px, focal_px)
        native = FaceParams(
            expression=column.expand(-1, self.head.n_expression),
            jaw=2 * column.expand(-1, 3),
            pose=column.expand(-1, 3),
        )
        shape = torch.from_numpy(identity).expand(len(value), -1)
        return HeadEstimates(shape, column.expand(-1, 52), pose, value, native if self.native else None)


def records(count: int) -> np.ndarray:
    rows = np.zeros(count, dtype=NumberEstimator.dtype)
    rows["value"] = np.linspace(0, 1, count)
    return rows


@pytest.mark.parametrize("focal_px", [np.inf, 800.0])
def test_the_camera_of_a_clip(open_head: HeadModel, focal_px: float) -> None:
    camera = clip_camera(NumberEstimator(open_head, focal_px), records(3), SIZE)
    assert camera == ClipCamera(SIZE, None if np.isinf(focal_px) else focal_px)
    intrinsics = camera.intrinsics(2)
    assert intrinsics.center_px.tolist() == [[320, 240]] * 2 and intrinsics.focal_px.tolist() == [focal_px] * 2
    assert solve_identity(NumberEstimator(open_head), records(3), camera)[0] == 320


def test_motions_of_batches_follow_each_other(open_head: HeadModel) -> None:
    estimator, rows = NumberEstimator(open_head), records(MAX_BATCH + 10)
    motion = solve_motion(estimator, rows, np.zeros(open_head.n_shape, dtype=np.float32), ClipCamera(SIZE, None))
    assert estimator.batches == [MAX_BATCH, 10] and len(motion) == MAX_BATCH + 10 and not motion.native
    np.testing.assert_array_equal(motion.residual, rows["value"].astype(np.float64))
    np.testing.assert_array_equal(motion.offset_px[:, 0], motion.residual + 10)
    np.testing.assert_array_equal(motion.offset_px[:, 1], motion.residual)


def test_native_parameters_are_kept_for_heads_without_arkit_weights(
    open_head: HeadModel, flame_head: HeadModel
) -> None:
    shape = np.zeros(flame_head.n_shape, dtype=np.float32)
    motion = solve_motion(NumberEstimator(flame_head, native=True), records(4), shape, ClipCamera(SIZE, None))
    assert set(motion.native) == {"expression", "jaw"}
    found = coefficients(flame_head, motion, shape)
    assert found["expression"].shape == (4, flame_head.n_expression)
    np.testing.assert_allclose(found["jaw"][:, 0], 2 * motion.residual, atol=1e-6)
    own = np.zeros(open_head.n_shape, dtype=np.float32)
    plain = solve_motion(NumberEstimator(open_head, native=True), records(4), own, ClipCamera(SIZE, None))
    assert not plain.native  # there the expression is the ARKit weights
    np.testing.assert_array_equal(coefficients(open_head, plain, own)["expression"], plain.arkit.astype(np.float32))
