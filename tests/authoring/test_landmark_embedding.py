"""Automatic landmark embedding."""

from dataclasses import replace

import pytest
import torch

from smirk3d.authoring.landmark_embedding import EmbedConfig, embed_landmarks
from smirk3d.detection.detector import Detector
from smirk3d.errors import Smirk3dError
from smirk3d.head.landmark_indices import IBUG68, MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

TINY = EmbedConfig(views_deg=((-15.0, 0.0), (15.0, 0.0)), identities=(0, 0))


@pytest.fixture(scope="module")
def detector():
    with Detector() as opened:
        yield opened


@pytest.fixture(scope="module")
def embedded(open_head, detector) -> tuple[HeadModel, list[str]]:
    messages: list[str] = []
    return HeadModel(embed_landmarks(open_head.data, detector, TINY, messages.append)), messages


def test_few_views_give_nearly_the_same_as_many(open_head, embedded):
    many, few = (head(FaceParams()).landmarks("mediapipe") for head in (open_head, embedded[0]))
    trust = open_head.landmark_embedding("mediapipe").weight
    distance = (many - few).norm(dim=1)
    assert (distance * trust).sum() / trust.sum() < 0.004
    assert distance[[33, 263, 61, 291, 1, 133, 362]].max() < 0.006


def test_the_result_is_complete_and_symmetric(embedded):
    head, messages = embedded
    assert set(head.data.landmarks) == {"mediapipe", "ibug68"} and len(messages) == 2
    embedding = head.landmark_embedding("mediapipe")
    assert len(embedding) == 478 and embedding.mirror.tolist() == list(MIRROR)
    assert embedding.weight.min() > 0 and embedding.weight.max() <= 1
    points = head(FaceParams()).landmarks("mediapipe")
    mirrored = points[list(MIRROR)] * torch.tensor([-1.0, 1.0, 1.0])
    assert (mirrored - points).norm(dim=1).max() < 2e-4
    torch.testing.assert_close(head(FaceParams()).landmarks("ibug68"), points[list(IBUG68)])


def test_only_iris_landmarks_lie_on_the_eyeballs(embedded):
    head, _ = embedded
    triangles = head.faces[head.landmark_embedding("mediapipe").face_index]
    on_ball = head.region_mask("eyeballs")[triangles].all(1)
    assert on_ball[468:].all() and not on_ball[:468].any()


def test_a_mesh_that_shows_no_face_is_refused(open_head, detector):
    away = replace(open_head.data, v_template=open_head.v_template * torch.tensor([-1.0, 1.0, -1.0]))
    with pytest.raises(Smirk3dError, match=r"'open'.* of .* renders.*\+Z") as error:
        embed_landmarks(away, detector, TINY)
    assert "\n" not in str(error.value)
