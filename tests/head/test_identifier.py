"""Heads are identified by their content, the same way everywhere."""

from dataclasses import replace

import pytest
import torch
from other_process import content_of_pack

from smirk3d.head.identifier import HeadId, content_id
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import load_pack, save_pack


def test_the_identifier_names_the_head_and_its_sizes(open_head):
    assert HeadId.parse(open_head.id) == HeadId(open_head.data.content_id, 100, 52)
    assert open_head.id.startswith("open-") and len(open_head.data.content_id) == len("open-") + 16


def test_fewer_components_are_the_same_content(tiny_data):
    small = HeadModel(tiny_data, n_shape=2, n_expression=1)
    assert HeadId.parse(small.id) == HeadId(tiny_data.content_id, 2, 1)
    assert small.id != HeadModel(tiny_data).id


@pytest.mark.parametrize("text", ["", "open", "open-0123456789abcdef", "open-s100", "open-s100-ex"])
def test_other_text_is_no_identifier(text):
    with pytest.raises(ValueError, match="no head identifier"):
        HeadId.parse(text)


def test_the_content_does_not_depend_on_layout_or_order(tiny_data):
    turned = tiny_data.shapedirs.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    regions = {"lips": torch.arange(14) < 3, **tiny_data.regions}
    one = replace(tiny_data, shapedirs=turned, regions=regions)
    other = replace(tiny_data, regions=dict(reversed(regions.items())))
    assert not turned.is_contiguous() and content_id(one) == content_id(other)


def test_the_content_depends_on_each_number_and_not_on_descriptions(tiny_data):
    assert replace(tiny_data, meta={"source": "elsewhere"}).content_id == tiny_data.content_id
    moved = tiny_data.v_template.clone()
    moved[3, 1] += 1e-6
    embedding = tiny_data.landmarks["ibug68"]
    others = [
        replace(tiny_data, v_template=moved),
        replace(tiny_data, name="other"),
        replace(tiny_data, expression_high=1.0),
        replace(tiny_data, eyelids_after_skinning=False),
        replace(tiny_data, landmarks={"ibug68": replace(embedding, weight=embedding.weight / 2)}),
        replace(tiny_data, eyelid_dirs=None),
    ]
    assert len({tiny_data.content_id, *(other.content_id for other in others)}) == 1 + len(others)


def test_a_file_and_another_process_give_the_same_content(tmp_path, tiny_data, other_process):
    path = tmp_path / "tiny.pack"
    save_pack(tiny_data, path)
    assert load_pack(path).content_id == tiny_data.content_id
    assert other_process.submit(content_of_pack, path).result() == tiny_data.content_id
