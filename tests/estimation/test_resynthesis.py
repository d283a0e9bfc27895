"""Re-synthesis: inputs, frames, seeds and modes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from scipy.spatial import ConvexHull
from torch import nn

from smirk3d.estimation import resynthesis
from smirk3d.estimation.resynthesis import resynthesise, side_by_side
from smirk3d.head.model import HeadModel
from smirk3d.head.registry import register
from smirk3d.render import Renderer, rasterize


@pytest.fixture(scope="module")
def head(landmark_head):
    """The open head with an arbitrary "mediapipe" embedding."""
    return HeadModel(replace(landmark_head.data, landmarks={"mediapipe": landmark_head.data.landmarks["ibug68"]}))


@pytest.fixture
def face(make_face, head):
    return replace(make_face(), head_id=register(head))


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(1, 255, (240, 320, 3), dtype=np.uint8)


def merged(image, masked):
    return torch.where(masked.sum(dim=1, keepdim=True) > 0, masked, image)


def in_crop(face, crop):
    """The camera (scale, tx, ty) of the crop that equals the face's orthographic camera."""
    camera = face.camera
    scale = camera.scale_px_per_m * crop.scale * 2 / 224
    center = crop.to_ndc(crop.to_crop(camera.center_px)) / scale + camera.translation_m[:2] * [1, -1]
    return torch.tensor([[scale, center[0], -center[1]]], dtype=torch.float32)


def test_the_mesh_is_shaded_as_by_the_renderer(face, head, photo):
    result = resynthesise(merged, face, photo)
    rotated = torch.from_numpy(face.vertices @ face.rotation.T).float()[None]
    expected = Renderer(head)(rotated, in_crop(face, result.crop)).image[0].permute(1, 2, 0).numpy() * 255
    assert (expected > 0).mean() > 0.2
    difference = abs(result.mesh_image - expected)
    assert (difference > 1).mean() < 1e-3


def test_a_long_focal_length_is_orthographic_and_a_short_one_is_not(make_face, head, photo):
    images = {}
    for focal_px in (None, 1e6, 400.0):
        images[focal_px] = resynthesise(
            merged, replace(make_face(focal_px=focal_px), head_id=register(head)), photo
        ).mesh_image
    difference = {f: abs(images[f].astype(float) - images[None]).mean() for f in (1e6, 400.0)}
    assert difference[1e6] < 0.5 and difference[400.0] > 2


def test_perspective_mesh_covers_its_projected_vertices(make_face, head, photo):
    face = replace(make_face(focal_px=400.0), head_id=register(head))
    result = resynthesise(merged, face, photo)
    points = result.crop.to_crop(face.landmarks("mediapipe"))
    column, row = points.astype(int).clip(0, 223).T
    inside = ((points > 4) & (points < 220)).all(axis=1)
    assert inside.sum() > 30 and (result.mesh_image[row, column, 0] > 0)[inside].mean() > 0.9


def test_only_perspective_images_get_a_depth(make_face, head, photo, monkeypatch):
    given = []

    def recording(*arguments, w=None):
        given.append(w)
        return rasterize(*arguments, w=w)

    monkeypatch.setattr(resynthesis, "rasterize", recording)
    faces = [replace(make_face(focal_px=focal_px), head_id=register(head)) for focal_px in (None, 400.0)]
    for face in faces:
        resynthesise(merged, face, photo)
    assert given[0] is None
    np.testing.assert_allclose(given[1][0], faces[1].camera.depth(faces[1].vertices), rtol=1e-6)


def test_only_sparse_pixels_of_the_face_stay_visible(face, photo):
    result = resynthesise(merged, face, photo)
    visible = (result.masked_photo > 0).any(axis=2)
    drawn = (result.mesh_image > 0).any(axis=2)
    # Points at the outline may fall on pixels whose centres are not covered.
    near = binary_dilation(drawn, np.ones((3, 3)))
    assert 100 < (visible & drawn).sum() < 502
    unchanged = (result.masked_photo == result.crop_pixels).all(axis=2)
    assert (unchanged & ~drawn).sum() > 0.3 * (~drawn).sum()
    assert (unchanged | ~visible | near).all()
    ratio = result.masked_photo[visible & drawn] / np.maximum(result.crop_pixels[visible & drawn], 1)
    assert 0.7 < np.percentile(ratio, 5) < np.percentile(ratio, 95) < 1.3


def test_the_dilated_hull_of_the_landmarks_is_removed(face, photo):
    result = resynthesise(merged, face, photo)
    points = result.crop.to_crop(face.landmarks("mediapipe"))
    near = binary_dilation((result.mesh_image > 0).any(axis=2), np.ones((3, 3)))
    corners = points[ConvexHull(points).vertices].astype(int)
    around = np.zeros((224, 224), dtype=bool)
    for x, y in corners:  # each lies in the hull, so the square about it lies in the dilated one
        around[max(y - 9, 0) : y + 10, max(x - 9, 0) : x + 10] = True
    assert (around & ~near).sum() > 100
    assert not result.masked_photo[around & ~near].any()


def test_colors_match_the_photo_whatever_the_renderer_tints_them(face, photo):
    tint = torch.tensor([0.9, 0.5, 0.2])[:, None, None]

    def tinted(image, masked):
        return merged(image, masked) * tint

    plain = resynthesise(merged, face, photo).photo.astype(float)
    assert abs(resynthesise(tinted, face, photo).photo - plain).max() <= 1
    assert abs(resynthesise(tinted, face, photo, adjust_colors=False).photo - plain).max() > 100


def test_the_seed_determines_the_result(face, photo):
    one, same, other = (resynthesise(merged, face, photo, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.masked_photo, same.masked_photo) and np.array_equal(one.photo, same.photo)
    assert not np.array_equal(one.masked_photo, other.masked_photo)


def test_images_side_by_side(face, photo):
    result = resynthesise(merged, face, photo, adjust_colors=False)
    row = side_by_side(result)
    assert row.shape == (224, 896, 3) and row.dtype == np.uint8
    for number, panel in enumerate((result.crop_pixels, result.mesh_image, result.masked_photo, result.photo)):
        assert panel.shape == (224, 224, 3) and panel.dtype == np.uint8
        assert np.array_equal(row[:, 224 * number : 224 * (number + 1)], panel)
    expected = np.where((result.masked_photo > 0).any(axis=2, keepdims=True), result.masked_photo, result.mesh_image)
    assert (result.photo == expected).all()
    np.testing.assert_array_equal(result.crop_pixels, (result.crop.cut(photo) * 255).round().permute(1, 2, 0).numpy())


class StatefulRenderer(nn.Module):
    """A network with batch statistics that only training may change."""

    def __init__(self, fail=False):
        super().__init__()
        self.norm, self.frozen, self.fail = nn.BatchNorm2d(3), nn.BatchNorm2d(3), fail
        self.frozen.eval()

    def forward(self, image, masked):
        if self.fail:
            raise RuntimeError("out of memory")
        return self.norm(image) + self.frozen(masked)


def test_a_module_is_evaluated_without_gradient_and_left_as_it_was(face, photo):
    renderer = StatefulRenderer()
    visible = []
    renderer.register_forward_hook(lambda _, inputs, output: visible.append(output))
    resynthesise(renderer, face, photo)
    assert not visible[0].requires_grad
    assert renderer.norm.num_batches_tracked == 0
    assert renderer.training and renderer.norm.training and not renderer.frozen.training


def test_modes_are_restored_after_a_failure(face, photo):
    renderer = StatefulRenderer(fail=True)
    with pytest.raises(RuntimeError, match="out of memory"):
        resynthesise(renderer, face, photo)
    assert renderer.norm.training and not renderer.frozen.training


def test_a_photo_of_another_size_is_refused(face):
    with pytest.raises(ValueError, match="320, 240"):
        resynthesise(merged, face, np.zeros((100, 100, 3), dtype=np.uint8))
