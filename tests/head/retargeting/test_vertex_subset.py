"""A head cut down to some vertices."""

from dataclasses import replace

import torch

from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.vertex_subset import vertex_subset
from smirk3d.params import FaceParams


def test_vertices_equal_those_of_the_whole_head(any_head):
    index = torch.randperm(len(any_head.v_template), generator=torch.Generator().manual_seed(0))[:7]
    part = HeadModel(vertex_subset(any_head.data, index))
    random = torch.Generator().manual_seed(1)
    sizes = {"shape": any_head.n_shape, "expression": any_head.n_expression, "eyelids": 2}
    sizes |= {"jaw": 3, "pose": 3, "neck": 3, "eyes": 6}
    params = FaceParams(**{name: 0.3 * torch.randn(4, size, generator=random) for name, size in sizes.items()})
    whole, few = any_head(params), part(params)
    torch.testing.assert_close(few.vertices[:, :7], whole.vertices[:, index], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(few.joints, whole.joints, atol=1e-6, rtol=1e-5)


def test_parts_without_meaning_for_a_subset_are_left_out(open_head):
    part = vertex_subset(open_head.data, torch.arange(5))
    assert not len(part.faces)
    linear = replace(open_head.data, lid_closure=None, contacts=None)
    assert len(vertex_subset(linear, torch.arange(5)).v_template) == 10
    assert not part.regions and not part.landmarks and part.mirror_vertices is None
