"""Faces as codes of the autoencoder, and photos with changed expressions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from smirk3d.detection.detector import Detector
from smirk3d.detection.face_patch import PatchFrame
from smirk3d.errors import NoFaceError, Smirk3dError
from smirk3d.estimation.photo_source import PhotoSource, display_name, read_photo
from smirk3d.fer.vae.attributes import PACKAGED, code_change
from smirk3d.fer.vae.network import N_LATENT, SIDE_PX, FaceVAE
from smirk3d.fer.vae.paste import PasteMode, pasted
from smirk3d.fer.vae.weights import load_face_vae
from smirk3d.fer.vae.windows import as_images, as_windows, colour_window, crop_frame, window_frame
from smirk3d.networks.file_cache import cached_by_files
from smirk3d.networks.inference import folded
from smirk3d.zoo.registry import find

_BLOCK = 64


@dataclass(frozen=True, eq=False)
class FaceWindow:
    """The largest face of a photo.

    Attributes:
        photo: (H, W, 3) uint8 RGB.
        frame: Where the window lies in the photo.
        pixels: (64, 64, 3) uint8 RGB, the window.
    """

    photo: np.ndarray = field(repr=False)
    frame: PatchFrame = field(repr=False)
    pixels: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class FaceEdit:
    """A photo with a changed face.

    Attributes:
        original: (H, W, 3) uint8 RGB, the photo as it was.
        window: (64, 64, 3) uint8 RGB, the face as it was.
        reconstruction: The same, decoded from its code.
        edited: The same, decoded from the changed code.
        photo: (H, W, 3) uint8 RGB, the photo with the change.
    """

    original: np.ndarray = field(repr=False)
    window: np.ndarray = field(repr=False)
    reconstruction: np.ndarray = field(repr=False)
    edited: np.ndarray = field(repr=False)
    photo: np.ndarray = field(repr=False)


@cached_by_files
def _network(path: Path) -> FaceVAE:
    return folded(load_face_vae(path), FaceVAE)


class ExpressionVAE:
    """Encodes faces as 128 numbers, decodes them, and changes expressions along attribute vectors.

    Args:
        weights: File of `smirk3d fer train` with a recipe of kind vae; None: the packaged network.
        crops: Photos are face crops already, and no face is searched for.
        directions: Further attribute vectors by name, (128,) each, see `smirk3d.fer.vae.attributes`.
        detector: Finds the faces; None: one is made for each photo.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        *,
        crops: bool = False,
        directions: dict[str, np.ndarray] | None = None,
        detector: Detector | None = None,
    ) -> None:
        self._path = find("vae") if weights is None else Path(weights)
        self._crops, self._detector = crops, detector
        network = _network(self._path)
        self._directions = dict(zip(PACKAGED, network.directions.double().numpy())) | (directions or {})

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names that `edit` accepts."""
        return tuple(self._directions)

    def window(self, photo: PhotoSource) -> FaceWindow:
        """Return the largest face of a photo.

        Args:
            photo: As for `Reconstructor`.

        Raises:
            NoFaceError: No face was found.
            Smirk3dError: The photo cannot be read.
        """
        pixels = read_photo(photo).pixels
        if self._crops:
            frame = crop_frame(pixels.shape[1], pixels.shape[0])
            return FaceWindow(pixels, frame, colour_window(pixels, frame))
        with Detector() if self._detector is None else nullcontext(self._detector) as detector:
            found = detector.detect(pixels)
        if not found:
            raise NoFaceError(
                f"{display_name(photo)}: no face found; is a face in the picture? Face crops need --crops (crops=True)"
            )
        frame = window_frame(found[0].landmarks_px)
        return FaceWindow(pixels, frame, colour_window(pixels, frame))

    @torch.inference_mode()
    def encode(self, windows: np.ndarray) -> np.ndarray:
        """Return the posterior means (N, 128) float32 of windows (N, 64, 64, 3) uint8 RGB."""
        if windows.ndim != 4 or windows.shape[1:] != (SIDE_PX, SIDE_PX, 3) or windows.dtype != np.uint8:
            raise Smirk3dError(f"windows must be (N, {SIDE_PX}, {SIDE_PX}, 3) uint8, not {windows.shape}")
        network = _network(self._path)
        blocks = [as_images(windows[k : k + _BLOCK]) for k in range(0, len(windows), _BLOCK)]
        return np.concatenate([network.encode(block).mean.numpy() for block in blocks])

    @torch.inference_mode()
    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Return windows (N, 64, 64, 3) uint8 RGB of codes (N, 128)."""
        if latents.ndim != 2 or latents.shape[1] != N_LATENT or not np.isfinite(latents).all():
            raise Smirk3dError(f"codes must be (N, {N_LATENT}) finite numbers, not {latents.shape}")
        return as_windows(self._decoded(latents))

    def sample(self, count: int, *, seed: int = 0, temperature: float = 0.8) -> np.ndarray:
        """Return random codes (count, 128) float32 of the distribution of the training faces.

        Args:
            count: Number of codes.
            seed: Of the random numbers.
            temperature: Factor of the standard deviation; below 1 faces are more alike and cleaner.
        """
        generator = torch.Generator().manual_seed(seed)
        return _network(self._path).sample(count, generator, temperature).numpy()

    def edit(
        self,
        photo: PhotoSource,
        amounts: Mapping[str, float] | None = None,
        *,
        paste: PasteMode = "change",
        **named_amounts: float,
    ) -> FaceEdit:
        """Change the expression of the largest face of a photo.

        Args:
            photo: As for `Reconstructor`.
            amounts: Attribute -> amount; a negative amount is the opposite. One unit of a packaged attribute is about
                the whole range of its ARKit weights, see `smirk3d.fer.vae.attributes.unit_gains`.
            paste: How the face is put back, see `smirk3d.fer.vae.paste.pasted`.
            named_amounts: The same as keywords, such as `smile=1.0`.

        Raises:
            NoFaceError: No face was found.
            Smirk3dError: The photo cannot be read, or an attribute is unknown.
        """
        face = self.window(photo)
        before, after = self.decoded_change(face.pixels, {**(amounts or {}), **named_amounts})
        if paste == "face":  # most training photos are grey, so that the colour of a face is only roughly in its code
            shift = (as_images(face.pixels[None])[0] - before).mean((1, 2), keepdim=True)
            before, after = before + shift, after + shift
        photo_pixels = pasted(face.photo, face.frame, before, after, paste)
        reconstruction, edited = as_windows(torch.stack([before, after]))
        return FaceEdit(face.photo, face.pixels, reconstruction, edited, photo_pixels)

    @torch.inference_mode()
    def decoded_change(self, window: np.ndarray, amounts: Mapping[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (3, 64, 64), decoded from the code of a window (64, 64, 3) and from the changed one."""
        change = code_change(self._directions, amounts)
        code = self.encode(window[None])
        before, after = self._decoded(np.concatenate([code, code + change]))
        return before, after

    def _decoded(self, latents: np.ndarray) -> torch.Tensor:
        """Return images (N, 3, 64, 64) of codes."""
        network = _network(self._path)
        blocks = torch.from_numpy(np.asarray(latents, dtype=np.float32)).split(_BLOCK)
        return torch.cat([network.decode(block) for block in blocks])
