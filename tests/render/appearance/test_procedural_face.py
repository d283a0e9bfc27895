"""Procedural renderings: colours in place, deterministic, and robust to heads without regions."""

from dataclasses import replace

import pytest
import torch

from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.landmark_indices import BROW_LEFT, IRIS_LEFT, IRIS_RIGHT, LIPS_OUTER
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.procedural_face import (
    Appearance,
    Light,
    ProceduralFaceRenderer,
    project_head_orthographic,
    project_head_perspective,
)

SIZE = 128
SCALE = 6.0
FLAT = Light(direct=0.0, sky=0.0, ambient=1.0, highlight=0.0)
GREEN = (0.0, 1.0, 0.0)
UPRIGHT = torch.eye(3)


@pytest.fixture(scope="module")
def renderer(open_head) -> ProceduralFaceRenderer:
    return ProceduralFaceRenderer(open_head)


def frontal(head: HeadModel):
    center = head.v_template[head.region_mask("face")].mean(0)
    return project_head_orthographic(
        head.v_template, UPRIGHT, SCALE, (-SCALE * float(center[0]), SCALE * float(center[1]))
    )


def pixels_of(head: HeadModel, index: tuple[int, ...]) -> torch.Tensor:
    """Rows and columns (L, 2) of landmarks in the frontal image."""
    view = frontal(head)
    points = head.landmark_embedding("mediapipe").points(view.ndc[:, :2], head.faces)[list(index)]
    return ((points + 1) * SIZE / 2).floor().long().flip(1)


def test_renderings_are_in_range_and_repeatable(renderer):
    view = frontal(renderer.head)
    image = renderer.render(view, SIZE, Appearance(), Light())
    assert image.shape == (3, SIZE, SIZE) and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.05
    assert image.equal(renderer.render(view, SIZE, Appearance(), Light()))
    assert (image[:, 0, 0] == 0.5).all()  # mid grey behind


def test_the_background_shows_where_the_head_is_not(renderer):
    background = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    image = renderer.render(frontal(renderer.head), SIZE, Appearance(), FLAT, background)
    assert image[:, 0].equal(background[:, 0])
    center = slice(SIZE // 2 - 9, SIZE // 2 + 9)
    assert (image[:, center, center] != background[:, center, center]).all()


@pytest.mark.parametrize(
    ("appearance", "points"),
    [
        ({"iris": GREEN}, (*IRIS_LEFT[1:], *IRIS_RIGHT[1:])),
        ({"lips": GREEN, "lip_strength": 1.0}, (0, 17, 37, 267)),
        ({"brows": GREEN, "brow_strength": 1.0}, (282, 295, 52, 65)),
        ({"skin": GREEN}, (4, 151, 50, 280, 152)),
    ],
)
def test_each_colour_is_where_it_belongs_and_nowhere_else(renderer, appearance, points):
    plain = Appearance(hair_strength=0.0)
    view = frontal(renderer.head)
    before = renderer.render(view, SIZE, plain, FLAT)
    image = renderer.render(view, SIZE, replace(plain, **appearance), FLAT)
    changed = (image - before).abs().sum(0) > 0.15
    rows, columns = pixels_of(renderer.head, points).unbind(1)
    near = torch.nn.functional.max_pool2d(changed[None].float(), 5, stride=1, padding=2)[0] > 0
    assert near[rows, columns].float().mean() > 0.7
    if "skin" not in appearance:
        assert changed.float().mean() < 0.06
        assert not changed[:20].any() and not changed[-20:].any()


def test_brows_take_their_strength_and_width(renderer):
    view = frontal(renderer.head)

    def brow_amount(**appearance: float) -> float:
        bare = renderer.render(view, SIZE, Appearance(brow_strength=0.0), FLAT)
        return float((renderer.render(view, SIZE, replace(Appearance(), **appearance), FLAT) - bare).abs().sum())

    assert brow_amount(brow_strength=0.0) == 0 < brow_amount(brow_strength=0.4) < brow_amount(brow_strength=0.9)
    assert brow_amount(brow_width=0.6) < brow_amount(brow_width=1.4)


def test_the_lit_side_is_brighter(renderer):
    view = frontal(renderer.head)
    appearance = Appearance(hair_strength=0.0)
    from_left = renderer.render(view, SIZE, appearance, Light(torch.tensor([1.0, 0.0, 0.3])))
    from_right = renderer.render(view, SIZE, appearance, Light(torch.tensor([-1.0, 0.0, 0.3])))
    half = SIZE // 2
    for image, sign in ((from_left, 1), (from_right, -1)):
        assert sign * (image[..., half:].mean() - image[..., :half].mean()) > 0.02
    # The head, its colours and these two lights are mirror images.
    torch.testing.assert_close(from_left.flip(2), from_right, atol=0.3, rtol=0)
    assert (from_left.flip(2) - from_right).abs().mean() < 0.005


def test_projections_agree_far_away(open_head):
    rotmat = torch.from_numpy(rotation_from_angles(20, 10, 5)).float()
    near = project_head_orthographic(open_head.v_template, rotmat, SCALE)
    far = project_head_perspective(open_head.v_template, rotmat, torch.tensor([0.0, 0.0, -1e4]), SCALE * 1e4)
    torch.testing.assert_close(near.ndc[:, :2], far.ndc[:, :2], atol=1e-3, rtol=0)
    torch.testing.assert_close(near.vertices_camera, far.vertices_camera, atol=2e-3, rtol=0)
    assert far.w is not None and (far.w > 0).all() and near.w is None
    nose, back = open_head.v_template[:, 2].argmax(), open_head.v_template[:, 2].argmin()
    straight = project_head_orthographic(open_head.v_template, UPRIGHT, SCALE).ndc
    assert straight[nose, 2] < straight[back, 2]  # smaller is nearer


def test_a_head_without_landmarks_or_regions_is_rendered_too(open_head):
    bare = HeadModel(replace(open_head.data, landmarks={}, regions={"face": open_head.data.regions["face"]}))
    image = ProceduralFaceRenderer(bare).render(frontal(open_head), SIZE, Appearance(brows=GREEN, lips=GREEN), FLAT)
    assert image.isfinite().all() and (image[:, SIZE // 2, SIZE // 2] != 0.5).all()
    green = (image[1] > 0.8) & (image[0] < 0.3)
    assert not green.any()  # nothing places brows and lips


def test_lips_follow_the_landmarks_where_there_is_no_region(open_head):
    regions = {name: mask for name, mask in open_head.data.regions.items() if name != "lips"}
    renderer = ProceduralFaceRenderer(HeadModel(replace(open_head.data, regions=regions)))
    is_lip = renderer.region_weights[:, 0] > 0
    assert is_lip.sum() > 20
    assert open_head.region_mask("lips")[is_lip].float().mean() > 0.5
    lips = open_head(FaceParams()).landmarks("mediapipe")[list(LIPS_OUTER)]
    assert torch.cdist(open_head.v_template[is_lip], lips).min(1).values.max() < 0.015


def test_brow_centerlines_lie_between_their_rings(renderer):
    left = renderer.brows[1]
    ring = renderer.head(FaceParams()).landmarks("mediapipe")[list(BROW_LEFT)]
    assert (left[:, 0] > 0).all() and (left[:, 3] > 0).all() and (left[:, 3] < 0.01).all()
    assert ring[:, 1].min() < left[:, 1].min() and left[:, 1].max() < ring[:, 1].max()
