from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity

from smirk3d.datasets.synthetic.domain_randomization import (
    DomainRandomization,
    random_cuts,
    randomize_appearance,
    randomize_geometry,
    randomize_skin_texture,
)
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import MIRROR, SKIN_COUNT
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.procedural_face import Appearance

COUNT = 8
MANY = 48
"""Heads over which means are steady: few of them have a blink in another direction."""
USUAL = DomainRandomization()
BALLS_ALONE = DomainRandomization(rest_weight=0, coupling=0, gaze_rad=0)


def drawn(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def faces(head: HeadModel, count: int = COUNT, **weights: float) -> FaceParams:
    expression = torch.zeros(count, 52)
    for name, weight in weights.items():
        expression[:, ARKIT_NAMES.index(name)] = weight
    shape = 0.8 * torch.randn(count, head.n_shape, generator=drawn())
    pose = 0.3 * torch.randn(count, 3, generator=drawn(4))
    return FaceParams(shape=shape, expression=expression, pose=pose)


def landmarks(head: HeadModel, params: FaceParams, share: float, unlike: DomainRandomization = USUAL) -> torch.Tensor:
    assert params.expression is not None
    mesh = randomize_geometry(head, params, torch.full((len(params.expression),), share), drawn(), unlike)
    return (mesh.landmarks("mediapipe") - mesh.joints[:, :1]) @ mesh.rotation_rotmat


def test_no_share_leaves_the_open_head(open_head: HeadModel) -> None:
    params = faces(open_head, jawOpen=0.7, mouthSmileLeft=0.9, eyeLookUpLeft=0.5)
    unlike = randomize_geometry(open_head, params, torch.zeros(COUNT), drawn())
    torch.testing.assert_close(unlike.vertices, open_head(params).vertices, atol=1e-5, rtol=0)


def test_share_is_how_far_heads_stray(open_head: HeadModel) -> None:
    params = faces(open_head)
    usual, little, much = (landmarks(open_head, params, share) for share in (0.0, 0.3, 1.0))
    usual, little, much = (each - each.mean(1, keepdim=True) for each in (usual, little, much))
    little, much = little - usual, much - usual
    assert 0.0005 < little.norm(dim=2).mean() < 0.5 * much.norm(dim=2).mean() < 0.006
    assert torch.equal(landmarks(open_head, params, 1.0), landmarks(open_head, params, 1.0))


def test_heads_stay_nearly_even(open_head: HeadModel) -> None:
    mean_shape = replace(faces(open_head), shape=None)
    change = (landmarks(open_head, mean_shape, 1.0) - landmarks(open_head, mean_shape, 0))[:, :SKIN_COUNT]
    flipped = change[:, list(MIRROR)[:SKIN_COUNT]] * torch.tensor([-1.0, 1.0, 1.0])
    assert (change - flipped).square().mean() < 0.3 * change.square().mean()


@pytest.mark.parametrize(
    "name", ["jawOpen", "mouthSmileLeft", "mouthPucker", "browInnerUp", "browDownRight", "eyeBlinkLeft", "mouthLeft"]
)
def test_actions_stay_themselves(open_head: HeadModel, name: str) -> None:
    """The direction in which the landmarks move, over all heads, is much like the open head's, and no mirror image."""
    moved = [
        landmarks(open_head, faces(open_head, MANY, **{name: 0.8}), share)
        - landmarks(open_head, faces(open_head, MANY), share)
        for share in (0.0, 1.0)
    ]
    usual, unlike = (each.flatten(1) for each in moved)
    alike = torch.cosine_similarity(usual, unlike)
    assert 0.8 < alike.mean() < 0.999 and alike.min() > 0.6
    assert 0.6 < unlike.norm(dim=1).mean() / usual.norm(dim=1).mean() < 1.6


def test_eyeballs_stay_behind_their_lids(open_head: HeadModel) -> None:
    params = faces(open_head)
    ball, region = open_head.region_mask("left_eyeball"), open_head.region_mask("left_eye_region")

    def clearance(share: float) -> torch.Tensor:
        mesh = randomize_geometry(open_head, params, torch.full((COUNT,), share), drawn(), BALLS_ALONE)
        gaps = torch.cdist(mesh.vertices[:, region & ~ball], mesh.vertices[:, ball]).amin(2)
        return gaps.quantile(0.02, dim=1)

    assert (clearance(1.0) > 0.5 * clearance(0.0)).all()


def test_tint_spares_eyes_and_teeth(open_head: HeadModel) -> None:
    hair = (0.1, 0.1, 0.1)
    tints = torch.stack([randomize_skin_texture(open_head, hair, 1.0, drawn(seed)) for seed in range(12)])
    assert (tints > 0).all() and (tints[:, open_head.region_mask("eyeballs")] == 1).all()
    assert (tints[:, open_head.region_mask("upper_teeth")] == 1).all()
    assert tints[:, open_head.region_mask("nose")].std() > 0.03
    bearded = tints[:, open_head.region_mask("face")].amin((1, 2)) < 0.4
    assert bearded.any() and not bearded.all()
    assert (randomize_skin_texture(open_head, hair, 0.0, drawn()) == 1).all()


def test_appearance_takes_the_cut_and_keeps_the_colours() -> None:
    cut, look = random_cuts(3)[1], Appearance(skin=(0.4, 0.3, 0.2))
    made = randomize_appearance(look, cut, drawn())
    assert made.brow_lift_m == cut.brow_lift_m and made.iris_scale == cut.iris_scale and made.lip_edge == cut.lip_edge
    assert made.skin == look.skin and made.iris == look.iris
    assert [each.lip_edge for each in random_cuts(3)] == [each.lip_edge for each in random_cuts(5)[:3]]


def test_wide_heads_have_blendshapes_like_those_of_other_artists(open_head: HeadModel) -> None:
    face = open_head.region_mask("face") & ~open_head.region_mask("eyeballs")
    names = ("mouthSmileLeft", "browInnerUp", "jawOpen", "mouthPucker", "noseSneerLeft", "mouthFrownLeft")
    expression = torch.stack([torch.zeros(52), *torch.eye(52)[[ARKIT_NAMES.index(name) for name in names]]])

    def moved(seed: int, wide_share: float) -> torch.Tensor:
        rows = []
        for weights in expression:  # the same random head for each
            params = FaceParams(expression=weights[None], pose=torch.zeros(1, 3))
            stds = DomainRandomization(wide_share=wide_share)
            generator = torch.Generator().manual_seed(seed)
            mesh = randomize_geometry(open_head, params, torch.ones(1), generator, stds)
            rows.append(mesh.vertices[0, face].flatten())
        return torch.stack(rows[1:]) - rows[0]

    own = open_head(FaceParams(expression=expression)).vertices[:, face].flatten(1)
    own = own[1:] - own[0]
    cosine = {
        share: torch.stack([cosine_similarity(moved(seed, share), own) for seed in range(16)]) for share in (0.0, 1.0)
    }
    assert cosine[0.0].mean() > 0.9
    assert 0.65 < cosine[1.0].mean() < 0.88
