"""Rasteriser in NVIDIA Warp: one source for CPU and CUDA.

Every triangle offers its depth to the pixels of its bounding box through an atomic minimum on a z-buffer that
packs (order-preserving depth, face index) into one int64; a second pass over the pixels unpacks the winner.
The comparison of packed values settles equal depths: the lowest face index wins, in any order of execution.
All arithmetic is float32.
"""

# Kernel bodies are Warp's language, not Python: its stubs do not describe them to a type checker.
# pyright: reportIndexIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import functools
import os
import sys
import tempfile

import torch
import warp as wp
from torch import Tensor

from smirk3d.render.fragments import Fragments

# Fused multiply-adds would break the antisymmetry of the edge function, and with it gap-free shared edges.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

_STDERR = 2
_EMPTY = (1 << 63) - 1
_EMPTY_KEY = wp.constant(wp.int64(_EMPTY))


@wp.func
def edge(ax: float, ay: float, bx: float, by: float):
    """Twice the signed area of the triangle (origin, a, b); exactly antisymmetric in a and b."""
    return ax * by - ay * bx


@wp.func
def pixel_center(index: int, inverse_size: float):
    """Image coordinate in [-1,1] of a pixel centre."""
    return float(2 * index + 1) * inverse_size - 1.0


@wp.func
def ordered_bits(value: float):
    """An int32 that compares as the float does; adding 0 turns -0 into +0."""
    bits = wp.cast(value + 0.0, wp.int32)
    if bits < 0:
        bits = bits ^ wp.int32(0x7FFFFFFF)
    return bits


@wp.func
def first_pixel(ndc: float, size: int):
    """Index of the first pixel centre at or after a coordinate, in the image; the slack covers rounding."""
    return int(wp.clamp(wp.ceil((ndc + 1.0) * 0.5 * float(size) - 0.51), 0.0, float(size)))


@wp.func
def last_pixel(ndc: float, size: int):
    """Index of the last pixel centre at or before a coordinate, in the image; the slack covers rounding."""
    return int(wp.clamp(wp.floor((ndc + 1.0) * 0.5 * float(size) - 0.49), -1.0, float(size) - 1.0))


@wp.func
def inverse_depths(w: wp.array[wp.float32], i: int, j: int, k: int):
    """Reciprocal camera depths of three corners, 1 where there is no perspective, 0 behind the camera."""
    if w.shape[0] == 0:
        return wp.vec3(1.0, 1.0, 1.0)
    if w[i] > 0.0 and w[j] > 0.0 and w[k] > 0.0:
        return wp.vec3(1.0 / w[i], 1.0 / w[j], 1.0 / w[k])
    return wp.vec3(0.0, 0.0, 0.0)


@wp.kernel
def splat_faces(
    vertices: wp.array[wp.vec3],
    w: wp.array[wp.float32],
    faces: wp.array[wp.int32],
    extent: wp.vec3i,
    zbuffer: wp.array[wp.int64],
):
    """One thread a triangle of the batch: offer (depth, face) to every pixel whose centre it covers.

    `extent`: vertices an image, height, width.
    """
    image, face = wp.tid()  # pyright: ignore[reportAssignmentType]
    vertex_count, height, width = extent[0], extent[1], extent[2]
    i = image * vertex_count + faces[3 * face]
    j = image * vertex_count + faces[3 * face + 1]
    k = image * vertex_count + faces[3 * face + 2]
    a, b, c = vertices[i], vertices[j], vertices[k]
    inverse_w = inverse_depths(w, i, j, k)
    area = edge(b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1])
    if area == 0.0 or not wp.isfinite(area) or inverse_w[0] == 0.0:
        return
    if area < 0.0:
        inverse_w = -inverse_w
    first_column = first_pixel(wp.min(wp.min(a[0], b[0]), c[0]), width)
    last_column = last_pixel(wp.max(wp.max(a[0], b[0]), c[0]), width)
    first_row = first_pixel(wp.min(wp.min(a[1], b[1]), c[1]), height)
    last_row = last_pixel(wp.max(wp.max(a[1], b[1]), c[1]), height)
    row = int(first_row)  # while loops: faster on a CPU than Warp's range()
    while row <= last_row:
        y = pixel_center(row, 1.0 / float(height))
        ay, by, cy = a[1] - y, b[1] - y, c[1] - y
        column = int(first_column)
        while column <= last_column:
            x = pixel_center(column, 1.0 / float(width))
            ax, bx, cx = a[0] - x, b[0] - x, c[0] - x
            e0 = edge(bx, by, cx, cy) * inverse_w[0]
            e1 = edge(cx, cy, ax, ay) * inverse_w[1]
            e2 = edge(ax, ay, bx, by) * inverse_w[2]
            total = e0 + e1 + e2
            if wp.min(wp.min(e0, e1), e2) >= 0.0 and total > 0.0:
                depth = (e0 * a[2] + e1 * b[2] + e2 * c[2]) / total
                key = (wp.int64(ordered_bits(depth)) << wp.int64(32)) | wp.int64(face)
                wp.atomic_min(zbuffer, (image * height + row) * width + column, key)
            column += 1
        row += 1


@wp.kernel
def resolve_pixels(
    vertices: wp.array[wp.vec3],
    w: wp.array[wp.float32],
    faces: wp.array[wp.int32],
    extent: wp.vec3i,
    zbuffer: wp.array[wp.int64],
    barycentric: wp.array[wp.vec3],
    depth: wp.array[wp.float32],
):
    """One thread a pixel: replace the packed winner by its face index, and write its weights and depth.

    `extent`: vertices an image, height, width.
    """
    pixel = wp.tid()
    vertex_count, height, width = extent[0], extent[1], extent[2]
    key = zbuffer[pixel]
    if key == _EMPTY_KEY:
        zbuffer[pixel] = wp.int64(-1)
        return
    row, image = pixel // width % height, pixel // (width * height)
    face = int(key & wp.int64(0xFFFFFFFF))
    i = image * vertex_count + faces[3 * face]
    j = image * vertex_count + faces[3 * face + 1]
    k = image * vertex_count + faces[3 * face + 2]
    a, b, c = vertices[i], vertices[j], vertices[k]
    center = wp.vec3(pixel_center(pixel % width, 1.0 / float(width)), pixel_center(row, 1.0 / float(height)), 0.0)
    pa, pb, pc = a - center, b - center, c - center
    areas = wp.vec3(
        edge(pb[0], pb[1], pc[0], pc[1]), edge(pc[0], pc[1], pa[0], pa[1]), edge(pa[0], pa[1], pb[0], pb[1])
    )
    weights = wp.cw_mul(areas, inverse_depths(w, i, j, k))
    weights = weights / (weights[0] + weights[1] + weights[2])
    zbuffer[pixel] = wp.int64(face)
    barycentric[pixel] = weights
    depth[pixel] = weights[0] * a[2] + weights[1] * b[2] + weights[2] * c[2]


def rasterize_warp(vertices_ndc: Tensor, faces: Tensor, size: tuple[int, int], w: Tensor | None = None) -> Fragments:
    """Rasterise with Warp on the device of the vertices; see `rasterize` for the arguments.

    Returns:
        Fragments computed in float32 and handed out in the dtype of the vertices, without a gradient.
    """
    batch, vertex_count, _ = vertices_ndc.shape
    vertices = vertices_ndc.detach().to(torch.float32).contiguous()
    depths = vertices.new_empty(0) if w is None else w.detach().to(torch.float32).contiguous()
    corners = faces.to(torch.int32).contiguous().view(-1)
    zbuffer = torch.full((batch, *size), _EMPTY, dtype=torch.int64, device=vertices.device)
    barycentric = vertices.new_zeros(batch, *size, 3)
    depth = vertices.new_full((batch, *size), torch.inf)
    _initialize()
    arguments = [
        wp.from_torch(vertices.view(-1, 3), dtype=wp.vec3, return_ctype=True),
        wp.from_torch(depths.view(-1), return_ctype=True),
        wp.from_torch(corners, return_ctype=True),
        wp.vec3i(vertex_count, *size),
        wp.from_torch(zbuffer.view(-1), return_ctype=True),
        wp.from_torch(barycentric.view(-1, 3), dtype=wp.vec3, return_ctype=True),
        wp.from_torch(depth.view(-1), return_ctype=True),
    ]
    on = {"device": str(vertices.device), "stream": _stream(vertices.device)}
    with wp.ScopedLogLevel(wp.LOG_WARNING):  # no message when a kernel is compiled or read from the cache
        wp.launch(splat_faces, dim=(batch, len(faces)), inputs=arguments[:5], **on)
        wp.launch(resolve_pixels, dim=zbuffer.numel(), inputs=arguments, **on)
    return Fragments(zbuffer, barycentric.to(vertices_ndc.dtype), depth.to(vertices_ndc.dtype))


def _stream(device: torch.device) -> wp.Stream | None:
    """Torch's current stream, so that both libraries see each other's work in order; None on a CPU."""
    return wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None


@functools.cache
def _initialize() -> None:
    """Start Warp without its banner and the notice its native code prints where there is no CUDA driver."""
    notice = b"Could not find or load the NVIDIA CUDA driver"
    with tempfile.TemporaryFile() as captured:
        sys.stderr.flush()
        stderr = os.dup(_STDERR)
        os.dup2(captured.fileno(), _STDERR)
        try:
            with wp.ScopedLogLevel(wp.LOG_WARNING):
                wp.init()
        finally:
            os.dup2(stderr, _STDERR)
            os.close(stderr)
            captured.seek(0)
            os.write(_STDERR, b"".join(line for line in captured if notice not in line))
