"""Random heads that act out known expressions, and the figures of predictions for them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_faces import Silent, face_points

from smirk3d.datasets.synthetic.blink_closure import LIDS
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.personal_rest import RESTING
from smirk3d.evaluation.out_of_domain_heads import (
    KIND_CYCLE,
    PICTURES,
    RUNGS,
    out_of_domain_pictures,
    out_of_domain_result,
)
from smirk3d.evaluation.randomized_heads import RandomizedHead, blinking
from smirk3d.evaluation.registry import measures_named
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.params import FaceParams

HEADS = 60


class FakeDetector:
    """Finds a face in every picture but one."""

    def __init__(self, missed: int = -1) -> None:
        self.count, self._missed = 0, missed

    def __call__(self, pixels: np.ndarray) -> list[Detection]:
        self.count += 1
        points = face_points(self.count)
        box = np.concatenate([points.min(0), points.max(0)])
        found = Detection(points, points[:, 0], np.full(52, 0.5, np.float32), box, 0.9)
        return [] if self.count == self._missed else [found]


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """(N, 52) pictures of each head in turn; the random expressions are uniform."""
    blinks = torch.stack([blinking(rung) for rung in RUNGS]).numpy()
    random = np.random.default_rng(0)
    heads = [np.concatenate([np.zeros((1, 52)), random.uniform(size=(1, 52)), blinks]) for _ in range(HEADS)]
    return np.concatenate(heads)


def jaw_open() -> torch.Tensor:
    weights = torch.zeros(len(ARKIT_NAMES))
    weights[ARKIT_NAMES.index("jawOpen")] = 0.8
    return weights


def test_one_head_acts_and_remains_itself(open_head):
    """Vertices that the jaw does not move stay where they are, on a head that is not the open one."""
    actor, other = (
        replace(RandomizedHead.random(open_head, torch.Generator().manual_seed(seed)), rotmat=torch.eye(3))
        for seed in (3, 4)  # upright, since the joint about which a head turns moves with the jaw
    )
    with torch.no_grad():
        plain = [
            open_head(FaceParams(shape=actor.shape, expression=each)).vertices for each in (blinking(0.0), jaw_open())
        ]
        at_rest, acting = (actor.acting(each).vertices[0] for each in (blinking(0.0), jaw_open()))
        elsewhere = other.acting(blinking(0.0)).vertices[0]
    motion_m = (acting - at_rest).norm(dim=1)
    is_still = (plain[1] - plain[0]).norm(dim=1) == 0
    assert 0.2 < is_still.float().mean() < 0.9
    assert motion_m[is_still].max() < 1e-6 and motion_m.max() > 0.01
    assert (elsewhere - at_rest).norm(dim=1).mean() > 0.002


@pytest.mark.parametrize("seed", range(4))
def test_lids_meet_at_one_and_half_way_at_one_half(open_head, seed):
    actor = RandomizedHead.random(open_head, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        meshes = [actor.acting(blinking(weight)) for weight in (0.0, 0.5, 1.0, 1.5)]
    points = torch.stack([mesh.landmarks("mediapipe")[0, :, 1] for mesh in meshes])
    for upper, lower in LIDS:
        wide, half, shut, beyond = (points[:, upper] - points[:, lower]).tolist()
        assert wide - half == pytest.approx(half - shut, rel=0.03)
        assert abs(beyond - shut) < 0.05 * (wide - shut)


def test_pictures_of_a_head_follow_each_other(open_head):
    """Three heads; the second has a picture without a face and is left out."""
    detect = FakeDetector(missed=PICTURES + 4)
    made = out_of_domain_pictures(open_head, detect, Silent(), count=3, seed=3, size=24)
    assert made.pixels.shape == (2 * PICTURES, 24, 24, 3) and made.missed == PICTURES
    blinks = [f"blink {rung:g}" for rung in RUNGS]
    assert made.kind.tolist() == ["neutral", KIND_CYCLE[0], *blinks, "neutral", KIND_CYCLE[2], *blinks]
    assert made.landmarks_px[PICTURES] == pytest.approx(face_points(2 * PICTURES + 1))
    assert not made.expression[0].any() and made.expression[1].any()
    assert made.expression[2:PICTURES].sum(1) == pytest.approx(2 * np.array(RUNGS))
    assert np.array_equal(made.rotmat[0], made.rotmat[PICTURES - 1])
    corner = made.pixels[:, 0, 0]
    assert np.array_equal(corner[0], corner[PICTURES - 1]) and not np.array_equal(corner[0], corner[-1])


def test_no_head_with_faces_in_all_pictures(open_head):
    with pytest.raises(Smirk3dError, match="none of 1 rendered heads"):
        out_of_domain_pictures(open_head, FakeDetector(missed=1), Silent(), count=1, seed=3, size=16)


def test_figures_of_the_truth_and_of_half_of_it(truth):
    right, half = (out_of_domain_result(factor * truth, truth, "fit").figures for factor in (1.0, 0.5))
    for name in ("mean_correlation", "gain", "asymmetry_gain", "correlation_without_rest", "gain_without_rest"):
        assert right[name] == pytest.approx(1.0)
    assert right["blink_at_1"] == pytest.approx(1.0)
    assert right["neutral_mean"] == right["blink_ladder_error"] == right["blink_when_open"] == 0
    assert half["mean_correlation"] == pytest.approx(1.0)
    assert half["gain"] == half["asymmetry_gain"] == half["blink_at_1"] == pytest.approx(0.5)
    assert half["blink_ladder_error"] == pytest.approx(np.mean(RUNGS) / 2)


def test_a_resting_face_is_taken_off(truth):
    """Each head shows a little of lids, brows and mouth all the time."""
    rests = np.random.default_rng(1).uniform(0, 0.3, (HEADS, 1, 52)) * RESTING
    found = (rests + truth.reshape(HEADS, PICTURES, 52) * (1 - rests)).reshape(truth.shape)
    figures = out_of_domain_result(found, truth, "fit").figures
    assert figures["mean_correlation"] < 0.99
    assert figures["correlation_without_rest"] == figures["gain_without_rest"] == pytest.approx(1.0)
    assert figures["blink_when_open"] == pytest.approx(0.15, abs=0.02)


def test_taken_where_it_is_named():
    (measure,) = measures_named(("out-of-domain-heads",))
    assert not measure.is_default and not measure.needs
