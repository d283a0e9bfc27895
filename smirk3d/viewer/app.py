"""A head in the browser: a local server that shows a scene, plays it, and lets its weights be moved."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch

from smirk3d.errors import Smirk3dError, UsageError
from smirk3d.viewer.clock import Clock
from smirk3d.viewer.panel import ACCENT, PAUSE, PLAY, SPEEDS, Panel, build_panel, readout
from smirk3d.viewer.scene import ViewScene
from smirk3d.viewer.side_pictures import Pictures, open_pictures

SLIDERS_PER_S = 5.0
"""How often all controls follow while a clip plays."""
PICTURES_PER_S = 12.0
_PORTS_TRIED = 100
_FOV_RAD = np.deg2rad(24.0)
_DISTANCE_SIZES = 4.1
"""From the camera to the middle of the face, in sizes of the face."""
_SMALLEST_WAIT_S = 0.004
_BACKDROP = ((58, 61, 66), (26, 27, 30))
"""Colours at the middle and in the corners behind the head."""


def open_viewer(scene: ViewScene, host: str = "127.0.0.1", port: int = 8080) -> Viewer:
    """Show a scene in a local web server; the next free port is taken where `port` is in use (0: any).

    Raises:
        UsageError: The address is none of this machine, or no port is free.
        Smirk3dError: viser is not installed, or the picture beside the scene cannot be read.
    """
    viser = _viser()
    free = free_port(host, port)
    with _quiet():
        server = viser.ViserServer(host=host, port=free, verbose=False)
    try:
        return Viewer(server, scene)
    except BaseException:
        with _quiet():
            server.stop()
        raise


def free_port(host: str, port: int) -> int:
    """Return `port`, or the first free one after it.

    Raises:
        UsageError: The address is none of this machine, or no port is free.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: must be between 0 and 65535")
    for candidate in range(port, min(port + _PORTS_TRIED, 65536)):
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return probe.getsockname()[1]
        except OSError as error:
            reason = error
            if isinstance(error, socket.gaierror):
                break
    raise UsageError(f"--host {host} --port {port}: cannot listen there ({reason}); choose others")


class Viewer:
    """A running server.

    Attributes:
        scene: What is shown.
        panel: The controls.
        meshes: viser's handle of each of the scene's patches, in the same order.
    """

    def __init__(self, server: Any, scene: ViewScene):
        self._server, self._lock = server, threading.RLock()
        self._offers: dict[str, Callable[[], ViewScene]] = {}
        self._following, self._closed = False, threading.Event()
        self._wake = threading.Event()
        self._controls_s = self._picture_s = 0.0
        self._pictures: Pictures | None = None
        self._prepare_stage()
        self.show(scene)
        self._thread = threading.Thread(target=self._keep_playing, name="smirk3d-viewer", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.get_port()

    @property
    def url(self) -> str:
        """Address of the page."""
        host = self._server.get_host()
        shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}"

    @property
    def weights(self) -> np.ndarray:
        """The weights (T,) float32 that are shown."""
        return self._weights.copy()

    @property
    def vertices(self) -> np.ndarray:
        """The mesh (V, 3) float32 that is shown, in the head frame."""
        return self.scene.vertices(self._weights)

    @property
    def time_s(self) -> float:
        """The time of the clip that is shown."""
        return self._clock.time_s

    @property
    def is_playing(self) -> bool:
        """Whether the clip runs."""
        return self._clock.is_running

    def offer(self, results: Sequence[Path], read: Callable[[Path], ViewScene]) -> None:
        """Let people choose among files.

        Args:
            results: The files. read: Makes a scene of one; its `Smirk3dError` is shown on the page.
        """
        self._offers = {name: lambda path=path: read(path) for name, path in _short_names(results).items()}
        self.show(self.scene, next(iter(self._offers), ""))

    def show(self, scene: ViewScene, chosen: str = "") -> None:
        """Show another scene from its start."""
        pictures = None if scene.picture is None else open_pictures(scene.picture)
        with self._lock:
            self._close_pictures()
            self.scene, self._pictures = scene, pictures
            self._clock = Clock(float(scene.curves.time_s[0]), scene.curves.lasting_s)
            self._weights = scene.curves.weights[0].copy()
            self._server.gui.reset()
            with self._server.atomic():
                self._add_meshes()
                picture = None if pictures is None else pictures.at(self._clock.time_s)
                self.panel: Panel = build_panel(self._server, scene, picture, list(self._offers), chosen)
                self._connect()
                self._show_frame(everything=True)

    def seek(self, time_s: float) -> None:
        """Show the clip at a time in seconds; edited weights are given up."""
        with self._lock:
            self._clock.jump(time_s)
            self._show_frame(everything=True)

    def play(self) -> None:
        """Let the clip run at its own rate; a still stays as it is."""
        with self._lock:
            if self.scene.curves.is_clip:
                self._clock.run()
                self.panel.play.label = PAUSE
                self._wake.set()

    def pause(self) -> None:
        """Stop the clip where it is."""
        with self._lock:
            if self.scene.curves.is_clip:
                self._clock.stop()
                self.panel.play.label = PLAY
                self._show_frame(everything=True)

    def set_weights(self, weights: np.ndarray) -> None:
        """Stop the clip and show weights (T,) of the targets instead of the clip's."""
        with self._lock:
            if self.is_playing:
                self.pause()
            self._weights = np.asarray(weights, dtype=np.float32).copy()
            with self._server.atomic():
                self._show_mesh()
                self._follow_weights()

    def close(self) -> None:
        """Stop the server."""
        self._closed.set()
        self._wake.set()
        self._thread.join(timeout=2)
        with _quiet():
            self._server.stop()
        self._close_pictures()

    def wait(self) -> None:
        """Return when the viewer is closed, or when the person at the keyboard interrupts."""
        with contextlib.suppress(KeyboardInterrupt):
            while not self._closed.wait(0.5):
                pass

    def _prepare_stage(self) -> None:
        server = self._server
        server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, brand_color=ACCENT)
        server.scene.set_up_direction("+y")
        server.scene.configure_default_lights(False)
        server.scene.configure_environment_map("studio", environment_intensity=0.16)
        lights = (("key", (0.9, 0.8, 1.2), 1.0, (255, 244, 232)), ("fill", (-0.8, -0.5, 1.3), 0.55, (226, 236, 255)))
        for name, position, intensity, color in (*lights, ("rim", (-0.5, 0.7, -1.2), 1.0, (255, 255, 255))):
            server.scene.add_light_directional(
                f"/lights/{name}", position=position, intensity=intensity, color=color, cast_shadow=False
            )
        server.scene.set_background_image(_backdrop(), format="png")

    def _add_meshes(self) -> None:
        scene, stage = self.scene, self._server.scene
        middle, size = scene.frame_box()
        camera = self._server.initial_camera
        camera.fov = float(_FOV_RAD)
        camera.look_at = tuple(middle * (1, 1, 0))
        camera.position = tuple(middle * (1, 1, 0) + (0, 0, size * _DISTANCE_SIZES))
        camera.near, camera.far = size / 20, size * 200
        self._head = stage.add_frame("/head", show_axes=False)
        points = scene.vertices(self._weights)
        self.meshes = [
            stage.add_mesh_simple(
                f"/head/{number:02d} {patch.name}",
                points[patch.rows],
                patch.triangles,
                color=patch.color,
                side="double",
                cast_shadow=False,
                receive_shadow=False,
            )
            for number, patch in enumerate(scene.patches)
        ]

    def _connect(self) -> None:
        """Let the controls do what they say."""
        panel = self.panel
        panel.turn.on_update(lambda _: self._show_pose())
        panel.wireframe.on_update(lambda event: self._set_wireframe(event.target.value))
        panel.reset.on_click(lambda _: self.set_weights(self.scene.curves.weights[self._frame]))
        panel.neutral.on_click(lambda _: self.set_weights(np.zeros_like(self._weights)))
        for index, name in enumerate(self.scene.names):
            panel.sliders[name].on_update(lambda event, index=index: self._edit(index, event.target.value))
        if panel.results is not None:
            panel.results.on_update(lambda event: self._choose(event))
        if self.scene.curves.is_clip:
            panel.move.on_update(lambda _: self._show_pose())
            panel.play.on_click(lambda _: self.pause() if self.is_playing else self.play())
            panel.loop.on_update(lambda event: self._clock.change(loop=event.target.value))
            panel.speed.on_update(lambda event: self._clock.change(speed=SPEEDS[event.target.value]))
            panel.timeline.on_update(lambda event: self._pull_timeline(event.target.value))

    def _edit(self, index: int, value: float) -> None:
        """Take over a slider that somebody moved."""
        with self._lock:
            if self._following:
                return
            weights = self.weights
            weights[index] = value
            if self.panel.both_sides.value:
                weights[self.scene.partners[index]] = value
            self.set_weights(weights)

    def _pull_timeline(self, number: int) -> None:
        with self._lock:
            if not self._following:
                self.seek(float(self.scene.curves.time_s[number - 1]))

    def _choose(self, event: Any) -> None:
        name = event.target.value
        try:
            self.show(self._offers[name](), name)
        except Smirk3dError as error:
            if event.client is not None:
                event.client.add_notification("Cannot be shown", str(error), color="red")

    def _set_wireframe(self, wanted: bool) -> None:
        with self._server.atomic():
            for mesh in self.meshes:
                mesh.wireframe = wanted

    @property
    def _frame(self) -> int:
        return self.scene.curves.frame_at(self._clock.time_s)

    def _show_frame(self, *, everything: bool, picture: bool = True) -> None:
        """Show the clip's weights and pose now; `everything` takes the controls along."""
        self._weights = self.scene.curves.weights[self._frame].copy()
        with self._server.atomic():
            self._show_mesh()
            self._show_pose()
            if everything:
                self._follow_weights()
                self._follow_time()
            if picture and self._pictures is not None:
                self.panel.picture.image = self._pictures.at(self._clock.time_s)

    def _show_mesh(self) -> None:
        points = self.scene.vertices(self._weights)
        for mesh, patch in zip(self.meshes, self.scene.patches, strict=True):
            mesh.vertices = points[patch.rows]  # viser sends only what has changed

    def _show_pose(self) -> None:
        curves, frame = self.scene.curves, self._frame
        rotmat = curves.rotation_rotmat[frame] if self.panel.turn.value else np.eye(3)
        x, y, z, w = roma.rotmat_to_unitquat(torch.as_tensor(rotmat, dtype=torch.float64)).tolist()
        is_moved = self.panel.move is not None and self.panel.move.value
        self._head.wxyz = (w, x, y, z)
        self._head.position = tuple((curves.translation_m[frame] - curves.translation_m[0]) * is_moved)

    def _follow_weights(self) -> None:
        with self._follow():
            for name, weight in zip(self.scene.names, self._weights, strict=True):
                slider = self.panel.sliders[name]
                slider.value = round(min(max(float(weight), slider.min), slider.max), 2)

    def _follow_time(self) -> None:
        frame = self._frame
        self.panel.readout.content = readout(self.scene, frame)
        if self.panel.timeline is not None:
            with self._follow():
                self.panel.timeline.value = frame + 1

    @contextmanager
    def _follow(self) -> Iterator[None]:
        """Set controls without taking that for somebody's doing."""
        self._following = True
        try:
            yield
        finally:
            self._following = False

    def _keep_playing(self) -> None:
        """Show frame after frame while the clip runs."""
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            self._controls_s = self._picture_s = 0.0
            while self.is_playing and not self._closed.is_set():
                started_s = time.monotonic()
                self._play_frame(started_s)
                pause_s = 1 / self.scene.curves.rate_fps / max(self._clock.speed, 1.0)
                self._closed.wait(max(pause_s - (time.monotonic() - started_s), _SMALLEST_WAIT_S))
            with self._lock:
                if self._clock.has_ended:
                    self.pause()

    def _play_frame(self, now_s: float) -> None:
        """Show what is due at a moment of the wall clock; controls and picture follow less often than the mesh."""
        with self._lock:
            if not self.is_playing:  # somebody stopped it in the meantime
                return
            everything = now_s - self._controls_s >= 1 / SLIDERS_PER_S
            picture = now_s - self._picture_s >= 1 / PICTURES_PER_S
            self._controls_s = now_s if everything else self._controls_s
            self._picture_s = now_s if picture else self._picture_s
            self._show_frame(everything=everything, picture=picture)

    def _close_pictures(self) -> None:
        if self._pictures is not None:
            self._pictures.close()
            self._pictures = None


def _short_names(results: Sequence[Path]) -> dict[str, Path]:
    """Return the files by name, with folders where names repeat."""
    names = [path.name for path in results]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in results}


def _backdrop(size: tuple[int, int] = (270, 480)) -> np.ndarray:
    """Paint what is behind the head: (H, W, 3) uint8, lighter in the middle."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij")
    dark = np.clip(np.hypot(x, y) / np.sqrt(2), 0, 1)[..., None] ** 1.5
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (*size, 1))  # against bands
    return (np.array(_BACKDROP[0]) * (1 - dark) + np.array(_BACKDROP[1]) * dark + noise).round().astype(np.uint8)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep viser's own announcements off the terminal."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _viser() -> Any:
    try:
        import viser  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Smirk3dError(f"the viewer needs viser ({error}); pip install 'smirk3d[view]'") from error
    return viser
