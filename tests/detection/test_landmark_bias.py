"""The bias of the detector's landmarks on photos against renderings."""

from dataclasses import replace

import pytest
import torch

from smirk3d.authoring.landmark_embedding import EmbedConfig, embed_landmarks
from smirk3d.detection.detector import Detector
from smirk3d.detection.landmark_bias import load_landmark_bias, save_landmark_bias
from smirk3d.errors import Smirk3dError
from smirk3d.head.landmark_indices import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    FACE_OVAL,
    LIPS_INNER,
    LIPS_OUTER,
    MIRROR,
    POINT_COUNT,
    SKIN_COUNT,
)
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

TINY = EmbedConfig(views_deg=((-15.0, 0.0), (15.0, 0.0)), identities=(0, 0))
JAW_ANGLES = [132, 58, 361, 288]


def test_only_unreliable_landmarks_of_the_skin_move_and_symmetrically():
    offset = load_landmark_bias()
    assert offset.shape == (POINT_COUNT, 3) and offset.isfinite().all()
    moves = offset.any(dim=1)
    assert moves[list(FACE_OVAL)].all() and not moves[SKIN_COUNT:].any() and moves.sum() < SKIN_COUNT / 2
    # Renderings place the landmarks that expressions move reliably.
    assert not moves[[*EYE_LEFT, *EYE_RIGHT, *BROW_LEFT, *BROW_RIGHT, *LIPS_INNER, *LIPS_OUTER]].any()
    mirrored = offset[list(MIRROR)] * torch.tensor([-1.0, 1.0, 1.0])
    assert (mirrored - offset).norm(dim=1).max() < 0.02
    assert 0.005 < offset[moves].norm(dim=1).mean() < 0.05


def test_the_contour_of_an_embedding_moves_to_the_sides_and_back(open_head):
    with Detector() as detector:
        from_renderings, corrected = (
            HeadModel(embed_landmarks(open_head.data, detector, replace(TINY, landmark_bias=moves)))
            for moves in (False, True)
        )
    places, moved = (head(FaceParams()).landmarks("mediapipe") for head in (from_renderings, corrected))
    move = (moved - places)[JAW_ANGLES]
    assert (move[:, 0] * places[JAW_ANGLES, 0]).sum() > 0 and (move[:, 2] < -0.002).all()
    still = ~load_landmark_bias().any(dim=1)
    assert (moved - places)[still].norm(dim=1).max() < 1e-6


def test_offsets_are_read_as_they_were_written(tmp_path):
    offset = torch.randn(POINT_COUNT, 3)
    save_landmark_bias(offset, tmp_path / "new" / "marks.safetensors", {"made_by": "a test"})
    torch.testing.assert_close(load_landmark_bias(tmp_path / "new" / "marks.safetensors"), offset, rtol=0, atol=0)


@pytest.mark.parametrize("content", [None, b"", b"no tensors at all"])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "marks.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Smirk3dError, match=r"marks\.safetensors: cannot be read.*reinstall"):
        load_landmark_bias(path)
