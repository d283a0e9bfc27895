"""Rasterisation and shading in NVIDIA Warp: one source for CPU and CUDA, with gradients.

Three passes, all in float32:

1. `splat_faces`, one thread per triangle: edge functions find the covered pixels, and an atomic minimum updates a
   z-buffer (Catmull, 1974) that packs order-preserving depth and face index into one int64. Of equal depths the lowest
   face index wins, in any order of execution.
2. `resolve_pixels`, over the pixels: unpacks the visible face, and computes barycentric weights, depth and optionally
   normal and light.
3. `resolve_pixels_backward`: gradients with respect to the corners of the visible faces.

Source: Pineda, "A Parallel Algorithm for Polygon Rasterization" (1988), for edge functions; Catmull, "A Subdivision
Algorithm for Computer Display of Curved Surfaces" (1974), for the z-buffer; Heckbert, "Fundamentals of Texture
Mapping and Image Warping" (1989), for perspective-correct weights.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import threading
from typing import Any

import torch
import warp as wp
from torch import Tensor
from torch.autograd.function import once_differentiable

from smirk3d.render.backends.warp_kernels import resolve_pixels, resolve_pixels_backward, splat_faces
from smirk3d.render.fragments import Fragments

_STDERR = 2
# Larger than any packed value; its lower 32 bits are -1, the face index of the background.
_EMPTY = (1 << 63) - 1
# Warp does not state that its kernels may be launched from several threads.
_LAUNCHING = threading.Lock()


def rasterize_warp(vertices_ndc: Tensor, faces: Tensor, size: tuple[int, int], w: Tensor | None = None) -> Fragments:
    """Rasterise with Warp in float32; see `rasterize`.

    Args:
        vertices_ndc: (B,V,3) float.
        faces: (F,3) int.
        size: Height and width in pixels.
        w: (B,V) float or None.

    Returns:
        Fragments in the dtype of the vertices, differentiable in them and in `w`.
    """
    face_index, barycentric, depth, _ = _rasterize_and_shade(vertices_ndc, w, None, None, faces, size)
    return Fragments(face_index, barycentric.to(vertices_ndc.dtype), depth.to(vertices_ndc.dtype))


def shade_warp(
    vertices_ndc: Tensor, faces: Tensor, size: tuple[int, int], normals: Tensor, radiance: Tensor
) -> tuple[Fragments, Tensor]:
    """Rasterise an orthographic image, interpolate normals and shade the surface in one pass over the pixels.

    Args:
        vertices_ndc: (B,V,3) float, image space, see `rasterize`.
        faces: (F,3) int.
        size: Height and width in pixels.
        normals: (B,V,3) float, used as they are.
        radiance: (L,3) float, for each light its direction times the radiance of a surface that faces it.

    Returns:
        Fragments, and (B,4,H,W) float: the interpolated normal and the sum over the lights of
        max(0, radiance · normal), 0 in the background. Computed in float32, differentiable in vertices and normals.
    """
    face_index, *fields = _rasterize_and_shade(vertices_ndc, None, normals, radiance, faces, size)
    barycentric, depth, shaded = (field.to(vertices_ndc.dtype) for field in fields)
    return Fragments(face_index, barycentric, depth), shaded


def _rasterize_and_shade(vertices, w, normals, radiance, faces, size) -> tuple[Any, ...]:
    """Return face index, weights, depth and shading, with a gradient if needed; w, normals and radiance may be None."""
    floats = [None if x is None else x.to(torch.float32).contiguous() for x in (vertices, w, normals, radiance)]
    scene: tuple[Any, ...] = (*floats, faces.to(torch.int32).contiguous(), size)
    needs_grad = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in floats)
    return _Surface.apply(*scene) if needs_grad else _resolve(*scene)


def _resolve(vertices, w, normals, radiance, faces, size):
    """Run the two forward passes; the arguments are contiguous."""
    shape, device = (len(vertices), *size), vertices.device
    zbuffer = torch.full(shape, _EMPTY, dtype=torch.int64, device=device)
    barycentric, depth = vertices.new_zeros(*shape, 3), vertices.new_full(shape, torch.inf)
    shaded = vertices.new_zeros(len(vertices), 4, *size) if radiance is not None else None
    scene = [*_scene(vertices, w, faces, size), _scalars(zbuffer)]
    pixels = [_vectors(normals), _vectors(radiance), _vectors(barycentric), _scalars(depth), _scalars(shaded)]
    threads = zbuffer.numel() // scene[3][3]
    _launch(device, (splat_faces, (len(vertices), len(faces)), scene), (resolve_pixels, threads, scene + pixels))
    return zbuffer, barycentric, depth, shaded


class _Surface(torch.autograd.Function):
    """`_resolve` with a gradient: with the visible faces held fixed, the outputs are functions of their corners."""

    @staticmethod
    def forward(ctx, vertices, w, normals, radiance, faces, size):
        outputs = _resolve(vertices, w, normals, radiance, faces, size)
        ctx.save_for_backward(vertices, w, normals, radiance, faces, *outputs[:2])
        ctx.mark_non_differentiable(outputs[0])
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, _, *d_outputs):
        vertices, w, normals, radiance, faces, face_index, barycentric = ctx.saved_tensors
        d_barycentric, d_depth, d_shaded = (None if d is None else d.contiguous() for d in d_outputs)
        d_inputs = [None if field is None else torch.zeros_like(field) for field in (vertices, w, normals)]
        scene = [*_scene(vertices, w, faces, face_index.shape[1:]), _scalars(face_index)]
        scene += [_vectors(normals), _vectors(radiance), _vectors(barycentric)]
        scene += [_vectors(d_barycentric), _scalars(d_depth), _scalars(d_shaded)]
        scene += [_vectors(d_inputs[0]), _scalars(d_inputs[1]), _vectors(d_inputs[2])]
        _launch(vertices.device, (resolve_pixels_backward, face_index.numel() // scene[3][3], scene))
        return *d_inputs, None, None, None


def _scene(vertices: Tensor, w: Tensor | None, faces: Tensor, size: tuple[int, int]) -> list:
    """Return the leading arguments of all kernels."""
    # On a CPU a thread takes a row, which saves the setup of every pixel; on a GPU it takes one pixel.
    extent = wp.vec4i(vertices.shape[1], *size, size[1] if vertices.device.type == "cpu" else 1)
    return [_vectors(vertices), _scalars(w), wp.from_torch(faces, dtype=wp.vec3i, return_ctype=True), extent]


def _vectors(values: Tensor | None) -> object:
    """Return an array of 3-vectors for a kernel; None becomes an empty array."""
    return None if values is None else wp.from_torch(values.detach().view(-1, 3), dtype=wp.vec3, return_ctype=True)


def _scalars(values: Tensor | None) -> object:
    """Return an array of scalars for a kernel; None becomes an empty array."""
    return None if values is None else wp.from_torch(values.detach().view(-1), return_ctype=True)


def _launch(device: torch.device, *launches: tuple) -> None:
    """Run kernels in order, each with its number of threads and its inputs."""
    with _LAUNCHING:
        _initialize()
    # On torch's current stream, so that the work of both libraries is ordered.
    stream = wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == "cuda" else None
    # The level silences messages about compiled and cached kernels.
    with _LAUNCHING, wp.ScopedLogLevel(wp.LOG_WARNING):
        for kernel, threads, inputs in launches:
            wp.launch(kernel, dim=threads, inputs=inputs, device=str(device), stream=stream)


@functools.cache
def _initialize() -> None:
    """Initialise Warp without its banner and without the notice of its native code about a missing CUDA driver."""
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
