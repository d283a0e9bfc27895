"""Photos re-synthesised with known expressions: `smirk3d.train.recipes.repainted_photos`."""

import pytest
import torch

from smirk3d.datasets.synthetic import rendered_pairs
from smirk3d.datasets.synthetic.rendered_pairs import RenderedPairs
from smirk3d.networks.checkpoint import save_networks
from smirk3d.networks.neural_renderer import NeuralRenderer
from smirk3d.train.recipes.repainted_photos import ExpressionEditor, RepaintedPhotos, sample_known_expressions

SIZE, SIDE = 64, 32


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photos(open_head, baked_renderer):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendered_pairs, "BakedFaceRenderer", lambda head, cuts: baked_renderer)
        return RenderedPairs(open_head, SIZE).batch(torch.zeros(12, 52), seeded()).before


def test_expressions_are_another_choice_each_time():
    found = [sample_known_expressions(8, seeded(seed)) for seed in (0, 0, 1)]
    assert found[0].shape == (8, 52) and (found[0].amax(1) >= 0.4).all()
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_faces_change_their_expression_and_nothing_else(open_head, photos):
    changed = ExpressionEditor(open_head)(photos, seeded())
    for name in ("shape", "pose", "camera"):
        assert torch.equal(getattr(changed.params, name), getattr(photos.target, name)), name
    expression = changed.params.expression
    assert expression.min() >= 0 and expression.max() <= 1
    assert ((expression - photos.target.expression).abs().amax(1) > 0.1).float().mean() > 0.7
    drawn = changed.mesh.amax(1) > 0
    hidden = drawn & (changed.masked.amax(1) == 0)
    assert hidden.float().sum() > 0.8 * drawn.float().sum()  # the face is removed, but for sparse pixels


def test_renderers_receive_images_of_their_own_size(open_head, photos, tmp_path):
    path = tmp_path / "renderer.safetensors"
    save_networks(path, neural_renderer=NeuralRenderer(2, SIDE).eval(), meta={})
    rendering, params = RepaintedPhotos(open_head, path)(photos, seeded())
    assert rendering.shape == (12, 3, SIDE, SIDE) and rendering.min() > 0 and rendering.max() < 1
    again, same = RepaintedPhotos(open_head, path)(photos, seeded())
    assert torch.equal(rendering, again) and torch.equal(params.expression, same.expression)
