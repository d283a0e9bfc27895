"""What keypoints tell about the points between them."""

from __future__ import annotations

import torch

from smirk3d.reenactment.transformer.keypoints import CODED, DENSE, grid_positions, influences
from smirk3d.reenactment.transformer.network import keypoint_motion


def _face(count: int = 1) -> torch.Tensor:
    """Keypoints on a disc of half the picture."""
    generator = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(count, len(DENSE), generator=generator)
    radius = 0.5 * torch.rand(count, len(DENSE), generator=generator).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=2)


def test_keypoints_are_landmarks_and_none_twice() -> None:
    assert len(set(DENSE)) == len(DENSE) and max(DENSE) < 478
    assert set(CODED) <= set(range(478))


def test_the_nearest_keypoint_counts_most_and_surroundings_take_the_rest() -> None:
    points = _face()
    influence = influences(points[0] + 1e-4, points)[0]
    assert (influence.argmax(1) == torch.arange(len(DENSE))).float().mean() > 0.95
    assert (influence.sum(1) > 0.95).all() and (influence.sum(1) <= 1 + 1e-5).all()
    far = influences(torch.tensor([[0.99, 0.99]]), points)
    assert float(far.sum()) < 0.5


def test_a_shifted_face_is_found_where_it_was_and_far_points_rest() -> None:
    points, shift = _face(), torch.tensor([0.1, -0.05])
    motion = keypoint_motion(points + shift, points[:, None], 32)[0, 0].permute(1, 2, 0)
    at = grid_positions(32).view(32, 32, 2) - shift
    inside = at.norm(dim=2) < 0.4
    torch.testing.assert_close(motion[inside], (-shift).expand(int(inside.sum()), 2), atol=0.012, rtol=0)
    assert motion[0, 0].norm() < 0.6 * shift.norm()
