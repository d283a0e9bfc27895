"""Kernels of the Warp backend; `warp` describes the algorithm and launches them."""

# Kernels are written in Warp's language: float(0.0) declares a variable that a loop may change, and Warp's stubs do
# not describe them to a type checker.
# ruff: noqa: PLR0913, UP018
# pyright: reportIndexIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import warp as wp

# Fused multiply-adds round a * b - c * d differently from c * d - a * b. Then the edge function is not antisymmetric,
# and pixels on an edge shared by two triangles may belong to neither.
wp.set_module_options({"enable_backward": False, "fuse_fp": False})

# Width in columns from which computing the covered interval of a row is cheaper than testing all its pixels.
_MIN_WIDE = wp.constant(8)


@wp.func
def edge(ax: float, ay: float, bx: float, by: float):
    """Edge function: twice the signed area of the triangle (origin, a, b); exactly antisymmetric in a and b."""
    return ax * by - ay * bx


@wp.func
def pixel_center(index: int, inverse_size: float):
    """Return the NDC of a pixel centre."""
    return float(2 * index + 1) * inverse_size - 1.0


@wp.func
def ordered_bits(value: float):
    """Return an int32 with the order of the float; adding 0 turns -0 into +0."""
    bits = wp.cast(value + 0.0, wp.int32)
    # Negative floats are ordered by descending magnitude: flip all bits but the sign.
    if bits < 0:
        bits = bits ^ wp.int32(0x7FFFFFFF)
    return bits


@wp.func
def first_pixel(ndc: float, size: int):
    """Return the first pixel with its centre at or after a coordinate; 0.01 pixels of slack cover rounding."""
    return int(wp.clamp(wp.ceil((ndc + 1.0) * 0.5 * float(size) - 0.51), 0.0, float(size)))


@wp.func
def last_pixel(ndc: float, size: int):
    """Return the last pixel with its centre at or before a coordinate; 0.01 pixels of slack cover rounding."""
    return int(wp.clamp(wp.floor((ndc + 1.0) * 0.5 * float(size) - 0.49), -1.0, float(size) - 1.0))


@wp.func
def inner_side(span: wp.vec2, p: wp.vec2, q: wp.vec2, orientation: float, slack: float):
    """Return the part of an interval of x, on the row y = 0, that may be on the inner side of the edge from p to q.

    The crossing is moved outwards by more than the rounding error of itself and of `edge`, so that every pixel that
    passes the exact test is kept. A horizontal edge, whose crossing is NaN, changes nothing. `orientation` has
    the sign of the triangle's area; `slack` bounds the rounding error of the crossing times the rise of the edge.
    """
    rise = q[1] - p[1]
    per_rise = 1.0 / rise
    crossing = p[0] - p[1] * (q[0] - p[0]) * per_rise
    margin = slack * wp.abs(per_rise)
    first = wp.where(rise * orientation < 0.0, wp.max(span[0], crossing - margin), span[0])
    last = wp.where(rise * orientation > 0.0, wp.min(span[1], crossing + margin), span[1])
    return wp.vec2(first, last)


@wp.func
def corner_areas(a: wp.vec3, b: wp.vec3, c: wp.vec3, x: float, y: float):
    """Return twice the signed areas of the triangles between the point (x, y) and the edges bc, ca and ab."""
    ax, ay, bx, by, cx, cy = a[0] - x, a[1] - y, b[0] - x, b[1] - y, c[0] - x, c[1] - y
    return wp.vec3(edge(bx, by, cx, cy), edge(cx, cy, ax, ay), edge(ax, ay, bx, by))


@wp.func
def corner_indices(faces: wp.array[wp.vec3i], face: int, first_vertex: int):
    """Return the rows of a face's corners among the vertices of the whole batch."""
    return faces[face] + wp.vec3i(first_vertex, first_vertex, first_vertex)


@wp.func
def inverse_depths(w: wp.array[wp.float32], corners: wp.vec3i):
    """Return the reciprocal camera depths of three corners: 1 without perspective, 0 for faces behind the camera."""
    if w.shape[0] == 0:
        return wp.vec3(1.0, 1.0, 1.0)
    a, b, c = wp.float32(w[corners[0]]), wp.float32(w[corners[1]]), wp.float32(w[corners[2]])
    if a > 0.0 and b > 0.0 and c > 0.0:
        return wp.vec3(1.0 / a, 1.0 / b, 1.0 / c)
    return wp.vec3(0.0, 0.0, 0.0)


@wp.kernel
def splat_faces(
    vertices: wp.array[wp.vec3],
    w: wp.array[wp.float32],
    faces: wp.array[wp.vec3i],
    extent: wp.vec4i,
    zbuffer: wp.array[wp.int64],
):
    """Update the z-buffer, one triangle per thread.

    Args:
        vertices: (B·V,) 3-vectors, image space.
        w: (B·V,) camera depths of a perspective image; empty for an orthographic one.
        faces: (F,) triples of vertex indices.
        extent: Vertices per image, height, width, pixels per thread of `resolve_pixels`.
        zbuffer: (B·H·W,) packed depth and face index; updated.
    """
    image, face = wp.tid()  # pyright: ignore[reportAssignmentType]
    height, width = extent[1], extent[2]
    corners = corner_indices(faces, face, image * extent[0])
    # Local copies; otherwise the loops read the arrays again after every write.
    a, b, c = wp.vec3(vertices[corners[0]]), wp.vec3(vertices[corners[1]]), wp.vec3(vertices[corners[2]])
    inverse_w = inverse_depths(w, corners)
    area = edge(b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1])
    if not (wp.abs(area) > 0.0 and wp.abs(area) < wp.inf) or inverse_w[0] == 0.0:
        return
    # Back faces: flip the sign of all three edge functions at once.
    if area < 0.0:
        inverse_w = -inverse_w
    # Bounding box of the triangle.
    low, high = wp.min(wp.min(a, b), c), wp.max(wp.max(a, b), c)
    reach = 1.0 + wp.max(wp.max(-low[0], high[0]), wp.max(-low[1], high[1]))
    slack = 2e-6 * reach * reach
    first_column = first_pixel(low[0], width)
    end_column = last_pixel(high[0], width)
    row = first_pixel(low[1], height)
    last_row = last_pixel(high[1], height)
    while row <= last_row:  # faster on a CPU than range() in Warp
        y = pixel_center(row, 1.0 / float(height))
        ay, by, cy = a[1] - y, b[1] - y, c[1] - y
        column = int(first_column)
        last_column = int(end_column)
        # Large triangles cover a small part of their box; intersect the row with the three half planes.
        if end_column - first_column >= _MIN_WIDE:
            span = inner_side(wp.vec2(low[0], high[0]), wp.vec2(a[0], ay), wp.vec2(b[0], by), area, slack)
            span = inner_side(span, wp.vec2(b[0], by), wp.vec2(c[0], cy), area, slack)
            span = inner_side(span, wp.vec2(c[0], cy), wp.vec2(a[0], ay), area, slack)
            column = first_pixel(span[0], width)
            last_column = last_pixel(span[1], width)
        while column <= last_column:
            x = pixel_center(column, 1.0 / float(width))
            ax, bx, cx = a[0] - x, b[0] - x, c[0] - x
            e0 = edge(bx, by, cx, cy) * inverse_w[0]
            e1 = edge(cx, cy, ax, ay) * inverse_w[1]
            e2 = edge(ax, ay, bx, by) * inverse_w[2]
            total = e0 + e1 + e2
            if e0 >= 0.0 and e1 >= 0.0 and e2 >= 0.0 and total > 0.0:
                depth = (e0 * a[2] + e1 * b[2] + e2 * c[2]) / total
                key = (wp.int64(ordered_bits(depth)) << wp.int64(32)) | wp.int64(face)
                wp.atomic_min(zbuffer, (image * height + row) * width + column, key)
            column += 1
        row += 1


@wp.kernel
def resolve_pixels(
    vertices: wp.array[wp.vec3],
    w: wp.array[wp.float32],
    faces: wp.array[wp.vec3i],
    extent: wp.vec4i,
    zbuffer: wp.array[wp.int64],
    normals: wp.array[wp.vec3],
    radiance: wp.array[wp.vec3],
    barycentric: wp.array[wp.vec3],
    depth: wp.array[wp.float32],
    shaded: wp.array[wp.float32],
):
    """Replace packed values by face indices and compute the attributes of the visible surface.

    One thread takes a run of pixels of a row. The background is left unchanged.

    Args:
        vertices: (B·V,) 3-vectors, image space.
        w: (B·V,) camera depths; empty for an orthographic image.
        faces: (F,) triples of vertex indices.
        extent: Vertices per image, height, width, pixels per thread.
        zbuffer: (B·H·W,) packed depth and face index; becomes the face index, -1 in the background.
        normals: (B·V,) 3-vectors; empty without shading.
        radiance: (L,) 3-vectors, for each light its direction times its radiance; empty without shading.
        barycentric: (B·H·W,) 3-vectors; written.
        depth: (B·H·W,) z of the visible point; written.
        shaded: (B·4·H·W,) planes of the interpolated normal and the light on it; written if there is any radiance.
    """
    first = wp.tid() * extent[3]
    height, width = extent[1], extent[2]
    plane, lights = height * width, radiance.shape[0]
    image = first // plane
    row = (first - image * plane) // width
    y = pixel_center(row, 1.0 / float(height))
    pixel = int(first)
    while pixel < first + extent[3]:
        face = int(zbuffer[pixel] & wp.int64(0xFFFFFFFF))  # -1 in the background
        zbuffer[pixel] = wp.int64(face)
        if face >= 0:
            corners = corner_indices(faces, face, image * extent[0])
            i, j, k = corners[0], corners[1], corners[2]
            a, b, c = wp.vec3(vertices[i]), wp.vec3(vertices[j]), wp.vec3(vertices[k])
            x = pixel_center(pixel - image * plane - row * width, 1.0 / float(width))
            weights = wp.cw_mul(corner_areas(a, b, c, x, y), inverse_depths(w, corners))
            weights = weights / (weights[0] + weights[1] + weights[2])
            barycentric[pixel] = weights
            depth[pixel] = weights[0] * a[2] + weights[1] * b[2] + weights[2] * c[2]
            if lights > 0:
                normal = weights[0] * normals[i] + weights[1] * normals[j] + weights[2] * normals[k]
                light = float(0.0)
                for source in range(lights):
                    light += wp.max(0.0, wp.dot(radiance[source], normal))
                here = pixel + 3 * image * plane
                shaded[here] = normal[0]
                shaded[here + plane] = normal[1]
                shaded[here + 2 * plane] = normal[2]
                shaded[here + 3 * plane] = light
        pixel += 1


@wp.kernel
def resolve_pixels_backward(
    vertices: wp.array[wp.vec3],
    w: wp.array[wp.float32],
    faces: wp.array[wp.vec3i],
    extent: wp.vec4i,
    face_index: wp.array[wp.int64],
    normals: wp.array[wp.vec3],
    radiance: wp.array[wp.vec3],
    barycentric: wp.array[wp.vec3],
    d_barycentric: wp.array[wp.vec3],
    d_depth: wp.array[wp.float32],
    d_shaded: wp.array[wp.float32],
    d_vertices: wp.array[wp.vec3],
    d_w: wp.array[wp.float32],
    d_normals: wp.array[wp.vec3],
):
    """Adjoint of `resolve_pixels` with the visible faces held fixed; arguments as there, and:

    Args:
        face_index: (B·H·W,) visible faces, -1 in the background.
        barycentric: (B·H·W,) 3-vectors, the weights of the forward pass.
        d_barycentric: (B·H·W,) 3-vectors, gradient of the loss with respect to `barycentric`; empty for none.
        d_depth: (B·H·W,) gradient with respect to `depth`; empty for none.
        d_shaded: (B·4·H·W,) gradient with respect to `shaded`; empty for none.
        d_vertices: (B·V,) 3-vectors; the gradient is added.
        d_w: (B·V,) the gradient is added; empty for an orthographic image.
        d_normals: (B·V,) 3-vectors; the gradient is added.
    """
    first = wp.tid() * extent[3]
    height, width = extent[1], extent[2]
    plane = height * width
    image = first // plane
    row = (first - image * plane) // width
    y = pixel_center(row, 1.0 / float(height))
    pixel = int(first)
    while pixel < first + extent[3]:
        face = int(face_index[pixel])
        if face >= 0:
            corners = corner_indices(faces, face, image * extent[0])
            i, j, k = corners[0], corners[1], corners[2]
            a, b, c = wp.vec3(vertices[i]), wp.vec3(vertices[j]), wp.vec3(vertices[k])
            weights = wp.vec3(barycentric[pixel])
            d_weights = wp.vec3(0.0, 0.0, 0.0)
            d_z = float(0.0)
            if d_barycentric.shape[0] > 0:
                d_weights += d_barycentric[pixel]
            if d_depth.shape[0] > 0:
                d_z = d_depth[pixel]
                d_weights += d_z * wp.vec3(a[2], b[2], c[2])
            if d_shaded.shape[0] > 0:
                na, nb, nc = wp.vec3(normals[i]), wp.vec3(normals[j]), wp.vec3(normals[k])
                normal = weights[0] * na + weights[1] * nb + weights[2] * nc
                here = pixel + 3 * image * plane
                d_normal = wp.vec3(d_shaded[here], d_shaded[here + plane], d_shaded[here + 2 * plane])
                for source in range(radiance.shape[0]):
                    if wp.dot(radiance[source], normal) > 0.0:
                        d_normal += d_shaded[here + 3 * plane] * radiance[source]
                d_weights += wp.vec3(wp.dot(d_normal, na), wp.dot(d_normal, nb), wp.dot(d_normal, nc))
                wp.atomic_add(d_normals, i, weights[0] * d_normal)
                wp.atomic_add(d_normals, j, weights[1] * d_normal)
                wp.atomic_add(d_normals, k, weights[2] * d_normal)
            # Chain rule through weights = s / sum(s), s = areas * inverse_w, areas = corner_areas(...).
            x = pixel_center(pixel - image * plane - row * width, 1.0 / float(width))
            areas = corner_areas(a, b, c, x, y)
            inverse_w = inverse_depths(w, corners)
            mean = wp.dot(d_weights, weights)
            d_s = (d_weights - wp.vec3(mean, mean, mean)) / wp.dot(areas, inverse_w)
            d = wp.cw_mul(d_s, inverse_w)
            ax, ay, bx, by, cx, cy = a[0] - x, a[1] - y, b[0] - x, b[1] - y, c[0] - x, c[1] - y
            # Each corner takes part in the two areas of the other corners; its z only in the depth.
            wp.atomic_add(d_vertices, i, wp.vec3(d[2] * by - d[1] * cy, d[1] * cx - d[2] * bx, d_z * weights[0]))
            wp.atomic_add(d_vertices, j, wp.vec3(d[0] * cy - d[2] * ay, d[2] * ax - d[0] * cx, d_z * weights[1]))
            wp.atomic_add(d_vertices, k, wp.vec3(d[1] * ay - d[0] * by, d[0] * bx - d[1] * ax, d_z * weights[2]))
            if d_w.shape[0] > 0:
                # d(1 / w) = -dw / w²
                d_inverse = wp.cw_mul(d_s, areas)
                wp.atomic_add(d_w, i, -d_inverse[0] * inverse_w[0] * inverse_w[0])
                wp.atomic_add(d_w, j, -d_inverse[1] * inverse_w[1] * inverse_w[1])
                wp.atomic_add(d_w, k, -d_inverse[2] * inverse_w[2] * inverse_w[2])
        pixel += 1
