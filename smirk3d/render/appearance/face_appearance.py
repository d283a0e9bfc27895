"""The appearance of one person: coefficients of the packaged appearance model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smirk3d.render.appearance.materials import SKIN_COLOR

Color = tuple[float, float, float]
LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of sRGB values in their brightness (ITU-R BT.601)."""

SKIN_LAB = np.array(
    [
        [72.0, 10.5, 15.0],
        [67.5, 12.0, 17.5],
        [62.0, 13.0, 19.5],
        [56.0, 14.0, 21.0],
        [48.0, 14.5, 20.5],
        [40.0, 13.5, 17.0],
        [33.0, 11.0, 12.5],
        [28.0, 9.0, 9.0],
    ]
)
"""Skin from very light to very dark, (8, 3) CIELAB (D65). The colours are chosen, not measured: one in each of the six
classes of the individual typology angle, atan((L - 50) / b), whose limits are 55, 41, 28, 10 and -30 degrees (Chardon,
Cretois and Hourseau, "Skin colour typology and suntanning pathways", 1991), and two more that are darker.
"""
DARK_LIGHTNESS = (58.0, 34.0)
"""Lightness (CIELAB) of the skin at which `darkness` begins to rise from 0, and at which it is 1."""


@dataclass(frozen=True)
class FaceAppearance:
    """What a person looks like, apart from the shape; colours are sRGB in [0, 1].

    Attributes:
        skin: Tone of the skin of cheeks and forehead.
        female: Sex-typical relief of the skin, from -1 (male) to 1 (female).
        aged: Creases of the skin, from 0 (young) to 1 (old).
        lips: Change of the lips' colour against those that go with the tone, sRGB in [-1, 1].
        hair: Colour of hair, beard and brows.
        hair_short: Opacity of short hair in [0, 1].
        hair_long: Opacity of long hair that is parted and put behind the ears, in [0, 1].
        brow_width: Brows from thin and arched (0) to thick (1).
        brow_strength: Opacity of the brows in [0, 1].
        moustache: Opacity in [0, 1].
        beard: Opacity in [0, 1]; .2 is stubble.
        lashes: Opacity of the line of lashes in [0, 1].
        iris: Colour of the irises.
    """

    skin: Color = SKIN_COLOR
    female: float = 0.0
    aged: float = 0.2
    lips: Color = (0.0, 0.0, 0.0)
    hair: Color = (0.20, 0.14, 0.10)
    hair_short: float = 0.85
    hair_long: float = 0.0
    brow_width: float = 0.5
    brow_strength: float = 0.75
    moustache: float = 0.0
    beard: float = 0.0
    lashes: float = 0.6
    iris: Color = (0.36, 0.24, 0.14)

    @property
    def darkness(self) -> float:
        """How much of the dark skins' relief is shown, in [0, 1], by the lightness of the tone."""
        start, end = DARK_LIGHTNESS
        lightness = float(srgb_to_lab(np.array(self.skin))[0])
        return min(max((start - lightness) / (start - end), 0.0), 1.0)


def srgb_to_lab(colors: np.ndarray) -> np.ndarray:
    """Convert sRGB in [0, 1] to CIELAB with the white point D65, both (..., 3).

    Source: IEC 61966-2-1; CIE 15:2004.
    """
    linear = np.where(colors <= 0.04045, colors / 12.92, ((np.maximum(colors, 0) + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _RGB_TO_XYZ.T / _WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Convert CIELAB with the white point D65 to sRGB in [0, 1], clipped; the inverse of `srgb_to_lab`."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f**3 > 216 / 24389, f**3, (116 * f - 16) * 27 / 24389) * _WHITE
    linear = (xyz @ np.linalg.inv(_RGB_TO_XYZ).T).clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


_RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1.0, 1.089])


def skin_tone(lightness: float) -> Color:
    """Return the usual skin colour of a lightness, sRGB.

    Args:
        lightness: CIELAB lightness; clipped to the range of `SKIN_LAB`.
    """
    table = SKIN_LAB[::-1]
    value = float(np.clip(lightness, table[0, 0], table[-1, 0]))
    lab = [value, *(np.interp(value, table[:, 0], table[:, k]) for k in (1, 2))]
    return tuple(lab_to_srgb(np.array(lab)).tolist())
