"""What is covered on the astronaut's face is noticed, and its weights are not invented."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from covered_faces import box_over, covered
from skimage.data import astronaut

from smirk3d import Reconstructor
from smirk3d.detection.detector import Detection
from smirk3d.estimation.estimator import FaceObservation, observed_visibility
from smirk3d.estimation.hidden_regions import action_region
from smirk3d.estimation.reconstructor import DetectedPhoto
from smirk3d.estimation.visibility import region_visibility
from smirk3d.face import Face, Visibility
from smirk3d.head.landmark_indices import MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.media.images import Photo


@pytest.fixture(scope="module")
def reconstructor(open_head: HeadModel) -> Iterator[Reconstructor]:
    with Reconstructor(open_head, "refine") as opened:
        yield opened


@pytest.fixture(scope="module")
def detection(reconstructor: Reconstructor) -> Detection:
    return reconstructor.detect(astronaut())[0]


def solve(reconstructor: Reconstructor, pixels: np.ndarray, detection: Detection) -> Face:
    """Return the face of a photo with landmarks that are known, whether or not the face is found in it."""
    return reconstructor.solve([DetectedPhoto(Photo(pixels), (detection,))])[0][0]


def mean_weight(face: Face, region: str) -> float:
    return float(np.mean([value for name, value in face.arkit.items() if action_region(name)[0] == region]))


def test_a_clear_photo_is_visible(reconstructor: Reconstructor, detection: Detection) -> None:
    face = solve(reconstructor, astronaut(), detection)
    assert isinstance(face.visibility, Visibility)
    assert min(face.visibility.eyes, face.visibility.mouth, face.visibility.left, face.visibility.right) > 0.8
    assert face.confidence > 0.7


@pytest.mark.parametrize("level", [20, 130, 235])
@pytest.mark.parametrize("region", ["eyes", "mouth", "left", "right"])
def test_a_covered_region_is_hidden(detection: Detection, region: str, level: int) -> None:
    found = Visibility(*region_visibility(covered(detection, region, level), detection.landmarks_px).tolist())
    assert getattr(found, region) < 0.4
    other = {"eyes": "mouth", "mouth": "eyes", "left": "right", "right": "left"}[region]
    assert getattr(found, other) > 0.6


@pytest.mark.parametrize("region", ["eyes", "mouth"])
def test_weights_of_a_covered_region_shrink_and_others_stay(
    reconstructor: Reconstructor, detection: Detection, region: str
) -> None:
    clear = solve(reconstructor, astronaut(), detection)
    hidden = solve(reconstructor, covered(detection, region), detection)
    assert mean_weight(hidden, region) < 0.25 * mean_weight(clear, region)
    other = "mouth" if region == "eyes" else "eyes"
    assert mean_weight(hidden, other) > 0.4 * mean_weight(clear, other)
    assert hidden.confidence < 0.85 * clear.confidence
    np.testing.assert_allclose(list(hidden.arkit.values()), hidden.expression, atol=1e-6)


def test_what_the_border_cuts_off_is_hidden(detection: Detection) -> None:
    edge_x, edge_y = int(detection.landmarks_px[4, 0]), box_over(detection, "mouth")[1]
    left_cut = Visibility(*region_visibility(astronaut()[:, :edge_x].copy(), detection.landmarks_px).tolist())
    assert left_cut.left < 0.15 and left_cut.right > 0.6
    lower_cut = Visibility(*region_visibility(astronaut()[:edge_y].copy(), detection.landmarks_px).tolist())
    assert lower_cut.mouth == 0 and lower_cut.eyes > 0.6


def test_sides_of_a_mirrored_photo_are_exchanged(detection: Detection) -> None:
    pixels, points = covered(detection, "left"), detection.landmarks_px
    own = region_visibility(pixels, points)
    width = pixels.shape[1]
    other = region_visibility(pixels[:, ::-1].copy(), (points * [-1, 1] + [width, 0])[list(MIRROR)])
    np.testing.assert_allclose(other, own[[0, 1, 3, 2]], atol=0.05)


def test_where_there_is_no_photo_nothing_is_judged(detection: Detection) -> None:
    for level in (0, 77):
        blank = np.full_like(astronaut(), level)
        assert region_visibility(blank, detection.landmarks_px).tolist() == [1, 1, 1, 1]


def test_a_face_does_not_depend_on_its_batch(detection: Detection) -> None:
    photos = [Photo(astronaut()), Photo(covered(detection, "mouth"))]
    both = observed_visibility([FaceObservation(photo, detection) for photo in photos])
    alone = [observed_visibility([FaceObservation(photo, detection)])[0] for photo in photos]
    np.testing.assert_array_equal(both, alone)
    assert observed_visibility([]).shape == (0, 4)


def test_small_and_large_photos_are_judged_alike(detection: Detection) -> None:
    pixels, points = covered(detection, "mouth"), detection.landmarks_px
    large = np.repeat(np.repeat(pixels, 4, axis=0), 4, axis=1)
    np.testing.assert_allclose(region_visibility(large, points * 4), region_visibility(pixels, points), atol=0.1)
