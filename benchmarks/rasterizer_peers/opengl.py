"""A rasteriser of OpenGL through moderngl, for `benchmarks/rasterizer.py`; runs in an environment of its own.

    python opengl.py SCENE.npz

SCENE.npz has `vertices` (B, V, 3) float32 in image space, `faces` (F, 3) int32 and `size`. Prints the name of the
driver; then, for each line of its input, the milliseconds of one batch by the clock and of processors: upload of the
vertices, drawing of face index and depth, and their way back. Without a graphics card the driver is Mesa's llvmpipe.
"""

from __future__ import annotations

import sys
import time

import moderngl
import numpy as np

VERTEX = """#version 330
in vec3 point;
void main() { gl_Position = vec4(point.x, point.y, 0.1 * point.z, 1.0); }"""
FRAGMENT = """#version 330
out vec2 color;
void main() { color = vec2(float(gl_PrimitiveID), gl_FragCoord.z); }"""


def main(path: str) -> None:
    """Answer each line of the standard input."""
    with np.load(path, allow_pickle=False) as scene:
        vertices, faces, size = scene["vertices"].astype("f4"), scene["faces"].astype("i4"), int(scene["size"])
    context = moderngl.create_context(standalone=True, backend="egl")
    buffer = context.buffer(reserve=vertices[0].nbytes)
    array = context.vertex_array(
        context.program(VERTEX, FRAGMENT), [(buffer, "3f", "point")], context.buffer(np.ascontiguousarray(faces))
    )
    depth = context.depth_renderbuffer((size, size))
    target = context.framebuffer([context.renderbuffer((size, size), 2, dtype="f4")], depth)
    context.enable(moderngl.DEPTH_TEST)
    target.use()
    print(context.info["GL_RENDERER"], flush=True)
    for _ in sys.stdin:
        began = time.perf_counter(), time.process_time()
        for mesh in vertices:
            buffer.write(np.ascontiguousarray(mesh))
            target.clear(-1.0)
            array.render()
            image = np.frombuffer(target.read(components=2, dtype="f4"), np.float32)
        assert image.max() > 0, "nothing was drawn"
        print(1e3 * (time.perf_counter() - began[0]), 1e3 * (time.process_time() - began[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
