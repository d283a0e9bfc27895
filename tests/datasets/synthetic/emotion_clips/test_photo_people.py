"""Clips whose people wear the pixels of photos."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from smirk3d.datasets.face_dataset import FaceSet
from smirk3d.datasets.pseudo_targets import TargetTable
from smirk3d.datasets.synthetic.emotion_clips.clip_frames import CROP_PX
from smirk3d.datasets.synthetic.emotion_clips.motion import ClipMotion
from smirk3d.datasets.synthetic.emotion_clips.photo_people import PhotoPeople
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

JAW, SMILE = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthSmileLeft")


def _people(head: HeadModel, expression: torch.Tensor) -> PhotoPeople:
    """One photo, a grey ramp, of a head with known parameters."""
    params = FaceParams(shape=torch.zeros(1, head.n_shape), expression=expression, pose=torch.zeros(1, 3))
    camera = torch.tensor([[8.0, 0.0, 0.0]])
    points = (project_orthographic(head(params).landmarks("mediapipe"), camera)[..., :2] + 1) * 64
    jpeg = io.BytesIO()
    Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(jpeg, "JPEG")
    size, contour = np.full((1, 2), 128), np.full((1, 17, 2), np.nan, np.float32)
    faces = FaceSet(("a",), (jpeg.getvalue(),), points.numpy(), size, np.zeros(1, np.int64), contour)
    return PhotoPeople(head, faces, TargetTable(("a",), params, torch.ones(1), ARKIT_NAMES))


def _motion() -> ClipMotion:
    weights = np.zeros((3, 52), np.float32)
    weights[1, JAW] = 0.8
    return ClipMotion(1, 0, weights, np.full((3, 3), 20, np.float32), weights[:, JAW])


def test_a_photo_is_moved_and_keeps_its_pose(open_head: HeadModel) -> None:
    expression = torch.zeros(1, 52)
    expression[0, SMILE] = 0.2
    frames = _people(open_head, expression).frames(_motion(), np.random.default_rng(0))
    assert frames.pixels.shape == (3, CROP_PX, CROP_PX, 3) and frames.pixels.dtype == np.uint8
    assert (frames.pixels[0] == frames.pixels[2]).all() and (frames.pixels[0] != frames.pixels[1]).any()
    assert frames.weights[:, SMILE] == pytest.approx(0.2) and frames.weights[:, JAW] == pytest.approx([0, 0.8, 0])
    assert np.abs(frames.angles_deg).max() < 1e-3
    chin = frames.points_px[:, 152, 1]
    assert chin[1] > chin[0] + 5 and chin[2] == chin[0]


def test_people_who_laugh_in_their_photos_are_no_source(open_head: HeadModel) -> None:
    with pytest.raises(Smirk3dError, match="nearly neutral"):
        _people(open_head, torch.full((1, 52), 0.9))
