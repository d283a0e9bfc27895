from __future__ import annotations

import numpy as np

from smirk3d.export.gltf_buffer import BufferBuilder


def test_views_are_aligned_and_hold_the_bytes():
    builder = BufferBuilder()
    builder.add_bytes(b"abc")
    second = builder.add_bytes(b"defgh")
    view = builder.views[second]
    assert view.byteOffset == 4 and builder.blob[4:9] == b"defgh" and len(builder.blob) % 4 == 0


def test_sparse_rows_are_those_above_the_threshold():
    builder = BufferBuilder()
    field = np.zeros((10, 3))
    field[3, 1], field[7, 2], field[8, 0] = 0.5, -2.0, 1e-9
    still = np.zeros((4, 3))
    moved_index, still_index = builder.add_sparse([field, still], threshold=1e-6)
    moved = builder.accessors[moved_index]
    assert moved.sparse is not None and moved.sparse.count == 2 and moved.count == 10
    assert moved.min == [0, 0, -2] and moved.max == [0, 0.5, 0]
    np.testing.assert_array_equal(np.frombuffer(builder.blob, np.uint16, 2), [3, 7])
    values = np.frombuffer(builder.blob, np.float32, 6, offset=builder.views[1].byteOffset or 0)
    np.testing.assert_array_equal(values.reshape(2, 3), field[[3, 7]].astype(np.float32))
    assert builder.accessors[still_index].sparse is None and builder.accessors[still_index].bufferView is None


def test_nothing_that_moves_needs_no_bytes():
    builder = BufferBuilder()
    indices = builder.add_sparse([np.zeros((5, 3))] * 2, threshold=1e-6)
    assert len(indices) == 2 and builder.blob == b"" and not builder.views


def test_large_meshes_have_wide_indices():
    builder = BufferBuilder()
    small = builder.add_indices(np.array([[0, 1, 65534]]))
    large = builder.add_indices(np.array([[0, 1, 65535]]))
    assert (builder.accessors[small].componentType, builder.accessors[large].componentType) == (5123, 5125)
