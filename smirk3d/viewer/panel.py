"""The controls of the viewer: what there is to press, pull and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smirk3d.viewer.scene import OTHER_REGION, ViewScene, short_name

if TYPE_CHECKING:
    import numpy as np

SPEEDS = {"0.25×": 0.25, "0.5×": 0.5, "1×": 1.0, "2×": 2.0}
USUAL_SPEED = "1×"
PLAY, PAUSE = "Play", "Pause"
ACCENT = (214, 137, 96)
_WIDTH_PX = {"left": 340, "right": 340}
_OPEN_REGIONS = ("eyes", "brows", "jaw", "mouth")


@dataclass(frozen=True, eq=False)
class Panel:
    """Handles of viser's GUI; None for what a scene does not need.

    Attributes:
        picture: The picture beside the head. results: Drop-down of the files to choose among.
        timeline: Slider of frames from 1. play: Button. loop: Check-box. speed: Drop-down of `SPEEDS`.
        readout: Text about frame and pose. turn, move, wireframe: Check-boxes of the view.
        both_sides: Check-box. reset, neutral: Buttons.
        sliders: One for each target, by name.
    """

    picture: Any
    results: Any
    timeline: Any
    play: Any
    loop: Any
    speed: Any
    readout: Any
    turn: Any
    move: Any
    wireframe: Any
    both_sides: Any
    reset: Any
    neutral: Any
    sliders: dict[str, Any]


def build_panel(server: Any, scene: ViewScene, picture: np.ndarray | None, results: list[str], chosen: str) -> Panel:
    """Lay out the controls: picture, time and pose at the left, the weights at the right.

    Args:
        server: A `viser.ViserServer` with an empty GUI.
        scene: What is shown. picture: (H, W, 3) uint8 to begin with, or None.
        results: Names of the files to choose among. chosen: The one that is shown.
    """
    gui = server.gui
    left = gui.add_panel()
    with left.add_tab(scene.name):
        own = _left(gui, scene, picture, results, chosen)
    left.dock_left()
    left.set_width(_WIDTH_PX["left"])
    gui.set_panel_label("Expression")
    own |= _right(gui, scene)
    gui.main_panel.dock_right()
    gui.main_panel.set_width(_WIDTH_PX["right"])
    return Panel(**own)


def _left(gui: Any, scene: ViewScene, picture: np.ndarray | None, results: list[str], chosen: str) -> dict[str, Any]:
    curves = scene.curves
    own: dict[str, Any] = dict.fromkeys(("picture", "results", "timeline", "play", "loop", "speed"))
    if len(results) > 1:
        own["results"] = gui.add_dropdown("Result", results, initial_value=chosen)
    if picture is not None:
        own["picture"] = gui.add_image(picture, format="jpeg", jpeg_quality=85)
    if curves.is_clip:
        own["timeline"] = gui.add_slider("Frame", 1, len(curves), 1, 1)
        own["play"] = gui.add_button(PLAY)
        own["loop"] = gui.add_checkbox("Loop", True)
        own["speed"] = gui.add_dropdown("Speed", list(SPEEDS), initial_value=USUAL_SPEED)
    own["readout"] = gui.add_markdown("")
    own["turn"] = gui.add_checkbox("Turn the head", True, hint="Show the head turned as it was seen")
    own["move"] = None
    if curves.is_clip:
        own["move"] = gui.add_checkbox("Move the head", False, hint="Also carry it to where it was seen")
    own["wireframe"] = gui.add_checkbox("Wireframe", False)
    return own


def _right(gui: Any, scene: ViewScene) -> dict[str, Any]:
    limits, first = scene.limits(), scene.curves.weights[0]
    own: dict[str, Any] = {"both_sides": gui.add_checkbox("Both sides", False, hint="Move left and right together")}
    back = "Reset to clip" if scene.curves.is_clip else "Reset"
    own["reset"] = gui.add_button(back, hint="The weights that the file has")
    own["neutral"] = gui.add_button("Neutral", color="gray", hint="All weights 0")
    own["sliders"] = {}
    for title, members in scene.regions:
        with gui.add_folder(title.capitalize(), expand_by_default=title in _OPEN_REGIONS):
            for k in members:
                low, high = (round(float(x), 2) for x in limits[k])
                value = float(min(max(first[k], low), high))
                name = scene.names[k]
                label = name if title == OTHER_REGION else short_name(name)
                own["sliders"][name] = gui.add_slider(label, low, high, 0.01, round(value, 2), hint=name)
    return own


def readout(scene: ViewScene, frame: int) -> str:
    """Return the text about a frame, in Markdown."""
    yaw, pitch, roll = (round(angle, 1) + 0.0 for angle in scene.curves.angles_deg(frame))  # no -0
    pose = f"yaw **{yaw:.1f}°** · pitch **{pitch:.1f}°** · roll **{roll:.1f}°**"
    line = scene.describe(frame)
    return f"{line}\n\n{pose}" if line else pose
