"""Feed `smirk3d reconstruct` a folder full of broken images and check that it does the right thing.

Every broken file must end as a failed row with a reason, every intact neighbour as a valid result; there
must be no traceback, and the exit code must be 1.

Usage: python tests/conformance/broken_inputs.py [WORK_DIR]
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

from smirk3d.export.tables.expressions_csv import read_table, table_name

SEED = 7
NAMED = ("missing.jpg", "nothing*.png", "folder.jpg")
N_TRUNCATED, N_NOISE, N_FLIPPED = 90, 60, 40


def encode(pixels: np.ndarray, name: str, **options: object) -> bytes:
    """Return an image as the bytes of a file in the format `name`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, name, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and has hardly any pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def damaged(photo: np.ndarray, generator: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of files that no reader can make a face of."""
    formats = {name: encode(photo, name) for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")}
    suffixes = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}
    for k in range(N_TRUNCATED):
        name = list(formats)[k % len(formats)]
        # Within the first percent: Pillow's readers refuse, or there is no face in what they return.
        length = int(generator.integers(1, max(2, len(formats[name]) // 100)))
        yield f"truncated_{k:03}{suffixes[name]}", formats[name][:length]
    for k in range(N_NOISE):
        body = generator.integers(0, 256, int(generator.integers(1, 5000)), dtype=np.uint8).tobytes()
        yield f"noise_{k:03}{list(suffixes.values())[k % len(suffixes)]}", body
    for k in range(N_FLIPPED):
        name = list(formats)[k % len(formats)]
        content = bytearray(formats[name])
        content[: min(64, len(content))] = generator.integers(0, 256, min(64, len(content)), dtype=np.uint8).tobytes()
        yield f"header_{k:03}{suffixes[name]}", bytes(content)


def special(generator: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of particular cases without a face."""
    grey = np.full((200, 200, 3), 128, dtype=np.uint8)
    noise = generator.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    yield "empty.jpg", b""
    yield "one_byte.png", b"\x89"
    yield "text.jpg", "no image, just words\n".encode("utf-16")
    yield "page.png", b"<!doctype html><html><body>404</body></html>"
    yield "grey.png", encode(grey, "PNG")
    yield "static.png", encode(noise, "PNG")
    yield "pixel.png", encode(grey[:1, :1], "PNG")
    yield "line.png", encode(grey[:1], "PNG")
    yield "huge_header.png", png_header(20_000, 20_000)
    yield "huger_header.png", png_header(2_000_000, 2_000_000)
    yield "no_width.png", png_header(0, 100)
    yield "script.heic", b"\0\0\0\x18ftypheic"
    yield "postscript.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    yield "with\nnewline.png", b"broken"
    yield 'comma, "quote".png', b"broken"
    yield "\x1b[31mred.png", b"broken"
    yield "-dash.png", b"broken"
    yield "[bold]markup[/bold].png", b"broken"
    yield "\udcff\udcfe.png", b"broken"
    yield "a" * 240 + ".png", b"broken"


def good(photo: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of unusual files that show a face all the same."""
    picture = Image.fromarray(photo)
    yield "good_plain.png", encode(photo, "PNG")
    yield "good_wrong_suffix.jpg", encode(photo, "PNG")
    yield "good_GREY.JPG", encode(np.asarray(picture.convert("L")), "JPEG")
    yield "good_16_bit.png", encode(np.asarray(picture.convert("L"), dtype=np.uint16) * 257, "PNG")
    yield "good_palette.gif", encode(photo, "GIF")
    yield "good_\udcfe.png", encode(photo, "PNG")
    for name, mode, kind in (("good_cmyk.jpg", "CMYK", "JPEG"), ("good_alpha.png", "RGBA", "PNG")):
        buffer = io.BytesIO()
        picture.convert(mode).save(buffer, kind)
        yield name, buffer.getvalue()
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", save_all=True, append_images=[picture.rotate(180)])
    yield "good_animated.webp", buffer.getvalue()
    yield "below/folder/good_plain.png", encode(photo, "PNG")


def fill(folder: Path) -> tuple[set[str], set[str]]:
    """Write all inputs; return the paths of the broken and of the good ones, as the table names them."""
    generator, photo = np.random.default_rng(SEED), astronaut()
    broken: set[str] = set()
    intact: set[str] = set()
    files = [(broken, item) for item in (*damaged(photo, generator), *special(generator))]
    for names, (name, content) in [*files, *((intact, item) for item in good(photo))]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        names.add(table_name(path))
    (folder / "folder.jpg").mkdir()  # looked into, not read, unless it is named as an input
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    os.mkfifo(folder / "pipe.png")
    broken |= {table_name(folder / name) for name in ("dangling.png", "loop.png", "pipe.png")}
    secret = folder / "unreadable.png"
    secret.write_bytes(encode(photo, "PNG"))
    secret.chmod(0)
    (intact if os.access(secret, os.R_OK) else broken).add(table_name(secret))
    return broken, intact


def run(folder: Path, out_dir: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the command on the folder and on inputs that do not exist or hold nothing."""
    inputs = [str(folder), *(str(folder / name) for name in NAMED)]
    command = [sys.executable, "-m", "smirk3d.cli.main", "reconstruct", *inputs, "--out", str(out_dir)]
    return subprocess.run(command, capture_output=True, check=False)


def problems(
    result: subprocess.CompletedProcess[bytes], out_dir: Path, broken: set[str], intact: set[str]
) -> list[str]:
    """Return what is not as it should be."""
    rows = read_table(out_dir / "expressions.csv")
    status = {row["image"]: row["status"] for row in rows}
    found = [f"exit code {result.returncode}, expected 1"] if result.returncode != 1 else []
    found += ["a traceback on stderr"] if b"Traceback" in result.stderr + result.stdout else []
    found += [
        f"no failed row: {name!r}: {status.get(name)}" for name in sorted(broken) if not _failed(status.get(name))
    ]
    found += [f"not ok: {name!r}: {status.get(name)}" for name in sorted(intact) if status.get(name) != "ok"]
    found += [f"unexpected row: {name!r}" for name in sorted(set(status) - broken - intact)]
    found += [f"internal error: {name!r}: {text}" for name, text in status.items() if "internal error" in text]
    arrays = list(out_dir.rglob("*.npz"))
    for path in arrays:
        with np.load(path, allow_pickle=False) as saved:
            if not np.isfinite(saved["vertices"]).all():
                found.append(f"not finite: {path.name!r}")
    for path in (meshes := list(out_dir.rglob("*.glb"))):
        if struct.unpack("<4sII", path.read_bytes()[:12]) != (b"glTF", 2, path.stat().st_size):
            found.append(f"not a whole GLB: {path.name!r}")
    for path in (overlays := list(out_dir.rglob("*_overlay.png"))):
        with Image.open(path) as image:
            image.load()
    found += [
        f"{len(files)} results for {len(intact)} photos"
        for files in (arrays, meshes, overlays)
        if len(files) != len(intact)
    ]
    return found


def _failed(status: str | None) -> bool:
    return status is not None and status.startswith("failed: ") and len(status) > len("failed: ") + 10


def main(work_dir: Path) -> int:
    """Make the inputs, run the command, print counts; return 0 when all is as it should be."""
    folder, out_dir = work_dir / "inputs", work_dir / "out"
    folder.mkdir(parents=True)
    broken, intact = fill(folder)
    started_s = time.monotonic()
    result = run(folder, out_dir)
    seconds = time.monotonic() - started_s
    broken |= {table_name(folder / name) for name in NAMED}
    found = problems(result, out_dir, broken, intact)
    for text in found:
        print(text)
    print(f"{len(broken)} broken and {len(intact)} intact inputs in {seconds:.1f} s: {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
