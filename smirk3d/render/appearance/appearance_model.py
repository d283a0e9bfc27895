"""The packaged appearance model: textures of the open head from coefficients.

A texture is linear in its colours: relief of the skin times the tone, plus opacities of lips, brows, beard, lashes and
hair times the differences between their colours and the tone. So it is two small matrix products.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.render.appearance.materials import EyeColors, iris_colors
from smirk3d.zoo import registry

RELIEF_RANGES = {"mean": (0.0, 1.6), "female": (-0.6, 0.6), "aged": (-0.6, 0.6), "dark": (-0.6, 0.6)}
"""Reliefs (H, W, 3), the mean and what is added per unit of a coefficient, with the range that the file holds."""
OPACITIES = (
    "lips",
    "brows_thin",
    "brows_medium",
    "brows_thick",
    "moustache",
    "beard",
    "lashes",
    "hair_short",
    "hair_long",
    "strands_short",
    "strands_long",
)
"""Opacities (H, W); strands are signed changes of brightness."""
STRAND_CONTRAST = 0.2
_MIN_OPACITY = 0.006
"""Less is a trace of the compression."""
OPEN_HEAD_SIZES = (4922, 9276)
"""Texture coordinates and triangles of the open head."""


@dataclass(frozen=True, eq=False)
class HeadTextures:
    """What a head wears.

    Attributes:
        skin: (H, W, 3) uint8 sRGB, texture of the skin for `skin_uv`.
        eye: Colours of the eyeballs.
    """

    skin: np.ndarray
    eye: EyeColors


@dataclass(frozen=True, eq=False)
class AppearanceModel:
    """Layers of the texture at one resolution.

    Attributes:
        size: Height and width of the texture.
        relief: (4, 3 H W) float32, see `RELIEF_RANGES`; channels first.
        opacity: (11, H W) float32, see `OPACITIES`.
    """

    size: tuple[int, int]
    relief: np.ndarray
    opacity: np.ndarray

    def colors(self, appearance: FaceAppearance) -> np.ndarray:
        """Return the texture of an appearance, (3, H, W) float32 sRGB, not clipped."""
        weights = np.array([1.0, appearance.female, appearance.aged, appearance.darkness], dtype=np.float32)
        used = 4 if weights[3] else 3  # reading the relief takes most of the time
        skin = (weights[:used] @ self.relief[:used]).reshape(3, *self.size)
        skin *= np.array(appearance.skin, dtype=np.float32)[:, None, None]
        for color, (rows, columns), layer in zip(layer_colors(appearance), self._boxes, self.opacity, strict=True):
            if color.any():
                part = layer.reshape(self.size)[rows, columns]
                for channel, value in zip(skin, color, strict=True):
                    channel[rows, columns] += value * part
        return skin

    @functools.cached_property
    def _boxes(self) -> list[tuple[slice, slice]]:
        """The rows and columns of each opacity outside of which it is 0."""
        boxes = []
        for layer in self.opacity.reshape(-1, *self.size):
            used = np.abs(layer) > _MIN_OPACITY
            rows, columns = (np.flatnonzero(used.any(axis=axis)) for axis in (1, 0))
            boxes.append((slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)))
        return boxes

    def image(self, appearance: FaceAppearance) -> np.ndarray:
        """Return the texture of an appearance, (H, W, 3) uint8 sRGB."""
        colors = self.colors(appearance)
        colors *= 255
        colors += 0.5
        np.clip(colors, 0, 255, out=colors)
        return np.ascontiguousarray(colors.astype(np.uint8).transpose(1, 2, 0))


def layer_colors(appearance: FaceAppearance) -> np.ndarray:
    """Return what each of `OPACITIES` adds to the skin's colour, (11, 3) float32."""
    skin, hair = np.array(appearance.skin), np.array(appearance.hair)
    # Skin shines through the hairs of the face: grey ones would look blue on it.
    facial = 0.6 * hair + 0.4 * skin * (hair.mean() / max(skin.mean(), 0.05))
    brows = appearance.brow_strength * (0.85 * facial - skin)
    width = min(max(appearance.brow_width, 0.0), 1.0)
    # Light hairs differ less from each other than their brightness tells: short ones would look like sand.
    rows = {
        "lips": np.array(appearance.lips),
        "brows_thin": max(1 - 2 * width, 0.0) * brows,
        "brows_medium": (1 - abs(2 * width - 1)) * brows,
        "brows_thick": max(2 * width - 1, 0.0) * brows,
        "moustache": appearance.moustache * (facial - skin),
        "beard": appearance.beard * (facial - skin),
        "lashes": appearance.lashes * (0.12 - skin),
        "hair_short": appearance.hair_short * (hair - skin),
        "hair_long": appearance.hair_long * (hair - skin),
        "strands_short": appearance.hair_short * (1 - 0.9 * hair.mean()) * (0.03 + hair),
        "strands_long": appearance.hair_long * (0.03 + hair),
    }
    return np.stack([rows[name] for name in OPACITIES]).astype(np.float32)


def supports(head: HeadModel) -> bool:
    """Return whether the packaged model fits a head: its layers are those of the open head's texture coordinates."""
    return head.data.name == "open" and (len(head.uv), len(head.faces)) == OPEN_HEAD_SIZES


@functools.cache
def appearance_model(halvings: int = 0) -> AppearanceModel:
    """Return the packaged model, decoded once.

    Args:
        halvings: How often its resolution is halved.

    Raises:
        Smirk3dError: This installation lacks the file.
    """
    if halvings:
        return _halved(appearance_model(halvings - 1))
    return load_model(registry.find("appearance"))


def load_model(path: Path) -> AppearanceModel:
    """Read a model's file.

    Args:
        path: The file, as `smirk3d.authoring.appearance_build` writes it.
    """
    arrays = load_file(path)
    relief = [
        low + (high - low) / 255 * _decode(arrays[f"relief/{name}"]) for name, (low, high) in RELIEF_RANGES.items()
    ]
    opacity = [_decode(arrays[f"opacity/{name}"]) / 255 for name in OPACITIES]
    strands = [k for k, name in enumerate(OPACITIES) if name.startswith("strands")]
    for k in strands:
        mask = opacity[OPACITIES.index(OPACITIES[k].replace("strands", "hair"))]
        opacity[k] = (opacity[k] - 128 / 255) * (2 * 3 * STRAND_CONTRAST) * mask
    return AppearanceModel(
        opacity[0].shape,
        np.stack([each.transpose(2, 0, 1).reshape(-1) for each in relief]),
        np.stack([each.reshape(-1) for each in opacity]),
    )


@functools.lru_cache(maxsize=16)
def head_textures(appearance: FaceAppearance, halvings: int = 0) -> HeadTextures:
    """Return what the open head wears with an appearance; the arrays are shared and read-only.

    Args:
        appearance: The appearance.
        halvings: How often the resolution is halved.
    """
    image = appearance_model(halvings).image(appearance)
    image.setflags(write=False)
    return HeadTextures(image, iris_colors(appearance.iris))


def _decode(content: np.ndarray) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content.tobytes())), dtype=np.float32)


def _halved(model: AppearanceModel) -> AppearanceModel:
    height, width = model.size

    def halve(layers: np.ndarray) -> np.ndarray:
        return layers.reshape(len(layers), -1, height // 2, 2, width // 2, 2).mean(axis=(3, 5)).reshape(len(layers), -1)

    return AppearanceModel((height // 2, width // 2), halve(model.relief), halve(model.opacity))
