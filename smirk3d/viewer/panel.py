"""The controls of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smirk3d.viewer.scene import OTHER_REGION, ViewScene, short_name

if TYPE_CHECKING:
    import numpy as np

SPEEDS = {"0.25×": 0.25, "0.5×": 0.5, "1×": 1.0, "2×": 2.0}
DEFAULT_SPEED = "1×"
PLAY, PAUSE = "Play", "Pause"
ACCENT_COLOR = (214, 137, 96)
_WIDTH_PX = {"left": 340, "right": 340}
_EXPANDED_REGIONS = ("eyes", "brows", "jaw", "mouth")


@dataclass(frozen=True, eq=False)
class Panel:
    """Handles of viser's GUI elements; None for those that a scene does not need.

    Attributes:
        image: Image beside the head.
        results: Drop-down of the files.
        timeline: Slider of frames, from 1.
        play: Button.
        loop: Check-box.
        speed: Drop-down of `SPEEDS`.
        readout: Text about frame and pose.
        rotate: Check-box for the rotation of the head.
        translate: Check-box for the translation of the head.
        wireframe: Check-box.
        both_sides: Check-box for moving both sides together.
        reset: Button.
        neutral: Button.
        sliders: Slider of each target, by name.
    """

    image: Any
    results: Any
    timeline: Any
    play: Any
    loop: Any
    speed: Any
    readout: Any
    rotate: Any
    translate: Any
    wireframe: Any
    both_sides: Any
    reset: Any
    neutral: Any
    sliders: dict[str, Any]


def build_panel(server: Any, scene: ViewScene, image: np.ndarray | None, results: list[str], chosen: str) -> Panel:
    """Create the controls: image, time and pose on the left, weights on the right.

    Args:
        server: A `viser.ViserServer` with an empty GUI.
        scene: The scene that is shown.
        image: (H, W, 3) uint8 RGB, the first image beside the head; None for none.
        results: Names of the files to choose from.
        chosen: Name of the file that is shown.
    """
    gui = server.gui
    left = gui.add_panel()
    with left.add_tab(scene.name):
        own = _left(gui, scene, image, results, chosen)
    left.dock_left()
    left.set_width(_WIDTH_PX["left"])
    gui.set_panel_label("Expression")
    own |= _right(gui, scene)
    gui.main_panel.dock_right()
    gui.main_panel.set_width(_WIDTH_PX["right"])
    return Panel(**own)


def _left(gui: Any, scene: ViewScene, image: np.ndarray | None, results: list[str], chosen: str) -> dict[str, Any]:
    curves = scene.curves
    own: dict[str, Any] = dict.fromkeys(("image", "results", "timeline", "play", "loop", "speed"))
    if len(results) > 1:
        own["results"] = gui.add_dropdown("Result", results, initial_value=chosen)
    if image is not None:
        own["image"] = gui.add_image(image, format="jpeg", jpeg_quality=85)
    if curves.is_clip:
        own["timeline"] = gui.add_slider("Frame", 1, len(curves), 1, 1)
        own["play"] = gui.add_button(PLAY)
        own["loop"] = gui.add_checkbox("Loop", True)
        own["speed"] = gui.add_dropdown("Speed", list(SPEEDS), initial_value=DEFAULT_SPEED)
    own["readout"] = gui.add_markdown("")
    own["rotate"] = gui.add_checkbox("Rotate the head", True, hint="Show the rotation of the head")
    own["translate"] = None
    if curves.is_clip:
        own["translate"] = gui.add_checkbox("Translate the head", False, hint="Show the translation of the head")
    own["wireframe"] = gui.add_checkbox("Wireframe", False)
    return own


def _right(gui: Any, scene: ViewScene) -> dict[str, Any]:
    limits, first = scene.limits(), scene.curves.weights[0]
    own: dict[str, Any] = {"both_sides": gui.add_checkbox("Both sides", False, hint="Move left and right together")}
    back = "Reset to clip" if scene.curves.is_clip else "Reset"
    own["reset"] = gui.add_button(back, hint="The weights in the file")
    own["neutral"] = gui.add_button("Neutral", color="gray", hint="All weights 0")
    own["sliders"] = {}
    for title, members in scene.regions:
        with gui.add_folder(title.capitalize(), expand_by_default=title in _EXPANDED_REGIONS):
            for k in members:
                low, high = (round(float(x), 2) for x in limits[k])
                value = float(min(max(first[k], low), high))
                name = scene.names[k]
                label = name if title == OTHER_REGION else short_name(name)
                own["sliders"][name] = gui.add_slider(label, low, high, 0.01, round(value, 2), hint=name)
    return own


def describe_frame(scene: ViewScene, frame: int) -> str:
    """Return a text about a frame in Markdown: its time and status, yaw, pitch and roll.

    Args:
        scene: The scene.
        frame: Row of the frame.
    """
    yaw, pitch, roll = (round(angle, 1) + 0.0 for angle in scene.curves.angles_deg(frame))  # no -0
    pose = f"yaw **{yaw:.1f}°** · pitch **{pitch:.1f}°** · roll **{roll:.1f}°**"
    line = scene.describe(frame)
    return f"{line}\n\n{pose}" if line else pose
