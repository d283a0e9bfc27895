"""Kinds of photos that a reconstructor takes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from smirk3d.errors import Smirk3dError
from smirk3d.estimation.photo_source import list_of_photos, read_photo

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
GREY = PIXELS[..., :1]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _at_its_end() -> io.BytesIO:
    file = io.BytesIO()
    file.write(_png(PIXELS))
    return file


class _Upload:
    """What web frameworks pass: it can be read, and no more."""

    def read(self) -> bytes:
        return _png(PIXELS)


TENSOR = torch.from_numpy(PIXELS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: io.BytesIO(_png(PIXELS)),
        _at_its_end,
        _Upload,
        lambda: bytearray(_png(PIXELS)),
        lambda: TENSOR,
        lambda: TENSOR.permute(2, 0, 1),
        lambda: TENSOR.permute(2, 0, 1) / 255,
        lambda: (TENSOR / 255).double().requires_grad_(),
    ],
)
def test_colour_photos(make: Callable[[], Any]) -> None:
    np.testing.assert_array_equal(read_photo(make()).pixels, PIXELS)


@pytest.mark.parametrize("source", [GREY, GREY[..., 0], TENSOR[..., :1], TENSOR[..., 0], TENSOR.permute(2, 0, 1)[:1]])
def test_photos_of_one_channel_are_grey(source: Any) -> None:
    np.testing.assert_array_equal(read_photo(source).pixels, np.repeat(GREY, 3, axis=2))


def test_an_open_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(_png(PIXELS))
    with open(path, "rb") as file:
        np.testing.assert_array_equal(read_photo(file).pixels, PIXELS)
    with pytest.raises(Smirk3dError, match=r"photo\.png"):
        read_photo(file)  # closed
    with open(path, encoding="latin-1") as text, pytest.raises(Smirk3dError, match=r"photo\.png.*binary mode"):
        read_photo(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        Path("http://example.com/a.png"),
        "s3://bucket/a.png",
        "FILE:///a.png",
        "data:image/png;base64," + "A" * 5000,
    ],
)
def test_urls_get_a_clear_word(url: str | Path) -> None:
    with pytest.raises(Smirk3dError, match="is a URL; download it first") as error:
        read_photo(url)
    assert len(str(error.value)) < 300


def test_a_file_may_have_a_colon_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data:1.png").write_bytes(_png(PIXELS))
    np.testing.assert_array_equal(read_photo("data:1.png").pixels, PIXELS)


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (TENSOR.float(), r"in \[0, 1\]"),
        (torch.full((3, 4, 4), torch.nan), r"in \[0, 1\]"),
        (TENSOR.int(), "int32 of shape"),
        (TENSOR[:0], "not empty"),
        (torch.zeros(4, 5, 6, 7, 8, dtype=torch.uint8), r"shape \(4, 5, 6, 7, 8\)"),
        (torch.zeros(5, 6, 7, dtype=torch.uint8), r"shape \(5, 6, 7\)"),
    ],
)
def test_other_tensors_are_refused(tensor: torch.Tensor, reason: str) -> None:
    with pytest.raises(Smirk3dError, match=reason):
        read_photo(tensor)


@pytest.mark.parametrize("source", [5, None, {"photo": 1}, object()])
def test_other_types_are_refused(source: Any) -> None:
    with pytest.raises(Smirk3dError, match="unknown type"):
        read_photo(source)


def test_lists_of_photos() -> None:
    assert list_of_photos(["b.png", "a.png"]) == ["b.png", "a.png"]
    assert list_of_photos(()) == []
    batch = list_of_photos(TENSOR.permute(2, 0, 1)[None].repeat(3, 1, 1, 1))
    assert batch is not None and len(batch) == 3
    for single in ("a.png", PIXELS, TENSOR, Image.fromarray(PIXELS), b"png"):
        assert list_of_photos(single) is None
