"""Read every file that `smirk3d video` writes with programs that are not of this project.

    python tests/conformance/read_back.py OUT                                    # a folder of results
    python tests/conformance/read_back.py --blender-python BPY_ENV/bin/python    # a short rendered clip is made first

GLB: Khronos' gltf-validator (folder with the npm package in GLTF_VALIDATOR), three.js in Chromium (folder with the npm
packages three and playwright-core in THREE), trimesh, and Blender's importer (`bpy`, Blender as a Python module, here
or in the Python named by --blender-python). USD, where there is any: OpenUSD's validators, and Blender's importer.
Tables: pandas. Arrays: NumPy without pickles. Video: PyAV, Chromium (THREE), and ffprobe where it is. Pictures: Pillow.
Prints a line a file: what read it and what it found. Exit code 1 where anything is not as it should be.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import tyro
from PIL import Image
from read_back_expect import expect
from read_back_glb import (
    BLENDER_NOT_ASKED,
    MOST_EYE_MM,
    MOST_MM,
    MOST_PX,
    MOST_WEIGHT,
    TO_BLENDER,
    ask_blender,
    blender_finds,
    browser_finds,
    trimesh_finds,
    validator_says,
)
from read_back_tables import arrays_read, livelink_read, table_read

from smirk3d import load_head
from smirk3d.cli.main import main as smirk3d
from smirk3d.evaluation.clips import talking_motion, write_talking_clip
from smirk3d.export.gltf.animation import clip_camera, key_frames
from smirk3d.export.tables.track_table import read_track_npz
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Track


@dataclass(frozen=True)
class Options:
    """What is read, and with what."""

    folder: Annotated[Path | None, tyro.conf.Positional] = None
    """Results of `smirk3d video` with the open head; made of a rendered clip where none is named."""
    blender_python: str | None = None
    """Python that has bpy."""
    frames: int = 40
    """Length of the rendered clip."""


def glb_read(path: Path, track: Track, blender_python: str | None) -> str:
    """Read an animation with all that can."""
    found = [validator_says(path), browser_finds(path), trimesh_finds(path, track)]
    return "; ".join([*found, blender_finds(path, track, blender_python)])


def usd_read(path: Path, track: Track, blender_python: str | None) -> str:
    """Read animated USD with all that can."""
    return f"{usd_validators_say(path)}; {blender_finds_usd(path, track, blender_python)}"


def usd_validators_say(path: Path) -> str:
    """Return the sentence of OpenUSD's validators; they must find nothing."""
    if find_spec("pxr") is None:
        return "OpenUSD not asked (pip install 'smirk3d[usd]')"
    usd: Any = import_module("pxr.Usd")
    validation: Any = import_module("pxr.UsdValidation")
    validators = validation.ValidationRegistry().GetOrLoadAllValidators()
    found = validation.ValidationContext(validators).Validate(usd.Stage.Open(str(path)))
    expect(not found, "; ".join(error.GetErrorAsString() for error in found))
    return f"OpenUSD {'.'.join(map(str, usd.GetVersion()[1:]))}: {len(validators)} validators find nothing"


def blender_finds_usd(path: Path, track: Track, python: str | None) -> str:
    """Import the file in Blender and compare weights, the mesh in the scene and the picture in its camera.

    Args:
        path: The stage. track: What it was made of. python: Interpreter that has `bpy`; None for this one.
    """
    keys = key_frames(track)
    widest = [track.arkit[keys.row, ARKIT_NAMES.index(name)].argmax() for name in ("eyeBlinkLeft", "jawOpen")]
    looked = sorted({0, *map(int, widest), len(keys.row) // 2, len(keys.row) - 1})
    given = ask_blender(path, track, keys.time_s[looked], python)
    if given is None:
        return BLENDER_NOT_ASKED
    expect(given["names"].tolist()[1:] == list(ARKIT_NAMES), "shape keys have other names")
    expect(sorted(given["bones"]) == ["eyeLeft", "eyeRight", "head"], f"bones are {given['bones']}")
    rows = keys.row[looked]
    expect(np.allclose(given["values"], track.arkit[rows], atol=MOST_WEIGHT), "other weights")
    seen = f"{len(given['materials'])} materials, 52 shape keys, 3 bones, {placed_as_tracked(given, track, rows)}"
    return f"Blender {given['version']}: {seen}"


def placed_as_tracked(given: dict[str, np.ndarray], track: Track, rows: np.ndarray) -> str:
    """Compare Blender's deformed and posed mesh with the head model's in the camera frame of the clip."""
    triangles, places_m = track.head.faces.numpy(), clip_camera(track).translation_m
    eyes = track.head.region_mask("eyeballs").numpy()[triangles].all(axis=1)
    worst, worst_px = np.zeros(2), 0.0
    for corners, camera, projection, row in zip(
        given["corners"], given["camera"], given["projection"], rows, strict=True
    ):
        points = track.face(row).vertices @ track.rotation_rotmat[row].T + places_m[row]
        off = 1000 * np.abs(corners @ TO_BLENDER - points[triangles]).max(axis=(1, 2))
        worst = np.maximum(worst, (off[~eyes].max(), off[eyes].max()))
        if track.focal_px is None or not np.allclose(track.center_px, np.array(track.image_size) / 2):
            continue  # the stage's camera looks at the centre of the picture
        scene = points @ TO_BLENDER.T
        clip = np.c_[scene, np.ones(len(scene))] @ (projection @ np.linalg.inv(camera)).T
        u, v = (clip[:, :2] / clip[:, 3:]).T
        seen = np.stack([(1 + u) / 2, (1 - v) / 2], axis=1) * track.image_size
        worst_px = max(worst_px, np.abs(seen - track.camera(row).project(track.face(row).vertices)).max())
    expect(worst[0] < MOST_MM and worst[1] < MOST_EYE_MM, f"mesh {worst[0]:.2f}, eyeballs {worst[1]:.2f} mm off")
    expect(worst_px < MOST_PX, f"{worst_px:.2f} px off through its camera")
    return (
        f"posed mesh at {len(rows)} times {worst[0]:.3f} mm off, eyeballs {worst[1]:.2f} mm, {worst_px:.3f} px "
        "off through its camera"
    )


def video_read(path: Path, tracks: list[Track]) -> str:
    """Decode a video; each frame of the tracks must be in it at its time."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = np.array([float(frame.pts * stream.time_base) for frame in container.decode(stream)])
        found = (
            f"PyAV {av.__version__}: {stream.codec_context.name} {stream.width}x{stream.height}, {len(times)} frames"
        )
    expect((np.diff(times) > 0).all(), "times fall")
    for track in tracks:
        off = np.abs(times[track.frame] - track.time_s).max()
        expect(off < 0.002, f"frames are {off:.3f} s off")
    found += f" to {times[-1]:.2f} s; {browser_finds(path)}"
    if shutil.which("ffprobe") is None:
        return f"{found}; no ffprobe here"
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-count_frames",
        "-show_streams",
        "-of",
        "json",
        path,
    ]
    stream = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["streams"][0]
    expect(int(stream["nb_read_frames"]) == len(times), f"ffprobe counts {stream['nb_read_frames']} frames")
    return f"{found}; ffprobe: the same, {stream['avg_frame_rate']} frames a second"


def picture_read(path: Path) -> str:
    """Decode a picture that is not blank."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
        expect(pixels.std() > 5, "it is blank")
        return f"Pillow {Image.__version__}: {picture.format} {picture.width}x{picture.height}, not blank"


def checks(folder: Path, blender_python: str | None) -> dict[Path, Callable[[], str]]:
    """Return what to do with each file of results."""
    head = load_head()
    tracks = {path.stem: read_track_npz(path, head) for path in sorted(folder.glob("*.npz"))}
    if not tracks:
        raise SystemExit(f"{folder}: has no .npz of a clip; name a folder of results of smirk3d video")
    found: dict[Path, Callable[[], str]] = {}
    for stem, track in tracks.items():
        found[folder / f"{stem}.npz"] = partial(arrays_read, folder / f"{stem}.npz")
        found[folder / f"{stem}.glb"] = partial(glb_read, folder / f"{stem}.glb", track, blender_python)
        if (folder / f"{stem}.usdc").exists():
            found[folder / f"{stem}.usdc"] = partial(usd_read, folder / f"{stem}.usdc", track, blender_python)
        found[folder / f"{stem}_livelink.csv"] = partial(livelink_read, folder / f"{stem}_livelink.csv", track)
        found[folder / f"{stem}_curves.png"] = partial(picture_read, folder / f"{stem}_curves.png")
    for stem in (stem for stem, track in tracks.items() if track.number == 0):
        people = [track for name, track in tracks.items() if name == stem or name.removeprefix(f"{stem}_").isdigit()]
        people.sort(key=lambda track: track.number)
        found[folder / f"{stem}.csv"] = partial(table_read, folder / f"{stem}.csv", people)
        for path, check in ((f"{stem}.parquet", table_read), (f"{stem}_overlay.mp4", video_read)):
            if (folder / path).exists():
                found[folder / path] = partial(check, folder / path, people)
    return found


def make_results(folder: Path, n_frames: int) -> None:
    """Render a person who talks and run `smirk3d video` on it."""
    write_talking_clip(folder / "talk.mp4", talking_motion(n_frames), seed=3)
    usd = ["--usd"] if find_spec("pxr") else []
    code = smirk3d(["video", str(folder / "talk.mp4"), "--out", str(folder), *usd])
    if code:
        raise SystemExit(code)


def main(options: Options) -> int:
    """Read all files and return the exit code."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.folder is None:
            make_results(folder, options.frames)
        failed = 0
        for path, check in checks(folder, options.blender_python).items():
            try:
                expect(path.exists(), "is missing")
                print(f"{path.name}: {check()}", flush=True)
            except Exception as error:  # whatever a reader says of a file belongs in its line
                failed += 1
                print(f"{path.name}: FAILED: {type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
