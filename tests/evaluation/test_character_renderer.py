"""Random pictures of a character."""

from __future__ import annotations

from dataclasses import replace

import torch

from smirk3d.evaluation.character_mesh import CharacterMesh
from smirk3d.evaluation.character_renderer import CharacterRenderer
from smirk3d.head.arkit import ARKIT_NAMES, GAZE_NAMES

JAW_OPEN = ARKIT_NAMES.index("jawOpen")


def test_pictures_show_what_the_character_can_do(character: CharacterMesh) -> None:
    directions = character.directions.clone()
    directions[JAW_OPEN] = 0
    renderer = CharacterRenderer(replace(character, directions=directions))
    images, weights = [], []
    for seed in range(6):
        image, truth, rotmat = renderer.sample("combination", torch.Generator().manual_seed(seed))
        images.append(image)
        weights.append(truth)
        torch.testing.assert_close(rotmat @ rotmat.T, torch.eye(3), atol=1e-5, rtol=0)
    again, _, _ = renderer.sample("combination", torch.Generator().manual_seed(5))
    assert torch.equal(images[-1], again) and not torch.equal(images[0], images[1])
    truth = torch.stack(weights)
    assert not truth[:, JAW_OPEN].any() and not truth[:, [ARKIT_NAMES.index(name) for name in GAZE_NAMES]].any()
    assert truth.any(1).float().mean() > 0.5
