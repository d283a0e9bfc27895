"""`smirk3d view`: results in the browser."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from smirk3d.cli.console import print_message, print_result
from smirk3d.cli.options import Command


@dataclass(frozen=True, kw_only=True)
class View(Command):
    """Show a result in the browser: the head, its image, a timeline and a slider for each weight."""

    path: Annotated[Positional[str], arg(metavar="PATH")]
    """A .glb or .gltf file, an .npz of a face or a track, or a folder of results; or a photo, which moves with the
    sliders."""
    port: int = 8080
    """Port of the page; the next free one where it is taken."""
    host: str = "127.0.0.1"
    """Address to listen at; with 0.0.0.0 other machines can connect, too. The page needs the whole printed address."""
    no_browser: bool = False
    """Print the address without opening a browser."""

    def run(self) -> int:
        """Serve the page until Ctrl-C; return 0."""
        from smirk3d.cli.view_photo import photo_scene
        from smirk3d.reenactment.driving import is_photo
        from smirk3d.viewer.app import open_viewer
        from smirk3d.viewer.discovery import read_first, read_scene, results_in

        if is_photo(self.path):
            scene, results = photo_scene(self.path), []
        else:
            scene, results = read_first(results_in(Path(self.path)), print_message)
        with contextlib.closing(open_viewer(scene, self.host, self.port)) as viewer:
            if len(results) > 1:
                viewer.offer(results, read_scene)
            if self.port not in (0, viewer.port):
                print_message(f"port {self.port} is taken; using {viewer.port}")
            print_result(f"{viewer.url}  (Ctrl-C ends)")
            if not self.no_browser:
                import webbrowser

                webbrowser.open(viewer.url)
            viewer.wait()
        return 0
