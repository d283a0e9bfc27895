from __future__ import annotations

import pytest
import torch
from torch import Tensor

from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.appearance_texels import AppearanceTexels
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.render.appearance.texel_grid import texel_index
from smirk3d.render.fragments import to_image
from smirk3d.render.photo_warp.landmark_residuals import residual_weights
from smirk3d.render.photo_warp.placed_mesh import fit_residual, place
from smirk3d.render.photo_warp.warped_photo import warp_photo
from smirk3d.render.rasterize import rasterize

SIZE = 160
CAMERA = torch.tensor([[8.0, 0.0, 0.0]])


@pytest.fixture(scope="module")
def texels(open_head: HeadModel) -> Tensor:
    return AppearanceTexels(open_head).colors(FaceAppearance())


def params(head: HeadModel, **weights: float) -> FaceParams:
    expression = torch.zeros(1, len(ARKIT_NAMES))
    for name, weight in weights.items():
        expression[0, ARKIT_NAMES.index(name)] = weight
    return FaceParams(shape=torch.zeros(1, head.n_shape), expression=expression, pose=torch.zeros(1, 3), camera=CAMERA)


def unlit(head: HeadModel, face: FaceParams, texels: Tensor) -> Tensor:
    """Return a picture (3, S, S) of a head in even light before a grey wall."""
    mesh = place(head, face, torch.zeros(478, 2))
    fragments = rasterize(mesh.ndc[None], head.faces.to(torch.int32), SIZE)
    pixel = fragments.mask.flatten().nonzero()[:, 0]
    image = to_image(fragments, pixel, texels[texel_index(fragments, pixel)])[0].permute(2, 0, 1)
    return torch.where(fragments.mask, image, torch.tensor(0.5))


def warped(head: HeadModel, texels: Tensor, before: FaceParams, after: FaceParams) -> Tensor:
    none = torch.zeros(478, 2)
    photo = unlit(head, before, texels)
    return warp_photo(photo, head, place(head, before, none), place(head, after, none), texels, SIZE)


def test_an_unchanged_expression_leaves_the_photo(open_head: HeadModel, texels: Tensor) -> None:
    face = params(open_head, jawOpen=0.1)
    assert (warped(open_head, texels, face, face) - unlit(open_head, face, texels)).abs().mean() < 0.01


@pytest.mark.parametrize(
    "weights",
    [
        {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
        {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
        {"browInnerUp": 1.0},
        {"jawOpen": 0.8},
    ],
)
def test_a_moved_render_is_like_a_render_of_the_moved_head(
    open_head: HeadModel, texels: Tensor, weights: dict[str, float]
) -> None:
    before, after = params(open_head), params(open_head, **weights)
    wanted, still = unlit(open_head, after, texels), unlit(open_head, before, texels)
    region = (wanted - still).abs().amax(0) > 0.05
    found = warped(open_head, texels, before, after)
    assert (found - wanted)[:, region].abs().mean() < 0.6 * (still - wanted)[:, region].abs().mean()


def test_far_from_the_face_nothing_moves(open_head: HeadModel, texels: Tensor) -> None:
    before, after = params(open_head), params(open_head, browInnerUp=1.0)
    change = warped(open_head, texels, before, after) - unlit(open_head, before, texels)
    assert change[:, -20:].abs().max() < 0.05 and change[:, :, :6].abs().max() < 0.05


def test_the_placed_mesh_meets_the_landmarks(open_head: HeadModel) -> None:
    face = params(open_head)
    generator = torch.Generator().manual_seed(2)
    projected = project_orthographic(open_head(face).landmarks("mediapipe"), CAMERA)[0, :, :2]
    shift = torch.tensor([0.02, -0.01])
    wanted = projected + shift + 0.001 * torch.randn(478, 2, generator=generator)
    placed = place(open_head, face, fit_residual(open_head, face, wanted))
    assert (placed.landmarks_ndc - wanted).norm(dim=1).median() < 0.004


def test_residuals_of_one_lip_hardly_move_the_other(open_head: HeadModel) -> None:
    weights = residual_weights(open_head)
    vertex = int(weights[:, 14].argmax())  # on the lower lip
    assert weights[vertex, 14] > 10 * weights[vertex, 13]
    assert (weights.sum(1) <= 1).all()
