"""Parameters and landmark embeddings: batches, copies and points on triangles."""

from dataclasses import FrozenInstanceError

import pytest
import torch

from smirk3d.params import FaceParams, LandmarkEmbedding

VERTICES = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
EMBEDDING = LandmarkEmbedding(
    torch.tensor([0, 1, 0]),
    torch.tensor([[1.0, 0, 0], [0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]),
    torch.tensor([1.0, 0.5, 0.25]),
    torch.tensor([2, 1, 0]),
)


def test_items_are_the_fields_that_are_not_none():
    params = FaceParams(jaw=torch.zeros(3), shape=torch.zeros(5))
    assert [name for name, _ in params.items()] == ["shape", "jaw"]
    assert FaceParams().items() == [] and FaceParams().batch_shape == ()


def test_batch_shape_is_broadcast():
    params = FaceParams(shape=torch.zeros(2, 1, 5), pose=torch.zeros(3, 3), jaw=torch.zeros(3))
    assert params.batch_shape == (2, 3)
    with pytest.raises(RuntimeError):
        _ = FaceParams(shape=torch.zeros(2, 5), pose=torch.zeros(3, 3)).batch_shape


def test_copies_do_not_change_the_original():
    params = FaceParams(shape=torch.ones(2, 5))
    double = params.to(torch.float64)
    assert double.shape is not None and double.shape.dtype == torch.float64 and double.pose is None
    changed = params.replace(pose=torch.zeros(3), shape=None)
    assert changed.shape is None and changed.pose is not None
    assert params.shape is not None and params.shape.dtype == torch.float32 and params.pose is None
    with pytest.raises(FrozenInstanceError):
        params.pose = torch.zeros(3)  # type: ignore[misc]


def test_points_of_an_embedding():
    points = EMBEDDING.points(VERTICES, FACES)
    expected = torch.tensor([[0.0, 0, 0], [0, 0.25, 0.25], [0.5, 0.5, 0]])
    torch.testing.assert_close(points, expected)
    batch = torch.stack([VERTICES, 2 * VERTICES + 1]).double()
    points = EMBEDDING.points(batch[None], FACES)
    assert points.shape == (1, 2, 3, 3) and points.dtype == torch.float64
    torch.testing.assert_close(points[0, 1], 2 * expected.double() + 1)


def test_points_work_on_images_too():
    assert EMBEDDING.points(VERTICES[:, :2], FACES).shape == (3, 2)


def test_a_subset_keeps_its_partners():
    both = EMBEDDING.take(torch.tensor([2, 0]))
    assert len(both) == 2 and both.mirror.tolist() == [1, 0] and both.face_index.tolist() == [0, 0]
    assert both.weight.tolist() == [0.25, 1.0]
    torch.testing.assert_close(both.barycentric, EMBEDDING.barycentric[[2, 0]])
    alone = EMBEDDING.take(torch.tensor([1, 2]))
    assert alone.mirror.tolist() == [0, 1]  # point 2 lost its partner and is its own
