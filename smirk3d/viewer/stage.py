"""Theme, lights and background of the viewer."""

from __future__ import annotations

from typing import Any

import numpy as np

from smirk3d.viewer.panel import ACCENT_COLOR

_BACKDROP_COLORS = ((58, 61, 66), (26, 27, 30))
"""Colours of the background at its centre and in its corners, sRGB in [0, 255]."""


def set_up_stage(server: Any) -> None:
    """Set theme, axes, lights and background of a server.

    Args:
        server: A `viser.ViserServer`.
    """
    server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, brand_color=ACCENT_COLOR)
    server.scene.set_up_direction("+y")
    server.scene.configure_default_lights(False)
    server.scene.configure_environment_map("studio", environment_intensity=0.16)
    lights = (("key", (0.9, 0.8, 1.2), 1.0, (255, 244, 232)), ("fill", (-0.8, -0.5, 1.3), 0.55, (226, 236, 255)))
    for name, position, intensity, color in (*lights, ("rim", (-0.5, 0.7, -1.2), 1.0, (255, 255, 255))):
        server.scene.add_light_directional(
            f"/lights/{name}", position=position, intensity=intensity, color=color, cast_shadow=False
        )
    server.scene.set_background_image(_backdrop(), format="png")


def _backdrop(size: tuple[int, int] = (270, 480)) -> np.ndarray:
    """Return the background image, (H, W, 3) uint8, lighter at the centre."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij")
    dark = np.clip(np.hypot(x, y) / np.sqrt(2), 0, 1)[..., None] ** 1.5
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (*size, 1))  # dithering against banding
    return (
        (np.array(_BACKDROP_COLORS[0]) * (1 - dark) + np.array(_BACKDROP_COLORS[1]) * dark + noise)
        .round()
        .astype(np.uint8)
    )
