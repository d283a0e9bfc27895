"""Median milliseconds of rasterising and rendering a sphere of about 3,400 triangles at 224 × 224 pixels.

Run with OMP_NUM_THREADS set to the number of threads to measure.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from smirk3d.render import Renderer, interpolate, project_orthographic, rasterize, shade, vertex_normals

SIZE = 224


class Sphere:
    """A UV sphere of radius 1 that offers faces as a head does."""

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
        """All faces, whatever the region."""
        return self.faces


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median wall-clock time of `work` in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Print one line a measurement."""
    sphere = Sphere()
    renderer = Renderer(sphere, SIZE)
    camera = torch.tensor([[0.6, 0.0, 0.0]])
    start = time.perf_counter()
    renderer(sphere.vertices[None], camera)
    print(f"{len(sphere.faces)} triangles, {torch.get_num_threads()} threads")
    print(f"first call (kernel load or compile)  {1e3 * (time.perf_counter() - start):8.1f} ms")
    for batch in (1, 8):
        vertices, cameras = sphere.vertices.expand(batch, -1, -1).contiguous(), camera.expand(batch, -1)
        projected = project_orthographic(vertices, cameras)
        raster = median_ms(lambda p=projected: rasterize(p, sphere.faces, SIZE), 100)
        whole = median_ms(lambda v=vertices, c=cameras: renderer(v, c), 50)
        print(f"batch {batch}: rasterize              {raster / batch:8.3f} ms an image")
        print(f"batch {batch}: render                 {whole / batch:8.3f} ms an image")
        training = vertices.clone().requires_grad_()
        both = median_ms(lambda v=training, c=cameras: renderer(v, c).image.sum().backward(), 20)
        print(f"batch {batch}: render with gradient   {both / batch:8.3f} ms an image")
    report_parts(sphere, camera)


def report_parts(sphere: Sphere, camera: Tensor) -> None:
    """Print what the steps after rasterising cost, and the reference rasteriser at a quarter of the size."""
    projected = project_orthographic(sphere.vertices[None], camera)
    fragments = rasterize(projected, sphere.faces, SIZE)
    normals = vertex_normals(sphere.vertices[None], sphere.faces)
    image = interpolate(fragments, normals, sphere.faces)
    normal_ms = median_ms(lambda: vertex_normals(sphere.vertices[None], sphere.faces), 50)
    interpolate_ms = median_ms(lambda: interpolate(fragments, normals, sphere.faces), 50)
    print(f"vertex normals                  {normal_ms:8.3f} ms")
    print(f"interpolate                     {interpolate_ms:8.3f} ms")
    print(f"shade                           {median_ms(lambda: shade(image), 50):8.3f} ms")
    slow = median_ms(lambda: rasterize(projected, sphere.faces, SIZE // 4, backend="reference"), 1)
    print(f"reference at {SIZE // 4} pixels           {slow:8.1f} ms")


if __name__ == "__main__":
    main()
