"""Online tracking, and the files that an interruption leaves."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_track import nearest, synthetic_track

from smirk3d import Reconstructor
from smirk3d.detection.detector import Detection
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.estimation.landmark_fit import LandmarkFitEstimator
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.media.video import Frame, VideoInfo
from smirk3d.progress import LineProgress
from smirk3d.track import Clip, Status, Track
from smirk3d.tracking import live as live_module
from smirk3d.tracking.detection_loop import FULL_FRAME_INTERVAL
from smirk3d.tracking.live import LivePerson, run_live
from smirk3d.tracking.motion import HeadMotion
from smirk3d.tracking.track_video import TrackOptions
from smirk3d.tracking.whittaker_smoother import SmoothConfig

N, FPS = 10, 25.0
FILES = {"a.csv", "a.parquet", "a.npz", "a.glb", "a_livelink.csv", "a_curves.png"}
SMILE = ARKIT_NAMES.index("mouthSmileLeft")


class Source:
    """Frames with their number in the first pixel, and an error at the end."""

    def __init__(self, count: int = N, end: BaseException | None = None) -> None:
        self.info, self._count, self._end = VideoInfo("webcam 0", FPS, None), count, end

    def frames(self, every: int = 1) -> Iterator[Frame]:
        for k in range(self._count):
            pixels = np.full((480, 640, 3), 128, dtype=np.uint8)
            pixels[0, 0] = k
            yield Frame(k, k / FPS, pixels)
        if self._end is not None:
            raise self._end


class TrackDetector:
    """Detects the head of a track; from frame `second_from` on, another one beside it."""

    def __init__(self, track: Track, second_from: int = N) -> None:
        self._second_from = second_from
        self._found = [self._detection(track, row) for row in range(len(track))]

    @staticmethod
    def _detection(track: Track, row: int) -> Detection:
        face = track.face(row)
        points = face.landmarks("mediapipe", space="head")
        camera = track.camera(row)
        points_px = face.project(points).astype(np.float32)
        depth = (camera.depth(points) - camera.depth(np.zeros((1, 3)))) * camera.scale_px_per_m
        box_px = np.concatenate([points_px.min(axis=0), points_px.max(axis=0)])
        return Detection(points_px, depth.astype(np.float32), np.zeros(52, np.float32), box_px, 1.0)

    def detect_fast(self, pixels: np.ndarray) -> list[Detection]:
        number = int(pixels[0, 0, 0])
        found = self._found[number]
        aside = np.array([200, 0], dtype=np.float32)
        other = replace(found, landmarks_px=found.landmarks_px + aside, box_px=found.box_px + np.tile(aside, 2))
        return [found, other] if number >= self._second_from else [found]

    def detect_in_roi(self, pixels: np.ndarray, face: Detection) -> Detection | None:
        return nearest(face, self.detect_fast(pixels))


@pytest.fixture(scope="module")
def track(open_head: HeadModel) -> Track:
    return synthetic_track(open_head, N, FPS, first_frame=0)


@pytest.fixture(scope="module")
def reconstructor(open_head: HeadModel, track: Track) -> Iterator[Reconstructor]:
    with Reconstructor(open_head, "fit", focal=600.0, use_scores=False) as opened:
        yield opened


@pytest.fixture
def live(reconstructor: Reconstructor, track: Track, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run on a source; returns the clip and the lines that were shown."""

    def start(source: Source, detector: Any = None, options: TrackOptions | None = None) -> tuple[Clip, list[str]]:
        stream, totals = io.StringIO(), []
        monkeypatch.setattr(reconstructor, "_detector", detector or TrackDetector(track))

        def opened(total: int) -> LineProgress:
            totals.append(total)
            return LineProgress(total, stream, "frames")

        clip = run_live(source, tmp_path, "a", reconstructor, options or TrackOptions(), open_progress=opened)
        assert totals == [0]
        return clip, stream.getvalue().splitlines()

    return start


def test_all_frames_are_tracked_and_all_files_are_written(live, track: Track, tmp_path: Path) -> None:
    clip, lines = live(Source())
    (found,) = clip.tracks
    assert clip.n_frames == len(found) == N and not lines and (found.status == Status.SEEN).all()
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert np.corrcoef(found.arkit[:, SMILE], track.arkit[:, SMILE])[0, 1] > 0.9
    np.testing.assert_allclose(found.angles_deg[:, 0], track.angles_deg[:, 0], atol=10)
    np.testing.assert_allclose(
        found.box_px, [TrackDetector(track).detect_fast(f.pixels)[0].box_px for f in Source().frames()]
    )


@pytest.mark.parametrize("bad", [[5, 6], list(range(N))])
def test_frames_that_are_not_finite_do_not_spoil_the_others(live, bad: list[int], monkeypatch, without_files) -> None:
    original, count = live_module.solve_motion, 0

    def solve_badly(*arguments: Any) -> HeadMotion:
        nonlocal count
        count += 1
        motion = original(*arguments)
        return motion.replace(rotmat=np.full_like(motion.rotmat, np.nan)) if count - 1 in bad else motion

    monkeypatch.setattr(live_module, "solve_motion", solve_badly)
    if len(bad) == N:
        with pytest.raises(Smirk3dError, match="not finite"):
            live(Source())
        return
    (found,) = live(Source())[0].tracks
    assert np.flatnonzero(found.status == Status.FILLED).tolist() == bad and np.isfinite(found.arkit).all()


@pytest.fixture
def without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smirk3d.tracking.live.write_clip", lambda *_, **__: None)


@pytest.mark.usefixtures("without_files")
def test_frames_do_not_depend_on_later_ones(live) -> None:
    (complete,) = live(Source())[0].tracks
    (part,) = live(Source(6))[0].tracks
    # The identity is shared by the whole track, and the native parameters of the head depend on it.
    for name in ("arkit", "rotation_rotmat", "scale_px_per_m"):
        np.testing.assert_allclose(getattr(part, name), getattr(complete, name)[:6], atol=1e-6)


@pytest.mark.usefixtures("without_files")
def test_smoothing_can_be_left_out(live) -> None:
    (smooth,) = live(Source())[0].tracks
    (raw,) = live(Source(), options=TrackOptions(smooth=SmoothConfig(0)))[0].tracks

    def jitter(track: Track) -> float:
        return float(np.abs(np.diff(track.arkit, n=2, axis=0)).mean())

    assert jitter(smooth) < 0.9 * jitter(raw)


def test_interruption_ends_the_recording(live, tmp_path: Path) -> None:
    clip, lines = live(Source(7, KeyboardInterrupt()))
    assert clip.n_frames == 7 and lines == ["smirk3d: stopped; writing the files"]
    assert {path.name for path in tmp_path.iterdir()} == FILES


class Killed(Source):
    def frames(self) -> Iterator[Frame]:
        for frame in super().frames():
            if frame.number == 7:
                os.kill(os.getpid(), signal.SIGTERM)
            yield frame


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM")
def test_sigterm_ends_the_recording_too(live, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    clip, lines = live(Killed())
    assert clip.n_frames == 7 and lines == ["smirk3d: stopped; writing the files"]
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("without_files")
@pytest.mark.parametrize("step", ["observe", "identity", "solve"])
def test_interruption_at_the_first_detection_of_a_person(live, step: str, track: Track, monkeypatch) -> None:
    started, real = [], getattr(LandmarkFitEstimator, step)
    added: list[LivePerson] = []
    monkeypatch.setattr(LivePerson, "__init__", _recording(LivePerson.__init__, added))

    def interrupted(self: LandmarkFitEstimator, *args: Any, **kwargs: Any) -> Any:
        if len(added) == 2:
            started.append(step)
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(LandmarkFitEstimator, step, interrupted)
    detector, last = TrackDetector(track, second_from=FULL_FRAME_INTERVAL), FULL_FRAME_INTERVAL + 1
    clip, lines = live(Source(), detector, TrackOptions(max_faces=2))
    assert started == [step] and lines == ["smirk3d: stopped; writing the files"]
    assert [len(found) for found in clip.tracks] == [last] and clip.n_frames == last


def _recording(init: Any, added: list[LivePerson]) -> Any:
    def recorded(self: LivePerson, *args: Any) -> None:
        added.append(self)
        init(self, *args)

    return recorded


def test_damage_is_reported_and_the_frames_before_it_are_kept(live, tmp_path: Path) -> None:
    clip, lines = live(Source(5, Smirk3dError("webcam 0: No such device")))
    assert (
        clip.losses == ("webcam 0: No such device",)
        and not clip.notes
        and lines == ["smirk3d: webcam 0: No such device"]
    )
    assert clip.n_frames == 5 and {path.name for path in tmp_path.iterdir()} == FILES


def test_errors_elsewhere_are_no_damage_of_the_source(live, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> np.ndarray:
        raise Smirk3dError("no room on the device")

    monkeypatch.setattr(LandmarkFitEstimator, "solve", failing)
    with pytest.raises(Smirk3dError, match=r"^no room on the device$"):
        live(Source())


class NoFaceDetector:
    def detect_fast(self, pixels: np.ndarray) -> list[Detection]:
        return []

    detect = detect_fast


def test_nothing_to_track(live, tmp_path: Path) -> None:
    with pytest.raises(NoFaceError, match=r"^webcam 0: no face found in 3 frames$"):
        live(Source(3), NoFaceDetector())
    with pytest.raises(NoFaceError, match=r"^webcam 0: no face found in 3 frames; gone$"):
        live(Source(3, Smirk3dError("gone")), NoFaceDetector())
    with pytest.raises(Smirk3dError, match=r"^gone$") as caught:
        live(Source(0, Smirk3dError("gone")), NoFaceDetector())
    assert not isinstance(caught.value, NoFaceError) and list(tmp_path.iterdir()) == []
