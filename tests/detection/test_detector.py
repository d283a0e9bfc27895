"""Face detection in easy and hard framings; left and right are the subject's."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, chelsea

from smirk3d.detection.detector import N_LANDMARKS, Detection, Detector, scores_by_name
from smirk3d.detection.landmarker import Landmarker, LandmarkerOptions
from smirk3d.detection.landmarker_file import find_landmarker
from smirk3d.detection.orientation import QUARTER_TURNS, OrientationCheck
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES

# MediaPipe's mesh: outer eye corners of the subject's right and left eye, mouth corners right and left.
RIGHT_EYE, LEFT_EYE, RIGHT_MOUTH, LEFT_MOUTH = 33, 263, 61, 291
EYES_AND_MOUTH = [RIGHT_EYE, LEFT_EYE, RIGHT_MOUTH, LEFT_MOUTH]


@pytest.fixture(scope="module")
def detector():
    with Detector() as opened:
        yield opened


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return astronaut()


@pytest.fixture(scope="module")
def face(detector, photo) -> Detection:
    (found,) = detector.detect(photo)
    return found


def error_px(found: Detection, expected_px: np.ndarray) -> float:
    return float(np.linalg.norm(found.landmarks_px - expected_px, axis=1).mean())


def test_types_and_ranges(face):
    assert face.landmarks_px.shape == (N_LANDMARKS, 2) and face.depth.shape == (N_LANDMARKS,)
    assert face.blendshape_scores.shape == (52,) and face.box_px.shape == (4,)
    for array in (face.landmarks_px, face.depth, face.blendshape_scores, face.box_px, face.transform):
        assert array is not None and array.dtype == np.float32 and np.isfinite(array).all()
    assert face.transform is not None and face.transform.shape == (4, 4)
    assert face.blendshape_scores.min() >= 0 and face.blendshape_scores.max() <= 1
    assert face.score == 1.0


def test_landmarks_and_scores_of_the_astronaut(face):
    # Positions were measured by hand in the enlarged photo.
    expected = np.array([[193, 101], [259, 103], [204, 140], [246, 140]])
    assert np.abs(face.landmarks_px[EYES_AND_MOUTH] - expected).max() < 5
    scores = dict(zip(ARKIT_NAMES, face.blendshape_scores, strict=True))
    assert scores["mouthSmileLeft"] > 0.6 and scores["mouthSmileRight"] > 0.6
    assert scores["jawOpen"] < 0.2 and scores["eyeBlinkLeft"] < 0.3 and scores["tongueOut"] == 0.0


def test_the_nose_is_nearer_than_the_ears(face):
    nose_tip, right_ear, left_ear = face.depth[[1, 234, 454]]
    assert nose_tip < min(right_ear, left_ear) - 10


def test_left_and_right_are_the_subjects(detector, photo, face):
    (mirrored,) = detector.detect(np.ascontiguousarray(photo[:, ::-1]))
    for found in (face, mirrored):  # the subject's left is on the right of the image, mirrored or not
        assert found.landmarks_px[LEFT_EYE, 0] > found.landmarks_px[RIGHT_EYE, 0]
    swapped = mirrored.landmarks_px[[LEFT_EYE, RIGHT_EYE, LEFT_MOUTH, RIGHT_MOUTH]] * (-1, 1) + (512, 0)
    assert np.abs(swapped - face.landmarks_px[EYES_AND_MOUTH]).max() < 4


def test_a_mirrored_wink_changes_sides(detector, photo, face):
    # Paint skin over the eye that is on the right of the image: the subject's left eye.
    x, y = face.landmarks_px[[362, 263]].mean(axis=0).astype(int)
    winking = photo.copy()
    winking[y - 7 : y + 6, x - 14 : x + 14] = photo[y + 12, x]
    blink = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
    left, right = detector.detect(winking)[0].blendshape_scores[blink]
    assert left > 2 * right and left > 0.1
    left, right = detector.detect(np.ascontiguousarray(winking[:, ::-1]))[0].blendshape_scores[blink]
    assert right > 2 * left and right > 0.1


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_rotated_photos(detector, photo, face, quarter_turns):
    (found,) = detector.detect(np.ascontiguousarray(np.rot90(photo, quarter_turns)))
    x, y = face.landmarks_px.T
    expected = {1: (y, 512 - x), 2: (512 - x, 512 - y), 3: (512 - y, x)}[quarter_turns]
    assert error_px(found, np.stack(expected, axis=1)) < 4


@pytest.mark.parametrize("angle_deg", range(15, 360, 30))
def test_photos_at_any_angle(detector, photo, face, angle_deg):
    turned, known_px = turned_photo(photo, face, angle_deg)
    (found,) = detector.detect(turned)
    assert error_px(found, known_px) < 2


@pytest.mark.parametrize("angle_deg", range(0, 360, 45))
def test_arrangement_of_landmarks_decides_where_the_network_is_mistaken(monkeypatch, photo, face, angle_deg):
    monkeypatch.setattr(OrientationCheck, "quarter_turns", lambda *_: 0)
    turned, known_px = turned_photo(photo, face, angle_deg)
    with Detector() as mistaken:
        (found,) = mistaken.detect(turned)
    assert error_px(found, known_px) < 4


def turned_photo(photo: np.ndarray, face: Detection, angle_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the photo turned counter-clockwise on a larger canvas, and the landmarks in it."""
    image = Image.fromarray(photo).rotate(angle_deg, Image.Resampling.BICUBIC, expand=True, fillcolor=(90,) * 3)
    cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    known_px = (face.landmarks_px - 256) @ np.array([[cosine, -sine], [sine, cosine]]) + np.array(image.size) / 2
    return np.array(image), known_px


def test_landmarks_that_are_upside_down_are_noticed(photo, face):
    check = OrientationCheck(find_landmarker(None))
    across = face.landmarks_px[LEFT_EYE] - face.landmarks_px[RIGHT_EYE]
    for quarter_turns in (0, 2):
        turned = np.ascontiguousarray(np.rot90(photo, quarter_turns))
        known_px = turned_photo(photo, face, 90 * quarter_turns)[1]
        # As if the landmarker took every photo for upright.
        turns = check.quarter_turns(turned, known_px, across)
        along = QUARTER_TURNS[turns] @ across
        assert along @ (known_px[LEFT_EYE] - known_px[RIGHT_EYE]) > 0.9 * across @ across
    check.close()
    check.close()


def test_upright_faces_are_not_detected_twice(detector, photo, face):
    for angle_deg in (-12, 12):
        turned, _ = turned_photo(photo, face, angle_deg)
        (found,), (fast,) = detector.detect(turned), detector.detect_fast(turned)
        assert np.array_equal(found.landmarks_px, fast.landmarks_px) and found.score == 1.0


@pytest.mark.parametrize(("width", "height_px"), [(640, 80), (640, 120), (1000, 80), (1000, 120)])
def test_groups(photo, face, width, height_px):
    frame, places = group_photo(photo, face, width, height_px)
    with Detector(max_faces=8) as several:
        found = several.detect(frame)
    assert len(found) == len(places)
    for place in places:
        assert min(error_px(each, place) for each in found) < 0.08 * height_px


def test_faces_beyond_the_maximum_are_counted(photo, face):
    frame, _ = group_photo(photo, face, 640, 120)
    for max_faces, search_tiles in ((4, False), (3, True), (8, True)):
        with Detector(max_faces=max_faces, search_tiles=search_tiles) as several:
            found, n_further = several.detect_and_count(frame)
        assert (len(found), n_further) == (min(max_faces, 5), max(0, 5 - max_faces))


def group_photo(
    photo: np.ndarray, face: Detection, width: int, height_px: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a photo of five people, with faces of a height, and their landmarks."""
    factor = height_px / float(face.box_px[3] - face.box_px[1])
    cut = Image.fromarray(photo[40:220, 150:300])
    person = np.array(cut.resize((round(150 * factor), round(180 * factor)), Image.Resampling.LANCZOS))
    frame = np.full((3 * width // 4, width, 3), (90, 110, 120), np.uint8)
    places = []
    for k in range(5):
        x = round((k % 3 + 0.5 + 0.5 * (k // 3)) * width / 3.6) - person.shape[1] // 2 + width // 40
        y = (frame.shape[0] - 2 * person.shape[0]) // 3 + k // 3 * (person.shape[0] + frame.shape[0] // 20)
        frame[y : y + person.shape[0], x : x + person.shape[1]] = person
        places.append((face.landmarks_px - (150, 40)) * factor + np.array([x, y]))
    return frame, places


def test_small_faces_in_a_4k_photo(detector, photo, face):
    small = np.array(Image.fromarray(photo).resize((290, 290), Image.Resampling.LANCZOS))  # a face of 60 pixels
    canvas = np.full((2160, 3840, 3), (90, 110, 120), np.uint8)
    canvas[1500:1790, 2900:3190] = small
    (found,) = detector.detect(canvas)
    assert error_px(found, face.landmarks_px * (290 / 512) + np.array([2900, 1500])) < 3


def test_a_face_that_fills_the_frame(detector, photo, face):
    (found,) = detector.detect(np.ascontiguousarray(photo[84:172, 186:266]))
    assert error_px(found, face.landmarks_px - (186, 84)) < 6


def test_a_small_face_in_a_large_photo(detector, photo, face):
    canvas = np.full((1900, 2500, 3), 90, np.uint8)
    canvas[301:813, 703:1215] = photo
    (found,) = detector.detect(canvas)
    assert found.score < 1.0 and found.transform is None
    assert error_px(found, face.landmarks_px + np.array([703, 301])) < 4
    assert np.abs(found.depth - face.depth).max() < 15  # the same scale, whatever the tile


def test_a_very_small_photo(detector, photo, face):
    small = np.array(Image.fromarray(photo).resize((96, 96), Image.Resampling.LANCZOS))
    (found,) = detector.detect(small)
    assert error_px(found, face.landmarks_px * (96 / 512)) < 1.5


def test_several_faces_largest_first_and_without_duplicates(photo):
    small = np.array(Image.fromarray(photo).resize((360, 360)))
    row = np.full((512, 512 + 360 + 512, 3), 60, np.uint8)
    row[:, :512], row[:360, 512:872], row[:, 872:] = photo, small, photo[:, ::-1]
    with Detector(max_faces=5) as several, Detector(max_faces=2) as pair:
        faces, two = several.detect(row), pair.detect(row)
    widths = [found.box_px[2] - found.box_px[0] for found in faces]
    assert len(faces) == 3 and widths[2] < 0.8 * widths[1] and widths[1] <= widths[0] * 1.05
    assert len(two) == 2


def test_no_face(detector):
    assert detector.detect(np.full((300, 400, 3), 90, np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []
    assert detector.detect(chelsea()) == []  # a cat


@pytest.mark.parametrize("size", [(1, 4096), (4096, 2), (9, 900), (1, 40000), (40000, 300)])
def test_thin_and_huge_pictures_leave_the_detector_intact(detector, photo, face, size):
    assert detector.detect(np.full((*size, 3), 90, np.uint8)) == []
    (found,) = detector.detect(photo)
    assert np.array_equal(found.landmarks_px, face.landmarks_px)


def test_a_face_in_a_thin_picture(detector, photo, face):
    strip = np.full((180, 4000, 3), 90, np.uint8)
    strip[:, 1000:1512] = photo[60:240]
    (found,) = detector.detect(strip)
    assert error_px(found, face.landmarks_px + np.array([1000, -60])) < 4


@pytest.mark.parametrize("mode", ["image", "video"])
def test_a_broken_graph_is_replaced(photo, mode):
    empty = np.zeros((0, 64, 3), np.uint8)  # MediaPipe fails on it, and from then on, on everything
    options = LandmarkerOptions(find_landmarker(None), 1, 0.5)
    landmarker = Landmarker(options, mode)
    with pytest.raises(Smirk3dError, match="fails on 64×0 pixels"):
        landmarker(empty, 1 if mode == "video" else None)
    again = landmarker(photo, 1 if mode == "video" else None)
    assert len(again.face_landmarks) == 1
    landmarker.close()


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_wrong_arrays_are_refused(detector, wrong):
    with pytest.raises(ValueError, match="H×W×3 uint8"):
        detector.detect(wrong)


def test_a_closed_detector_is_an_error(photo):
    opened = Detector()
    opened.close()
    opened.close()
    with pytest.raises(ValueError, match="closed"):
        opened.detect(photo)


@pytest.mark.parametrize("wrong", [{"max_faces": 0}, {"min_confidence": 1.5}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Detector(**wrong)


def test_a_missing_mediapipe_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(Smirk3dError, match="pip install mediapipe"):
        Detector()


def test_a_wrong_bundle_is_refused(tmp_path):
    (tmp_path / "other.task").write_bytes(b"other")
    with pytest.raises(Smirk3dError, match=r"other\.task: wrong content"):
        Detector(tmp_path / "other.task")


def test_scores_are_ordered_by_name():
    categories = [SimpleNamespace(category_name=name, score=k / 100) for k, name in enumerate(ARKIT_NAMES[:51])]
    shuffled = [SimpleNamespace(category_name="_neutral", score=1.0), *reversed(categories)]
    np.testing.assert_allclose(scores_by_name(shuffled, ARKIT_NAMES), [*np.arange(51) / 100, 0.0], atol=1e-7)
    with pytest.raises(Smirk3dError, match=ARKIT_NAMES[0]):
        scores_by_name(categories[1:], ARKIT_NAMES)


def test_import_is_cheap_and_a_whole_run_prints_nothing():
    script = """
import sys
import smirk3d.detection.detector as d
assert not {"mediapipe", "torch", "cv2", "PIL"} & set(sys.modules), "heavy import"
from skimage.data import astronaut
detector = d.Detector()  # not closed: leaving the interpreter must be quiet, too
assert detector.detect(astronaut())
video = detector.for_video()
assert video.detect_fast(astronaut(), 0.0)
sys.stderr.write("test output\\n")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "test output\n")


def noisy_frames(photo: np.ndarray, count: int, seed: int = 0) -> list[np.ndarray]:
    """Return frames of a still photo with camera noise."""
    noise = np.random.default_rng(seed).normal(0, 12, (count, 256, 256, 3))
    return list((photo[:256, 96:352] + noise).clip(0, 255).astype(np.uint8))


def test_detection_in_a_roi_jitters_less_when_the_face_moves(detector, photo, face):
    def jitter_px(found: list[Detection], places: np.ndarray) -> float:
        return float((np.stack([each.landmarks_px for each in found]) - places[:, None]).std(axis=0).mean())

    steps = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    places = np.stack([30 * np.sin(steps), 15 * np.cos(steps)], axis=1).round()
    frames = [np.roll(photo, tuple(place[::-1].astype(int)), (0, 1)) for place in places]
    alone = [detector.detect_fast(frame)[0] for frame in frames]
    close = [face]
    for frame in frames:
        again = detector.detect_in_roi(frame, close[-1])
        assert again is not None and again.score == 1.0 and again.transform is None
        close.append(again)
    assert all(error_px(a, b.landmarks_px) < 4 for a, b in zip(close[1:], alone, strict=True))
    assert jitter_px(close[1:], places) < 0.6 * jitter_px(alone, places)


@pytest.mark.parametrize("angle_deg", [-40, 25, 90, 180])
def test_detection_in_a_roi_of_rotated_faces(detector, photo, face, angle_deg):
    middle = face.landmarks_px.mean(axis=0)
    turned = np.array(Image.fromarray(photo).rotate(angle_deg, Image.Resampling.BICUBIC, center=tuple(middle)))
    cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    known_px = (face.landmarks_px - middle) @ np.array([[cosine, -sine], [sine, cosine]]) + middle
    found = detector.detect_in_roi(turned, replace(face, landmarks_px=known_px.astype(np.float32)))
    assert found is not None and error_px(found, known_px) < 2.5


def test_detection_in_a_roi_of_large_cut_off_and_absent_faces(detector, photo, face):
    large = np.array(Image.fromarray(photo).resize((3072, 3072), Image.Resampling.BICUBIC))
    found = detector.detect_in_roi(large, scaled(face, 6.0))
    assert found is not None and error_px(found, 6 * face.landmarks_px) < 6 * 2
    cut = photo[: int(face.landmarks_px[:, 1].max()) + 1, int(face.landmarks_px[:, 0].min()) :]
    shift = np.array([int(face.landmarks_px[:, 0].min()), 0], dtype=np.float32)
    there = replace(face, landmarks_px=face.landmarks_px - shift, box_px=face.box_px - np.tile(shift, 2))
    found = detector.detect_in_roi(np.ascontiguousarray(cut), there)
    assert found is not None and error_px(found, there.landmarks_px) < 5
    assert detector.detect_in_roi(chelsea(), face) is None
    aside = np.ascontiguousarray(np.roll(photo, 250, axis=1))
    assert detector.detect_in_roi(aside, face) is None


def scaled(face: Detection, factor: float) -> Detection:
    return replace(face, landmarks_px=face.landmarks_px * factor, box_px=face.box_px * factor)


def test_a_face_is_tracked_through_a_video(detector, photo):
    frames = noisy_frames(photo, 8)
    with detector.for_video() as video:
        followed = [video.detect_fast(pixels, k / 25) for k, pixels in enumerate(frames)]
    alone = [detector.detect_fast(pixels) for pixels in frames]
    assert all(len(found) == 1 and found[0].score == 1.0 for found in followed)
    assert all(error_px(a[0], b[0].landmarks_px) < 3 for a, b in zip(followed, alone, strict=True))

    def jitter_px(found: list[list[Detection]]) -> float:
        return float(np.abs(np.diff([each[0].landmarks_px for each in found[2:]], axis=0)).mean())

    assert jitter_px(followed) < 0.7 * jitter_px(alone)


def test_a_restart_forgets_the_frames_before(detector, photo):
    first, *others = noisy_frames(photo, 4)
    with detector.for_video() as video, detector.for_video() as fresh:
        for k, pixels in enumerate(others):
            video.detect_fast(pixels, k / 25)
        (smoothed,) = video.detect_fast(first, 4 / 25)
        video.restart()
        (found,), (wanted,) = video.detect_fast(first, 5 / 25), fresh.detect_fast(first, 0.0)
        assert np.array_equal(found.landmarks_px, wanted.landmarks_px)
        assert not np.array_equal(smoothed.landmarks_px, wanted.landmarks_px)


def test_times_that_do_not_increase_are_accepted(detector, photo):
    with detector.for_video() as video:
        assert all(len(video.detect_fast(photo, time_s)) == 1 for time_s in (0.0, 0.0, 0.0001, 2.0, 1.0))


def test_a_video_detector_refuses_wrong_arrays_and_closed_use(detector, photo):
    video = detector.for_video()
    with pytest.raises(ValueError, match="uint8"):
        video.detect_fast(photo.astype(float), 0.0)
    video.close()
    video.close()
    with pytest.raises(ValueError, match="closed"):
        video.detect_fast(photo, 0.0)
