"""Import an animated GLB or USD in Blender and write what Blender makes of it; run by `read_back.py` with its Python.

    PYTHON_WITH_BPY tests/conformance/read_back_blender.py CLIP.glb|CLIP.usdc FOUND.npz FPS WIDTH HEIGHT TIME_S...

Needs `bpy` (Blender as a Python module) and NumPy, and nothing of smirk3d. All is left in Blender's axes, in which
+Z is up: corners of the triangles of the evaluated mesh "head" in the frame of that object (of USD, in the scene),
matrices of objects in the scene, and the camera's projection.
"""

from __future__ import annotations

import sys
from typing import Any

import bpy  # pyright: ignore[reportMissingImports]
import numpy as np

HEAD, CAMERA, EYES = "head", "camera", ("eyeLeft", "eyeRight")


def set_rate(fps: float) -> None:
    """Let the scene have whole frames a second, by which the importer puts keys at frames.

    It does so wrongly with a base other than 1 (it multiplies by it), which 29.97 frames a second would need.
    """
    render = bpy.context.scene.render
    render.fps, render.fps_base = max(round(fps), 1), 1.0


def curves_of(owner: Any) -> list[Any]:
    """Return the animation curves of an object or of shape keys; actions have slots since Blender 4.4."""
    data = owner.animation_data
    if data is None or data.action is None:
        return []
    if not hasattr(data.action, "layers"):
        return list(data.action.fcurves)
    strips = [strip for layer in data.action.layers for strip in layer.strips]
    bags = [strip.channelbag(data.action_slot) for strip in strips]
    return [curve for bag in bags if bag is not None for curve in bag.fcurves]


def corners_of(mesh: Any) -> np.ndarray:
    """Return the corners (F, 3, 3) of a mesh of triangles."""
    points = np.empty(3 * len(mesh.vertices))
    mesh.vertices.foreach_get("co", points)
    index = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", index)
    return points.reshape(-1, 3)[index].reshape(-1, 3, 3)


def look_at_frame(frame: float) -> Any:
    """Show a frame, which need not be a whole one, and return the evaluated scene."""
    whole = int(frame + 1e-4)
    bpy.context.scene.frame_set(whole, subframe=max(frame - whole, 0.0))
    return bpy.context.evaluated_depsgraph_get()


def usd_main(path: str, found: str, fps: float, size: tuple[int, int], times_s: list[float]) -> None:
    """Import USD, look at some times, and write a .npz; Blender takes time codes for frames, whatever its rate."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.usd_import(filepath=path)
    head, camera = bpy.data.objects[HEAD], bpy.data.objects[CAMERA]
    keys = head.data.shape_keys
    seen: dict[str, list[Any]] = {name: [] for name in ("values", "corners", "camera", "projection")}
    for time_s in times_s:
        graph = look_at_frame(time_s * fps)
        shown = head.evaluated_get(graph)
        matrix = np.array(shown.matrix_world)
        seen["values"].append([block.value for block in keys.key_blocks[1:]])
        seen["corners"].append(corners_of(shown.data) @ matrix[:3, :3].T + matrix[:3, 3])
        seen["camera"].append(np.array(camera.evaluated_get(graph).matrix_world))
        seen["projection"].append(np.array(camera.calc_matrix_camera(graph, x=size[0], y=size[1])))
    arrays: dict[str, Any] = {name: np.array(values) for name, values in seen.items()}
    scene = bpy.context.scene
    np.savez(
        found,
        version=bpy.app.version_string,
        names=[block.name for block in keys.key_blocks],
        bones=[bone.name for thing in bpy.data.armatures for bone in thing.bones],
        materials=[material.name for material in head.data.materials],
        frames=[scene.frame_start, scene.frame_end],
        **arrays,
    )


def main(path: str, found: str, fps: float, size: tuple[int, int], times_s: list[float]) -> None:
    """Import a GLB, look at some times, and write a .npz."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    set_rate(fps)
    bpy.ops.import_scene.gltf(filepath=path)
    scene, objects = bpy.context.scene, bpy.data.objects
    head, camera, eyes = objects[HEAD], objects[CAMERA], [objects[name] for name in EYES]
    keys = head.data.shape_keys
    curves = [
        (name, curve) for name, owner in (("keys", keys), (HEAD, head), *zip(EYES, eyes)) for curve in curves_of(owner)
    ]
    seen: dict[str, list[Any]] = {name: [] for name in ("values", "corners", "head", "eyes", "camera", "projection")}
    for time_s in times_s:
        graph = look_at_frame(time_s * scene.render.fps)
        shown = head.evaluated_get(graph)
        seen["values"].append([block.value for block in keys.key_blocks[1:]])
        seen["corners"].append(corners_of(shown.data))
        seen["head"].append(np.array(shown.matrix_world))
        seen["eyes"].append([np.array(eye.evaluated_get(graph).matrix_world) for eye in eyes])
        seen["camera"].append(np.array(camera.evaluated_get(graph).matrix_world))
        seen["projection"].append(np.array(camera.calc_matrix_camera(graph, x=size[0], y=size[1])))
    arrays: dict[str, Any] = {name: np.array(values) for name, values in seen.items()}
    np.savez(
        found,
        version=bpy.app.version_string,
        names=[block.name for block in keys.key_blocks],
        actions=len(bpy.data.actions),
        curves=[f"{owner}.{curve.data_path}[{curve.array_index}]" for owner, curve in curves],
        counts=[len(curve.keyframe_points) for _, curve in curves],
        kinds=sorted({point.interpolation for _, curve in curves for point in curve.keyframe_points}),
        ends_s=[np.array(curve.range()) / scene.render.fps for _, curve in curves],
        **arrays,
    )


if __name__ == "__main__":
    clip, out, rate, width, height, *times = sys.argv[1:]
    read = main if clip.endswith(".glb") else usd_main
    read(clip, out, float(rate), (int(width), int(height)), [float(time_s) for time_s in times])
