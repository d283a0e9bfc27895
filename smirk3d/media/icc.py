"""ICC profiles of colour spaces that are known by name only, such as the Adobe RGB of cameras."""

from __future__ import annotations

import struct

import numpy as np

Chromaticity = tuple[float, float]

_D65: Chromaticity = (0.3127, 0.3290)
_D50_XYZ = np.array([0.9642, 1.0, 0.8249])
# Bradford's cone responses, Lam 1985; ICC.1:2022, annex E.
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def matrix_profile(
    primaries: tuple[Chromaticity, Chromaticity, Chromaticity], gamma: float, name: str = "RGB"
) -> bytes:
    """Return the ICC profile (version 2) of an RGB space with the white point D65.

    Args:
        primaries: Chromaticities x, y of red, green and blue.
        gamma: Exponent from values to linear light.
        name: Description, ASCII.
    """
    columns = (_BRADFORD_D65_TO_D50 @ _rgb_to_xyz(primaries)).T
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + bytes(2)
    label = name.encode("ascii", "replace") + b"\0"
    description = b"desc" + struct.pack(">II", 0, len(label)) + label + bytes(78)
    tags = {
        b"desc": description,
        b"cprt": b"text" + bytes(4) + b"CC0\0",
        b"wtpt": _xyz(_D50_XYZ),
        **{key: _xyz(column) for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return _assembled(tags)


def _rgb_to_xyz(primaries: tuple[Chromaticity, Chromaticity, Chromaticity]) -> np.ndarray:
    """Return the matrix (3, 3) from linear RGB to XYZ, in which RGB (1, 1, 1) is D65."""
    directions = np.stack([_chromaticity_xyz(each) for each in primaries], axis=1)
    return directions * np.linalg.solve(directions, _chromaticity_xyz(_D65))


def _chromaticity_xyz(chromaticity: Chromaticity) -> np.ndarray:
    x, y = chromaticity
    return np.array([x / y, 1.0, (1 - x - y) / y])


_CONES = (_BRADFORD @ _D50_XYZ) / (_BRADFORD @ _chromaticity_xyz(_D65))
_BRADFORD_D65_TO_D50 = np.linalg.inv(_BRADFORD) @ np.diag(_CONES) @ _BRADFORD


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _assembled(tags: dict[bytes, bytes]) -> bytes:
    """Return a profile of a display device with the given tags."""
    offset, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, content in tags.items():
        table += key + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4s", offset + len(body), bytes(4)) + bytes([2, 0x20, 0, 0]) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *(round(float(value) * 65536) for value in _D50_XYZ))
    return header.ljust(128, b"\0") + table + body
