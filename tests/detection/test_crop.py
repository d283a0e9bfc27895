"""The map between crop and photo, the pixels of a crop, and the encoder's camera in the photo."""

import numpy as np
import pytest
import roma
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import AffineTransform, warp

from smirk3d.detection.crop import Crop, camera_from_crop, camera_to_crop
from smirk3d.geometry.align import Similarity
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

CROPS = st.builds(Crop, st.floats(-500, 500), st.floats(-500, 500), st.floats(1, 3000), st.integers(2, 512))


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@given(CROPS, st.lists(st.tuples(st.floats(-3000, 3000), st.floats(-3000, 3000)), min_size=1))
def test_maps_are_inverse(crop, points):
    points = np.array(points)
    np.testing.assert_allclose(crop.to_photo(crop.to_crop(points)), points, atol=1e-6)
    np.testing.assert_allclose(crop.from_ndc(crop.to_ndc(points)), points, atol=1e-6)


@given(CROPS)
def test_corners_are_centers_of_corner_pixels(crop):
    corners = np.array([[crop.x0, crop.y0], [crop.x0 + crop.side_px, crop.y0 + crop.side_px]])
    np.testing.assert_allclose(crop.to_crop(corners), [[0.5, 0.5], [crop.size - 0.5] * 2], atol=1e-6)


def test_ndc_of_pixel_centers_is_the_renderers():
    centers = np.arange(224) + 0.5
    expected = (2 * np.arange(224) + 1) / 224 - 1
    np.testing.assert_allclose(Crop(3, 4, 50).to_ndc(np.stack([centers] * 2, axis=1))[:, 0], expected, atol=1e-12)


def test_side_is_truncated_and_the_center_kept():
    landmarks = np.array([[10.0, 20.0], [110.5, 50.0], [60.0, 160.0]])
    crop = Crop.from_landmarks(landmarks, 1.4)
    assert crop.side_px == int((100.5 + 140) / 2 * 1.4) == 168
    np.testing.assert_allclose([crop.x0 + 84, crop.y0 + 84], [60.25, 90.0])
    assert crop.size == 224


def test_impossible_crops_are_refused():
    with pytest.raises(ValueError, match="positive side"):
        Crop.from_landmarks(np.full((4, 2), 7.0), 1.4)
    with pytest.raises(ValueError, match="2 pixels"):
        Crop(0, 0, 10, 1)
    with pytest.raises(ValueError, match="H×W×3"):
        Crop(0, 0, 10).cut(np.zeros((8, 8, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="H×W×3"):
        Crop(0, 0, 10).cut(np.zeros((8, 8, 3), dtype=np.float32))


@pytest.mark.parametrize("crop", [Crop(31.3, 12.8, 57.0), Crop(40.0, 30.0, 20.0, 96), Crop(20.5, 10.25, 90.0)])
def test_a_dot_is_resampled_where_the_map_puts_it(crop):
    photo = np.zeros((120, 140, 3), dtype=np.uint8)
    photo[40:43, 48:51] = 255  # its middle is the centre of pixel 49, 41
    image = crop.cut(photo)[0].double().numpy()
    rows, columns = np.mgrid[: crop.size, : crop.size] + 0.5
    center = np.array([(image * columns).sum(), (image * rows).sum()]) / image.sum()
    np.testing.assert_allclose(center, crop.to_crop(np.array([49.5, 41.5])), atol=0.02)


@pytest.mark.parametrize(
    "crop",
    [
        Crop(150.0, 20.0, 150.0),
        Crop(163.3, 41.7, 111.0),
        Crop(-60.25, -33.5, 300.0),
        Crop(400.1, 450.2, 222.0),
        Crop(10.0, 5.0, 480.0, 64),
        Crop(600.0, 600.0, 100.0),
    ],
)
def test_pixels_equal_skimage(astronaut, crop):
    # skimage counts pixel indices: corner (x0, y0) has the index (x0 - 0.5, y0 - 0.5) and becomes index 0.
    step = crop.side_px / (crop.size - 1)
    to_photo = AffineTransform(scale=(step, step), translation=(crop.x0 - 0.5, crop.y0 - 0.5))
    expected = warp(astronaut, to_photo, output_shape=(crop.size, crop.size), order=1, cval=0)
    image = crop.cut(astronaut)
    assert image.shape == (3, crop.size, crop.size) and image.dtype == torch.float32
    np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), expected, atol=1e-4)


def test_antialiasing_averages_over_the_pixel():
    stripes = np.zeros((400, 400, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    crop = Crop(50.3, 50.3, 283.0, 30)  # 9.8 pixels a pixel: moiré
    assert crop.cut(stripes).std() > 0.25
    smooth = crop.cut(stripes, antialias=True)
    assert smooth.std() < 0.05 and abs(float(smooth.mean()) - 0.5) < 0.01


def test_antialiasing_changes_nothing_where_the_crop_enlarges(astronaut):
    crop = Crop(163.3, 41.7, 111.0)
    assert torch.equal(crop.cut(astronaut), crop.cut(astronaut, antialias=True))


def test_antialiasing_keeps_the_place(astronaut):
    crop = Crop(-30.0, 5.0, 500.0, 50)
    fine = Crop(crop.x0 - 4 / 9 * crop.side_px / 49, crop.y0 - 4 / 9 * crop.side_px / 49, 0.0 + 500 * 449 / 441, 450)
    expected = fine.cut(astronaut).reshape(3, 50, 9, 50, 9).mean(dim=(2, 4))
    assert (crop.cut(astronaut, antialias=True) - expected).abs().mean() < 0.01


def test_camera_of_a_crop_in_the_photo(any_head: HeadModel):
    """The camera of the crop, mapped to the photo, equals the camera of the photo on the unposed head."""
    params = FaceParams(
        shape=torch.linspace(-1, 1, any_head.n_shape),
        expression=torch.linspace(0, 0.4, any_head.n_expression),
        jaw=torch.tensor([0.2, 0.0, 0.05]),
        pose=torch.tensor([0.3, -0.6, 0.2]),
        neck=torch.tensor([0.1, 0.2, 0.0]),
    )
    crop = Crop(131.7, 48.2, 163.0)
    scale, tx, ty = camera = np.array([7.3, 0.012, -0.034])
    posed = any_head(params)
    points = posed.vertices.double().numpy()
    ndc = np.stack([scale * (points[:, 0] + tx), -scale * (points[:, 1] + ty)], axis=1)
    expected = crop.to_photo(crop.from_ndc(ndc))
    rotmat = roma.rotvec_to_rotmat(params.pose).numpy()
    found = camera_from_crop(rotmat, posed.joints[0].numpy(), camera, crop)
    unposed = any_head(params.replace(pose=None)).vertices.double().numpy()
    assert found.focal_px is None and found.translation_m[2] == 0
    np.testing.assert_allclose(found.project(unposed), expected, atol=1e-3)


def test_camera_to_crop_is_the_inverse_of_camera_from_crop() -> None:
    random = np.random.default_rng(0)
    rotmat = roma.rotvec_to_rotmat(torch.from_numpy(random.uniform(-1.5, 1.5, (3, 3))))
    root = torch.tensor([0.0, -0.15, 0.01], dtype=torch.float64)
    alignment = Similarity(
        torch.tensor([900.0, 1200.0, 700.0], dtype=torch.float64),
        rotmat,
        torch.from_numpy(random.uniform(-300, 300, (3, 3))),
    )
    crops = [Crop(*random.uniform(0, 100, 2), random.uniform(100, 300), 160) for _ in range(3)]
    pose, camera = camera_to_crop(alignment, root, crops)
    torch.testing.assert_close(roma.rotvec_to_rotmat(pose), rotmat)
    points = random.normal(0, 0.1, (20, 3))
    for k, crop in enumerate(crops):
        back = camera_from_crop(rotmat[k].numpy(), root.numpy(), camera[k].numpy(), crop)
        up = alignment.apply(torch.from_numpy(points))[k, :, :2].numpy()
        np.testing.assert_allclose(back.project(points), up * (1, -1), atol=1e-6)
