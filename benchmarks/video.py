"""Time and memory of `smirk3d video` on a 640x480 clip, and of MediaPipe's landmarker alone on the same frames.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/video.py             # frames a second, median of three runs
    OMP_WAIT_POLICY=PASSIVE python benchmarks/video.py --frames 5000 --runs 1     # and memory along a long clip

The clip is the astronaut's photo in slow motion across the frame.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av
import numpy as np
import tyro
from PIL import Image
from skimage.data import astronaut
from timing import Action, Cost, Row, cost_of, median, rows

from smirk3d import Reconstructor
from smirk3d.detection.detector import Detector
from smirk3d.media.video import open_source
from smirk3d.tracking.overlay_video import write_overlay
from smirk3d.tracking.run import write_clip
from smirk3d.tracking.track_video import track_video

SIZE, FPS = (640, 480), 25


@dataclass(frozen=True)
class Options:
    """What is timed."""

    frames: int = 300
    runs: int = 3
    method: Literal["fit", "encoder", "refine"] = "refine"
    engine: Literal["torch", "onnx"] = "torch"


def write_video(path: Path, n_frames: int) -> None:
    """Write the clip at `path`, an .mp4."""
    photo = Image.fromarray(astronaut())
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for k in range(n_frames):
            x, y = 40 * np.sin(k / 20) - 60, 20 * np.cos(k / 15) + 20
            frame = photo.transform(SIZE, Image.Transform.AFFINE, (1, 0, x, 0, 1, y), Image.Resampling.BILINEAR)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())


def resident_mb() -> float:
    """Return the resident memory of this process in MB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


class MemoryMeter:
    """Records the memory at every tenth of the frames.

    Args:
        total: Number of frames.
    """

    def __init__(self, total: int) -> None:
        self._every, self._count = max(total // 10, 1), 0
        self.resident_mb: list[float] = []

    def __call__(self) -> None:
        """Count one frame."""
        self._count += 1
        if self._count % self._every == 0:
            self.resident_mb.append(resident_mb())


DETECTOR, TRACKED, ALL = "the detector alone", "all files but the overlay", "all files with the overlay"


def run(out: Path, detector: Detector, reconstructor: Reconstructor, advance: Action = lambda: None) -> dict[str, Cost]:
    """Return the cost of each part of one run on the clip in a folder."""
    source, clips = open_source(str(out / "clip.mp4")), []
    alone = cost_of(lambda: [detector.detect_fast(frame.pixels) for frame in source.frames()])
    track = cost_of(lambda: clips.append(track_video(source, reconstructor, advance=advance)))
    files = cost_of(lambda: write_clip(clips[0], out, "clip"))
    overlay = cost_of(lambda: write_overlay(clips[0], source, out / "clip_overlay.mp4"))
    return {DETECTOR: alone, TRACKED: total(track, files), ALL: total(track, files, overlay)}


def total(*costs: Cost) -> Cost:
    """Return the sum of costs."""
    return Cost(sum(cost.wall_ms for cost in costs), sum(cost.cpu_ms for cost in costs))


def compare(frames: int, runs: int) -> list[Row]:
    """Return rows for a clip of 640×480 pixels, beside the detector alone."""
    with tempfile.TemporaryDirectory() as folder, Detector(max_faces=4) as detector, Reconstructor() as reconstructor:
        write_video(Path(folder) / "clip.mp4", frames)
        run(Path(folder), detector, reconstructor)  # for warm-up
        parts = [run(Path(folder), detector, reconstructor) for _ in range(runs)]
    costs = {name: [each[name] for each in parts] for name in parts[0]}
    return [replace(row, what=f"frame of a video 640×480, {row.what}") for row in rows(costs, DETECTOR, frames)]


def main(options: Options) -> None:
    """Time all parts and print frames a second."""
    with tempfile.TemporaryDirectory() as folder, Detector(max_faces=4) as detector:
        out = Path(folder)
        write_video(out / "clip.mp4", options.frames)
        with Reconstructor(method=options.method, engine=options.engine) as reconstructor:
            reconstructor(astronaut())  # caches and lazy initialisation
            meter = MemoryMeter(options.frames)
            runs = [run(out, detector, reconstructor, meter) for _ in range(options.runs)]
    medians = {name: median([each[name] for each in runs], options.frames).wall_ms for name in runs[0]}
    for name, wall_ms in medians.items():
        ratio = wall_ms / medians[DETECTOR]
        print(f"{name:26s} {1e3 / wall_ms:6.1f} frames/s   {ratio:5.2f} times the detector alone")
    print("memory at each tenth of the first pass, MB:", " ".join(f"{each:.0f}" for each in meter.resident_mb[:10]))


if __name__ == "__main__":
    main(tyro.cli(Options))
