"""Median milliseconds per image of rasterising and rendering at 224 × 224 pixels.

Two meshes of some 3,500 triangles are rasterised: the face of the open head, and a sphere. The other rasterisers are
timed on the same meshes: the plain torch one, and PyTorch3D where it is installed.
Run with OMP_NUM_THREADS set to the number of threads to measure.
"""

from __future__ import annotations

import importlib.util
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from smirk3d import load_head
from smirk3d.render import Backend, DrawableHead, Renderer, project_orthographic, rasterize, vertex_normals

SIZE = 224


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


def median_ms(function: Callable[[], object], repeats: int) -> float:
    """Return the median wall-clock time of a function in milliseconds, after one warm-up call."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def report(name: str, head: DrawableHead, vertices: Tensor, scale: float) -> None:
    """Print the times of a mesh (V, 3) under a camera of this scale, one line a measurement."""
    faces = head.region_faces("face")
    center = vertices[faces].mean(dim=(0, 1))
    renderer, camera = Renderer(head, SIZE), torch.tensor([[scale, -float(center[0]), -float(center[1])]])
    covered = renderer(vertices[None], camera).mask.float().mean()
    print(f"{name}: {len(faces)} triangles on {100 * covered:.0f} % of the pixels")
    for batch in (1, 8):
        posed, cameras = vertices.repeat(batch, 1, 1), camera.repeat(batch, 1)
        projected = project_orthographic(posed, cameras)
        raster = median_ms(lambda p=projected: rasterize(p, faces, SIZE), 100)
        normals = median_ms(lambda v=posed: vertex_normals(v, faces), 50)
        whole = median_ms(lambda v=posed, c=cameras: renderer(v, c), 50)
        trained = posed.clone().requires_grad_()
        both = median_ms(lambda v=trained, c=cameras: renderer(v, c).image.sum().backward(), 20)
        for title, time_ms in (
            ("rasterize", raster),
            ("vertex normals", normals),
            ("render", whole),
            ("render, gradient", both),
        ):
            print(f"  batch {batch}: {title:<18}{time_ms / batch:9.3f} ms per image")
        if batch == 1:
            report_peers(projected, faces)


def report_peers(projected: Tensor, faces: Tensor) -> None:
    """Print the times of the other rasterisers for one mesh at a quarter of the size, and their ratios to ours."""
    size = SIZE // 4
    own = median_ms(lambda: rasterize(projected, faces, size), 50)
    peers: list[Backend] = ["reference"]
    if importlib.util.find_spec("pytorch3d") is not None:
        peers.append("pytorch3d")
    for peer in peers:
        time_ms = median_ms(lambda b=peer: rasterize(projected, faces, size, backend=b), 1)
        print(f"  batch 1: {peer:<18}{time_ms:9.1f} ms per image of {size} pixels, {time_ms / own:.0f} times as long")


def main() -> None:
    """Print one line a measurement."""
    head, sphere = load_head("open"), Sphere()
    print(f"{torch.get_num_threads()} threads")
    start = time.perf_counter()
    Renderer(sphere, SIZE)(sphere.vertices[None], torch.tensor([[0.6, 0.0, 0.0]]))
    print(f"first call (kernel load or compile){1e3 * (time.perf_counter() - start):9.1f} ms")
    report("face of the open head", head, head.v_template, 7.0)
    report("sphere", sphere, sphere.vertices, 0.6)


if __name__ == "__main__":
    main()
