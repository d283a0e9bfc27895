"""Which of MediaPipe's 478 face points lie where, as numbered in its canonical face model.

Left and right are the subject's own. Source: MediaPipe's face mesh topology (Apache-2.0).
"""

from __future__ import annotations

POINT_COUNT = 478
SKIN_COUNT = 468
"""Points below this number lie on the skin, the others on the irises."""

IRIS_RIGHT = (468, 469, 470, 471, 472)
IRIS_LEFT = (473, 474, 475, 476, 477)
"""Centre first, then four points on the rim of the iris."""

LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""Ring along the opening of the mouth, from the right corner over the upper lip to the left corner and back."""
LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
"""Ring around the red of the lips, likewise."""

BROW_RIGHT = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
BROW_LEFT = (276, 283, 282, 295, 285, 336, 296, 334, 293, 300)
"""Rings around the brows: lower edge from the outer end inwards, upper edge back."""

EYE_RIGHT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
EYE_LEFT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
"""Rings along the lid margins: outer corner, lower lid, inner corner, upper lid."""

OUTER_EYE_CORNERS = (33, 263)

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Ring around the face from the middle of the forehead over the subject's left cheek and the chin."""

IBUG68 = (
    127, 234, 93, 132, 58, 136, 149, 148, 152, 377, 378, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,
    78, 81, 13, 311, 308, 402, 14, 178,
)  # fmt: skip
"""The point that stands for each of the 68 iBUG landmarks (subject's right comes first)."""
