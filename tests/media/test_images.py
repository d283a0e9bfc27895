"""Every kind of source becomes upright RGB, and every broken one a one-line error."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFile, TiffImagePlugin

from smirk3d.errors import Smirk3dError
from smirk3d.media import image_formats
from smirk3d.media.images import Photo, iter_inputs, read_image

GREY = 128


def ramp(height: int = 24, width: int = 32) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack((x * 255 // (width - 1), y * 255 // (height - 1), (x + y) % 256), axis=2).astype(np.uint8)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_return_the_pixels(tmp_path, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / f"photo.{kind.lower()}"
    path.write_bytes(encode(Image.fromarray(ramp()), kind, **options))
    photo = read_image(path)
    assert photo.path == path and photo.scale == 1.0 and photo.notes == ()
    assert photo.pixels.dtype == np.uint8 and photo.pixels.flags.c_contiguous
    np.testing.assert_array_equal(photo.pixels, ramp())


def test_all_kinds_of_source_agree(tmp_path):
    data = encode(Image.fromarray(ramp()), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    for source in (str(tmp_path / "a.png"), data, memoryview(data), Image.open(io.BytesIO(data)), ramp()):
        np.testing.assert_array_equal(read_image(source).pixels, ramp())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(kind, orientation):
    # What the camera stored for each tag value where the scene is `upright` (EXIF 2.32, 4.6.4 A).
    upright = np.repeat(np.repeat(np.arange(6).reshape(2, 3) * 40, 16, 0), 16, 1).astype(np.uint8)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.repeat(stored[..., None], 3, axis=2))
    pixels = read_image(encode(image, kind, exif=exif)).pixels
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels[..., 0].astype(int) - upright).max() < 16


def test_broken_exif_block_is_no_failure():
    data = encode(Image.fromarray(ramp()), "JPEG", exif=b"Exif\0\0" + b"II*\0\xff\xff\xff\x7f" + b"\x01" * 40)
    assert read_image(data).pixels.shape == (24, 32, 3)


def test_transparency_is_composited_over_mid_grey():
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (200, 100, 50, 255)
    for source in (rgba, encode(Image.fromarray(rgba), "PNG"), Image.fromarray(rgba).convert("PA")):
        pixels = read_image(source).pixels
        assert (pixels[2:] == GREY).all()
        assert np.abs(pixels[0, 0].astype(int) - (200, 100, 50)).max() < 30  # PA has few colours
    grey_alpha = Image.fromarray(np.dstack((np.full((2, 2), 9), np.zeros((2, 2)))).astype(np.uint8), "LA")
    assert (read_image(grey_alpha).pixels == GREY).all()


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr", "HSV"])
def test_other_modes_are_converted_to_rgb(mode):
    image = Image.fromarray(ramp()).convert(mode)
    np.testing.assert_array_equal(read_image(image).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_is_divided_by_257(kind):
    values = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    pixels = read_image(encode(Image.fromarray(values), kind)).pixels
    np.testing.assert_array_equal(pixels[..., 1].ravel(), np.arange(256))


@pytest.mark.parametrize(("top", "stretched"), [(1.0, False), (255.0, False), (65535.0, False), (1e6, True)])
def test_float_tiff_uses_its_nominal_range(top, stretched):
    values = np.linspace(0, top, 64, dtype=np.float32).reshape(8, 8)
    photo = read_image(encode(Image.fromarray(values), "TIFF"))
    assert np.abs(photo.pixels[..., 0].ravel() - np.linspace(0, 255, 64)).max() <= 0.51
    assert any("stretched" in note for note in photo.notes) == stretched


def test_float_values_that_are_not_finite_are_noted():
    values = np.array([[0.0, np.nan], [1.0, np.inf]], np.float32)
    photo = read_image(Image.fromarray(values))
    assert photo.pixels[..., 0].tolist() == [[0, 0], [255, 0]] and "not finite" in photo.notes[0]
    with pytest.raises(Smirk3dError, match="no finite values"):
        read_image(Image.fromarray(np.full((2, 2), np.nan, np.float32)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    photo = read_image(encode(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert np.abs(photo.pixels.astype(int) - (255, 0, 0)).max() < 8
    assert photo.notes == ("first of several frames",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_large_images_are_reduced(kind):
    photo = read_image(encode(Image.fromarray(ramp(600, 1000)), kind), max_side=200)
    assert photo.pixels.shape == (120, 200, 3) and photo.scale == pytest.approx(0.2)
    assert "200×120" in photo.notes[0]
    assert np.abs(photo.pixels[..., :2].astype(int) - ramp(120, 200)[..., :2]).mean() < 4


def test_photo_beyond_the_limit_of_pillow_is_read():
    data = encode(Image.new("L", (14000, 14000), 77), "JPEG")  # 196 megapixels
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo = read_image(data, max_side=512)
    assert photo.pixels.shape == (512, 512, 3) and (photo.pixels == 77).all()
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(5, np.uint8),
    ],
)
def test_wrong_arrays_are_refused(array):
    with pytest.raises(Smirk3dError, match=r"uint8 in \[0, 255\] of shape H×W×3"):
        read_image(array)


@pytest.mark.parametrize("source", [b"", None, 3.5, [1, 2], Image.new("RGB", (0, 5))])
def test_sources_of_wrong_type_are_refused(source):
    with pytest.raises(Smirk3dError, match=r"^cannot read <[^\n]*$"):
        read_image(source)


def test_photo_does_not_share_memory_with_the_array():
    array = ramp()
    read_image(array).pixels[:] = 0
    np.testing.assert_array_equal(array, ramp())


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, color_type: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


def make_zoo(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    files: dict[str, bytes] = {}
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000"):
        data = encode(image, kind)
        suffix = {"JPEG": "jpg", "JPEG2000": "jp2"}.get(kind, kind.lower())
        for cut in (1, 2, 7, 16, 25, 60, 150, len(data) // 3, len(data) // 2, len(data) - 9, len(data) - 1):
            files[f"cut_{cut}.{suffix}"] = data[:cut]
        for seed in range(6):  # flipped bytes
            damaged = np.frombuffer(data, np.uint8).copy()
            damaged[np.random.default_rng(seed).integers(0, len(damaged), 12)] ^= 0xA5
            files[f"flip_{seed}.{suffix}"] = damaged.tobytes()
        files[f"noise.{suffix}"] = rng.bytes(500)
        files[f"empty.{suffix}"] = b""
    files |= {
        "bomb.png": png_header(20001, 20000),
        "hollow.png": png_header(20000, 20000),
        "flat.png": png_header(0, 7),
        "dot.png": encode(Image.new("RGB", (1, 1)), "PNG"),
        "moves.gif": encode(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        "text.jpg": b"hello, I am a text file\n",
        "page.jpg": b"<!DOCTYPE html><html></html>",
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        "zeros.tif": bytes(4096),
        "line\nbreak.jpg": b"no image",
    }
    paths = [folder / name for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    (folder / "folder.jpg").mkdir()
    return [*paths, folder / "folder.jpg", folder / "missing.jpg", folder / f"{'long' * 80}.jpg"]


def read_or_refuse(path: Path) -> bool:
    """Return whether the file was read; fail on anything but a valid photo or a one-line error."""
    try:
        photo = read_image(path)
    except Smirk3dError as error:
        message = str(error)
        assert message.isprintable(), message
        assert path.name.encode("unicode_escape").decode() in message and ";" in message
        return False
    assert isinstance(photo, Photo) and photo.pixels.ndim == 3 and photo.pixels.shape[2] == 3
    assert photo.pixels.dtype == np.uint8 and photo.pixels.size
    return True


def test_broken_files_give_photos_or_one_line_errors(tmp_path, capfd):
    paths = make_zoo(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = {path.name: read_or_refuse(path) for path in paths}
    assert len(read) > 150
    assert read["dot.png"] and read["moves.gif"] and not read["bomb.png"] and not read["hollow.png"]
    assert not any(good for name, good in read.items() if name.startswith(("noise", "empty", "cut_7.")))
    assert capfd.readouterr() == ("", "")


def test_file_names_that_are_not_utf8(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        path.write_bytes(b"no image")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(Smirk3dError, match=r"caf\\udce9\.png") as caught:
        read_image(path)
    str(caught.value).encode("utf-8")
    path.write_bytes(encode(Image.fromarray(ramp()), "PNG"))
    assert read_image(path).path == path


def camera_raw(suffix: str) -> tuple[str, bytes]:
    return f"raw{suffix}", b"II*\0\x08\0\0\0" + bytes(40)


UNREAD = [
    ("a.jxl", b"\xff\x0a" + bytes(40), "JPEG XL"),
    ("container.jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
    ("named.jpg", b"\xff\x0a" + bytes(40), "JPEG XL"),
    *[(*camera_raw(suffix), "camera raw") for suffix in (".dng", ".NEF", ".arw", ".cr2")],
    ("a.cr3", bytes(4) + b"ftypcrx " + bytes(40), "camera raw"),
    ("a.raf", b"FUJIFILMCCD-RAW " + bytes(40), "camera raw"),
]


@pytest.mark.parametrize(("name", "data", "word"), UNREAD)
def test_formats_that_are_not_read_are_named(tmp_path, name, data, word):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Smirk3dError, match=rf"{name}: {word}.*; (convert|export)"):
        read_image(tmp_path / name)


def test_a_tiff_preview_of_raw_data_is_not_taken_for_the_photo(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[50706] = b"\1\4\0\0"
    data = encode(Image.fromarray(ramp()), "TIFF", tiffinfo=tags)
    with pytest.raises(Smirk3dError, match="camera raw"):
        read_image(data)


def test_photos_in_a_folder_are_listed_also_where_they_are_not_read(tmp_path):
    touch(tmp_path, "a.jxl", "b.DNG", "c.jpg", "d.cr3", "e.txt", "f.heic")
    assert [path.name for path in iter_inputs([tmp_path])] == ["a.jxl", "b.DNG", "c.jpg", "d.cr3", "f.heic"]


def test_heic_without_its_package_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    for brand in (b"heic", b"mif1", b"heix"):
        with pytest.raises(Smirk3dError, match=r"pillow-heif; pip install 'smirk3d\[heif\]'"):
            read_image(bytes(3) + b"\x18ftyp" + brand + bytes(16))


def test_heic_is_read_where_its_package_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "phone.HEIC"
    turned = Image.fromarray(ramp(64, 96)).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    heif.from_pillow(turned).save(path, quality=-1, exif=exif.tobytes())
    photo = read_image(path)
    assert photo.size == (96, 64) and np.abs(photo.pixels.astype(int) - ramp(64, 96)).mean() < 3


def test_devices_are_refused():
    for device in ("/dev/zero", "/dev/stdin", "/dev/tty"):
        if os.path.exists(device) and not os.path.isfile(device):
            with pytest.raises(Smirk3dError, match="not a regular file"):
                read_image(device)


def test_sizes_are_checked_before_decoding(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(12000, 12000) + png_chunk(b"IDAT", b"would be decoded"))
    with pytest.raises(Smirk3dError, match=r"bomb\.png: 144 megapixels as PNG.*; make it smaller"):
        read_image(path)
    path.write_bytes(png_header(2**31 - 1, 2**31 - 1) + png_chunk(b"IDAT", b""))
    with pytest.raises(Smirk3dError, match=r"more than \d+ megapixels; make it smaller"):
        read_image(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_large_photos_with_transparency_take_little_memory(tmp_path):
    side = 5000
    transparent = png_chunk(b"IDAT", zlib.compress(bytes(side * (1 + 4 * side)), 1)) + png_chunk(b"IEND", b"")
    (tmp_path / "large.png").write_bytes(png_header(side, side, color_type=6) + transparent)
    script = """
import resource, sys
from smirk3d.media.images import read_image
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_image(sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used) // 1024)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "large.png")]
    used_mb = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert used_mb < 12 * side * side / 2**20  # the decoded pixels and one copy, with 4 bytes each, and some more


def test_pipe_is_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(Smirk3dError, match=r"pipe\.jpg: it is not a regular file"):
        read_image(tmp_path / "pipe.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(encode(Image.fromarray(ramp()), "PNG"))
    path.chmod(0)
    with pytest.raises(Smirk3dError, match=r"secret\.png: Permission denied; check its permissions"):
        read_image(path)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_iter_inputs_expands_folders_and_patterns(tmp_path):
    touch(tmp_path, "b.JPG", "a.png", "notes.txt", ".hidden.png", "sub/c.webp", ".git/d.png", "sub/deep/e.heic")
    everything = ["a.png", "b.JPG", "sub/c.webp", "sub/deep/e.heic"]

    def listed(*inputs):
        return [path.relative_to(tmp_path).as_posix() for path in iter_inputs(inputs)]

    assert listed(tmp_path) == everything
    assert listed(tmp_path / "sub") == everything[2:]
    assert listed(f"{tmp_path}/*.png") == ["a.png"]
    assert listed(f"{tmp_path}/*") == everything
    assert listed(f"{tmp_path}/**/*.webp") == ["sub/c.webp"]
    assert listed(tmp_path / "notes.txt") == ["notes.txt"]
    assert listed(tmp_path / "b.JPG", tmp_path, f"{tmp_path}/sub/../a.png") == [
        "b.JPG",
        "a.png",
        *everything[2:],
    ]


def test_iter_inputs_keeps_inputs_that_cannot_be_read(tmp_path):
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "odd[1].png")
    wanted = [tmp_path / name for name in ("missing.jpg", "empty", "*.gif", "odd[1].png")]
    assert iter_inputs(wanted) == wanted


def _with_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last short scan occurs so often."""
    file = io.BytesIO()
    Image.new("L", (64, 64), 128).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * count + b"\xff\xd9"


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    assert read_image(_with_scans(20)).size == (64, 64)
    (tmp_path / "scans.jpg").write_bytes(_with_scans(60_000))
    searches, pattern = [], image_formats._MARKER

    def search(*arguments):
        searches.append(1)
        return pattern.search(*arguments)

    monkeypatch.setattr(image_formats, "_MARKER", SimpleNamespace(search=search))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(Smirk3dError, match=r"scans\.jpg: a JPEG of more than 200 scans"):
        read_image(tmp_path / "scans.jpg")
    assert len(searches) < 2 * image_formats.MAX_SCANS  # no marker beyond the limit is looked for
