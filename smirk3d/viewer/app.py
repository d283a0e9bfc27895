"""The browser viewer: a local server that shows a scene, plays it, and offers sliders for its weights."""

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
from smirk3d.viewer.access import AccessGuard, guarded_servers
from smirk3d.viewer.clock import Clock
from smirk3d.viewer.panel import PAUSE, PLAY, SPEEDS, Panel, build_panel, describe_frame
from smirk3d.viewer.scene import ViewScene
from smirk3d.viewer.side_images import SideImages, open_side_images
from smirk3d.viewer.stage import set_up_stage

CONTROL_UPDATES_PER_S = 5.0
"""Rate at which the controls are updated while a clip plays; the mesh is updated with every frame."""
IMAGE_UPDATES_PER_S = 12.0
_MAX_PORTS_TRIED = 100
_FOV_RAD = np.deg2rad(24.0)
_CAMERA_DISTANCE = 4.1
"""From the camera to the centre of the face, relative to the size of the face."""
_MIN_WAIT_S = 0.004


def open_viewer(scene: ViewScene, host: str = "127.0.0.1", port: int = 8080) -> Viewer:
    """Start a local web server that shows a scene to those who have its address, see `smirk3d.viewer.access`.

    Args:
        scene: The scene.
        host: Address to listen on.
        port: Port to listen on, the next free one where it is in use; 0 for any.

    Raises:
        UsageError: The address is not one of this machine, or no port is free.
        Smirk3dError: viser is not installed, or the image beside the scene cannot be read.
    """
    viser = _viser()
    free, guard, server = free_port(host, port), AccessGuard(host), None
    try:
        with _quiet(), guarded_servers(guard):
            server = viser.ViserServer(host=host, port=free, verbose=False)
        return Viewer(server, scene, guard.token)
    except BaseException:
        if server is not None:
            with _quiet():
                server.stop()
        raise


def free_port(host: str, port: int) -> int:
    """Return the first free port.

    Args:
        host: Address to listen on.
        port: The first port to try.

    Raises:
        UsageError: The address is not one of this machine, or no port is free.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: must be between 0 and 65535")
    for candidate in range(port, min(port + _MAX_PORTS_TRIED, 65536)):
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
        scene: The scene that is shown.
        panel: The controls.
        meshes: Handles of viser for the patches of the scene, in the same order.
    """

    def __init__(self, server: Any, scene: ViewScene, token: str):
        self._server, self._lock, self._token = server, threading.RLock(), token
        self._choices: dict[str, Callable[[], ViewScene]] = {}
        self._is_updating, self._closed = False, threading.Event()
        self._wake = threading.Event()
        self._controls_updated_s = self._image_updated_s = 0.0
        self._side_images: SideImages | None = None
        set_up_stage(server)
        self.show(scene)
        self._thread = threading.Thread(target=self._play_loop, name="smirk3d-viewer", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port."""
        return self._server.get_port()

    @property
    def url(self) -> str:
        """Address of the page; it contains a secret, without which nothing is shown."""
        host = self._server.get_host()
        shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/{self._token}/"

    @property
    def weights(self) -> np.ndarray:
        """The displayed weights, (T,) float32."""
        return self._weights.copy()

    @property
    def vertices(self) -> np.ndarray:
        """The displayed mesh, (V, 3) float32, metres, head frame."""
        return self.scene.vertices(self._weights)

    @property
    def time_s(self) -> float:
        """The displayed time of the clip in seconds."""
        return self._clock.time_s

    @property
    def is_playing(self) -> bool:
        """Whether the clip is playing."""
        return self._clock.is_running

    def offer(self, results: Sequence[Path], read: Callable[[Path], ViewScene]) -> None:
        """Offer a choice of files on the page.

        Args:
            results: The files.
            read: Reads one of them; its `Smirk3dError` is shown on the page.
        """
        self._choices = {name: lambda path=path: read(path) for name, path in _short_names(results).items()}
        self.show(self.scene, next(iter(self._choices), ""))

    def show(self, scene: ViewScene, chosen: str = "") -> None:
        """Show a scene from its start.

        Args:
            scene: The scene.
            chosen: Name of the chosen file, for the drop-down.
        """
        side_images = None if scene.side_image is None else open_side_images(scene.side_image)
        with self._lock:
            self._close_side_images()
            self.scene, self._side_images = scene, side_images
            self._clock = Clock(float(scene.curves.time_s[0]), scene.curves.duration_s)
            self._weights = scene.curves.weights[0].copy()
            self._server.gui.reset()
            with self._server.atomic():
                self._add_meshes()
                self.panel: Panel = build_panel(self._server, scene, self._image(), list(self._choices), chosen)
                self._connect()
                self._show_frame(everything=True)

    def seek(self, time_s: float) -> None:
        """Show the clip at a time in seconds; edited weights are discarded."""
        with self._lock:
            self._clock.jump(time_s)
            self._show_frame(everything=True)

    def play(self) -> None:
        """Play the clip at its own rate; nothing happens for a still."""
        with self._lock:
            if self.scene.curves.is_clip:
                self._clock.run()
                self.panel.play.label = PAUSE
                self._wake.set()

    def pause(self) -> None:
        """Pause the clip."""
        with self._lock:
            if self.scene.curves.is_clip:
                self._clock.stop()
                self.panel.play.label = PLAY
                self._show_frame(everything=True)

    def set_weights(self, weights: np.ndarray) -> None:
        """Pause the clip and show other weights.

        Args:
            weights: (T,) float, one for each morph target.
        """
        with self._lock:
            if self.is_playing:
                self.pause()
            self._weights = np.asarray(weights, dtype=np.float32).copy()
            with self._server.atomic():
                self._show_mesh()
                self._update_sliders()
                if self.scene.moved_image:
                    self.panel.image.image = self._image()

    def close(self) -> None:
        """Stop the server."""
        self._closed.set()
        self._wake.set()
        self._thread.join(timeout=2)
        with _quiet():
            self._server.stop()
        self._close_side_images()

    def wait(self) -> None:
        """Block until the viewer is closed or the user presses Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            while not self._closed.wait(0.5):
                pass

    def _add_meshes(self) -> None:
        scene, stage = self.scene, self._server.scene
        center, size = scene.frame_box()
        camera = self._server.initial_camera
        camera.fov = float(_FOV_RAD)
        camera.look_at = tuple(center * (1, 1, 0))
        camera.position = tuple(center * (1, 1, 0) + (0, 0, size * _CAMERA_DISTANCE))
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
        """Connect the callbacks of the controls."""
        panel = self.panel
        panel.rotate.on_update(lambda _: self._show_pose())
        panel.wireframe.on_update(lambda event: self._set_wireframe(event.target.value))
        panel.reset.on_click(lambda _: self.set_weights(self.scene.curves.weights[self._frame]))
        panel.neutral.on_click(lambda _: self.set_weights(np.zeros_like(self._weights)))
        for index, name in enumerate(self.scene.names):
            panel.sliders[name].on_update(lambda event, index=index: self._edit(index, event.target.value))
        if panel.results is not None:
            panel.results.on_update(lambda event: self._choose(event))
        if self.scene.curves.is_clip:
            panel.translate.on_update(lambda _: self._show_pose())
            panel.play.on_click(lambda _: self.pause() if self.is_playing else self.play())
            panel.loop.on_update(lambda event: self._clock.change(loop=event.target.value))
            panel.speed.on_update(lambda event: self._clock.change(speed=SPEEDS[event.target.value]))
            panel.timeline.on_update(lambda event: self._seek_frame(event.target.value))

    def _edit(self, index: int, value: float) -> None:
        """Apply the value of a slider that the user moved."""
        with self._lock:
            if self._is_updating:
                return
            weights = self.weights
            weights[index] = value
            if self.panel.both_sides.value:
                weights[self.scene.partners[index]] = value
            self.set_weights(weights)

    def _seek_frame(self, number: int) -> None:
        with self._lock:
            if not self._is_updating:
                self.seek(float(self.scene.curves.time_s[number - 1]))

    def _choose(self, event: Any) -> None:
        name = event.target.value
        try:
            self.show(self._choices[name](), name)
        except Smirk3dError as error:
            if event.client is not None:
                event.client.add_notification("Cannot be shown", str(error), color="red")

    def _set_wireframe(self, is_on: bool) -> None:
        with self._server.atomic():
            for mesh in self.meshes:
                mesh.wireframe = is_on

    @property
    def _frame(self) -> int:
        return self.scene.curves.frame_at(self._clock.time_s)

    def _show_frame(self, *, everything: bool, image: bool = True) -> None:
        """Show weights and pose of the present time; with `everything` also update the controls."""
        self._weights = self.scene.curves.weights[self._frame].copy()
        with self._server.atomic():
            self._show_mesh()
            self._show_pose()
            if everything:
                self._update_sliders()
                self._update_time()
            if image and self.panel.image is not None:
                self.panel.image.image = self._image()

    def _image(self) -> np.ndarray | None:
        moved, side = self.scene.moved_image, self._side_images
        return moved(self._weights) if moved else None if side is None else side.at(self._clock.time_s)

    def _show_mesh(self) -> None:
        points = self.scene.vertices(self._weights)
        for mesh, patch in zip(self.meshes, self.scene.patches, strict=True):
            mesh.vertices = points[patch.rows]  # viser sends only changes

    def _show_pose(self) -> None:
        curves, frame = self.scene.curves, self._frame
        rotmat = curves.rotation_rotmat[frame] if self.panel.rotate.value else np.eye(3)
        x, y, z, w = roma.rotmat_to_unitquat(torch.as_tensor(rotmat, dtype=torch.float64)).tolist()
        is_moved = self.panel.translate is not None and self.panel.translate.value
        self._head.wxyz = (w, x, y, z)
        self._head.position = tuple((curves.translation_m[frame] - curves.translation_m[0]) * is_moved)

    def _update_sliders(self) -> None:
        with self._updating():
            for name, weight in zip(self.scene.names, self._weights, strict=True):
                slider = self.panel.sliders[name]
                slider.value = round(min(max(float(weight), slider.min), slider.max), 2)

    def _update_time(self) -> None:
        frame = self._frame
        self.panel.readout.content = describe_frame(self.scene, frame)
        if self.panel.timeline is not None:
            with self._updating():
                self.panel.timeline.value = frame + 1

    @contextmanager
    def _updating(self) -> Iterator[None]:
        """Mark changes of controls as made by the program, so that their callbacks ignore them."""
        self._is_updating = True
        try:
            yield
        finally:
            self._is_updating = False

    def _play_loop(self) -> None:
        """Show frame after frame while the clip is playing; runs in a thread."""
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            self._controls_updated_s = self._image_updated_s = 0.0
            while self.is_playing and not self._closed.is_set():
                started_s = time.monotonic()
                self._play_frame(started_s)
                pause_s = 1 / self.scene.curves.rate_fps / max(self._clock.speed, 1.0)
                self._closed.wait(max(pause_s - (time.monotonic() - started_s), _MIN_WAIT_S))
            with self._lock:
                if self._clock.has_ended:
                    self.pause()

    def _play_frame(self, now_s: float) -> None:
        """Show the frame of the present time; controls and image are updated less often than the mesh."""
        with self._lock:
            if not self.is_playing:  # paused in the meantime
                return
            everything = now_s - self._controls_updated_s >= 1 / CONTROL_UPDATES_PER_S
            image = now_s - self._image_updated_s >= 1 / IMAGE_UPDATES_PER_S
            self._controls_updated_s = now_s if everything else self._controls_updated_s
            self._image_updated_s = now_s if image else self._image_updated_s
            self._show_frame(everything=everything, image=image)

    def _close_side_images(self) -> None:
        if self._side_images is not None:
            self._side_images.close()
            self._side_images = None


def _short_names(results: Sequence[Path]) -> dict[str, Path]:
    """Return the files by name, or by path where names repeat."""
    names = [path.name for path in results]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in results}


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the messages that viser prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _viser() -> Any:
    try:
        import viser  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Smirk3dError(f"the viewer needs viser ({error}); pip install 'smirk3d[view]'") from error
    return viser
