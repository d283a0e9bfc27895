"""Reading of images: any source becomes upright RGB of shape (H, W, 3) uint8, or a one-line error with a remedy."""

from __future__ import annotations

import glob
import io
import os
import stat
import threading
import warnings
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.media.color import embedded_profile, to_rgb, to_srgb
from smirk3d.media.image_formats import (
    IMAGE_SUFFIXES,
    UNREAD_SUFFIXES,
    check_scans,
    is_dng,
    readable_formats,
    unread_format,
)

MAX_PIXELS = 250_000_000
"""Larger images are refused; a small file can claim any size and exhaust the memory (decompression bomb)."""
MAX_DECODED_PIXELS = 110_000_000
"""Limit of what is decoded; only large JPEG files are reduced while they are decoded."""
_MAX_PIXELS_OF_FORMAT = {"WEBP": 64_000_000, "JPEG2000": 64_000_000}  # their decoders need twice the memory of others
MAX_SIDE_PX = 4096
"""Images with a longer side are reduced; more pixels help neither the detector nor the encoder."""
_EXIF_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAX_CHECKED_BYTES = 1 << 26
LISTED_SUFFIXES = IMAGE_SUFFIXES | UNREAD_SUFFIXES
# Pillow's pixel limit and Python's warning filters are global to the process: only one reader may change them at
# a time.
_PILLOW_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class Photo:
    """An image that is ready for face detection.

    Attributes:
        pixels: (H, W, 3) uint8 RGB in [0, 255], upright, rows from top to bottom; contiguous.
        path: The file it came from, or None.
        scale: Side length of `pixels` over that of the (upright) source; below 1 where the size was limited.
        notes: What reading changed, for the user: first of several frames, reduced size, range of values, …
    """

    pixels: np.ndarray
    path: Path | None = None
    scale: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True, eq=False)
class EncodedPhoto:
    """An image file of which only the content is at hand, such as an object in a store or a member of an archive.

    Attributes:
        name: What errors call it.
        content: The bytes of the file.
    """

    name: str
    content: bytes


def read_image(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | EncodedPhoto | Image.Image | np.ndarray,
    max_side: int = MAX_SIDE_PX,
) -> Photo:
    """Read a photo from a file, encoded bytes, a Pillow image or an array.

    The EXIF orientation is applied, colours are converted to sRGB by the embedded ICC profile, transparency is
    composited over mid grey, 16-bit values are divided by 257, the first frame of an animation is taken, and images
    with a longer side than `max_side` are reduced.

    Args:
        source: Path, bytes of an image file with or without a name, Pillow image, or uint8 array (H, W), (H, W, 3) RGB
            or (H, W, 4) RGBA.
        max_side: Longest side of the result in pixels; sensible: 1,024 to 4,096.

    Returns:
        The upright photo.

    Raises:
        Smirk3dError: The source cannot be read as an image; the message names the file and a remedy.
    """
    if isinstance(source, np.ndarray):
        return _read(_array_image(source), "<array>", None, max_side)
    if isinstance(source, Image.Image):
        return _read(source, printable(getattr(source, "filename", "") or "<image>"), None, max_side)
    if isinstance(source, bytes | bytearray | memoryview):
        if not len(source):
            raise _read_error("<bytes>", "there are none", "pass the content of an image file")
        return _read(io.BytesIO(source), "<bytes>", None, max_side)
    if isinstance(source, EncodedPhoto):
        if not source.content:
            raise _read_error(printable(source.name), "the file is empty", "replace it with an intact copy")
        return _read(io.BytesIO(source.content), printable(source.name), None, max_side)
    if not isinstance(source, str | os.PathLike):
        raise _read_error(f"<{type(source).__name__}>", "unknown type", "pass a path, bytes, a PIL image or an array")
    path = Path(source)
    name = printable(path)
    _check_file(path, name)
    try:
        with open(path, "rb") as file:
            return _read(file, name, path, max_side)
    except OSError as error:
        raise _read_error(name, _error_text(error), "check its permissions") from error


def animation_frames(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of an animated image.

    Args:
        path: The file.

    Yields:
        (H, W, 3) uint8 RGB, as `read_image` returns the first one.

    Raises:
        Smirk3dError: It cannot be read, or a frame is damaged; the frames before that have been yielded.
    """
    name = printable(path)
    _check_file(path, name)
    try:
        with open(path, "rb") as file:
            with _pillow_limits():
                image = _open(file, name, path)
                _check_decoded_size(image)
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                yield _read(image, name, path, MAX_SIDE_PX).pixels
    except Smirk3dError:
        raise
    except Image.DecompressionBombError as error:
        raise _read_error(name, str(error), "make it smaller first") from None
    except Exception as error:  # on broken data decoders raise anything
        raise _read_error(name, _error_text(error), "copy it again") from error


def iter_inputs(inputs: Iterable[str | os.PathLike[str]], suffixes: Collection[str] = LISTED_SUFFIXES) -> list[Path]:
    """List the image files that command-line inputs name.

    A file is listed whatever its suffix. A folder is replaced by all image files below it, in the order of their
    names, without hidden ones. A pattern that is no existing file is expanded (`**` matches folders of any depth). An
    input that is missing, matches nothing, cannot be listed or has no images stays in the list, so that reading it
    reports the failure.

    Args:
        inputs: Files, folders and glob patterns.
        suffixes: Suffixes of the files that are listed of folders and patterns, in lower case.

    Returns:
        Paths in the order of the inputs, each once.
    """
    unique: dict[str, Path] = {}
    for item in inputs:
        for path in _expand(os.fspath(item), suffixes):
            unique.setdefault(os.path.normcase(os.path.abspath(path)), Path(path))
    return list(unique.values())


def _expand(item: str, suffixes: Collection[str]) -> Iterator[str]:
    """Yield the files that one input names; the input itself where it names none."""
    found, is_listed = False, partial(is_image_name, suffixes=suffixes)
    if os.path.isdir(item):
        for found_path in _walk(item, suffixes):
            found = True
            yield found_path
    elif not os.path.lexists(item) and glob.has_magic(item):
        for match in sorted(glob.glob(item, recursive=True)):
            is_folder = os.path.isdir(match)
            for found_path in _walk(match, suffixes) if is_folder else filter(is_listed, (match,)):
                found = True
                yield found_path
    if not found:
        yield item


def _walk(folder: str, suffixes: Collection[str]) -> Iterator[str]:
    """Yield the images below a folder in the order of their names, then the folders that cannot be listed."""
    unreadable: list[str] = []
    for root, folders, names in os.walk(folder, onerror=lambda error: unreadable.append(error.filename)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(root, name) for name in sorted(names) if is_image_name(name, suffixes))
    yield from unreadable


def is_image_name(path: str, suffixes: Collection[str] = LISTED_SUFFIXES) -> bool:
    """Return whether a name is that of an image: by its suffix, and not hidden.

    Args:
        path: Name or path.
        suffixes: Suffixes in lower case.
    """
    name = os.path.basename(path)
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes


def _check_file(path: Path, name: str) -> None:
    """Raise for a path that cannot be an image file, before it is opened: reading a pipe, say, would block."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise _read_error(name, "no such file", "check the path") from None
    except (OSError, ValueError) as error:
        raise _read_error(name, _error_text(error), "check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise _read_error(name, "it is a folder without readable images", "name an image file")
    if not stat.S_ISREG(status.st_mode):
        raise _read_error(name, "it is not a regular file", "save the image to one first")
    if status.st_size == 0:
        raise _read_error(name, "the file is empty", "replace it with an intact copy")


def _array_image(array: np.ndarray) -> Image.Image:
    is_color = array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype != np.uint8 or not (is_color or array.ndim == 2) or array.size == 0:
        raise Smirk3dError(
            f"cannot read <array>: {array.dtype} of shape {array.shape}; "
            "pass uint8 in [0, 255] of shape H×W×3 (RGB), H×W×4 or H×W, not empty"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _read(source: Image.Image | IO[bytes], name: str, path: Path | None, max_side: int) -> Photo:
    """Decode the source where it is encoded, and return an upright RGB photo of limited size."""
    notes: tuple[str, ...] = ()
    with _pillow_limits() as messages:
        try:
            if isinstance(source, Image.Image):
                image = source
                source_side = max(image.size)
            else:
                image = _open(source, name, path)
                source_side = max(image.size)
                notes = ("first of several frames",) if _is_animated(image) else ()
                image.draft(None, (max_side, max_side))  # a JPEG decoder can reduce by 2, 4 or 8 at little cost
                _check_decoded_size(image)
            rgb, more_notes = _decode(image, max_side)
        except Smirk3dError:
            raise
        except Image.UnidentifiedImageError:
            raise _read_error(name, "not an image in a known format", "convert it to JPEG or PNG") from None
        except Image.DecompressionBombError as error:
            raise _read_error(name, str(error), "make it smaller first") from None
        except Exception as error:  # on broken data decoders raise anything: SyntaxError, KeyError, zlib.error, …
            raise _read_error(name, _error_text(error), "replace it with an intact JPEG or PNG") from error
    scale = min(1.0, max(rgb.size) / source_side)
    size_note = (f"reduced to {rgb.width}×{rgb.height} pixels",) if scale < 1.0 else ()
    return Photo(np.array(rgb), path, scale, (*notes, *more_notes, *size_note, *messages))


def _open(file: IO[bytes], name: str, path: Path | None) -> Image.Image:
    """Open an image file without decoding it, where its format is read and its size within the limit."""
    formats = readable_formats(file)
    if unread := unread_format(file, path):
        raise _read_error(name, *unread)
    try:
        image = Image.open(file, formats=formats)
    except Image.DecompressionBombError:
        raise Image.DecompressionBombError(f"it has more than {MAX_PIXELS // 10**6} megapixels") from None
    if image.format in ("JPEG", "MPO"):
        _check_scans(file)
    if is_dng(image):
        raise _read_error(name, "camera raw data are not read", "export the photo as JPEG")
    return image


def _check_scans(file: IO[bytes]) -> None:
    position = file.tell()
    file.seek(0)
    check_scans(file.read(_MAX_CHECKED_BYTES))
    file.seek(position)


def _check_decoded_size(image: Image.Image) -> None:
    """Raise for an image that would take too much memory, before it is decoded."""
    limit = _MAX_PIXELS_OF_FORMAT.get(image.format or "", MAX_DECODED_PIXELS)
    if image.width * image.height > limit:
        megapixels = image.width * image.height / 1e6
        raise Image.DecompressionBombError(
            f"{megapixels:.0f} megapixels as {image.format}, of which {limit // 10**6} at most are read"
        )


def _decode(image: Image.Image, max_side: int) -> tuple[Image.Image, tuple[str, ...]]:
    """Decode, limit the size, convert to sRGB and apply the orientation; returns the image and notes."""
    if 0 in image.size:
        raise ValueError(f"the image is empty ({image.width}×{image.height})")
    image.load()
    transpose, exif_notes = _orientation(image)
    profile = embedded_profile(image)
    if profile is not None and image.mode in ("RGB", "CMYK", "L"):
        flat, range_notes = image, ()
    else:
        flat, range_notes = to_rgb(image)
    rgb, color_notes = to_srgb(_reduced(flat, max_side), profile)
    upright = rgb if transpose is None else rgb.transpose(transpose)
    return upright, exif_notes + range_notes + color_notes


def _reduced(image: Image.Image, max_side: int) -> Image.Image:
    side = max(image.size)
    if side <= max_side:
        return image
    width, height = (max(1, round(length * max_side / side)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _orientation(image: Image.Image) -> tuple[Image.Transpose | None, tuple[str, ...]]:
    """Return the transposition that turns the image upright, and notes; an unreadable EXIF block is no failure."""
    try:
        return _EXIF_TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1)), ()
    except Exception as error:  # the parser raises anything on a broken block
        return None, (f"EXIF data unreadable ({_error_text(error)}); taken as upright",)


def _is_animated(image: Image.Image) -> bool:
    """Return whether an image has several frames; the second image of a camera's MPO file is only a preview."""
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # a broken second frame does not matter: only the first is used
        return False


@contextmanager
def _pillow_limits() -> Iterator[list[str]]:
    """Let Pillow refuse images of more than `MAX_PIXELS`, and collect its warnings in the list that is yielded."""
    messages: list[str] = []
    with _PILLOW_LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        default_limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns from here on and refuses twice this
        try:
            yield messages
        finally:
            Image.MAX_IMAGE_PIXELS = default_limit
            shown = [w for w in caught if not issubclass(w.category, Image.DecompressionBombWarning)]
            messages.extend(dict.fromkeys(printable(str(warning.message)) for warning in shown))


def _read_error(name: str, reason: str, remedy: str) -> Smirk3dError:
    return Smirk3dError(f"cannot read {name}: {reason}; {remedy}")


def _error_text(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(" ".join(text.split()))[:200]
