"""Smooth fields meet their handles, vanish outside, and stay between what they are given."""

import torch

from smirk3d.authoring.smooth_field import SmoothField


def grid(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    vertices = torch.stack([x.flatten(), y.flatten(), torch.zeros(side * side)], dim=1) * 0.01
    corner = (y * side + x)[:-1, :-1].flatten()
    faces = torch.cat(
        [
            torch.stack([corner, corner + 1, corner + side], 1),
            torch.stack([corner + 1, corner + side + 1, corner + side], 1),
        ]
    )
    return vertices.float(), faces


def test_a_field_meets_its_handles_and_vanishes_outside():
    vertices, faces = grid(15)
    x, y = (vertices[:, k] / 0.01 for k in (0, 1))
    free = (x > 2) & (x < 12) & (y > 2) & (y < 12)
    middle = int(torch.nonzero((x == 7) & (y == 7))[0, 0])
    field = SmoothField(vertices, faces, free).solve(torch.eye(225)[[middle]], torch.tensor([[2.0, -1.0]]))
    assert torch.allclose(field[middle], torch.tensor([2.0, -1.0]), atol=1e-2)
    assert (field[~free] == 0).all()
    assert field[:, 0].max() < 2.05 and field[:, 0].min() > -0.1  # it fades, without waves
    beside = field[middle + 1, 0]
    assert 1.4 < beside < 2.0


def test_fields_are_linear_in_the_handles():
    vertices, faces = grid(9)
    handles = torch.eye(81)[[40, 30]]
    solver = SmoothField(vertices, faces, torch.ones(81, dtype=torch.bool))
    values = torch.tensor([[1.0], [0.5]])
    torch.testing.assert_close(
        solver.solve(handles, 3 * values), 3 * solver.solve(handles, values), atol=1e-4, rtol=1e-4
    )


def test_fairing_softens_a_fold_and_leaves_the_outside():
    vertices, faces = grid(21)
    x, y = (vertices[:, k] / 0.01 for k in (0, 1))
    free = (x > 2) & (x < 18) & (y > 2) & (y < 18)
    step = torch.stack([(x > 10).float(), x / 20], dim=1)  # a sharp step, and an even slope
    solver = SmoothField(vertices, faces, free)
    torch.testing.assert_close(solver.fair(step, 0.0), step)
    faired = solver.fair(step, 100.0)
    assert (faired[~free] == step[~free]).all()
    middle = (y == 10) & (x > 4) & (x < 16)
    assert faired[middle, 0].diff().max() < 0.5
    inner = (x > 5) & (x < 15) & (y > 5) & (y < 15)
    torch.testing.assert_close(faired[inner, 1], step[inner, 1], atol=0.02, rtol=0)
