"""Read the animated GLB of a clip with Khronos' validator, three.js, trimesh and Blender, for `read_back.py`.

What they find is compared with the track in the .npz beside it: the head model's own vertices, the pose, the times.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import roma
import torch
from read_back_expect import expect

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.render.appearance.materials import material_parts
from smirk3d.track import Track

TO_BLENDER = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From glTF's axes, +Y up, to Blender's, +Z up."""
MOST_MM, MOST_EYE_MM = 0.2, 1.0
"""Morph targets add up straight, the head's eyeballs turn and its lids slide over them."""
MOST_PX, MOST_POSE, MOST_WEIGHT = 0.1, 1e-4, 1e-5
SCRIPTS = Path(__file__).parent
BLENDER_NOT_ASKED = "Blender not asked (--blender-python names a Python with bpy)"


def validator_says(path: Path) -> str:
    """Return the validator's sentence; it must find neither errors nor warnings."""
    if not os.environ.get("GLTF_VALIDATOR"):
        return "gltf-validator not asked (set GLTF_VALIDATOR)"
    command = ["node", str(SCRIPTS / "validate_gltf.mjs"), str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    expect(result.returncode == 0, (result.stdout + result.stderr).strip())
    return "gltf-validator: " + result.stdout.splitlines()[0].removeprefix(f"{path}: ")


def browser_finds(path: Path) -> str:
    """Return what three.js says of a .glb, or a browser's player of an .mp4."""
    folder = os.environ.get("THREE")
    if not folder:
        return "three.js and browser not asked (set THREE)"
    command = ["node", str(SCRIPTS / "read_back_three.mjs"), str(path)]
    environment = os.environ | {"NODE_PATH": str(Path(folder) / "node_modules")}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    expect(result.returncode == 0, (result.stdout + result.stderr).strip())
    return result.stdout.strip().removeprefix(f"{path.name}: ")


def trimesh_finds(path: Path, track: Track) -> str:
    """Compare the mesh at rest and where it stands in the first frame."""
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    meshes = list(scene.geometry.values())
    n_triangles = sum(len(mesh.faces) for mesh in meshes)
    expect(n_triangles == len(track.head.faces), f"trimesh finds {n_triangles} triangles")
    first = int(np.flatnonzero(track.known)[0])
    neutral = track.face(first).neutral_vertices
    points = np.concatenate([mesh.vertices for mesh in meshes])
    expect(
        np.allclose([points.min(0), points.max(0)], [neutral.min(0), neutral.max(0)], atol=1e-5), "another neutral face"
    )
    placed, _ = scene.graph["head"]
    expect(np.allclose(placed[:3, :3], track.rotation_rotmat[first], atol=MOST_POSE), "another rotation")
    if track.focal_px is not None:
        expect(np.allclose(placed[:3, 3], track.translation_m[first], atol=MOST_POSE), "another place")
    return (
        f"trimesh {trimesh.__version__}: {len(meshes)} parts, {n_triangles} triangles, same neutral face and first pose"
    )


def blender_finds(path: Path, track: Track, python: str | None) -> str:
    """Import the file in Blender and compare curves, meshes and matrices.

    Args:
        path: The GLB. track: What it was made of. python: Interpreter that has `bpy`; None for this one.
    """
    rows = _looked_at(track)
    given = ask_blender(path, track, track.time_s[rows], python)
    if given is None:
        return BLENDER_NOT_ASKED
    parts = [_curves(given, track), _meshes(given, track, rows), _poses(given, track, rows), _eyes(given, track, rows)]
    return f"Blender {given['version']}: " + ", ".join(parts)


def ask_blender(path: Path, track: Track, times_s: np.ndarray, python: str | None) -> dict[str, np.ndarray] | None:
    """Return what `read_back_blender.py` finds in a file at some times; None where there is no Blender."""
    if python is None and find_spec("bpy") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.npz"
        numbers = (track.rate_fps, *track.image_size, *times_s)
        command = [python or sys.executable, SCRIPTS / "read_back_blender.py", path, found, *numbers]
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        expect(result.returncode == 0 and found.exists(), f"Blender fails: {(result.stderr or result.stdout)[-500:]}")
        with np.load(found, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def _looked_at(track: Track) -> list[int]:
    """Return some rows: the ends, those with the widest eyes and mouth, a lost one."""
    known = np.flatnonzero(track.known)
    blink, jaw = (track.arkit[known, ARKIT_NAMES.index(name)].argmax() for name in ("eyeBlinkLeft", "jawOpen"))
    lost = [row for row in np.flatnonzero(~track.known) if row > known[0]]
    return sorted(
        {int(row) for row in (known[0], known[blink], known[jaw], known[len(known) // 2], *lost[-1:], known[-1])}
    )


def _held(track: Track, rows: list[int]) -> list[int]:
    """Return the rows whose values are shown at these rows: the last known ones."""
    known = np.flatnonzero(track.known)
    return [int(known[known <= row][-1]) for row in rows]


def _curves(given: dict[str, np.ndarray], track: Track) -> str:
    """Check names, number and times of the keys."""
    expect(given["names"].tolist() == ["Basis", *ARKIT_NAMES], "shape keys have other names")
    expect(
        given["actions"] == 1 and given["kinds"].tolist() == ["LINEAR"], f"{given['actions']} actions, {given['kinds']}"
    )
    expected = [f'keys.key_blocks["{name}"].value[0]' for name in ARKIT_NAMES]
    expected += [
        f"head.{path}[{k}]" for path, size in (("location", 3), ("rotation_quaternion", 4)) for k in range(size)
    ]
    expected += [f"{eye}.rotation_quaternion[{k}]" for eye in ("eyeLeft", "eyeRight") for k in range(4)]
    expect(sorted(given["curves"]) == sorted(expected), f"curves are {sorted({*given['curves']} ^ {*expected})}")
    known = track.known
    n_keys = known.sum() + (~known[:-1] & known[1:])[np.flatnonzero(known)[0] :].sum()
    expect((given["counts"] == n_keys).all(), f"{given['counts']} keys, expected {n_keys}")
    ends = track.time_s[np.flatnonzero(known)[[0, -1]]]
    expect(np.allclose(given["ends_s"], ends, atol=1e-4), f"from {given['ends_s'][0]} s")
    return f"52 shape keys, {len(expected)} curves of {n_keys} keys from {ends[0]:.2f} to {ends[1]:.2f} s"


def _meshes(given: dict[str, np.ndarray], track: Track, rows: list[int]) -> str:
    """Compare the deformed mesh with the head model's, in the head frame."""
    order = np.concatenate([part.face_index for part in material_parts(track.head)])
    triangles = track.head.faces.numpy()[order]
    eyes = track.head.region_mask("eyeballs").numpy()[triangles].all(axis=1)
    worst = np.zeros(2)
    for values, corners, row in zip(given["values"], given["corners"], _held(track, rows), strict=True):
        expect(np.allclose(values, track.arkit[row], atol=MOST_WEIGHT), f"other weights in row {row}")
        off = 1000 * np.abs(corners @ TO_BLENDER - track.face(row).vertices[triangles]).max(axis=(1, 2))
        worst = np.maximum(worst, (off[~eyes].max(), off[eyes].max()))
    expect(worst[0] < MOST_MM and worst[1] < MOST_EYE_MM, f"mesh {worst[0]:.2f}, eyeballs {worst[1]:.2f} mm off")
    return f"mesh at {len(rows)} times {worst[0]:.3f} mm off, eyeballs {worst[1]:.2f} mm"


def _poses(given: dict[str, np.ndarray], track: Track, rows: list[int]) -> str:
    """Compare the head's matrix with the pose, and the picture in Blender's camera with the track's camera."""
    worst_pose, worst_px = 0.0, 0.0
    for matrix, camera, projection, row in zip(
        given["head"], given["camera"], given["projection"], _held(track, rows), strict=True
    ):
        rotmat = TO_BLENDER.T @ matrix[:3, :3] @ TO_BLENDER
        worst_pose = max(worst_pose, np.abs(rotmat - track.rotation_rotmat[row]).max())
        if track.focal_px is None or not np.allclose(track.center_px, np.array(track.image_size) / 2):
            continue  # glTF has no such camera
        points = track.face(row).vertices
        scene = points @ TO_BLENDER.T @ matrix[:3, :3].T + matrix[:3, 3]
        clip = np.c_[scene, np.ones(len(scene))] @ (projection @ np.linalg.inv(camera)).T
        u, v = (clip[:, :2] / clip[:, 3:]).T
        seen = np.stack([(1 + u) / 2, (1 - v) / 2], axis=1) * track.image_size
        worst_px = max(worst_px, np.abs(seen - track.camera(row).project(points)).max())
    expect(worst_pose < MOST_POSE, f"rotation off by {worst_pose:.5f}")
    expect(worst_px < MOST_PX, f"{worst_px:.2f} px off through its camera")
    return f"rotation {worst_pose:.1e} off, {worst_px:.3f} px off through its camera"


def _eyes(given: dict[str, np.ndarray], track: Track, rows: list[int]) -> str:
    """Compare the turn of the eye nodes in the head."""
    turned = np.linalg.inv(given["head"])[:, None] @ given["eyes"]
    found = TO_BLENDER.T @ turned[..., :3, :3] @ TO_BLENDER
    rotvec = torch.from_numpy(track.eyes[_held(track, rows)].reshape(-1, 2, 3).astype(np.float64))
    worst = np.abs(found - roma.rotvec_to_rotmat(rotvec).numpy()).max()
    expect(worst < MOST_POSE, f"eye nodes off by {worst:.4f}")
    return f"eye nodes turned by up to {np.rad2deg(np.linalg.norm(rotvec.numpy(), axis=-1)).max():.0f} deg"
