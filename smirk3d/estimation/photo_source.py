"""What `Reconstructor` takes for a photo: beside what `read_image` reads, open files and torch tensors."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.media.images import EncodedPhoto, Photo, read_image
from smirk3d.media.urls import is_url


class BinaryFile(Protocol):
    """A file that is open for reading bytes, such as `io.BytesIO` or an upload."""

    def read(self) -> bytes:
        """Return the rest of the file."""
        ...


_Encoded = str | os.PathLike[str] | bytes | bytearray | memoryview | EncodedPhoto
PhotoSource = _Encoded | Image.Image | np.ndarray | Tensor | BinaryFile
"""A path, the bytes of an image file, a PIL image, a uint8 RGB array, a torch tensor, or an open binary file."""

_CHANNELS = (1, 3, 4)


def read_photo(source: PhotoSource) -> Photo:
    """Read a photo.

    Args:
        source: A path; bytes, with or without a name; a PIL image; a uint8 array (H, W), (H, W, 1), (H, W, 3) RGB or
            (H, W, 4) RGBA in [0, 255]; a tensor (C, H, W), (H, W, C) or (H, W), uint8 in [0, 255] or floating-point in
            [0, 1], on any device, C as for arrays; or a file that is open for reading bytes, which is read from its
            beginning.

    Returns:
        The upright photo.

    Raises:
        Smirk3dError: The source cannot be read as an image, or is a URL.
    """
    if isinstance(source, str | os.PathLike):
        _refuse_url(os.fspath(source))
    elif isinstance(source, Tensor):
        return read_image(_array_of_tensor(source))
    elif isinstance(source, np.ndarray) and source.ndim == 3 and source.shape[2] == 1:
        return read_image(source[..., 0])
    elif not isinstance(source, np.ndarray | Image.Image) and callable(getattr(source, "read", None)):
        return read_image(_content(source))
    return read_image(cast(Any, source))  # which refuses anything else


def list_of_photos(source: PhotoSource | Sequence[PhotoSource]) -> list[PhotoSource] | None:
    """Return the photos of a list, a tuple or a tensor (N, C, H, W); None for a single photo."""
    is_several = isinstance(source, list | tuple) or (isinstance(source, Tensor) and source.ndim == 4)
    return list(cast(Sequence[PhotoSource], source)) if is_several else None


def display_name(source: PhotoSource) -> str:
    """Return what error messages call a photo."""
    if isinstance(source, EncodedPhoto):
        return printable(source.name)
    return printable(source) if isinstance(source, str | Path) else "the picture"


def _refuse_url(path: str | bytes) -> None:
    text = os.fsdecode(path)
    if is_url(text):
        shown = printable(text if len(text) <= 100 else f"{text[:100]}…")
        raise Smirk3dError(f"cannot read {shown}: it is a URL; download it first, and pass the file or its bytes")


def _content(file: Any) -> bytes:
    """Return all bytes of an open file."""
    name = printable(str(getattr(file, "name", "") or "<file object>"))
    try:
        if callable(getattr(file, "seek", None)) and file.seekable():
            file.seek(0)  # as Pillow does: who has just written the file stands at its end
        content = file.read()
    except (OSError, ValueError, AttributeError) as error:
        raise Smirk3dError(f"cannot read {name}: {printable(str(error))}; open it for reading") from error
    if not isinstance(content, bytes | bytearray | memoryview):
        raise Smirk3dError(f"cannot read {name}: it gives {type(content).__name__}; open it in binary mode ('rb')")
    return bytes(content)


def _array_of_tensor(tensor: Tensor) -> np.ndarray:
    """Return a tensor as a uint8 array (H, W) or (H, W, C)."""
    values = tensor.detach().cpu()
    if values.ndim == 3 and values.shape[0] in _CHANNELS:
        values = values.permute(1, 2, 0)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    is_image = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in _CHANNELS)
    if values.is_floating_point() and is_image and values.numel():
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise Smirk3dError("cannot read <tensor>: floating-point values must be in [0, 1]; divide by 255, say")
        values = (values.float() * 255).round().to(torch.uint8)
    if values.dtype != torch.uint8 or not is_image or not values.numel():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise Smirk3dError(
            f"cannot read <tensor>: {kind} of shape {tuple(tensor.shape)}; pass uint8 in [0, 255] or floats in "
            "[0, 1] of shape C×H×W or H×W×C with 1, 3 or 4 channels, or H×W, not empty"
        )
    return np.ascontiguousarray(values.numpy())
