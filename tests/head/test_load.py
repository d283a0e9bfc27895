"""The packaged open head, and heads by their identifier."""

import torch

from smirk3d.head.load import find_head_data, load_open_head, open_head_data
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import save_pack
from smirk3d.params import FaceParams


def test_the_open_head_is_whole(open_head):
    assert open_head.data.name == "open" and open_head.n_expression == 52
    assert (open_head.n_shape, "mediapipe" in open_head.data.landmarks) == (100, True)
    torch.testing.assert_close(open_head(FaceParams()).vertices, open_head.v_template, atol=1e-7, rtol=0)


def test_the_open_head_with_fewer_components():
    small = load_open_head(n_shape=10, n_expression=20)
    assert (small.n_shape, small.n_expression) == (10, 20)
    assert small.data.content_id == open_head_data().content_id


def test_the_open_head_needs_no_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "none"))
    assert load_open_head().n_expression == 52 and not (tmp_path / "none").exists()


def test_a_head_is_found_by_its_identifier(monkeypatch, tmp_path, open_head, tiny_data):
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    found = find_head_data(HeadModel(open_head.data, n_shape=10).id)
    assert found is not None and found.content_id == open_head.data.content_id
    assert find_head_data(tiny_data.content_id) is None
    save_pack(tiny_data, tmp_path / "heads" / "b.pack")
    (tmp_path / "heads" / "a.pack").write_bytes(b"damaged")
    for wanted in (tiny_data.content_id, HeadModel(tiny_data, n_shape=2).id):
        found = find_head_data(wanted)
        assert found is not None and found.name == "tiny" and found.shapedirs.shape[-1] == 4
