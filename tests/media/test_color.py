"""Colours in other spaces than sRGB arrive as sRGB, all others unchanged."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from smirk3d.media.icc import matrix_profile
from smirk3d.media.images import read_image

SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


def photo() -> np.ndarray:
    """Moderate colours, which every space contains."""
    y, x = np.mgrid[:32, :48]
    return np.stack((80 + 2 * x, 150 - x, 90 + 2 * y), axis=2).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def linear(values: np.ndarray) -> np.ndarray:
    """Return linear light of sRGB values in [0, 255] (IEC 61966-2-1)."""
    scaled = values / 255
    return np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)


def to_xyz(primaries) -> np.ndarray:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


def in_space(pixels: np.ndarray, primaries, gamma: float) -> np.ndarray:
    """Return the values of sRGB pixels in another space, uint8."""
    light = linear(pixels) @ to_xyz(SRGB).T @ np.linalg.inv(to_xyz(primaries)).T
    return np.rint(255 * light.clip(0, 1) ** (1 / gamma)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("primaries", "gamma"), [(DISPLAY_P3, 2.2), (ADOBE_RGB, 563 / 256)])
def test_wide_gamut_photos_are_converted(kind, primaries, gamma):
    wide = in_space(photo(), primaries, gamma)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(wide), kind, icc_profile=matrix_profile(primaries, gamma, "Wide"), **options)
    found = read_image(data)
    assert np.abs(wide.astype(int) - photo()).max() > 10
    assert np.abs(found.pixels.astype(int) - photo()).max() <= (5 if kind == "JPEG" else 2)
    assert found.notes == ("colours converted from Wide",)


def test_transparency_stays_over_mid_grey():
    wide = in_space(photo(), ADOBE_RGB, 563 / 256)
    alpha = np.where(np.arange(48) < 24, 255, 0).astype(np.uint8)[None, :, None].repeat(32, 0)
    data = encoded(Image.fromarray(np.concatenate((wide, alpha), 2)), icc_profile=matrix_profile(ADOBE_RGB, 563 / 256))
    pixels = read_image(data).pixels.astype(int)
    assert np.abs(pixels[:, :24] - photo()[:, :24]).max() <= 2 and np.abs(pixels[:, 24:] - 128).max() <= 2


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_profiles_of_srgb_change_no_pixel(mode):
    image = Image.fromarray(photo()).convert(mode)
    plain = read_image(encoded(image))
    for profile in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"", b"damaged", bytes(300)):
        found = read_image(encoded(image, icc_profile=profile))
        np.testing.assert_array_equal(found.pixels, plain.pixels)
        assert len(found.notes) == (len(profile) in (7, 300))  # damaged profiles are noted


def test_adobe_rgb_that_only_exif_names():
    wide = Image.fromarray(in_space(photo(), ADOBE_RGB, 563 / 256))
    for version, expected in (("R03", photo()), ("R98", np.asarray(wide))):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA001] = 0xFFFF
        exif.get_ifd(0x8769)[0xA005] = {1: version}
        found = read_image(encoded(wide, "JPEG", quality=100, subsampling=0, exif=exif))
        assert np.abs(found.pixels.astype(int) - expected).max() <= 5, version


def test_inks_are_converted_by_their_profile():
    image = Image.fromarray(photo()).convert("CMYK")
    profile = matrix_profile(ADOBE_RGB, 2.2)  # of RGB, so it does not fit
    np.testing.assert_array_equal(
        read_image(encoded(image, "TIFF", icc_profile=profile)).pixels, read_image(encoded(image, "TIFF")).pixels
    )


def test_the_profile_is_what_lcms_understands():
    opened = ImageCms.ImageCmsProfile(io.BytesIO(matrix_profile(DISPLAY_P3, 2.2, "Mine")))
    assert ImageCms.getProfileDescription(opened).strip() == "Mine"
    assert ImageCms.isIntentSupported(opened, ImageCms.Intent.PERCEPTUAL, ImageCms.Direction.INPUT) == 1
