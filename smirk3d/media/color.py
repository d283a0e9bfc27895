"""Colours of images: ICC profiles to sRGB, any Pillow mode to 8-bit RGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageCms

from smirk3d.assets import printable
from smirk3d.media.icc import matrix_profile

_BACKGROUND_VALUE = 128
_STRIP_PIXELS = 1 << 22  # large images are converted in strips of rows, so that memory stays near that of the result
_SRGB_TOLERANCE = 2  # profiles that change no colour by more than so much are taken for sRGB
_GRID_STEPS = 9
_ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), 563 / 256
_DCF_ADOBE_RGB = "R03"  # EXIF's interoperability index of photos in Adobe RGB, which cameras often write without ICC

ProfileMode = Literal["RGB", "CMYK", "L"]
_PROFILE_MODES: dict[str, ProfileMode] = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}


def embedded_profile(image: Image.Image) -> bytes | None:
    """Return the ICC profile of an image's colours; None stands for sRGB."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return profile
    try:
        interop = image.getexif().get_ifd(ExifTags.IFD.Interop)
    except Exception:  # the parser raises anything on a broken block
        return None
    if str(interop.get(1, "")).strip("\0 ") == _DCF_ADOBE_RGB:
        return matrix_profile(*_ADOBE_RGB)
    return None


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert an image to sRGB.

    Args:
        image: Of mode RGB, CMYK or L.
        profile: ICC profile of its colours; None for sRGB.

    Returns:
        The image in mode RGB, and notes for the user.
    """
    if profile is None:
        return image.convert("RGB"), ()
    try:
        transform, mode, name = _srgb_transform(profile)
        if transform is None or (mode == "CMYK") != (image.mode == "CMYK"):
            return image.convert("RGB"), ()
        return ImageCms.applyTransform(image.convert(mode), transform) or image, (f"colours converted from {name}",)
    except Exception as error:  # damaged profiles raise anything
        reason = printable(" ".join(str(error).split()))[:100]
        return image.convert("RGB"), (f"colour profile unreadable ({reason}); taken as sRGB",)


@lru_cache(maxsize=8)
def _srgb_transform(profile: bytes) -> tuple[ImageCms.ImageCmsTransform | None, ProfileMode, str]:
    """Return the transform of a profile to sRGB, None where it changes nothing visible, its input mode and its name."""
    source = ImageCms.getOpenProfile(io.BytesIO(profile))
    space = str(getattr(source.profile, "xcolor_space", "")).strip()
    mode = _PROFILE_MODES.get(space)
    if mode is None:
        raise ValueError(f"colour space {space}")
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    name = printable(" ".join(ImageCms.getProfileDescription(source).split()))[:60] or "an ICC profile"
    grid = _color_grid(mode)
    converted = ImageCms.applyTransform(grid, transform)
    if mode != "CMYK" and converted is not None:
        change = np.asarray(converted).astype(int) - np.asarray(grid.convert("RGB"))
        if np.abs(change).max() <= _SRGB_TOLERANCE:
            return None, mode, name
    return transform, mode, name


def _color_grid(mode: ProfileMode) -> Image.Image:
    """Return an image with colours from all over the gamut."""
    levels = np.linspace(0, 255, _GRID_STEPS).round().astype(np.uint8)
    if mode == "L":
        return Image.fromarray(levels[None])
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
    return Image.fromarray(grid).convert(mode)


def to_rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert any Pillow mode to 8-bit RGB, transparency over mid grey; a note names a range that had to be chosen."""
    if image.mode == "F" or image.mode.startswith("I"):
        grey, notes = _to_8bit(np.asarray(image), is_float=image.mode == "F")
        return Image.fromarray(grey).convert("RGB"), notes
    if image.has_transparency_data:
        return _composited(image), ()
    return image.convert("RGB"), ()


def _composited(image: Image.Image) -> Image.Image:
    """Composite an image over mid grey."""
    width, height = image.size
    flat = Image.new("RGB", image.size)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows))).convert("RGBA")
        background = Image.new("RGBA", strip.size, (_BACKGROUND_VALUE,) * 3)
        flat.paste(Image.alpha_composite(background, strip).convert("RGB"), (0, top))
    return flat


def _to_8bit(values: np.ndarray, is_float: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Map grey values (H, W) to uint8 by their nominal range (1, 255 or 65535), else by their own; also notes."""
    rows = max(1, _STRIP_PIXELS // values.shape[1])
    strips = [values[top : top + rows] for top in range(0, len(values), rows)]
    n_finite = sum(int(np.isfinite(strip).sum()) for strip in strips)
    if not n_finite:
        raise ValueError("no finite values")
    notes = () if n_finite == values.size else ("values that are not finite were set to 0",)
    low = min(float(_finite(strip).min()) for strip in strips)
    high = max(float(_finite(strip).max()) for strip in strips)
    nominal = [top for top in ((1.0, 255.0, 65535.0) if is_float else (65535.0,)) if high <= top]
    if is_stretched := low < 0 or not nominal:
        notes = (*notes, f"values from {low:g} to {high:g} were stretched to the full range")
    offset, factor = (low, 255.0 / max(high - low, 1e-12)) if is_stretched else (0.0, 255.0 / nominal[0])
    grey = np.empty(values.shape, np.uint8)
    for k, strip in enumerate(strips):
        scaled = (_finite(strip) - offset) * factor
        grey[k * rows : k * rows + len(strip)] = np.clip(np.rint(scaled), 0, 255)
    return grey, notes


def _finite(values: np.ndarray) -> np.ndarray:
    """Return values (H, W) as float32, 0 where they are not finite."""
    return np.where(np.isfinite(values), values, 0).astype(np.float32)
