"""Lips that close in a moved photo touch, and show no teeth."""

from __future__ import annotations

import torch

from smirk3d.head.landmark_indices import LIP_RIM_LOWER, LIP_RIM_UPPER
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.reenactment.lip_margin import (
    MovedLandmarks,
    follows_lower_lip,
    lip_margin,
    with_closed_lips,
    with_lip_line,
)
from smirk3d.render.photo_warp.landmark_residuals import residual_weights
from smirk3d.render.photo_warp.mesh_parts import MOUTH, part_of_triangles
from smirk3d.render.photo_warp.placed_mesh import PlacedMesh, place
from smirk3d.render.rasterize import rasterize

UPPER, LOWER = list(LIP_RIM_UPPER), list(LIP_RIM_LOWER)


def _placed(head: HeadModel, jaw_open: float) -> PlacedMesh:
    expression = torch.zeros(1, head.n_expression)
    expression[0, head.expression_names.index("jawOpen")] = jaw_open
    camera = torch.tensor([[7.0, 0.0, 0.0]])
    params = FaceParams(torch.zeros(1, head.n_shape), expression, pose=torch.zeros(1, 3), camera=camera)
    return place(head, params, torch.zeros(478, 2))


def test_landmarks_of_the_rims_are_opposite(open_head: HeadModel) -> None:
    points = _placed(open_head, 0.5).landmarks_ndc
    across = points[UPPER] - points[LOWER]
    assert (across[:, 1].abs() > 3 * across[:, 0].abs()).all()


def test_nothing_is_drawn_outwards_where_lips_are_as_far_apart(open_head: HeadModel) -> None:
    half, wide = _placed(open_head, 0.3), _placed(open_head, 0.6)
    assert not lip_margin(open_head, half, half).any()
    assert not lip_margin(open_head, half, wide).any()
    assert lip_margin(open_head, wide, half).any()


def test_closing_lips_are_read_away_from_the_opening(open_head: HeadModel) -> None:
    wide, shut = _placed(open_head, 0.6), _placed(open_head, 0.0)
    moved = lip_margin(open_head, wide, shut)
    follows = follows_lower_lip(open_head)
    away = (
        torch.where(follows < 0.5, 1.0, -1.0)
        * moved[:, 1]
        * torch.sign(wide.landmarks_ndc[13, 1] - wide.landmarks_ndc[14, 1])
    )
    assert (away >= 0).all() and away.max() > 0
    assert not moved[open_head.region_mask("upper_teeth") | open_head.region_mask("eyeballs")].any()


def _moved(head: HeadModel, mesh: PlacedMesh, seed: int) -> PlacedMesh:
    """Move a mesh by smooth residuals, the lips among them."""
    residual = 0.02 * torch.randn(478, 2, generator=torch.Generator().manual_seed(seed))
    ndc = mesh.ndc.clone()
    ndc[:, :2] += residual_weights(head) @ residual
    return PlacedMesh(ndc, mesh.normals, head.landmark_embedding("mediapipe").points(ndc[:, :2], head.faces))


def _gap(mesh: PlacedMesh) -> torch.Tensor:
    return (mesh.landmarks_ndc[UPPER] - mesh.landmarks_ndc[LOWER]).norm(dim=1)


def test_lips_that_touch_on_the_head_touch_in_the_picture(open_head: HeadModel) -> None:
    wide, shut = _placed(open_head, 0.6), _placed(open_head, 0.0)
    fitted, placed = _moved(open_head, wide, 0), _moved(open_head, shut, 0)
    photo = MovedLandmarks(wide.landmarks_ndc, fitted.landmarks_ndc)
    closed = with_closed_lips(open_head, placed, shut.landmarks_ndc, photo)
    middle = slice(1, -1)  # next to the corners both lips follow each other anyway
    assert _gap(closed)[middle].mean() < 0.4 * _gap(placed)[middle].mean()
    far = (
        open_head.v_template
        - open_head.landmark_embedding("mediapipe").points(open_head.v_template, open_head.faces)[13]
    )
    far = far.norm(dim=1) > 0.04
    torch.testing.assert_close(closed.ndc[far], placed.ndc[far])


def test_the_photo_stays_as_it_is(open_head: HeadModel) -> None:
    for jaw_open in (0.0, 0.6):
        plain = _placed(open_head, jaw_open)
        fitted = _moved(open_head, plain, 1)
        photo = MovedLandmarks(plain.landmarks_ndc, fitted.landmarks_ndc)
        same = with_closed_lips(open_head, fitted, plain.landmarks_ndc, photo)
        torch.testing.assert_close(same.ndc, fitted.ndc)
        assert not lip_margin(open_head, fitted, same).abs().max() > 1e-6


def test_slits_between_closed_lips_are_a_dark_line(open_head: HeadModel) -> None:
    size = 128
    for jaw_open, is_dark in ((0.0, True), (0.6, False)):
        mesh = _placed(open_head, jaw_open)
        fragments = rasterize(mesh.ndc[None], open_head.faces.to(torch.int32), size)
        part = part_of_triangles(open_head)[fragments.face_index[0].clamp_min(0).long()]
        part[60:64, 60:64] = MOUTH
        fill = torch.full((3, size, size), 0.6)
        made = with_lip_line(fill, open_head, mesh, fragments, part)
        assert bool((made[:, part == MOUTH] < 0.4).all()) == is_dark
        assert (made[:, part != MOUTH] == 0.6).all()
