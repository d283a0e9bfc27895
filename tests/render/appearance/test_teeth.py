"""Single teeth and gums on the dental arches."""

import numpy as np
import pytest
import torch

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.materials import region_vertices
from smirk3d.render.appearance.part_textures import part_images, part_uv
from smirk3d.render.appearance.teeth import (
    LOWER_EDGES_M,
    UPPER_CROWN_M,
    UPPER_EDGES_M,
    teeth_color_at,
    teeth_texture,
    teeth_uv,
)


def test_texture_coordinates_are_a_view_from_the_front(open_head):
    uv, template = teeth_uv(open_head), open_head.v_template.numpy()
    upper, lower = (region_vertices(open_head, f"{name}_teeth") for name in ("upper", "lower"))
    assert not uv[~(upper | lower)].any()
    assert uv[upper | lower].min() > 0 and uv[upper | lower].max() < 1
    assert (uv[upper, 1] > 0.5).all() and (uv[lower, 1] < 0.5).all()
    # Right of the person's midline is left on the texture, and the biting edges are towards its middle.
    assert np.corrcoef(uv[upper, 0], template[upper, 0])[0, 1] > 0.9999
    assert np.corrcoef(uv[upper, 1], template[upper, 1])[0, 1] > 0.9
    assert np.corrcoef(uv[lower, 1], template[lower, 1])[0, 1] > 0.6


@pytest.mark.parametrize("upwards", [1.0, -1.0])
def test_teeth_are_symmetric(upwards):
    u = torch.linspace(0, 1, 401, dtype=torch.float64)
    v = 0.5 + 0.5 * upwards * torch.linspace(0.05, 1, 21, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(u, v, indexing="ij"), dim=-1)
    colors = teeth_color_at(grid)
    assert torch.allclose(colors, colors.flip(0))
    assert float(colors.min()) >= 0 and float(colors.max()) <= 1


@pytest.mark.parametrize(("edges_m", "upwards"), [(UPPER_EDGES_M, 1.0), (LOWER_EDGES_M, -1.0)])
def test_gaps_are_darker_than_the_teeth_beside_them(edges_m, upwards):
    edges = torch.tensor(edges_m[:4], dtype=torch.float64)
    gaps, centers = (_brightness(x_m, 0.005, upwards) for x_m in (edges, (edges[:-1] + edges[1:]) / 2))
    assert (gaps[:-1] < 0.85 * centers).all() and (gaps[1:] < 0.85 * centers).all()


def test_teeth_end_in_gums_and_at_the_biting_edge():
    red, green, blue = _color(torch.tensor([0.004]), UPPER_CROWN_M + 0.003, 1.0)[0]
    assert float(red) > 1.4 * float(green)  # gum
    red, green, blue = _color(torch.tensor([0.004]), 0.005, 1.0)[0]
    assert float(blue) > 0.85 * float(red) > 0.6  # enamel
    lateral_edge = _brightness(torch.tensor([0.0118]), 0.0003, 1.0)
    assert float(lateral_edge) < 0.4 * float(_brightness(torch.tensor([0.004]), 0.0007, 1.0))


def test_molars_are_in_the_shade():
    front, side = (float(_brightness(torch.tensor([x_m]), 0.005, 1.0)) for x_m in (0.004, 0.0298))
    assert side < 0.6 * front


def test_texture_shows_the_colors_of_its_coordinates(open_head):
    image = teeth_texture()
    uv = torch.from_numpy(teeth_uv(open_head)[region_vertices(open_head, "upper_teeth")])
    rows = ((1 - uv[:, 1]) * len(image)).long().clamp(0, len(image) - 1)
    at_texels = torch.stack([(uv[:, 0] * len(image)).long() + 0.5, len(image) - (rows + 0.5)], dim=1) / len(image)
    shown = image[rows.numpy(), (at_texels[:, 0] * len(image)).long().numpy()] / 255
    assert np.abs(shown - teeth_color_at(at_texels).numpy()).max() < 2 / 255


def test_heads_without_teeth_have_no_texture_of_them(open_head, tiny_data):
    assert list(part_images(open_head, None)) == ["eyes", "teeth"]
    assert "teeth" not in part_images(HeadModel(tiny_data), None)
    teeth = region_vertices(open_head, "upper_teeth")
    assert np.array_equal(part_uv(open_head)[teeth], teeth_uv(open_head)[teeth])


def _color(x_m: torch.Tensor, height_m: float, upwards: float) -> torch.Tensor:
    """Return the colours (N, 3) at distances from the midline and a height above the biting edge."""
    half_width_m, half_height_m, margin_m = 0.036, 0.024, 0.002
    v = 0.5 + 0.5 * upwards * (height_m + margin_m) / half_height_m
    return teeth_color_at(torch.stack([0.5 + 0.5 * x_m / half_width_m, torch.full_like(x_m, v)], dim=1))


def _brightness(x_m: torch.Tensor, height_m: float, upwards: float) -> torch.Tensor:
    return _color(x_m, height_m, upwards).mean(1)
