"""Pairs of rendered images: equal but for the expression, and consistent with their parameters."""

import pytest
import torch

from smirk3d.datasets.synthetic import rendered_pairs
from smirk3d.datasets.synthetic.known_expressions import known_expressions
from smirk3d.datasets.synthetic.rendered_pairs import RenderedPairs
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.render import Renderer
from smirk3d.train.recipes.neural_synthesis_inputs import render_heads

SIZE = 96


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pairs(open_head, baked_renderer):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendered_pairs, "BakedFaceRenderer", lambda head, cuts: baked_renderer)
        return RenderedPairs(open_head, SIZE)


def test_only_the_expression_changes(open_head, pairs):
    count = 6
    expression = torch.zeros(count, 52)
    expression[:, ARKIT_NAMES.index("jawOpen")] = 1.0
    found = pairs.batch(expression, seeded())
    before = found.before.target
    for name in ("shape", "pose", "camera"):
        assert torch.equal(getattr(before, name), getattr(found.params, name)), name
    assert torch.equal(found.params.expression, expression)
    same = pairs.batch(before.expression, seeded())
    assert torch.equal(same.before.image, found.before.image)
    torch.testing.assert_close(same.after, same.before.image)
    changed = (found.after - found.before.image).abs().amax(1) > 0.05
    assert 0.01 < changed.float().mean() < 0.4
    heads = [
        Renderer(open_head, SIZE)(open_head(some).vertices, some.camera, "head") for some in (before, found.params)
    ]
    beyond = ~(heads[0].mask | heads[1].mask)[:, 0]
    assert beyond.float().mean() > 0.1 and not changed[beyond].any()


def test_pictures_lie_where_the_parameters_say(open_head, pairs):
    found = pairs.batch(known_expressions(52, seeded())[:6], seeded(1))
    for params, picture in ((found.before.target, found.before.image), (found.params, found.after)):
        drawn = render_heads(open_head(params), params.camera, SIZE)
        inside = drawn.mask[:, 0]
        # The outline of the head against the background goes with the mesh: shift it and edges fall apart.
        gradient = (picture.mean(1).diff(dim=2, prepend=picture.mean(1)[:, :, :1])).abs()
        edges = (drawn.image.mean(1).diff(dim=2, prepend=drawn.image.mean(1)[:, :, :1])).abs() * inside
        here = (gradient * edges).sum()
        elsewhere = max((gradient * edges.roll(step, dims=2)).sum() for step in (-6, -4, 4, 6))
        assert here > 1.15 * elsewhere
    points = found.before.landmarks_ndc
    assert points.abs().amax() < 1.3 and (points.amax(1) - points.amin(1)).mean(1).sub(2 / 1.4).abs().max() < 0.15
