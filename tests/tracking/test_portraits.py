"""Pictures of persons in a clip: few, of the best frames, and enough for the appearance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from smirk3d.detection.detector import Detection
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_model import head_textures
from smirk3d.render.appearance.face_appearance import FaceAppearance, skin_tone, srgb_to_lab
from smirk3d.track import Track
from smirk3d.tracking.portraits import MAX_PORTRAITS, PortraitAlbum, with_appearances
from smirk3d.viz.head_image import draw_in_photo
from tests.fixtures.synthetic_track import synthetic_track


@pytest.fixture(scope="module")
def track(open_head: HeadModel) -> Track:
    return synthetic_track(open_head, lost=slice(20, 24))


def _frame(face: Face, appearance: FaceAppearance) -> np.ndarray:
    drawing = draw_in_photo(face, (0.0, 0.0, 640.0, 480.0), (480, 640), head_textures(appearance, 1))
    image = drawing.over(torch.full((1, 3, 1, 1), 0.5))[0].permute(1, 2, 0)
    return (image * 255).round().byte().numpy()


def _detection(face: Face) -> Detection:
    points = face.landmarks("mediapipe").astype(np.float32)
    box = np.concatenate([points.min(0), points.max(0)])
    return Detection(points, np.zeros(478, np.float32), np.zeros(52, np.float32), box, 1.0)


def _seen(track: Track, appearance: FaceAppearance) -> tuple[Track, PortraitAlbum]:
    """Return the track with its boxes, and an album of all its frames."""
    album, boxes = PortraitAlbum(), track.box_px.copy()
    for row in np.flatnonzero(track.known):
        face = track.face(int(row))
        detection = _detection(face)
        boxes[row] = detection.box_px
        album.offer(int(track.frame[row]), _frame(face, appearance), 7, detection)
    return replace(track, box_px=boxes), album


@pytest.mark.parametrize("lightness", [40.0, 64.0])
def test_a_track_gets_the_appearance_of_its_person(track: Track, lightness: float) -> None:
    seen, album = _seen(track, FaceAppearance(skin=skin_tone(lightness)))
    (found,) = with_appearances([seen], album)
    assert found.appearance is not None
    assert abs(srgb_to_lab(np.array(found.appearance.skin))[0] - lightness) < 9
    assert found.face(0).appearance == found.appearance
    assert sum(map(len, album._of_person.values())) <= MAX_PORTRAITS


def test_pictures_of_someone_else_do_not_count(track: Track) -> None:
    _, album = _seen(track, FaceAppearance())
    assert album.appearance(replace(track, box_px=track.box_px + 300)) is None
    assert PortraitAlbum().appearance(track) is None


def test_frontal_frames_are_kept(track: Track) -> None:
    _, album = _seen(track, FaceAppearance())
    (kept,) = album._of_person.values()
    yaw = [abs(track.angles_deg[each.frame - int(track.frame[0]), 0]) for each in kept]
    assert min(yaw) < 8 and np.mean(yaw) < np.abs(track.angles_deg[track.known, 0]).mean() + 1
    assert max(each.patch.pixels.shape[0] for each in kept) <= 448
