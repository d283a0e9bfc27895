from __future__ import annotations

import numpy as np

from smirk3d.export.gltf.buffer import BufferBuilder, sparse_rows


def test_views_are_aligned_and_hold_the_bytes():
    builder = BufferBuilder()
    builder.add_bytes(b"abc")
    second = builder.add_bytes(b"defgh")
    view = builder.views[second]
    assert view.byteOffset == 4 and builder.blob[4:9] == b"defgh" and len(builder.blob) % 4 == 0


def test_sparse_fields_have_the_stored_rows():
    builder, given = BufferBuilder(), np.zeros((3, 10), bool)
    given[0, [3, 7, 8]], given[2, :] = True, True
    values = np.random.default_rng(0).normal(1, 1, (13, 3)).astype(np.float32)
    values[:3] = [[0, 0.5, 0], [0, 0, -2], [0, 0, 0]]
    moved, still, dense = (builder.accessors[k] for k in builder.add_sparse(sparse_rows(given), values))
    assert moved.sparse is not None and moved.sparse.count == 3 and moved.count == 10
    assert moved.min == [0, 0, -2] and moved.max == [0, 0.5, 0]
    assert moved.sparse.indices is not None
    start = builder.views[moved.sparse.indices.bufferView].byteOffset or 0
    np.testing.assert_array_equal(np.frombuffer(builder.blob, np.uint16, 3, start), [3, 7, 8])
    assert still.sparse is None and still.min == still.max == [0, 0, 0]
    assert dense.sparse is not None and dense.sparse.indices is not None and dense.sparse.values is not None
    assert dense.sparse.indices.byteOffset == 8  # three indices of two bytes, filled up to 4
    start = (builder.views[dense.sparse.values.bufferView].byteOffset or 0) + (dense.sparse.values.byteOffset or 0)
    stored = np.frombuffer(builder.blob, np.float32, 30, offset=start).reshape(10, 3)
    np.testing.assert_array_equal(stored, values[3:])
    assert dense.min == values[3:].min(axis=0).tolist() and dense.max == values[3:].max(axis=0).tolist()


def test_rows_that_are_not_stored_are_zeros_of_one_view():
    """Readers such as assimp refuse accessors without a buffer view."""
    builder, given = BufferBuilder(), np.zeros((2, 5), bool)
    given[1, 3] = True
    indices = builder.add_sparse(sparse_rows(np.zeros((2, 5), bool)), np.zeros((0, 3), np.float32))
    indices += builder.add_sparse(sparse_rows(given), np.ones((1, 3), np.float32))
    (view,) = {builder.accessors[k].bufferView for k in indices}
    zeros = builder.views[view]
    assert len(indices) == 4 and (zeros.byteLength, zeros.byteStride) == (60, 12)
    assert not any(builder.blob[zeros.byteOffset or 0 :][:60])


def test_large_meshes_have_wide_indices():
    builder = BufferBuilder()
    small = builder.add_indices(np.array([[0, 1, 65534]]))
    large = builder.add_indices(np.array([[0, 1, 65535]]))
    assert (builder.accessors[small].componentType, builder.accessors[large].componentType) == (5123, 5125)
