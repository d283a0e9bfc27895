"""Formats of image files: which are read, and by what; which are known but not read, and what helps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

from PIL import Image

# HEIC is listed although Pillow alone cannot read it: such a file in a folder is reported, not skipped.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".dib"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".heic", ".heif", ".hif"}
)
_RAW_SUFFIXES = frozenset(
    {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".srw", ".orf", ".rw2", ".raf", ".pef", ".3fr", ".iiq"}
)
UNREAD_SUFFIXES = _RAW_SUFFIXES | {".jxl"}
"""Photos in formats that are not read; in a folder they are reported, not skipped."""
# Raster formats that Pillow or its plugins decode: it passes others, such as EPS, to external programs.
_PILLOW_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "PPM", "AVIF", "JPEG2000", "HEIF", "JXL")
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1", b"heif"})
_JXL_STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"II*\0\x10\0\0\0CR")
_DNG_VERSION = 50706
_START_BYTES = 32
MAX_SCANS = 200
"""Scans of a JPEG; cameras and programs write one, progressively about ten."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN, _END_OF_IMAGE, _PROGRESSIVE_FRAME = 0xDA, 0xD9, 0xC2
_FRAMES = (0xC0, 0xC1, _PROGRESSIVE_FRAME)


def readable_formats(file: IO[bytes]) -> list[str]:
    """Return Pillow's names of the formats that are read; a HEIF file makes Pillow know that format.

    Args:
        file: The image file, at its start.

    Raises:
        ValueError: HEIF needs a package that is missing.
    """
    Image.init()
    if "HEIF" not in Image.OPEN and _is_heif(_start(file)):
        _register_heif()
    return [name for name in _PILLOW_FORMATS if name in Image.OPEN]


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
    except ImportError:
        return
    register_heif_opener()


def unread_format(file: IO[bytes], path: Path | None) -> tuple[str, str] | None:
    """Return the name of an image format that is not read, and a remedy; None for others.

    Args:
        file: The file, at its start.
        path: Its path, where it has one.
    """
    start = _start(file)
    if start.startswith(_JXL_STARTS) and "JXL" not in Image.OPEN:
        return "JPEG XL is not read", "convert it to JPEG or PNG"
    if start.startswith(_RAW_STARTS) or start[4:12] == b"ftypcrx " or _is_raw_name(path, start):
        return "camera raw data are not read", "export the photo as JPEG"
    if _is_heif(start) and "HEIF" not in Image.OPEN:
        return "HEIC needs the package pillow-heif", "pip install 'smirk3d[heif]', or convert it to JPEG"
    return None


def check_scans(content: bytes) -> None:
    """Refuse a JPEG of very many scans: each takes as long as a photo, and needs no more than 30 bytes.

    Args:
        content: The file, or its beginning.

    Raises:
        ValueError: It has more than `MAX_SCANS`.
    """
    place, count, is_progressive, n_components = 2, 0, False, 0
    while (found := _MARKER.search(content, place)) and (marker := content[found.start() + 1]) != _END_OF_IMAGE:
        place = found.start() + 4
        size = int.from_bytes(content[place - 2 : place], "big")
        if marker in _FRAMES:
            is_progressive = marker == _PROGRESSIVE_FRAME
            n_components = int.from_bytes(content[place + 5 : place + 6], "big")
        if marker == _START_OF_SCAN:
            if not is_progressive and content[place : place + 1] == bytes([n_components]):
                return  # everything is in one scan
            count += 1
            if count > MAX_SCANS:
                raise ValueError(f"a JPEG of more than {MAX_SCANS} scans")
        place = found.start() + 2 + max(size, 2)


def is_dng(image: Image.Image) -> bool:
    """Return whether a TIFF file holds raw data, of which Pillow would read a small preview only."""
    return image.format == "TIFF" and _DNG_VERSION in getattr(image, "tag_v2", {})


def _is_raw_name(path: Path | None, start: bytes) -> bool:
    """Return whether a file has a raw format's name and is built on TIFF, so that only a preview would be read."""
    return path is not None and path.suffix.lower() in _RAW_SUFFIXES and start[:4] in (b"II*\0", b"MM\0*")


def _is_heif(start: bytes) -> bool:
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS and b"avif" not in start[8:]


def _start(file: IO[bytes]) -> bytes:
    """Return the first bytes of a file, and go back to its start."""
    start = file.read(_START_BYTES)
    file.seek(0)
    return start
