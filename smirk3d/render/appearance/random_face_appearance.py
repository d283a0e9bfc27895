"""Random appearances of people for the packaged appearance model, wider than those of people."""

from __future__ import annotations

import torch

from smirk3d.render.appearance.face_appearance import Color, FaceAppearance, skin_tone

_LIGHTNESS = (26.0, 76.0)
"""Range of the skin's lightness, CIELAB."""
_IRISES: tuple[Color, ...] = ((0.30, 0.18, 0.08), (0.15, 0.09, 0.05), (0.35, 0.50, 0.60), (0.35, 0.42, 0.28))


def random_face_appearance(generator: torch.Generator) -> FaceAppearance:
    """Draw an appearance: any skin tone, make-up, brows from hardly any to thick and black, beards, hair.

    Args:
        generator: All randomness, on the CPU.
    """

    def number(low: float, high: float) -> float:
        return float(torch.rand((), generator=generator)) * (high - low) + low

    def happens(probability: float) -> bool:
        return number(0, 1) < probability

    lightness = number(*_LIGHTNESS)
    skin = tuple(min(max(each + number(-0.03, 0.03), 0.05), 1.0) for each in skin_tone(lightness))
    dark = number(0.03, 0.12) if lightness < 45 or happens(0.5) else number(0.1, 0.55)
    hair = (dark, dark * number(0.65, 0.95), dark * number(0.4, 0.9))
    paint = number(0.0, 0.35) if happens(0.3) else number(0.0, 0.1)
    lips = (paint * number(-0.5, 1.0), -paint * number(0.0, 1.0), -paint * number(0.0, 0.8))
    female = number(-1, 1)
    has_beard = female < 0.2 and happens(0.5)
    return FaceAppearance(
        skin=skin,  # type: ignore[arg-type]
        female=female,
        aged=number(0, 1),
        lips=lips,
        hair=hair,
        hair_short=number(0, 1) if happens(0.8) else 0.0,
        hair_long=number(0.5, 1) if happens(0.3) else 0.0,
        brow_width=number(0, 1),
        brow_strength=number(0.1, 1.0),
        moustache=number(0, 1) if has_beard else 0.0,
        beard=number(0, 1) if has_beard and happens(0.7) else 0.0,
        lashes=number(0, 1),
        iris=_IRISES[int(number(0, len(_IRISES) - 1e-3))],
    )
