"""Median milliseconds per image of rasterising and rendering at 224 × 224 pixels.

Two meshes of some 3,500 triangles are rasterised: the face of the open head, and a sphere. The other rasterisers are
timed on the same meshes: the plain torch one, and PyTorch3D where it is installed.
Run with OMP_NUM_THREADS set to the number of threads to measure.
"""

from __future__ import annotations

import importlib.util
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from peers import PeerMissingError, PeerProcess, environment
from timing import Action, Row, alternate, cost_of, median, rows
from torch import Tensor

from smirk3d import load_head
from smirk3d.render import Backend, DrawableHead, Renderer, project_orthographic, rasterize, vertex_normals

SIZE, BATCH = 224, 8
SCALE = 7.0
"""Of the camera for the open head, whose face then fills the picture."""


class Sphere:
    """A UV sphere of radius 1 with the interface of a head.

    Args:
        rings: Rows of triangles from pole to pole.
        segments: Triangles around the axis.
    """

    def __init__(self, rings: int = 42, segments: int = 42) -> None:
        polar = torch.linspace(0, math.pi, rings + 1)
        azimuth = torch.arange(segments) * (2 * math.pi / segments)
        polar, azimuth = torch.meshgrid(polar, azimuth, indexing="ij")
        self.vertices = torch.stack(
            [polar.sin() * azimuth.sin(), polar.cos(), polar.sin() * azimuth.cos()], dim=-1
        ).reshape(-1, 3)
        ring, segment = torch.meshgrid(torch.arange(rings), torch.arange(segments), indexing="ij")
        upper, following = ring * segments + segment, ring * segments + (segment + 1) % segments
        lower_triangles = torch.stack([upper, upper + segments, following + segments], dim=-1)[:-1]
        upper_triangles = torch.stack([upper, following + segments, following], dim=-1)[1:]
        self.faces = torch.cat([lower_triangles.reshape(-1, 3), upper_triangles.reshape(-1, 3)])

    def region_faces(self, name: str) -> Tensor:
        """Return all faces (F, 3), whatever the region."""
        return self.faces


def mesh_actions(head: DrawableHead, vertices: Tensor, scale: float, batch: int) -> dict[str, Action]:
    """Return what is timed on a batch of meshes (V, 3) under a camera of this scale."""
    faces = head.region_faces("face")
    renderer, posed, cameras = (
        Renderer(head, SIZE),
        vertices.repeat(batch, 1, 1),
        camera_of(vertices[faces], scale, batch),
    )
    projected = project_orthographic(posed, cameras)
    trained = posed.clone().requires_grad_()
    return {
        "rasterise": lambda: rasterize(projected, faces, SIZE),
        "vertex normals": lambda: vertex_normals(posed, faces),
        "render with shading": lambda: renderer(posed, cameras),
        "render with gradient": lambda: renderer(trained, cameras).image.sum().backward(),
    }


def camera_of(corners: Tensor, scale: float, batch: int) -> Tensor:
    """Return cameras (B, 3) of this scale that look at the mean of corners (..., 3)."""
    center = corners.reshape(-1, 3).mean(dim=0)
    return torch.tensor([[scale, -float(center[0]), -float(center[1])]]).repeat(batch, 1)


def compare(peers: Path | None, note: Callable[[str], None]) -> list[Row]:
    """Return rows for the face of the open head in a batch; the peers rasterise the same meshes.

    Args:
        peers: Folder of environments, in which missing ones are made; None for peers of this environment alone.
        note: Called with a line on each peer that is left out.
    """
    head = load_head("open")
    actions, faces = mesh_actions(head, head.v_template, SCALE, BATCH), head.region_faces("face")
    projected = project_orthographic(
        head.v_template.repeat(BATCH, 1, 1), camera_of(head.v_template[faces], SCALE, BATCH)
    )
    name = None
    with ExitStack() as stack:
        try:
            if peers is None:
                raise PeerMissingError("--peers FOLDER installs it")
            opengl = stack.enter_context(opengl_peer(projected, faces, peers))
            name = f"rasterise by OpenGL, {opengl.name.split('(')[0].strip()}"
            actions[name] = opengl
        except PeerMissingError as error:
            note(f"OpenGL through moderngl: left out ({error})")
        table = rows(alternate(actions, 20), name, BATCH)
    if importlib.util.find_spec("pytorch3d") is None:
        note("PyTorch3D: left out (not installed)")
    else:
        slow = lambda: rasterize(projected, faces, SIZE, backend="pytorch3d")  # noqa: E731
        table += rows({"rasterise by PyTorch3D": [cost_of(slow)]}, None, BATCH)
    return [replace(row, what=f"{row.what}, {SIZE}², batch of {BATCH}") for row in table]


@contextmanager
def opengl_peer(projected: Tensor, faces: Tensor, peers: Path) -> Iterator[PeerProcess]:
    """Yield OpenGL's rasteriser for meshes (B, V, 3) in image space."""
    python = environment(peers / "opengl", ["moderngl", "numpy"])
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.npz"
        np.savez(scene, vertices=projected.numpy(), faces=faces.numpy(), size=SIZE)
        with PeerProcess([python, Path(__file__).parent / "rasterizer_peers" / "opengl.py", scene]) as process:
            yield process


def report(name: str, head: DrawableHead, vertices: Tensor, scale: float) -> None:
    """Print the times of a mesh (V, 3) under a camera of this scale, one line a measurement."""
    faces = head.region_faces("face")
    camera = camera_of(vertices[faces], scale, 1)
    covered = Renderer(head, SIZE)(vertices[None], camera).mask.float().mean()
    print(f"{name}: {len(faces)} triangles on {100 * covered:.0f} % of the pixels")
    for batch in (1, BATCH):
        for row in rows(alternate(mesh_actions(head, vertices, scale, batch), 50), None, batch):
            print(f"  batch {batch}: {row.what:<21}{row.cost.wall_ms:9.3f} ms per image")
    report_peers(project_orthographic(vertices[None], camera), faces)


def report_peers(projected: Tensor, faces: Tensor) -> None:
    """Print the times of the other rasterisers for one mesh at a quarter of the size, and their ratios to ours."""
    size = SIZE // 4
    own = median([cost_of(lambda: rasterize(projected, faces, size)) for _ in range(50)]).wall_ms
    peers: list[Backend] = ["reference"]
    if importlib.util.find_spec("pytorch3d") is not None:
        peers.append("pytorch3d")
    for peer in peers:
        time_ms = cost_of(lambda b=peer: rasterize(projected, faces, size, backend=b)).wall_ms
        print(f"  batch 1: {peer:<21}{time_ms:9.1f} ms per image of {size} pixels, {time_ms / own:.0f} times as long")


def main() -> None:
    """Print one line a measurement."""
    head, sphere = load_head("open"), Sphere()
    print(f"{torch.get_num_threads()} threads")
    start = time.perf_counter()
    Renderer(sphere, SIZE)(sphere.vertices[None], torch.tensor([[0.6, 0.0, 0.0]]))
    print(f"first call (kernel load or compile){1e3 * (time.perf_counter() - start):9.1f} ms")
    report("face of the open head", head, head.v_template, SCALE)
    report("sphere", sphere, sphere.vertices, 0.6)


if __name__ == "__main__":
    main()
