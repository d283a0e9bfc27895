"""Tracks from a video: one identity a person, poses and expressions in every frame, with every method."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic_track import nearest

from smirk3d import Reconstructor
from smirk3d.detection.detector import Detection
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.estimation.estimator import HeadEstimates
from smirk3d.estimation.landmark_fit import LandmarkFitEstimator
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.media.video import Frame, VideoInfo
from smirk3d.params import FaceParams
from smirk3d.track import Status, Track
from smirk3d.tracking.track_video import TrackOptions, track_video
from smirk3d.tracking.whittaker_smoother import SmoothConfig

N, SIZE, FPS, FOCAL_PX = 30, (320, 240), 25.0, 350.0
SMILE, BLINK = ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("eyeBlinkRight")


class Person:
    """A head with known curves, and its exact detections."""

    def __init__(self, head: HeadModel, x_m: float = 0.0) -> None:
        phase = torch.linspace(0, 1, N)
        self.head, self.shape = head, 0.7 * torch.randn(head.n_shape, generator=torch.Generator().manual_seed(1))
        self.weights = torch.zeros(N, 52)
        self.weights[:, SMILE] = 0.8 * phase
        self.weights[N // 2, BLINK] = 0.9
        self.rotmat = np.stack([rotation_from_angles(-15 + 30 * float(p), 4, 3) for p in phase])
        self.translation = np.array([x_m, 0.0, -0.9])
        with torch.no_grad():
            self.points = head(FaceParams(shape=self.shape, expression=self.weights)).landmarks("mediapipe").numpy()

    def camera(self, k: int) -> Camera:
        scale = FOCAL_PX / -self.translation[2]
        return Camera(self.rotmat[k], self.translation, np.array(SIZE) / 2, scale, FOCAL_PX)

    def detection(self, k: int) -> Detection:
        camera = self.camera(k)
        found = camera.project(self.points[k]).astype(np.float32)
        depth = (camera.depth(self.points[k]) - camera.depth(np.zeros((1, 3)))) * camera.scale_px_per_m
        box = np.concatenate([found.min(0), found.max(0)])
        return Detection(found, depth.astype(np.float32), np.zeros(52, np.float32), box, 1.0)


class Video:
    """Grey frames with their number in the first pixel; may end with damage."""

    def __init__(self, n_frames: int = N, broken: bool = False) -> None:
        self.info, self._count, self._broken = VideoInfo("clip.mp4", FPS, n_frames), n_frames, broken

    def frames(self, every: int = 1) -> Iterator[Frame]:
        for k in range(0, self._count, every):
            pixels = np.full((SIZE[1], SIZE[0], 3), 128, dtype=np.uint8)
            pixels[0, 0] = k
            yield Frame(k, k / FPS, pixels)
        if self._broken:
            raise Smirk3dError("clip.mp4: ends early")


class PerfectDetector:
    """Detects the persons in all frames but the hidden ones."""

    def __init__(self, *people: Person, hidden: Collection[int] = ()) -> None:
        self.people, self.hidden = people, hidden

    def detect_fast(self, pixels: np.ndarray) -> list[Detection]:
        k = int(pixels[0, 0, 0])
        return [] if k in self.hidden else [person.detection(k) for person in self.people]

    detect = detect_fast

    def detect_in_roi(self, pixels: np.ndarray, face: Detection) -> Detection | None:
        return nearest(face, self.detect_fast(pixels))


@pytest.fixture(scope="module")
def person(open_head: HeadModel) -> Person:
    return Person(open_head)


@pytest.fixture(scope="module")
def reconstructor(open_head: HeadModel) -> Iterator[Reconstructor]:
    with Reconstructor(open_head, "fit", focal=FOCAL_PX, use_scores=False) as opened:
        yield opened


def tracked(
    reconstructor: Reconstructor, detector: PerfectDetector, options: TrackOptions | None = None, **video: bool
):
    detector_before = reconstructor._detector
    reconstructor._detector = detector  # type: ignore[assignment]
    try:
        return track_video(Video(**video), reconstructor, options)
    finally:
        reconstructor._detector = detector_before


@pytest.fixture(scope="module")
def track(reconstructor: Reconstructor, person: Person) -> Track:
    (found,) = tracked(reconstructor, PerfectDetector(person)).tracks
    return found


def turn_deg(rotmat: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(rotmat) - 1) / 2, -1, 1))))


def test_rotation_and_position_are_recovered(track: Track, person: Person) -> None:
    # The prior models the errors of the real detector; with exact detections it costs a constant few degrees.
    off = np.stack([found @ true.T for found, true in zip(track.rotation_rotmat, person.rotmat)])
    for k in range(N):
        assert turn_deg(off[k]) < 5.0 and turn_deg(off[k] @ off[N // 2].T) < 2.5
        landmarks_px = track.face(k).landmarks("mediapipe")
        assert np.linalg.norm(landmarks_px - person.detection(k).landmarks_px, axis=1).mean() < 1.0
    np.testing.assert_allclose(track.translation_m[:, 2], -0.9, atol=0.06)
    assert track.focal_px == FOCAL_PX and (track.confidence > 0.7).all()


def test_identity_is_constant_and_expressions_are_recovered(track: Track, person: Person) -> None:
    assert track.shape.shape == (person.head.n_shape,)
    neutral = [track.face(k).neutral_vertices for k in (0, N - 1)]
    np.testing.assert_array_equal(*neutral)
    assert np.abs(neutral[0] - person.head.v_template.numpy()).max() > 1e-3
    smile = track.arkit[:, SMILE]
    assert np.corrcoef(smile, person.weights[:, SMILE])[0, 1] > 0.95
    assert smile[-3:].mean() - smile[:3].mean() > 0.3
    blink = track.arkit[:, BLINK]
    assert np.argmax(blink) == N // 2 and blink.max() > np.median(blink) + 0.4
    np.testing.assert_array_equal(track.expression, track.arkit)


def test_frames_without_a_face(reconstructor: Reconstructor, person: Person, track: Track) -> None:
    (short,) = tracked(reconstructor, PerfectDetector(person, hidden=range(10, 14)), TrackOptions(max_gap_s=0.5)).tracks
    assert (short.status[10:14] == Status.FILLED).all() and (np.delete(short.status, range(10, 14)) == 0).all()
    assert np.abs(short.arkit[12, SMILE] - track.arkit[12, SMILE]) < 0.1 and (short.confidence[10:14] == 0).all()
    (long,) = tracked(reconstructor, PerfectDetector(person, hidden=range(10, 14)), TrackOptions(max_gap_s=0.1)).tracks
    assert (long.status[10:14] == Status.LOST).all() and np.isnan(long.arkit[10:14]).all()
    assert np.isfinite(long.arkit[long.known]).all() and np.isnan(long.angles_deg[10:14]).all()
    with pytest.raises(ValueError, match="lost"):
        long.face(12)


def test_frames_before_and_after_the_face(reconstructor: Reconstructor, person: Person) -> None:
    hidden = PerfectDetector(person, hidden=[*range(5), N - 1])
    (late,) = tracked(reconstructor, hidden).tracks
    np.testing.assert_array_equal(late.frame, np.arange(N))
    np.testing.assert_array_equal(late.known, [False] * 5 + [True] * (N - 6) + [False])
    (trimmed,) = tracked(reconstructor, hidden, TrackOptions(trim=True)).tracks
    assert trimmed.frame[0] == 5 and trimmed.time_s[0] == pytest.approx(0.2) and trimmed.frame[-1] == N - 2
    assert late.frames(slice(5, N - 1)) == trimmed


def test_detections_that_are_no_face_are_left_out(reconstructor: Reconstructor, person: Person, track: Track) -> None:
    """Where a face appears, detectors may fit a distorted one to a part of it."""

    class DistortedDetector(PerfectDetector):
        def detect_fast(self, pixels: np.ndarray) -> list[Detection]:
            (face,) = super().detect_fast(pixels)
            if not 0 < int(pixels[0, 0, 0]) < 4:
                return [face]
            middle = face.landmarks_px.mean(0)
            distorted = (face.landmarks_px - middle) @ np.array([[0.0, 0.3], [-1.0, 0.4]]) + middle
            return [replace(face, landmarks_px=distorted)]

        detect = detect_fast

    clip = tracked(reconstructor, DistortedDetector(person))
    (found,) = clip.tracks
    assert clip.notes == ("3 detections that are no face left out",)
    assert (found.status[1:4] == Status.FILLED).all() and (np.delete(found.status, range(1, 4)) == 0).all()
    assert all(turn_deg(found.rotation_rotmat[k] @ track.rotation_rotmat[k].T) < 3 for k in range(N))
    np.testing.assert_allclose(found.arkit[:, SMILE], track.arkit[:, SMILE], atol=0.1)


@pytest.mark.parametrize("bad", [range(4, 7), range(N)])
def test_frames_that_are_not_finite_are_left_out(
    bad: range, reconstructor: Reconstructor, person: Person, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator, solve = reconstructor.estimator, reconstructor.estimator.solve

    def solve_badly(records: np.ndarray, *arguments: Any, **options: Any) -> HeadEstimates:
        found = solve(records, *arguments, **options)
        if len(records) == N:
            found.pose.rotmat[list(bad)] = float("nan")
        return found

    monkeypatch.setattr(estimator, "solve", solve_badly)
    if len(bad) == N:
        with pytest.raises(Smirk3dError, match="numbers that are not finite"):
            tracked(reconstructor, PerfectDetector(person))
        return
    (found,) = tracked(reconstructor, PerfectDetector(person)).tracks
    assert np.flatnonzero(found.status == Status.FILLED).tolist() == list(bad)
    assert all(turn_deg(found.rotation_rotmat[k] @ track.rotation_rotmat[k].T) < 3 for k in range(N))


def test_several_persons_are_several_tracks(reconstructor: Reconstructor, open_head: HeadModel) -> None:
    pair = [Person(open_head, x_m=-0.2), Person(open_head, x_m=0.2)]
    both = tracked(reconstructor, PerfectDetector(*pair), TrackOptions(max_faces=None)).tracks
    assert [t.number for t in both] == [0, 1]
    sides = sorted(float(t.translation_m[:, 0].mean()) for t in both)
    np.testing.assert_allclose(sides, [-0.2, 0.2], atol=0.03)
    assert len(tracked(reconstructor, PerfectDetector(*pair), TrackOptions(max_faces=1)).tracks) == 1


def test_damage_is_reported_and_the_frames_before_it_are_kept(reconstructor: Reconstructor, person: Person) -> None:
    clip = tracked(reconstructor, PerfectDetector(person), broken=True)
    assert (
        clip.losses == ("clip.mp4: ends early",) and not clip.notes and clip.n_frames == N and len(clip.tracks[0]) == N
    )
    with pytest.raises(NoFaceError, match=r"clip\.mp4: no face found in 30 frames"):
        tracked(reconstructor, PerfectDetector())
    with pytest.raises(Smirk3dError, match=r"clip\.mp4: has no frames"):
        tracked(reconstructor, PerfectDetector(person), n_frames=0)


def test_errors_elsewhere_are_no_damage_of_the_source(
    reconstructor: Reconstructor, person: Person, monkeypatch
) -> None:
    """Other failures are errors, not the end of the video."""

    for place, name in ((PerfectDetector, "detect_fast"), (LandmarkFitEstimator, "observe")):
        real, calls = getattr(place, name), []

        def failing(self: Any, *args: Any, real: Any = real, calls: list[int] = calls) -> Any:
            calls.append(1)
            if len(calls) == 3:
                raise Smirk3dError("no room on the device")
            return real(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(place, name, failing)
            with pytest.raises(Smirk3dError, match=r"^no room on the device$"):
                tracked(reconstructor, PerfectDetector(person))


def test_video_mode_is_for_one_person() -> None:
    for max_faces in (2, None):
        with pytest.raises(ValueError, match="follows one person"):
            TrackOptions(max_faces, detector="video")


def test_smoothing_can_be_left_out(reconstructor: Reconstructor, person: Person, track: Track) -> None:
    (raw,) = tracked(reconstructor, PerfectDetector(person), TrackOptions(smooth=SmoothConfig(0))).tracks
    assert not np.array_equal(raw.arkit, track.arkit)
    difference = np.abs(raw.arkit - track.arkit)
    assert difference.mean() < 0.01 and difference.max() < 0.45


@pytest.mark.parametrize("method", ["encoder", "refine"])
def test_methods_with_an_encoder(open_head: HeadModel, person: Person, method: str, tmp_path: Path) -> None:
    with Reconstructor(open_head, method) as opened:  # type: ignore[arg-type]
        (track,) = tracked(opened, PerfectDetector(person)).tracks
    assert track.method == method and np.isfinite(track.arkit).all()
    assert (track.focal_px is None) == (method == "encoder")
    assert track.face(3).vertices.shape == open_head.v_template.shape
